"""Docstrings of everything public: what it is or does, its arguments, and what comes back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import evomnas

PACKAGE = Path(evomnas.__file__).parent
FORBIDDEN = ("What", "Whether", "How", "Where", "As ", "Of ", "By ")  # they name no thing and no action
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(node: ast.AST, prefix: str) -> Iterator[tuple[str, Documented, bool]]:
    """The public classes, functions and methods below a node: dotted name, node, and whether it is a method."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If):  # for type checkers
            yield from public(child, prefix)
        if not isinstance(child, Documented) or child.name.startswith("_"):
            continue
        yield f"{prefix}.{child.name}", child, isinstance(node, ast.ClassDef)
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{prefix}.{child.name}")


@cache
def everything() -> list[tuple[str, Documented, bool]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found += public(ast.parse(path.read_text()), module)
    return found


COMMANDS = "evomnas.cli."  # their docstrings are what --help prints, and options have help of their own


def decorators(node: Documented) -> set[str]:
    return {ast.unparse(one).split("(")[0] for one in node.decorator_list}


def is_property(node: Documented) -> bool:
    return bool(decorators(node) & {"property", "cached_property"})


def arguments(node: ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> list[str]:
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    names = [one.arg for one in named if not one.arg.startswith("_")]
    return names[1:] if is_method and "staticmethod" not in decorators(node) else names


def test_everything_public_is_documented():
    assert [name for name, node, _ in everything() if not ast.get_docstring(node)] == []


def test_a_docstring_begins_with_what_a_thing_is_or_does():
    first = {name: (ast.get_docstring(node) or "").split("\n")[0] for name, node, _ in everything()}
    allowed = {name for name, node, _ in everything() if is_property(node)}  # "Whether it is over"
    assert [
        f"{name}: {line}" for name, line in first.items() if line.startswith(FORBIDDEN) and name not in allowed
    ] == []


def test_every_argument_is_explained():
    unexplained = []
    for name, node, is_method in everything():
        text = ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef) or text.startswith("See ") or name.startswith(COMMANDS) or is_property(node):
            continue
        if "; see `" in text or re.search(r"[Ss]ee `[\w.]+`\.?$", text.split("\n")[0]):
            continue
        missing = [
            one for one in arguments(node, is_method) if not re.search(rf"^ +(\w+, )*{one}\b[^\n]*:", text, re.M)
        ]
        if missing:
            unexplained.append(f"{name}: {', '.join(missing)}")
    assert unexplained == []


def test_every_result_is_explained():
    unexplained = []
    for name, node, _ in everything():
        text = ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef) or name.startswith(COMMANDS) or is_property(node) or text.startswith("See "):
            continue
        if "; see `" in text or re.search(r"[Ss]ee `[\w.]+`\.?$", text.split("\n")[0]):
            continue
        gives = node.returns is not None and ast.unparse(node.returns) not in ("None", "NoReturn", "Iterator[None]")
        if (
            gives
            and not re.match(r"(Return|Yield|Open|Join)\b", text)
            and not re.search(r"^(Returns|Yields):", text, re.M)
        ):
            unexplained.append(name)
    assert unexplained == []
