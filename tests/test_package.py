"""The package as a whole: public names, lazy imports, layering."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import evomnas

ROOT = Path(evomnas.__file__).parent


@pytest.mark.parametrize("name", evomnas.__all__)
def test_public_names_are_there_and_documented(name):
    assert getattr(evomnas, name).__doc__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = evomnas.nonsense


def test_the_version_is_the_installed_package_s():
    assert evomnas.__version__ == version("evomnas")
    assert "__version__" in dir(evomnas)


def test_importing_the_package_does_not_import_torch():
    code = "import sys, evomnas; evomnas.load_definition('digits'); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_nothing_prints_but_the_command():
    for path in ROOT.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing, f"{path} prints"


def test_the_library_s_functions_stay_functions_whatever_was_called_before(tabular_file, tmp_path):
    """A module of a function's name would take its place in the package once it is imported."""
    code = """
import sys, evomnas
problem, out = sys.argv[1:]
for name in evomnas.__all__:
    getattr(evomnas, name)
for seed in (1, 2):
    evomnas.search(problem, budget=3, seed=seed, out=f"{out}/s{seed}")
evomnas.benchmark(problem, ["random", "nsga2"], seeds=1, budget=3, out=f"{out}/b")
evomnas.compare([f"{out}/s1", f"{out}/s2"])
evomnas.search(problem, budget=3, seed=3, out=f"{out}/s3")
assert all(callable(getattr(evomnas, name)) for name in evomnas.__all__)
"""
    command = [sys.executable, "-c", code, str(tabular_file), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_there_for_completion():
    assert set(evomnas.__all__) <= set(dir(evomnas))
