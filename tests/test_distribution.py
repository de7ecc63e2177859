"""The sdist, the wheel and the container: what is in them, and a search with each of them, outside of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import evomnas

ROOT = Path(__file__).parents[1]
FOLDERS = ("evomnas", "problems", "reports", "tests", "docs", "benchmarks")
SMALL = ["--set", "training.epochs=1", "--set", "data.train_images=300"]

pytestmark = pytest.mark.thorough


def call(*command: str, **options) -> str:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources(*folders: str) -> set[str]:
    """The files of the checkout's folders, but for compiled ones."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """The sdist, the wheel that is built from it, and the folder that the Dockerfile installs."""
    folder, clone = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("clone")
    for name in sources(*FOLDERS) | {path.name for path in ROOT.iterdir() if path.is_file()}:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)  # without an old egg-info, whose list of files a build takes over
    call("build", "--outdir", str(folder), str(clone))
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    container = folder / "container"
    container.mkdir()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            copy = shutil.copytree if (clone / line[1:]).is_dir() else shutil.copy
            copy(clone / line[1:], container / line[1:])
    return {"sdist": sdist, "wheel": wheel, "container": container}


def test_the_sdist_holds_all_that_contributors_need(built):
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Dockerfile",
        ".dockerignore",
        "setup.py",
        "tox.ini",
    }
    assert sources(*FOLDERS) | files <= names
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_holds_the_package_its_problems_and_its_pages_and_nothing_else(built):
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert names == sources("evomnas") | {f"evomnas/{name}" for name in sources("problems", "reports")}


def test_both_pass_the_checks_of_the_package_index(built):
    assert call("twine", "check", "--strict", str(built["sdist"]), str(built["wheel"])).count("PASSED") == 2


def test_the_version_is_that_of_setup_py(built):
    assert built["sdist"].name == f"evomnas-{evomnas.__version__}.tar.gz"
    assert built["wheel"].name == f"evomnas-{evomnas.__version__}-py3-none-any.whl"


@pytest.mark.parametrize("kind", ["sdist", "wheel", "container"])
def test_it_installs_and_searches_outside_of_the_checkout(kind, built, tmp_path):
    """The other packages are those of this environment."""
    site, folder = tmp_path / "site", tmp_path / "elsewhere"
    folder.mkdir()
    call("pip", "install", "--quiet", "--no-deps", "--target", str(site), str(built[kind]))
    options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(site)}}
    assert evomnas.__version__ in call("evomnas", "--version", **options)
    printed = call("evomnas", "run", "--budget", "4", "--workers", "1", *SMALL, **options)
    assert "4 networks in" in printed
    assert (folder / "runs" / "digits-nsga2-surrogate-s1" / "report.html").is_file()
    code = "import pathlib, evomnas.problems; print(pathlib.Path(evomnas.problems.__file__).parents[2])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **options)
    assert Path(done.stdout.strip()) == site
