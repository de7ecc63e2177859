"""Disks that are full or read-only: real ones, mounted for the test. Needs root, which CI has."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from evomnas.cli import deploy, runs, show  # noqa: F401 they register themselves
from evomnas.cli import search as search_command  # noqa: F401 as well
from evomnas.cli.app import app
from evomnas.core.remedies import explain
from evomnas.evaluation.executors.pool import PoolExecutor
from evomnas.loop.launch import resume, search

COMMAND = [sys.executable, "-c", "from evomnas.cli import main; main()"]


def evomnas(*arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def here(*arguments) -> tuple[int, str, str]:
    """Exit code, output and errors of a command in this process; nothing of it stays open."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    said = done.exit_code, done.stdout, done.stderr
    del done
    gc.collect()
    return said


@pytest.fixture
def disk(tmp_path):
    """A disk of 12 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        assert not os.environ.get("CI"), "CI must be able to mount a disk"
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_stops_the_run_with_one_line_and_nothing_is_lost(disk, tabular_file, tmp_path):
    undisturbed = search(tabular_file, "random", budget=100, seed=1, out=tmp_path / "whole" / "run")
    run = disk / "run"
    search(tabular_file, "random", budget=40, seed=1, out=run).archive.close()
    with (disk / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 4096)
    stopped = evomnas("resume", run, "--budget", 100)
    assert stopped.returncode == 1
    [line] = [line for line in stopped.stderr.splitlines() if line.startswith("evomnas:")]
    assert "disk is full" in line or "No space left" in line
    (disk / "fill").unlink()
    with contextlib.closing(sqlite3.connect(disk / "evomnas.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    resume(run, budget=100).archive.close()
    assert (run / "front.csv").read_text() == (undisturbed.folder / "front.csv").read_text()


def test_images_that_do_not_fit_into_the_temporary_folder_say_what_to_set(disk, tiny, tiny_dataset, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    executor = PoolExecutor(tiny, 1)
    fill(disk, room=8192)
    with pytest.raises(OSError, match="No space left on device") as caught:
        executor.load(tiny_dataset)
    executor.close()
    assert explain(caught.value).startswith(f"No space left on device: {disk}/evomnas-")
    assert explain(caught.value).endswith("free some space, or set TMPDIR to another folder with room in it")
    assert [path.name for path in disk.iterdir()] == ["fill"]


def test_what_a_full_disk_refuses_is_one_line_and_what_was_there_stays(disk, shown_run):
    """With the option that names another place, before and while it is written."""
    (disk / "figures").mkdir()
    (disk / "figures" / "pareto.pdf").write_text("older")
    fill(disk)
    before = sorted(disk.rglob("*"))
    for words, option in (
        (["report", shown_run.folder, "--figures", disk / "figures"], "--figures DIR"),
        (["pack", shown_run.folder, disk / "run.zip"], "evomnas pack RUN FILE.zip"),
        (["describe", "mnasnet-a1", "--figure", disk / "drawing.svg"], "--figure FILE"),
    ):
        code, output, errors = here(*words)
        assert (code, output, errors.count("\n")) == (2, "", 1), errors
        assert f"no space left on device; free some space, or choose another place ({option}) with room in it" in errors
    with (disk / "fill").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 40_000)  # room for the first of what is written
    code, _, errors = here("report", shown_run.folder, "--figures", disk / "figures", "--format", "png")
    assert (code, errors.count("\n"), "--figures DIR" in errors) == (2, 1, True), errors
    assert [path.name for path in disk.rglob("*.part")] == []
    assert (disk / "figures" / "pareto.pdf").read_text() == "older"
    assert set(before) <= set(disk.rglob("*"))


@pytest.mark.thorough
def test_a_run_on_a_read_only_disk_can_be_shown_and_nothing_else(disk, tabular_file):
    run = disk / "run"
    search(tabular_file, "random", budget=20, seed=1, out=run).archive.close()
    _, before, _ = here("show", run)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    shown = evomnas("show", run)
    assert shown.stdout == before, shown.stderr
    for code, errors in (
        here("resume", run, "--budget", 30)[::2],
        here("report", run)[::2],
    ):
        assert code == 1
        assert "read" in errors.lower()
        assert "Traceback" not in errors
    code, _, errors = here("run", tabular_file, "--out", disk / "other")
    assert (code, "--out DIR" in errors) == (2, True)


@pytest.fixture
def shipped(disk, tiny):
    """A run on the small disk, one of whose networks is trained in full."""
    from evomnas.deploy.trained_networks import train_networks

    run = search(tiny, "random", budget=2, seed=1, out=disk / "run")
    networks = [one.evaluation.architecture for one in run.results()]
    list(train_networks(run, networks[:1], device="cpu"))
    run.archive.close()
    yield run.folder, *networks
    gc.collect()  # archives that errors hold open


def fill(disk, room: int = 0) -> None:
    """Fill a disk up to so many bytes."""
    with (disk / "fill").open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(b"0" * 4096)
        file.truncate(file.tell() - room)


@pytest.mark.thorough
def test_a_finished_training_is_shown_before_a_full_disk_refuses_its_report(shipped, disk):
    folder, network, _ = shipped
    fill(disk, room=300_000)  # enough for the archive's journal
    code, table, errors = here("train", folder, network.id, "--device", "cpu")
    assert (code, network.id in table) == (1, True), errors
    assert "No space left" in errors.splitlines()[-1]


def test_a_checkpoint_that_a_full_disk_refuses_says_so_and_leaves_nothing(disk, tiny):
    from evomnas.deploy.full_training import FullTask

    fill(disk)
    before = sorted(disk.rglob("*"))
    with pytest.raises(OSError, match="No space left on device"):
        FullTask(tiny, "cpu").train(tiny.space.mobilenet_v2(), disk / "checkpoint.pt")
    assert sorted(disk.rglob("*")) == before


@pytest.mark.thorough
def test_on_a_read_only_disk_a_finished_training_is_shown_and_no_missing_option_is_named(shipped, disk, tiny_file):
    folder, network, other = shipped
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    code, table, errors = here("train", folder, network.id, "--device", "cpu")
    assert (code, network.id in table) == (1, True), errors
    assert "ead-only" in errors
    code, table, errors = here("train", folder, other.id, "--device", "cpu")
    assert (code, table) == (1, "")
    assert "ead-only" in errors or "readonly" in errors
    assert "--archive" not in errors
    archive = folder.parent / "evomnas.sqlite"
    code, table, errors = here("baselines", tiny_file, "mobilenet-v2@0.1", "--archive", archive, "--device", "cpu")
    assert (code, table) == (2, "")  # it is refused before anything is read
    assert "ead-only" in errors or "readonly" in errors
