"""Installed packages that evomnas cannot work with are named in one line, with what to type."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from evomnas.cli import app
from evomnas.core.errors import EverythingFailed
from evomnas.core.requirements import requirements_fault


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a package look installed, before the real one of that name; other packages see it in the folder as well."""

    def installed(name: str, version: str, *requires: str):
        information = tmp_path / f"{name}-{version}.dist-info"
        information.mkdir()
        extras = [one.split("'")[1] for one in requires if "extra" in one]
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        lines += [f"Provides-Extra: {extra}" for extra in extras] + [f"Requires-Dist: {one}" for one in requires]
        (information / "METADATA").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        return tmp_path

    return installed


def test_what_is_installed_here_is_enough():
    assert requirements_fault() == ""


def test_a_package_that_is_too_old_or_missing_is_named_with_the_command_that_mends_it(install):
    install("evomnas", "9", "typer>=0.17.5", "nowhere>=2", "numpy")
    install("typer", "0.12.5")
    assert requirements_fault() == (
        "evomnas needs typer>=0.17.5 (0.12.5 is installed), nowhere>=2 (none is installed): "
        "pip install 'typer>=0.17.5' 'nowhere>=2'"
    )


def test_an_extra_counts_if_the_package_of_its_name_is_installed(install):
    extras = [f"ray>=2.40; extra == '{one}'" for one in ("ray", "many")]
    others = ["nowhere>=2; extra == 'nowhere'", "pytest>=99; extra == 'many'", "torch>=99; extra == 'ray'"]
    install("evomnas", "9", *extras, *others)
    install("ray", "2.9")
    install("torch", "2.4")
    assert requirements_fault() == (
        "evomnas needs ray>=2.40 (2.9 is installed), torch>=99 (2.4 is installed): pip install 'ray>=2.40' 'torch>=99'"
    )


def test_builds_for_a_device_and_previews_of_new_versions_are_enough(install):
    install("evomnas", "9", "torch>=2.4")
    install("torch", "2.13.0rc1+cpu")
    assert requirements_fault() == ""


@pytest.mark.parametrize("error", [TypeError("unexpected keyword"), EverythingFailed("none of 8 gave a result")])
def test_an_error_names_the_package_that_is_too_old(error, install, capsys):
    install("pymoo", "0.6.1.5")

    @app.reported
    def command():
        raise error

    with pytest.raises(app.typer.Exit, match="1"):
        command()
    [line] = capsys.readouterr().err.splitlines()
    assert str(error) in line
    assert "evomnas needs pymoo>=" in line
    assert "(0.6.1.5 is installed)" in line


def test_a_package_that_cannot_even_be_imported_is_one_line(install):
    folder = install("typer", "0.12.5")
    (folder / "typer.py").write_text("raise RuntimeError('Type not yet supported')")
    command = [sys.executable, "-c", "from evomnas.cli import main; main()"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("evomnas needs typer>=")
    shown = subprocess.run([*command, "--debug"], env=environment, capture_output=True, text=True, check=False)
    assert "Type not yet supported" in shown.stderr
