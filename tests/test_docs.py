"""The documentation agrees with the code: rooms, module paths, links, commands, options, keys and public names."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import re
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer
from test_layers import ROOMS
from typer.testing import CliRunner

import evomnas
from evomnas.cli import compare, deploy, measure, predict, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.detection import detect  # noqa: F401
from evomnas.cli.hubs import push  # noqa: F401
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.cli.start import config, init  # noqa: F401
from evomnas.problem.loading import load_definition
from evomnas.problem.sections import WeightsSection

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "evomnas"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "reports" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
ARCHITECTURE, COMMANDS, SETTINGS, LIBRARY = (
    ROOT / "docs" / f"{name}.md" for name in ("architecture", "commands", "problem-files", "library")
)
SVG = "{http://www.w3.org/2000/svg}"


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def every_page(function):
    return pytest.mark.parametrize("page", PAGES, ids=page_name)(function)


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """Fenced code blocks."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def spans(text: str) -> list[str]:
    """Code spans outside of fenced blocks, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", without_blocks(text))]


def section(text: str, heading: str) -> str:
    """The part of a page under a heading, up to the next one of any level."""
    match = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    assert match, f"no heading {heading!r}"
    return match[1]


def first_cells(text: str) -> list[str]:
    """The code spans of the first column of a part's tables, row by row."""
    rows = re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE)
    return [span for row in rows for span in re.findall(r"`([^`]+)`", row)]


# --- rooms ---------------------------------------------------------------------------------------------


def listed_rooms() -> list[str]:
    return first_cells(section(ARCHITECTURE.read_text(), "Rooms"))


def test_the_listed_rooms_are_the_packages_in_the_order_of_their_imports():
    """`test_layers` compares that order with the imports."""
    assert sorted(listed_rooms()) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    assert listed_rooms() == list(ROOMS)
    assert re.findall(r"^- `(\w+)`", evomnas.__doc__, re.MULTILINE) == list(ROOMS)


def test_the_picture_shows_the_listed_rooms_in_their_order():
    drawing = ElementTree.parse(ROOT / "docs" / "architecture.svg")
    groups = [group for group in drawing.iter(f"{SVG}g") if (group.get("id") or "").startswith("room-")]
    heights = [float(group.find(f"{SVG}rect").get("y")) for group in groups]
    assert heights == sorted(heights)
    assert [group.get("id").removeprefix("room-") for group in groups] == listed_rooms()
    assert [group.find(f"{SVG}text").text for group in groups] == [f"{room}/" for room in listed_rooms()]


def test_the_picture_and_the_page_number_the_same_steps_in_the_same_rooms():
    drawing = ElementTree.parse(ROOT / "docs" / "architecture.svg")
    drawn = {
        int(text.text): group.get("id").removeprefix("room-")
        for group in drawing.iter(f"{SVG}g")
        for text in group.iter(f"{SVG}text")
        if text.get("class") == "number"
    }
    steps = re.findall(
        r"^(\d+)\. \*\*.*?\*\* \(`(\w+)`\)", section(ARCHITECTURE.read_text(), "The way of one genome"), re.MULTILINE
    )
    assert drawn == {int(number): room for number, room in steps}
    assert sorted(drawn) == list(range(1, 9))


# --- names of modules and files ------------------------------------------------------------------------

FILES = re.compile(r"(?<![\w./-])(?:evomnas|tests|benchmarks|problems|reports|docs)/[\w./-]*\w")
DOTTED = re.compile(r"\bevomnas(?:\.\w+)+")
ENTRY_POINTS = {f"evomnas.{kind}" for kind in ("datasets", "testsplits", "runtimes", "algorithms", "trackers")}
# Names of files, a table of one, and a group of entry points that only other packages have.
NO_MODULES = {"evomnas.sqlite", "evomnas.toml", "evomnas.run", "evomnas.ops"}


def exists(name: str) -> bool:
    """Whether a dotted name is a module, an entry-point group, or something within a module."""
    if name in NO_MODULES:
        return True
    if name in ENTRY_POINTS:
        return bool(importlib.metadata.entry_points(group=name))
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@every_page
def test_files_and_modules_that_a_page_names_exist(page):
    text = page.read_text()
    code = "\n".join([*spans(text), *blocks(text)])
    assert [name for name in FILES.findall(code) if not (ROOT / name).exists()] == []
    assert [name for name in DOTTED.findall(code) if not exists(name)] == []


# --- links ---------------------------------------------------------------------------------------------


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=page_name)
def test_links_of_a_page_lead_somewhere(page):
    text = without_blocks(page.read_text())
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    broken = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "docs"], ids=page_name)
def test_a_page_of_the_documentation_begins_with_the_question_that_it_answers(page):
    title, blank, opening, *_ = page.read_text().splitlines()
    assert title.startswith("# ")
    assert not blank
    assert opening.startswith("This page answers: ")


def test_every_page_of_the_documentation_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"docs/{page.name}" not in readme] == []


# --- the command ---------------------------------------------------------------------------------------


@cache
def options() -> dict[str, set[str]]:
    """Every command's options, `--help` included."""
    group = typer.main.get_command(app)
    return {
        name: {
            "--help",
            *(text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)),
        }
        for name, command in group.commands.items()
    }


def general_options() -> set[str]:
    return {text for parameter in typer.main.get_command(app).params for text in parameter.opts}


WORD = re.compile(r"--[a-z][a-z0-9-]*")
CALL = re.compile(r"(?<![\w./-])evomnas((?: --[a-z-]+)*) ([a-z][a-z-]*)([^\n]*)")


def faults(line: str, *, prose: bool = False) -> list[str]:
    """What is wrong with the calls of `evomnas` in a line; in prose, what is no command is taken for a word."""
    found = []
    for part in re.split(r"[),;]" if prose else r"&&|\||; ", line.partition(" # ")[0]):
        for match in CALL.finditer(part):
            general, command, rest = match.groups()
            rest = rest.partition(" evomnas ")[0]
            if command not in options():
                found += [] if prose else [f"there is no command {command}: {part.strip()}"]
                continue
            found += [f"evomnas has no option {one}" for one in WORD.findall(general) if one not in general_options()]
            found += [f"{command} has no option {one}" for one in WORD.findall(rest) if one not in options()[command]]
    return found


def test_a_misspelt_command_or_option_is_found():
    assert not faults("pip install . && evomnas run digits --seed 2  # evomnas is fine")
    assert faults("evomnas runs digits") == ["there is no command runs: evomnas runs digits"]
    assert faults("evomnas run digits --sead 2 --seed 3") == ["run has no option --sead"]
    assert faults("evomnas --debugging run") == ["evomnas has no option --debugging"]


@pytest.mark.parametrize("command", sorted(options()))
def test_every_command_has_help_and_is_documented(command):
    assert len(CliRunner().invoke(app, [command, "--help"]).stdout) > 100
    table = COMMANDS.read_text().partition("\n## ")[0]
    assert re.search(rf"^\| `evomnas {command}[` ]", table, re.MULTILINE)


@every_page
def test_commands_that_a_page_shows_are_accepted(page):
    text = page.read_text()
    lines = [line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    all_options = set().union(*options().values(), general_options())
    alone = [span for span in spans(text) if span.startswith("--")]
    wrong = [fault for line in [*lines, *spans(text)] if "COMMAND" not in line for fault in faults(line)]
    wrong += [f"no command has {one}" for span in alone for one in WORD.findall(span) if one not in all_options]
    assert wrong == []


def row_options(row: str) -> tuple[str, set[str]]:
    """A row of the table of commands: its command, and the options that the row gives it."""
    call, rest = row.split("|")[1:3]
    command = re.search(r"`evomnas ([a-z-]+)", call)
    assert command, row
    return command[1], set(WORD.findall(call + rest))


def test_options_in_the_table_of_commands_belong_to_the_command_of_their_row():
    rows = re.findall(r"^\| `evomnas .*$", COMMANDS.read_text(), re.MULTILINE)
    wrong = [(command, named - options()[command]) for command, named in map(row_options, rows)]
    assert [one for one in wrong if one[1]] == []
    assert len(rows) > 10


def texts(path: Path) -> Iterator[str]:
    """The strings of a module, those with values in them joined to one; or a template's text."""
    if path.suffix != ".py":
        yield from path.read_text().splitlines()
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_commands_that_messages_help_texts_and_templates_print_are_accepted():
    paths = [*PACKAGE.rglob("*.py"), *(ROOT / "reports").glob("*.html"), *(ROOT / "reports").glob("*.js")]
    wrong = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in paths
        for text in texts(path)
        for fault in faults(" ".join(text.split()), prose=True)
    ]
    assert wrong == []


# --- keys and public names -----------------------------------------------------------------------------


def key_exists(key: str) -> bool:
    """Whether `section.key` is one of a problem whose networks are trained."""
    name, _, field = key.partition(".")
    return field in section_keys(name)


@cache
def section_keys(name: str) -> frozenset[str]:
    kind = WeightsSection if name == "weights" else type(getattr(load_definition("digits"), name, None))
    return frozenset(getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", ()))


@every_page
def test_settings_that_a_page_shows_exist(page):
    keys = re.findall(r"--set (\w+\.\w+)=", page.read_text())
    assert [key for key in keys if not key_exists(key) and key != "table.path"] == []


@pytest.mark.parametrize(
    "name", ["space", "data", "weights", "training", "full", "latency", "constraints", "hypervolume"]
)
def test_every_key_of_a_problem_file_is_documented(name):
    headings = re.findall(r"^### (.*\[.*)$", SETTINGS.read_text(), re.MULTILINE)
    [heading] = [text for text in headings if f"[{name}]" in text]
    documented = set(first_cells(section(SETTINGS.read_text(), heading)))
    assert section_keys(name) - documented == set()
    together = set().union(*(section_keys(part) for part in re.findall(r"\[(\w+)\]", heading)))
    assert documented - together == set()


def test_every_public_name_is_documented():
    documented = first_cells(LIBRARY.read_text().partition("\n## ")[0])
    assert sorted(documented) == sorted(evomnas.__all__)


@every_page
def test_code_in_a_page_can_be_read(page):
    text = page.read_text()
    for block in blocks(text, "python"):
        ast.parse(block)
    for block in blocks(text, "toml"):
        tomllib.loads(block)


@pytest.fixture(scope="module")
def documented_keys() -> dict[str, list[str]]:
    """The JSON keys of every command, by the names in the table."""
    rows = re.findall(r"^\| (`[^|]*) \| an? [^|]* \| ([^|]*) \|$", COMMANDS.read_text(), re.MULTILINE)
    return {name: re.findall(r"`([^`]+)`", keys) for names, keys in rows for name in re.findall(r"`([^`]+)`", names)}


@pytest.fixture
def two_runs(tabular_file, tmp_path) -> list[Path]:
    return [
        evomnas.search(tabular_file, "random", budget=3, seed=seed, out=tmp_path / f"s{seed}").folder for seed in (1, 2)
    ]


def printed(*arguments: object) -> object:
    result = CliRunner().invoke(app, [*map(str, arguments), "--format", "json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_documented_json_keys_are_those_that_commands_print(documented_keys, two_runs):
    assert list(printed("show", two_runs[0])[0]) == documented_keys["show"]
    assert list(printed("compare", *two_runs)) == documented_keys["compare"] == documented_keys["benchmark"]
    assert list(printed("describe", "mnasnet-small")) == documented_keys["describe"]
    assert list(printed("describe", "mnasnet-small", "--detect")) == documented_keys["describe --detect"]
    assert list(printed("describe", "--space", "digits")) == documented_keys["describe --space"]


def test_documented_keys_of_run_json_are_those_that_are_written(two_runs):
    always, where_they_apply = re.search(
        r"^The file `run\.json` in a run's folder has\s(.*?)\.\sWhere\sthey\sapply,\sit\salso\shas\s(.*?)\.$",
        COMMANDS.read_text(), re.DOTALL | re.MULTILINE,
    ).groups()  # fmt: skip
    written = set(json.loads((two_runs[0] / "run.json").read_text()))
    assert set(re.findall(r"`(\w+)`", always)) <= written
    assert written <= set(re.findall(r"`(\w+)`", always + where_they_apply))
