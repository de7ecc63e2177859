"""The documentation as a site: it is complete, its links lead somewhere, and everybody can read it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from accessibility import serious

import evomnas

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_lead_to_pages_of_the_site_and_others_are_words(hooks):
    text = (
        "[a](docs/data.md#csv), [docs/data.md](docs/data.md), [the bench](benchmarks/headline.py), [docs](docs), "
        "[LICENSE](LICENSE), [x](https://x.org), [none](gone.md)\n```\n[a](docs/data.md)\n```\n"
    )
    expected = (
        "[a](data.md#csv), [data.md](data.md), the bench (`benchmarks/headline.py`), docs, "
        "LICENSE, [x](https://x.org), [none](gone.md)\n```\n[a](docs/data.md)\n```\n"
    )
    assert hooks.site_text(text, "README.md") == expected
    assert hooks.site_text("[c](../CHANGELOG.md) ![p](report.png)", "docs/report.md") == (
        "[c](changelog.md) ![p](report.png)"
    )


def test_the_reference_has_every_command_with_its_options_and_every_public_name(hooks):
    page = hooks.command_line()
    for line in ("## evomnas push", "| `--dry-run` |", "| `RUN` |", "## evomnas run"):
        assert line in page
    names = hooks.python_names()
    assert all(f".{name}\n" in names for name in evomnas.__all__)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("page", ["index", "tutorial", "commands", "reference/python"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("light", 390), ("dark", 1280), ("dark", 390)])
def test_everybody_can_read_it_and_it_fetches_nothing(visit, site, page, scheme, width):
    opened = visit(site / f"{page}.html", scheme, width)
    opened.wait_for_timeout(300)
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    fetched = opened.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in fetched if not name.startswith(("file:", "data:"))] == []
    assert serious(opened) == []
