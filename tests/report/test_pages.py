"""What pages are made of: the script library that comes with evomnas."""

from __future__ import annotations

import hashlib
import re

from evomnas.core.files import editable_folder
from evomnas.report.pages import PLOTLY

# `npm pack plotly.js-basic-dist-min@4.1.1` has the same file.
VERSION, SHA256 = "4.1.1", "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"


def test_plotly_is_the_published_file_with_its_licence_and_the_version_that_the_readme_names():
    folder = editable_folder("reports")
    content = (folder / PLOTLY).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256
    assert f"v{VERSION}".encode() in content[:200]
    assert (folder / "plotly-basic.LICENSE").read_text().startswith("MIT License")
    assert f"{VERSION}, SHA-256 `{SHA256}`" in (folder / "README.md").read_text()


def test_the_scripts_draw_no_kind_of_trace_that_the_basic_bundle_lacks():
    text = "".join(path.read_text() for path in editable_folder("reports").glob("*.js") if path.name != PLOTLY)
    kinds = set(re.findall(r'\btype: "(\w+)"[^}]*?\bmode:', text))
    assert kinds == {"scatter"}
    assert set(re.findall(r'\btype: "(\w+)"', text)) <= {"scatter", "data", "line", "button", "search", "range"}
