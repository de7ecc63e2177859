"""The bar of a search in a notebook: one, drawn anew where something changes, and nothing elsewhere."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from evomnas.loop.callbacks.notebook_bar import NotebookBar, ignore_progress, usual_display
from evomnas.loop.launch import search
from evomnas.loop.progress import Progress


@pytest.fixture
def notebook(monkeypatch):
    """A stand-in of IPython within a kernel, which keeps what is displayed: each output with all of its contents."""
    outputs = []

    def display(markup, display_id):
        outputs.append([markup])
        return SimpleNamespace(update=outputs[-1].append)

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str, display=display))
    return SimpleNamespace(outputs=outputs, shell=shell)


def test_a_search_in_a_notebook_has_one_bar(notebook, tabular_file, tmp_path):
    search(tabular_file, "random", budget=5, out=tmp_path / "run")
    [contents] = notebook.outputs
    assert len(contents) == len(set(contents))
    assert contents[-1].startswith('<progress max="5" value="5"></progress> training, 5 of 5 networks, best ')


def test_the_same_state_is_drawn_once_and_failures_are_counted(notebook):
    bar = NotebookBar()
    for _ in range(3):
        bar(Progress("training", 2, 8, failed=1))
    assert notebook.outputs == [['<progress max="8" value="2"></progress> training, 2 of 8 networks, 1 failed']]


def test_elsewhere_nothing_is_shown(notebook, monkeypatch):
    del notebook.shell.kernel  # a terminal's IPython
    assert usual_display() is ignore_progress
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert usual_display() is ignore_progress
    monkeypatch.delitem(sys.modules, "IPython")
    assert usual_display() is ignore_progress
    ignore_progress(Progress("training", 2, 8))
