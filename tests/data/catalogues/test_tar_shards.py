"""Tar shards: labels, names of classes, splits, and archives that mean harm."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import tarfile
from contextlib import suppress

import pytest
from catalogue_files import CLASSES, entries, write_shards, write_tar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evomnas.core.errors import InputError
from evomnas.data.catalogues.tar_shards import read_shards
from evomnas.problem.sections import DataSection

PICTURES = entries()


def read(path):
    return read_shards(DataSection(dataset="webdataset", path=path, resolution=8))


def samples(label=lambda entry: ("cls", str(entry.label).encode()), name="{:03}") -> list[tuple[str, bytes]]:
    """The members of a shard of twelve pictures."""
    members = []
    for number, entry in enumerate(PICTURES[:12]):
        suffix, content = label(entry)
        members += [(f"{name.format(number)}.png", entry.content), (f"{name.format(number)}.{suffix}", content)]
    return members


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (lambda entry: ("cls", f"{entry.label}\n".encode()), ("0", "1")),
        (lambda entry: ("cls", CLASSES[entry.label].encode()), CLASSES),
        (lambda entry: ("json", json.dumps({"label": entry.label, "caption": "x"}).encode()), ("0", "1")),
        (lambda entry: ("json", json.dumps({"class": CLASSES[entry.label]}).encode()), CLASSES),
        (lambda entry: ("JSON", json.dumps(entry.label + 1).encode()), ("1", "2")),
    ],
)
def test_labels_are_numbers_or_names_in_cls_or_json_files(label, classes, tmp_path):
    files = read(write_tar(tmp_path / "a.tar", samples(label)))
    assert files.classes == classes
    assert files.labels.tolist() == [entry.label for entry in PICTURES[:12]]
    assert list(files.source.read()) == [entry.content for entry in PICTURES[:12]]


def test_names_of_classes_stand_in_the_folder(tmp_path):
    shards = write_shards(tmp_path, PICTURES)
    assert read(shards).classes == CLASSES
    (shards / "classes.txt").write_text("wasps\n")
    with pytest.raises(InputError, match="names 1 classes, and a picture has the number 1"):
        read(shards)
    (shards / "classes.txt").write_text("wasps\n\nants\n")
    with pytest.raises(InputError, match="classes.txt must have the name of one class in each line, and none twice"):
        read(shards)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train-00.tar", "val-00.tar", "test-00.tar"), {"train", "validation", "test"}),
        (("imagenet1k-train-0.tar", "imagenet1k-validation-0.tar"), {"train", "test"}),
        (("train/0.tar", "test/0.tar"), {"train", "test"}),
        (("0.tar", "1.tar"), {"all"}),
        (("training-set.tar",), {"all"}),
    ],
)
def test_names_of_files_or_folders_are_splits(names, splits, tmp_path):
    for place, name in enumerate(names):
        write_tar(tmp_path / name, samples(name=f"{place}" + "{:03}"))
    files = read(tmp_path)
    assert set(files.splits) == splits
    assert list(files.splits) == sorted(files.splits, key=["all", "train", "validation", "test"].index)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train-0.tar", "0.tar"), "named as a split and .*0.tar is not"),
        (("train-test.tar",), "could be of two splits, test and train"),
        (("val.tar", "test.tar"), "has the splits test and validation, and nothing to train on"),
        ((), "holds no .tar files"),
    ],
)
def test_splits_that_nobody_can_know_are_refused(names, message, tmp_path):
    for name in names:
        write_tar(tmp_path / name, samples())
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_what_is_not_read_is_counted_by_kind(tmp_path):
    extra = [
        ("000.txt", b"a caption"), ("100.png", PICTURES[20].content), ("101.cls", b"1"), ("102", b"?"),
        ("103.png", PICTURES[21].content), ("103.json", b'{"caption": "no label"}'),
    ]  # fmt: skip
    files = read(write_tar(tmp_path / "a.tar", [*samples(), *extra]))
    assert {group.what: group.count for group in files.unread()} == {
        ".txt files": 1, "files without a suffix": 1, "labels without a picture": 1, "pictures without a label": 2,
    }  # fmt: skip
    assert len(files.labels) == 12


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.png", b"x"), ("a.jpg", b"x")], "the sample a has two pictures: a sample has one"),
        ([("a.json", b"{")], "cannot read the label a.json"),
        ([("a.json", b"[" * 100_000)], "cannot read the label a.json"),
        ([("a.json", b"[1]")], r"the label a.json is '\[1\]', and must be a number or a name"),
        ([("a.json", b"true")], "must be a number or a name"),
        ([("a.cls", b"\xff\xfe")], "cannot read the label a.cls"),
    ],
)
def test_samples_that_mean_nothing_are_named(members, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read(write_tar(tmp_path / "a.tar", [*samples(), *members]))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_shard_says_that_it_is_one(pack, tmp_path):
    path = write_tar(tmp_path / "a.tar", samples())
    path.write_bytes(pack(path.read_bytes()))
    with pytest.raises(InputError, match="it is compressed by (gzip|bzip2|xz), .*decompress it"):
        read(path)


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def test_names_that_mean_harm_are_names_alone(tmp_path, monkeypatch):
    """Nothing is written anywhere, no link is followed, and what is shown can be shown."""
    (tmp_path / "secret.png").write_bytes(PICTURES[0].content)
    hostile = [
        "../../../escaped", "/etc/escaped", "a\nb", "\x1b[31mred", "nul\0l", "x" * 300, "é\u202e", "C:\\windows",
        "..", "-rf", "<script>alert(1)</script>", "%s",
    ]  # fmt: skip
    members = [*samples(), link("z1.png", str(tmp_path / "secret.png"), tarfile.SYMTYPE)]
    members += [link("z2.png", "000.png", tarfile.LNKTYPE), link("z3.png", "", tarfile.CHRTYPE)]
    members += [link("z4.png", "", tarfile.FIFOTYPE)]
    for name in hostile:
        members += [(f"{name}.png", PICTURES[14].content), (f"{name}.cls", b"1")]
    (tmp_path / "shards").mkdir()
    path = write_tar(tmp_path / "shards" / "a.tar", members)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path / "shards")
    files = read(path)
    assert all(name.isprintable() for name in files.source.files)
    assert "a.tar/a\\nb" in files.source.files
    assert all(content.startswith(b"\x89PNG") for content in files.source.read())
    assert len(files.labels) >= 12 + len(hostile) - 2  # a name ends at a null character, and `..` has no stem
    groups = {group.what: group.count for group in files.unread()}
    assert groups["links and special files"] == 4
    assert sorted(tmp_path.rglob("*")) == before
    assert not os.path.lexists("/etc/escaped.png")


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_shard_is_one_line_or_read(tmp_path, data):
    path = write_tar(tmp_path / "a.tar", samples())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(InputError):
        files = read(path)
        assert len(list(files.source.read())) == len(files.labels)


def test_a_size_that_is_a_lie_reads_no_more_than_there_is(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples())
    content = bytearray(path.read_bytes())
    for size in (b"77777777777\0", b"\x80" + b"\x7f" * 11, b"\xff" * 12):
        with tarfile.open(path) as archive:
            last = archive.getmembers()[-2].offset
        content[last + 124 : last + 136] = size
        header = bytes(content[last : last + 512])
        check = sum(header[:148]) + 8 * 32 + sum(header[156:])
        content[last + 148 : last + 156] = b"%06o\0 " % check
        (tmp_path / "b.tar").write_bytes(content)
        with pytest.raises(InputError, match="cannot read the shard"):
            read(tmp_path / "b.tar")
