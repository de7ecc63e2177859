"""Code that cards and pages print, run as it stands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

RUN_ALL = """
import contextlib, io, json, os, runpy, sys
printed = []
for folder, file in json.loads(sys.argv[1]):
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        runpy.run_path(file)
    printed.append(output.getvalue())
print(json.dumps(printed))
"""


def code_blocks(page: str) -> list[str]:
    """The Python on a page."""
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def run_all(scripts: list[tuple[Path, str]], *, has_evomnas: bool) -> list[dict[str, float]]:
    """Run scripts in a fresh process, each in a folder; returns the classes and probabilities that each prints."""
    calls = []
    for number, (folder, code) in enumerate(scripts):
        (folder / f"script{number}.py").write_text(code)
        calls.append([str(folder), f"script{number}.py"])
    blocked = "" if has_evomnas else "import sys; sys.modules['evomnas'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", blocked + RUN_ALL, json.dumps(calls)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [[line.rsplit(": ", 1) for line in text.splitlines()] for text in json.loads(done.stdout.splitlines()[-1])]
    return [{name: float(share.rstrip("%")) / 100 for name, share in one} for one in lines]
