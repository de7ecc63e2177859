"""Command lines as they are typed, on this system and on Windows."""

from __future__ import annotations

import shlex

from evomnas.core.system import shell


def test_arguments_with_spaces_are_quoted_as_the_shell_reads_them(monkeypatch):
    arguments = ["evomnas", "resume", "my runs/one", "--set", 'summary="it\'s"']
    assert shlex.split(shell.join(arguments)) == arguments
    assert shell.quote("runs/one") == "runs/one"
    monkeypatch.setattr(shell, "WINDOWS", True)
    assert shell.join(["evomnas", "resume", r"C:\my runs\one"]) == r'evomnas resume "C:\my runs\one"'
    assert shell.quote(r"C:\runs\one") == r"C:\runs\one"
