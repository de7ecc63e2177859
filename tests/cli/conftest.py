"""A plug-in with algorithms, registered by entry points as any installed package is; and pages without drawings."""

from __future__ import annotations

import sys

import pytest

PLUG_IN = '''
from evomnas.algorithms.random_search import RandomSearch


class Peer(RandomSearch):
    """A search of somebody else's."""

    def __init__(self, space, seed, *, depth=3, mode="fast", rates=(0.1, 0.2), limit=None, population=0.5):
        super().__init__(space, seed)
        if not isinstance(depth, int):
            raise TypeError("depth wants a whole number")


class Picky(RandomSearch):
    """A search that cannot begin without a size."""

    def __init__(self, space, seed, *, size, alpha="mild", target_ms=1.0):
        super().__init__(space, seed)
'''


@pytest.fixture(autouse=True)
def quick_pages(no_drawings):
    """What the command does is seen without them."""


@pytest.fixture
def plug_in(tmp_path_factory, monkeypatch):
    """The algorithms `peer` and `picky` of a distribution that is installed for the test."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "peer_search.py").write_text(PLUG_IN)
    information = folder / "peer_search-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: peer-search\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[evomnas.algorithms]\npeer = peer_search:Peer\npicky = peer_search:Picky\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("peer_search", None)
