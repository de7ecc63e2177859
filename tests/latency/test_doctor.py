"""What doctor finds wrong with calibrations, and how it mends that: no user deletes a file by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from evomnas.data.photographs import Preprocessing
from evomnas.data.prepared import pictures
from evomnas.data.prepared.cache import VARIABLE
from evomnas.data.prepared.pictures import read_pictures
from evomnas.data.prepared.source import FileSource
from evomnas.latency import doctor
from evomnas.latency.doctor import Finding, examine
from evomnas.latency.machine_archive import machine_archive_path, open_machine_archive
from evomnas.results.timing import Calibration

QUIET, BUSY = Finding("load", "0.00 cores busy"), Finding("load", "1.50 cores busy", "stop other programs")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of its own, which is quiet and has two calibrations, one of them taken while it was busy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "_load", lambda: QUIET)
    monkeypatch.setattr(doctor, "_latency", list)  # tests/cli/test_cli.py takes them
    archive = open_machine_archive()
    archive.add_calibration("quiet", Calibration(1.0, (1.0,), 0.02))
    archive.add_calibration("busy", Calibration(2.0, (2.0,), 1.4))
    archive.add_calibration("unknown", Calibration(3.0, (3.0,), None))
    return archive


def calibrations(fix: bool = False) -> Finding | None:
    return next((finding for finding in examine(fix) if finding.name == "calibrations"), None)


def test_a_calibration_of_a_busy_machine_is_taken_again_when_the_machine_is_quiet(machine):
    assert calibrations() == Finding(
        "calibrations", "1 taken while other programs were at work", "evomnas doctor --fix takes them again"
    )
    assert machine.calibration("busy").latency_ms == 2.0
    mended = calibrations(fix=True)
    assert mended.state == (
        "1 taken while other programs were at work, and forgotten: each is taken again when it is needed"
    )
    assert not mended.advice
    assert machine.calibration("busy") is None
    assert machine.calibration("quiet").latency_ms == 1.0
    assert machine.calibration("unknown").latency_ms == 3.0
    assert calibrations() is None


def test_a_machine_that_is_still_busy_keeps_its_calibration(machine, monkeypatch):
    monkeypatch.setattr(doctor, "_load", lambda: BUSY)
    assert calibrations().advice == "when it is quiet: evomnas doctor --fix takes them again"
    assert "still busy" in calibrations(fix=True).advice
    assert machine.calibration("busy").latency_ms == 2.0


@pytest.mark.thorough
def test_a_damaged_archive_of_the_machine_is_set_aside(machine):
    machine.close()
    path = machine_archive_path()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    for number in (1, 2):
        path.write_bytes(b"this was a database" * 100)
        found = calibrations()
        assert "file is not a database" in found.state
        assert "--archive" not in found.state
        assert found.advice == "evomnas doctor --fix sets the file aside, and they are taken again"
        aside = path.with_name(f"machine.sqlite.{number}")
        assert str(aside) in calibrations(fix=True).state
        assert aside.read_bytes().startswith(b"this was")
        assert calibrations() is None
        open_machine_archive().close()


def test_prepared_images_are_listed_with_their_place(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "SMALL_BYTES", 0)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    assert not [one for one in examine() if one.name == "images"]
    for number in range(2):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(tmp_path / f"{number}.png")
    source = FileSource.of(tmp_path, sorted(tmp_path.glob("*.png")))
    read_pictures(source, np.ones(2, bool), Preprocessing(channels=3, resolution=6, fit="crop"), "my photos")
    found = examine()
    place = next(place for place, one in enumerate(found) if one.name == "images")
    assert found[place].state == f"1 set, 0.0 GiB in {tmp_path / 'cache'}"
    [folder] = (tmp_path / "cache").iterdir()
    assert found[place + 1].state == f"0.0 GiB in {folder.name}: 2 images of my photos"
    (folder / "facts.json").unlink()
    assert examine()[place + 1].state == f"0.0 GiB in {folder.name}: not complete"
