"""Packed runs from anybody: what is in them is data, and whatever is wrong with them is one line and leaves nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from evomnas.core.errors import InputError
from evomnas.results.packing import unpack as module
from evomnas.results.packing.pack import pack
from evomnas.results.packing.unpack import unpack
from evomnas.results.run import Run


@pytest.fixture(scope="session")
def sent(shown_run, tmp_path_factory) -> Path:
    """A packed run as a folder, to change things in it."""
    folder = pack(shown_run, tmp_path_factory.mktemp("sent") / "run").path
    (folder / "report.html").write_text("a small one")
    return folder


@pytest.fixture
def box(sent, tmp_path) -> Path:
    """A folder of one's own with a copy of the packed run as a folder `run`."""
    shutil.copytree(sent, tmp_path / "source" / "run")
    (tmp_path / "box").mkdir()
    return tmp_path / "box"


def zip_of(box: Path, *more: tuple[str | zipfile.ZipInfo, bytes], leave_out: str = "", root: str = "run/") -> Path:
    """The packed run as a file in the box, with more entries, and without some."""
    source = box.parent / "source" / "run"
    with zipfile.ZipFile(box / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.rglob("*")):
            name = str(path.relative_to(source))
            if path.is_file() and name != leave_out:
                archive.write(path, f"{root}{name}")
        for name, content in more:
            archive.writestr(name, content)
    return box / "x.zip"


def refused(path: Path, message: str) -> None:
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        Run.open(path)
    assert "\n" not in str(caught.value)
    assert ".part" not in str(caught.value)
    assert sorted(path.parent.rglob("*")) == before


def test_a_packed_run_is_unpacked_beside_its_file_once(box, shown_run):
    path = zip_of(box)
    assert unpack(path) == module.Unpacked(box / "x", is_new=True)
    assert unpack(path) == module.Unpacked(box / "x", is_new=False)
    assert Run.open(path).asks == shown_run.asks
    assert {one.name for one in box.iterdir()} == {"x", "x.zip"}
    assert stat.S_IMODE((box / "x").stat().st_mode) & 0o700 == 0o700


@pytest.mark.parametrize("root", ["", "run/", "a/b c/run/"])
def test_a_run_may_lie_at_any_depth(root, box, shown_run):
    assert Run.open(zip_of(box, ("__MACOSX/run/run.json", b"{}"), root=root)).asks == shown_run.asks


def test_what_is_added_to_an_unpacked_run_stays_and_another_file_gets_another_folder(box):
    run = Run.open(zip_of(box))
    (run.folder / "notes.txt").write_text("mine")
    run.manifest.explanations = {"reward": "more is better"}
    run.write(30, run.front())
    assert unpack(box / "x.zip") == module.Unpacked(box / "x", is_new=False)
    (box.parent / "source" / "run" / "front.csv").write_text("a later one\n")
    assert unpack(zip_of(box)) == module.Unpacked(box / "x-2", is_new=True)
    assert (box / "x-2" / "front.csv").read_text() == "a later one\n"
    assert (box / "x" / "notes.txt").read_text() == "mine"


def test_a_folder_of_that_name_is_left_alone(box):
    (box / "x").mkdir()
    (box / "x" / "file").write_text("mine")
    assert Run.open(zip_of(box)).folder == box / "x-2"
    assert [path.name for path in (box / "x").iterdir()] == ["file"]


def test_only_the_files_of_a_run_are_taken_out(box):
    more = [
        ("run/report.html", b"<script>alert(1)</script>"),
        ("run/setup.py", b"import os"),
        ("run/networks/.hidden/model.json", b"{}"),
        ("run/networks/abc/checkpoint.pt", b"pickle"),
        ("run/networks/abc/.profile", b"x"),
        ("run/networks/abc/model.json", b"{}"),
        ("run/networks/abc/deeper/model.json", b"{}"),
        ("elsewhere.txt", b"x"),
    ]
    folder = unpack(zip_of(box, *more, leave_out="report.html")).folder
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "run.json", "front.csv", "evomnas.sqlite", "networks/abc/model.json",
    }  # fmt: skip


def link(name: str, kind: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.json", "which leads out of its folder: nothing was unpacked$"),
        ("run/networks/../../../evil.json", "which leads out of its folder"),
        ("/etc/evil", "which leads out of its folder"),
        ("C:/evil", "which leads out of its folder"),
        ("run\\..\\evil", "which leads out of its folder"),
        (link("run/networks/a/model.json"), "which is a link or no plain file: nothing was unpacked$"),
        (link("other", stat.S_IFIFO), "which is a link or no plain file"),
        ("run/front.csv", "holds run/front.csv twice$"),
        ("other/run.json", r"holds 2 runs \(other, run\): unpack it, and give one of their folders$"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_lead_elsewhere_are_refused(name, message, box):
    path = zip_of(box, (name, b"/etc/passwd"))
    if isinstance(name, str) and "\\" in name:  # zipfile itself would write slashes
        path.write_bytes(path.read_bytes().replace(b"run/../evil", b"run\\..\\evil"))
    refused(path, message)
    assert not list(box.parent.glob("evil*"))


def test_what_grows_beyond_measure_is_refused(box, monkeypatch):
    monkeypatch.setattr(module, "FREE_GROWTH_BYTES", 10**6)
    refused(zip_of(box, ("run/networks/a/model.json", bytes(10**8))), "would grow from .* to 1.*, as no run does$")
    monkeypatch.setattr(module, "FREE_GROWTH_BYTES", 10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    refused(zip_of(box), "bytes, more than the disk has free: copy it to another one$")
    monkeypatch.setattr(module, "MAX_FILES", 3)
    refused(zip_of(box, ("a", b""), ("b", b""), ("c", b"")), "files, which no run has$")


def test_files_that_hold_no_packed_run_are_refused(box):
    refused(zip_of(box, leave_out="run.json"), "holds no run: give a file that evomnas pack wrote$")
    refused(
        zip_of(box, leave_out="evomnas.sqlite"), "holds a run and no archive of it: .* evomnas pack run writes both"
    )
    for content in (b"", b"text", b"PK\x03\x04 broken"):
        (box / "x.zip").write_bytes(content)
        refused(box / "x.zip", "x.zip is no run: give the folder of a run, or a file that evomnas pack wrote$")


@pytest.mark.parametrize(
    ("part", "error"),
    [("first block", "Error -3 while decompressing data: invalid block type"), ("checksum", "Bad CRC-32")],
)
def test_a_damaged_file_is_refused(part, error, box):
    path = zip_of(box)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("run/evomnas.sqlite")
    content = bytearray(path.read_bytes())
    if part == "first block":
        name_bytes, extra_bytes = struct.unpack_from("<HH", content, info.header_offset + 26)
        content[info.header_offset + 30 + name_bytes + extra_bytes] |= 0b110  # a kind of block that there is not
    else:
        content[content.rindex(struct.pack("<L", info.CRC))] ^= 1  # of the directory at the end
    path.write_bytes(content)
    refused(path, f"cannot unpack run/evomnas.sqlite of .*{error}.*; have it sent again$")


def test_an_encrypted_file_is_refused(box):
    path = zip_of(box)
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + 8
    path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    refused(path, "is encrypted: unpack it, and give the folder of the run$")


def edit(box: Path, *statements: str) -> None:
    with sqlite3.connect(box.parent / "source" / "run" / "evomnas.sqlite") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE measurements SET latency_ms = 'fast'", "measurements.latency_ms is 'fast', as it is in no archive$"),
        ("UPDATE measurements SET latency_ms = 9e999", "measurements.latency_ms is 'inf'"),
        ("UPDATE measurements SET params = 0.5", "measurements.params is '0.5'"),
        ("UPDATE measurements SET samples = 'x'", "holds values that no run has"),
        ("UPDATE trainings SET accuracy = -1.0", "trainings.accuracy is '-1.0'"),
        ("UPDATE trainings SET accuracy = 1.5", "trainings.accuracy is '1.5'"),
        ("UPDATE trainings SET losses = x'00'", "trainings.losses is no text"),
        ("UPDATE asks SET architecture = '../../etc'", "is no run that can be used: not an architecture: '../../etc'"),
        ("UPDATE asks SET position = 'x' WHERE position = 0", "asks.position is 'x'"),
        ("UPDATE runs SET id = 'other'", "has no run"),
        ("UPDATE runs SET definition = '{}'", "is no run that can be used: .*is missing"),
        ("UPDATE runs SET definition = '['", "JSONDecodeError|holds values"),
        ("UPDATE runs SET manner = '{\"x\": 1}'", "holds values that no run has"),
        ("UPDATE generations SET metrics = '[]'", "holds values that no run has"),
        ('UPDATE generations SET metrics = \'{"a": "b"}\'', "holds values that no run has"),
        ("UPDATE calibrations SET samples_ms = '{'", "holds values that no run has"),
        ("PRAGMA user_version = 99", "has version 99, this evomnas reads up to"),
        ("PRAGMA application_id = 7", "is another program's database"),
        (
            "CREATE TRIGGER t AFTER INSERT ON asks BEGIN DELETE FROM runs; END",
            "it has a trigger 't', as no archive has$",
        ),
        ("CREATE VIEW v AS SELECT * FROM runs", "it has a view 'v', as no archive has$"),
        ("CREATE INDEX i ON runs (lower(id))", "it has a index 'i', as no archive has$"),
        ("CREATE VIRTUAL TABLE f USING fts5(x)", "as no archive has$"),
        ("ALTER TABLE runs ADD COLUMN more TEXT", "its table runs has other columns than an archive$"),
        ("ALTER TABLE runs ADD COLUMN more TEXT AS (hex(id))", "its table runs has other columns than an archive$"),
        ("DROP TABLE cuts", "its table cuts has other columns than an archive$"),
        ("INSERT INTO answers VALUES ('c', 'n', 2, x'00', '[]', NULL, NULL)", "a confusion matrix has another size"),
        ("INSERT INTO answers VALUES ('c', 'n', 2, 'text', '[]', NULL, NULL)", "answers.confusion holds no bytes$"),
        ("INSERT INTO answers VALUES ('c', 'n', 2, x'00', '[[1, 2, 0, 0.5]]', NULL, NULL)", "a mistake names a class"),
        ("INSERT INTO answers VALUES ('c', 'n', 2, x'00', '[]', -1.0, 0.5)", "answers.loss is '-1.0'"),
        ("INSERT INTO class_names VALUES ('c', '[1, 2]')", "names of classes must be texts"),
        ("INSERT INTO pictures VALUES ('c', 0, '<svg>')", "pictures.content holds no bytes$"),
        ("INSERT INTO pictures VALUES ('c', 0, x'3c7376673e')", "a picture must be a small PNG or JPEG file"),
    ],
)
def test_an_archive_that_none_could_be_is_refused(statement, message, box):
    edit(box, statement)
    refused(zip_of(box), message)


def test_a_torn_archive_is_refused(box):
    path = box.parent / "source" / "run" / "evomnas.sqlite"
    content = path.read_bytes()
    for torn in (content[: len(content) // 2], b"text", b"", content[:100] + bytes(4000) + content[4100:]):
        path.write_bytes(torn)
        refused(zip_of(box), "x.zip is no run that can be used: .*(damaged|empty|another program)")


def test_an_archive_of_an_older_version_is_brought_up_to_date(box, shown_run):
    younger = ("cuts", "tells", "answers", "class_names", "pictures", "findings")
    statements = (*(f"DROP TABLE IF EXISTS {name}" for name in younger), "ALTER TABLE runs DROP COLUMN manner")
    edit(box, *statements, "PRAGMA user_version = 4")
    assert Run.open(zip_of(box)).asks == shown_run.asks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content | {"archive": "../../home/evomnas.sqlite"}, "its archive is .*, not in it$"),
        (lambda content: content | {"archive": "/etc/passwd"}, "its archive is /etc/passwd, not in it$"),
        (lambda content: content | {"budget": 0}, "run.json: budget: Input should be greater than or equal to 1$"),
        (lambda content: content | {"data": {}}, "holds values that no run has"),
        (lambda content: [], "cannot read run.json"),
    ],
)
def test_a_run_json_that_none_could_be_is_refused(change: Callable, message, box):
    path = box.parent / "source" / "run" / "run.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    refused(zip_of(box), message)


def test_texts_lose_what_would_do_something_to_a_terminal(box):
    path = box.parent / "source" / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": "\x1b[31mred\x07", "extra\x1b": ["\x9b1m"]}))
    edit(box, "UPDATE trainings SET failure = replace(failure, 'NaN', char(27) || '[2J') WHERE failure IS NOT NULL")
    run = Run.open(zip_of(box))
    assert run.manifest.created == "[31mred"
    assert "\\u001b" not in (run.folder / "run.json").read_text()
    [failure] = [result.evaluation.failure for result in run.results() if result.evaluation.failure]
    assert "[2J" in failure.message
    assert "\x1b" not in failure.message


def test_a_folder_that_cannot_be_written_to_says_where_to_copy_the_file(box, monkeypatch):
    path = zip_of(box)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    refused(path, "cannot be unpacked where it is: copy it into a folder of yours, and name it there$")


def test_two_commands_that_unpack_at_once_share_the_folder(box, monkeypatch):
    path = zip_of(box)
    settle = module._settle

    def settle_late(*arguments):
        settle(*arguments)
        monkeypatch.setattr(module, "_settle", settle)
        monkeypatch.setattr(os, "getpid", lambda: 1)  # the other one's
        assert unpack(path).is_new

    monkeypatch.setattr(module, "_settle", settle_late)
    assert unpack(path) == module.Unpacked(box / "x", is_new=False)
    assert {one.name for one in box.iterdir()} == {"x", "x.zip"}


def test_messages_name_no_folder_that_is_gone(box):
    edit(box, "UPDATE runs SET id = 'other'")
    with pytest.raises(InputError) as caught:
        unpack(zip_of(box))
    assert re.match(rf"{re.escape(str(box / 'x.zip'))} is no run that can be used: ", str(caught.value))
