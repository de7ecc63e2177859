"""Names of plug-ins: one that is broken is named with its package, and hides no other."""

from __future__ import annotations

import os
import shutil

import pytest
from typer.testing import CliRunner

from evomnas.cli import show  # noqa: F401 its commands register themselves
from evomnas.cli.app import app
from evomnas.core import registry
from evomnas.core.errors import InputError


@pytest.fixture
def broken_plug_in(tmp_path, monkeypatch):
    """The algorithm `broken`, whose module is not there."""
    information = tmp_path / "site" / "broken_search-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-search\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[evomnas.algorithms]\nbroken = no_such_module:Search\n")
    monkeypatch.syspath_prepend(str(information.parent))


def test_a_plug_in_that_cannot_be_imported_is_named_with_its_package(broken_plug_in):
    with pytest.raises(
        InputError, match="plug-in broken of the package broken-search cannot be loaded .*no_such_module"
    ):
        registry.load("algorithms", "broken")


def test_a_broken_plug_in_hides_no_other_algorithm(broken_plug_in):
    result = CliRunner().invoke(app, ["algorithms"])
    assert result.exit_code == 0, result.output
    assert "the plug-in broken of the package broken-search cannot be loaded" in result.stdout
    assert "nsga2-surrogate" in result.stdout


def test_a_plug_in_that_is_installed_or_removed_meanwhile_is_seen(tmp_path, monkeypatch):
    """As in a notebook, whose process goes on."""
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "late" not in registry.available("algorithms")
    information = tmp_path / "late_search-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: late-search\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[evomnas.algorithms]\nlate = late_search:Search\n")
    os.utime(tmp_path, ns=(1, 1))  # on any file system: some count time in steps of seconds
    assert registry.available("algorithms")["late"].value == "late_search:Search"
    shutil.rmtree(information)
    os.utime(tmp_path, ns=(2, 2))
    assert "late" not in registry.available("algorithms")


def test_who_changes_the_answer_changes_no_other():
    registry.available("algorithms").clear()
    assert "nsga2" in registry.available("algorithms")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown algorithm 'nsga22': there are .*nsga2"):
        registry.load("algorithms", "nsga22")
