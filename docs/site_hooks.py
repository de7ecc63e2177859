"""What mkdocs does beside copying `docs/`: pages from elsewhere, the reference, and links that lead out of the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer

import evomnas

ROOT = Path(__file__).parents[1]
PAGES = {  # of the repository, and where the site has them
    "README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md",
    "reports/README.md": "templates.md",
}  # fmt: skip
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that `docs/` does not have."""
    from mkdocs.structure.files import File

    pages = {place: site_text((ROOT / name).read_text("utf-8"), name) for name, place in PAGES.items()}
    pages |= {"reference/command-line.md": command_line(), "reference/python.md": python_names()}
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Correct the links of a page of `docs/`."""
    is_ours = page.file.generated_by is None
    return site_text(markdown, f"docs/{page.file.src_uri}") if is_ours else markdown


def site_text(text: str, name: str) -> str:
    """Return a page's text with its links as the site has them.

    Args:
        text: The text.
        name: The page's path in the repository.

    Returns:
        The text. A link to a file that is no part of the site is its words alone, with the file's path where these do
        not have it.
    """
    folder = (ROOT / name).parent

    def corrected(match: re.Match[str]) -> str:
        mark, words, path, anchor = match.groups()
        target = (folder / path).resolve()
        if not target.is_relative_to(ROOT) or not target.exists():
            return match[0]
        inside = target.relative_to(ROOT).as_posix()
        place = PAGES.get(inside, inside.removeprefix("docs/") if inside.startswith("docs/") else None)
        if place is None or target.is_dir():
            return words if inside in words or "`" in words else f"{words} (`{inside}`)"
        return f"{mark}[{words.removeprefix('docs/')}]({place}{anchor or ''})"

    parts = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(corrected, part) for part in parts)


def command_line() -> str:
    """Return the page of all commands with all of their options, from the command itself."""
    from evomnas.cli import compare, deploy, measure, predict, runs, search, show  # noqa: F401 they register themselves
    from evomnas.cli.app import app
    from evomnas.cli.detection import detect  # noqa: F401
    from evomnas.cli.hubs import push  # noqa: F401
    from evomnas.cli.shipping import export  # noqa: F401
    from evomnas.cli.start import config, init  # noqa: F401

    group: Any = typer.main.get_command(app)
    lines = [
        "# All options", "", "Every command with all of its arguments and options, as `--help` has them. "
        "[Commands](../commands.md) says what one does with them.", "",
    ]  # fmt: skip
    for name, command in sorted(group.commands.items()):
        lines += [f"## evomnas {name}", "", _cell(command.help or ""), ""]
        lines += ["| argument or option | meaning |", "| --- | --- |"]
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            names = ", ".join([*parameter.opts, *parameter.secondary_opts])
            shown = parameter.metavar or parameter.name.upper() if parameter.param_type_name == "argument" else names
            lines.append(f"| `{shown}` | {_cell(getattr(parameter, 'help', None) or '')} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def python_names() -> str:
    """Return the page of all public names, which mkdocstrings fills from their docstrings."""
    names = (f"::: {evomnas._HOMES[name]}.{name}" for name in evomnas.__all__)
    opening = "Every public name. [From Python](../library.md) shows how one uses them."
    return "\n\n".join(["# Python", opening, *names]) + "\n"
