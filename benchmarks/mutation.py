"""Do the tests notice when the code that they test is changed?

Takes a sample of small changes (mutants) of `problem/`, `algorithms/`, `results/` and the latency protocol: another
operator, another number, `and` for `or`, a condition turned round, a loop without iterations, an exception that is
not caught. Runs the tests of the mutant's own room against each, and counts how many mutants make a test fail, as
they should. cosmic-ray (https://cosmic-ray.readthedocs.io) knows the mutations; this file chooses among them and runs
them side by side.

    tox -e mutation [-- --seed 2 --mutants 200 --jobs 2 --only 'evomnas/problem/*' --json FILE]

About 15 minutes on two cores; `--mutants 20` runs it short. Prints a table by file, and every survivor with its line.
The exit code is 1 where less than 90 % of the mutants were killed.

The sample: a place is a spot of the source that can be mutated. Every file gets a number of places in proportion to
its own, and every place that is drawn gets one of its mutations, all by the seed. Only changes that a careless hand
could make are taken: `+` becomes `-`, but never `<<`, which no test need notice since Python itself refuses it.

What is no behaviour is not mutated: type hints, messages of exceptions, decorators (without `@property` nothing works
at all), and arguments that change no result: `slots` of data classes, sizes of caches, `strict` of `zip`, a guard.

The verdict: a mutant is killed where a test fails, or where the tests take `PATIENCE` times as long as without it.
Mutants that no test can tell from the original stand in mutation_survivors.toml, each with the reason. They are run,
too: one that is killed does not belong there. Tests that start processes are left out (`PROCESSES`): they take most
of the time, and are about what processes share, which a change of one line hardly is.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cosmic_ray.plugins
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).resolve().parent.parent
SURVIVORS = Path(__file__).with_name("mutation_survivors.toml")
ROOMS = {  # source files, and the tests that must notice changes of them
    "evomnas/problem/**/*.py": "tests/problem",
    "evomnas/algorithms/**/*.py": "tests/algorithms",
    "evomnas/results/**/*.py": "tests/results",
    "evomnas/latency/devices/protocol.py": "tests/latency/devices/test_protocol.py",
}
PROCESSES = (
    "tests/algorithms/test_algorithms.py::test_ties_are_played_the_same_in_a_fresh_process",
    "tests/results/test_archive.py::test_two_runs_in_one_archive_at_the_same_time_are_the_runs_they_are_alone",
    "tests/results/test_constraints.py::test_no_minute_goes_into_a_network_that_cannot_count",
    "tests/results/test_constraints.py::test_a_network_beyond_the_latency_limit_is_measured_and_not_trained",
    "tests/results/test_constraints.py::test_limits_that_no_network_meets_are_named_before_the_search",
)
LEAST_SHARE = 0.9
PATIENCE, MIN_PATIENCE_S = 3, 60
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "node_modules", "build", "dist")
ARITHMETIC = {"Add": "Sub", "Sub": "Add", "Mul": "Div", "Div": "Mul", "FloorDiv": "Mul", "Mod": "Mul", "Pow": "Mul"}
BITWISE = {"BitOr": "BitAnd", "BitAnd": "BitOr", "BitXor": "BitAnd", "LShift": "RShift", "RShift": "LShift"}
ORDER = {"Lt", "LtE", "Gt", "GtE"}
COMPARISONS = {name: ORDER - {name} for name in ORDER} | {
    "Eq": {"NotEq"},
    "NotEq": {"Eq"},
    "Is": {"IsNot"},
    "IsNot": {"Is"},
}
SILENT = {("zip", "strict"), ("dataclass", "slots"), ("lru_cache", "maxsize")}  # arguments that change no result
Position = tuple[int, int]  # line, from 1, and column, in characters


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: The file's path in the repository.
        place: Where the change begins and ends in the source.
        operator, occurrence: What cosmic-ray calls it: its operator, and which of the file's spots for it.
    """

    file: str
    place: tuple[Position, Position]
    operator: str
    occurrence: int

    def apply(self, source: str) -> str:
        """Return the file with the change.

        Args:
            source: The file without it.
        """
        return str(mutate_code(source, cosmic_ray.plugins.get_operator(self.operator)(), self.occurrence))

    def lines(self, source: str) -> tuple[str, str]:
        """Return the first line that differs, without and with the change.

        Args:
            source: The file without the change.
        """
        pairs = zip(source.splitlines(), self.apply(source).splitlines(), strict=False)
        return next((before.strip(), re.sub(r"\s+", " ", after.strip())) for before, after in pairs if before != after)

    def key(self, source: str) -> tuple[str, str, str]:
        """Return the file and the two lines of `lines` without any space: what a listed mutant is known by.

        Args:
            source: The file without the change.
        """
        return _key(self.file, *self.lines(source))


@dataclass
class Outcome:
    """How a mutant fared: `killed`, `timeout` or `survived`; the reason where it is listed as no change at all."""

    mutant: Mutant
    fate: str
    line: str
    mutated: str
    seconds: float
    reason: str | None = None


@dataclass
class Room:
    """The tests of a room, in the order in which they are run, and how long they take without any mutant."""

    tests: list[str]
    seconds: float = 0.0


@dataclass
class Copy:
    """A copy of the working tree in which one mutant at a time lives."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ignored = shutil.ignore_patterns(*NOT_COPIED)
        shutil.copytree(ROOT, self.folder, ignore=ignored)
        self.environment = os.environ | {
            "CI": "1",  # property tests draw the same examples every time
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
        }

    def test(self, tests: Sequence[str], limit_s: float | None, *options: str) -> tuple[int | None, str]:
        """Return pytest's exit code, None where the time was over, and its output.

        Args:
            tests: Files of tests.
            limit_s: Seconds that it may take; None for any.
            options: More options of pytest.
        """
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *options, *tests]
        command += [f"--deselect={test}" for test in PROCESSES]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return process.returncode, output


def _key(file: str, line: str, mutated: str) -> tuple[str, str, str]:
    return file, re.sub(r"\s+", "", line), re.sub(r"\s+", "", mutated)


def find_mutants(file: str, source: str) -> dict[tuple[Position, Position], list[Mutant]]:
    """Return the mutants of a file by their places, which come in the order of the source.

    Args:
        file: Its path in the repository.
        source: Its content.
    """
    tree, nodes = ast.parse(source), list(ast_nodes(get_ast(source)))
    excluded = list(_not_behaviour(tree, source.splitlines()))
    by_place: dict[tuple[Position, Position], list[Mutant]] = {}
    for name in cosmic_ray.plugins.operator_names():
        kind = cosmic_ray.plugins.get_operator(name)
        if kind.arguments() or not _is_plausible(name.partition("/")[2]):
            continue
        operator = kind()
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, place in enumerate(places):
            mutant = Mutant(file, place, name, occurrence)
            hidden = any(start <= place[0] and place[1] <= end for start, end in excluded)
            if not hidden and ("_Pow_" not in name or _is_code(mutant.apply(source))):  # `**` also unpacks
                by_place.setdefault(place, []).append(mutant)
    return dict(sorted(by_place.items()))


def _is_code(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _is_plausible(operator: str) -> bool:
    """Return whether a mutation is one that a careless hand could make."""
    kind, _, rest = operator.partition("_")
    before, _, after = rest.partition("_")
    if kind == "ReplaceBinaryOperator":
        return (ARITHMETIC | BITWISE).get(before) == after
    if kind == "ReplaceComparisonOperator":
        return after in COMPARISONS[before]
    if kind == "ReplaceUnaryOperator":
        return before == "Delete"
    return kind != "RemoveDecorator"


def _not_behaviour(tree: ast.AST, lines: Sequence[str]) -> Iterator[tuple[Position, Position]]:
    """Yield where the source says nothing of what it does: type hints, messages and guards."""

    def span(first: ast.AST, last: ast.AST | None = None) -> tuple[Position, Position]:
        last = last or first
        positions = (first.lineno, first.col_offset), (last.end_lineno, last.end_col_offset)  # type: ignore[attr-defined]
        start, end = ((line, len(lines[line - 1].encode()[:column].decode())) for line, column in positions)
        return start, end

    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield span(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns:
            yield span(node.returns)
        elif isinstance(node, ast.Raise) and node.exc:
            yield span(node)
        elif isinstance(node, ast.Call):
            yield from (span(keyword) for keyword in node.keywords if (ast.unparse(node.func), keyword.arg) in SILENT)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield span(node)


def sample(places: dict[str, dict[tuple[Position, Position], list[Mutant]]], count: int, seed: int) -> list[Mutant]:
    """Return `count` mutants at as many places, spread over the files in proportion to their places.

    Args:
        places: The mutants of each file, by place.
        count: How many are wanted; all where there are not so many places.
        seed: What is drawn depends on it.
    """
    total = sum(map(len, places.values()))
    shares = {file: min(count, total) * len(spots) / total for file, spots in places.items()}
    counts = {file: int(share) for file, share in shares.items()}
    remainders = sorted(places, key=lambda file: counts[file] - shares[file])
    for file in remainders[: min(count, total) - sum(counts.values())]:
        counts[file] += 1
    drawn = []
    for file, spots in places.items():
        rng = random.Random(f"{seed} {file}")  # so that a change of one file leaves the others' samples as they are
        for place in sorted(rng.sample(list(spots), counts[file])):
            drawn.append(rng.choice(spots[place]))
    return drawn


def order_tests(folder: str, copy: Copy) -> Room:
    """Return the tests of a room, those that take least time first, after a run without any mutant.

    Args:
        folder: The room's tests, or a file of tests.
        copy: Where to run them.
    """
    began = time.perf_counter()
    code, output = copy.test([folder], None, "--durations=0")
    if code != 0:
        sys.exit(f"the tests in {folder} fail without any mutant:\n{output[-3000:]}")
    seconds: Counter[str] = Counter()
    for line in output.splitlines():
        match = re.match(r"([0-9.]+)s (?:call|setup|teardown) +([^:]+)::", line)
        if match:
            seconds[match[2]] += float(match[1])
    place = copy.folder / folder
    files = [str(path.relative_to(copy.folder)) for path in sorted(place.rglob("test_*.py"))] or [folder]
    return Room(sorted(files, key=lambda file: seconds[file]), time.perf_counter() - began)


def judge(mutant: Mutant, room: Room, copies: queue.Queue[Copy], reasons: dict[tuple[str, str, str], str]) -> Outcome:
    """Return how a mutant fares against its room's tests: first its own file's, then all others.

    Args:
        mutant: The mutant.
        room: Its room.
        copies: Copies of the tree; one of them is used.
        reasons: Why mutants that are no change are none, by file, line and mutated line.
    """
    own = f"test_{Path(mutant.file).stem}.py"
    tests = sorted(room.tests, key=lambda test: not test.endswith(own))
    copy = copies.get()
    path = copy.folder / mutant.file
    source = path.read_text(encoding="utf-8")
    began = time.perf_counter()
    try:
        path.write_text(mutant.apply(source), encoding="utf-8")
        code, output = copy.test(tests, max(MIN_PATIENCE_S, PATIENCE * room.seconds))
    finally:
        path.write_text(source, encoding="utf-8")
        copies.put(copy)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        sys.exit(f"pytest found no test for {mutant.file}:\n{output[-3000:]}")
    line, mutated = mutant.lines(source)
    fate = {0: "survived", None: "timeout"}.get(code, "killed")
    return Outcome(mutant, fate, line, mutated, time.perf_counter() - began, reasons.get(mutant.key(source)))


def report(places: dict[str, int], outcomes: Sequence[Outcome], seconds: float) -> bool:
    """Print what became of the mutants; return whether enough were killed.

    Args:
        places: How many places each file has.
        outcomes: How the mutants fared.
        seconds: What all that took.
    """
    print(f"{'file':<56}{'places':>7}{'sampled':>8}{'killed':>7}{'by time':>8}{'listed':>7}{'survived':>9}")
    for file in sorted({outcome.mutant.file for outcome in outcomes}):
        print(f"{file:<56}{places[file]:>7}{_counts([one for one in outcomes if one.mutant.file == file])}")
    print(f"{'all':<56}{sum(places.values()):>7}{_counts(outcomes)}")
    open_ones = [one for one in outcomes if one.fate == "survived" and one.reason is None]
    for one in open_ones:
        print(f"\nsurvived: {one.mutant.file}:{one.mutant.place[0][0]}\n  - {one.line}\n  + {one.mutated}")
    for one in outcomes:
        if one.reason is not None:
            verdict = "listed" if one.fate == "survived" else "listed, and yet killed: take it out of the list"
            print(f"\n{verdict}: {one.mutant.file}\n  - {one.line}\n  + {one.mutated}\n  {one.reason}")
    killed = sum(one.fate != "survived" for one in outcomes)
    share = killed / max(1, killed + len(open_ones))
    print(f"\n{killed} of {killed + len(open_ones)} mutants that change something were killed: {share:.1%}", end="")
    print(f" ({seconds / 60:.0f} minutes)")
    return share >= LEAST_SHARE


def _counts(outcomes: Sequence[Outcome]) -> str:
    """Return the cells of a row of the table."""
    fates = Counter("listed" if one.fate == "survived" and one.reason else one.fate for one in outcomes)
    killed = fates["killed"] + fates["timeout"]
    return f"{len(outcomes):>8}{killed:>7}{fates['timeout']:>8}{fates['listed']:>7}{fates['survived']:>9}"


def main() -> None:
    """Draw mutants, run them, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=200, help="how many are drawn (200)")
    parser.add_argument("--seed", type=int, default=1, help="what is drawn depends on it (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many run at once (one per core)")
    parser.add_argument("--only", default="*", help="files to mutate, as a pattern ('evomnas/problem/*')")
    parser.add_argument("--json", type=Path, help="file for all mutants and what became of them")
    arguments = parser.parse_args()
    began = time.perf_counter()
    tests = {
        str(path.relative_to(ROOT)): folder for pattern, folder in ROOMS.items() for path in sorted(ROOT.glob(pattern))
    }
    files = [file for file in tests if Path(file).match(arguments.only)]
    places = {file: find_mutants(file, (ROOT / file).read_text(encoding="utf-8")) for file in files}
    mutants = sample(places, arguments.mutants, arguments.seed)
    listed = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["mutant"] if SURVIVORS.exists() else []
    reasons = {_key(one["file"], one["line"], one["mutated"]): one["reason"] for one in listed}
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch, ThreadPoolExecutor(arguments.jobs) as pool:
        copies: queue.Queue[Copy] = queue.Queue()
        for number in range(arguments.jobs):
            copies.put(Copy(Path(scratch) / str(number)))
        first = copies.get()
        rooms = {folder: order_tests(folder, first) for folder in sorted({tests[one.file] for one in mutants})}
        copies.put(first)
        outcomes = []
        for outcome in pool.map(lambda one: judge(one, rooms[tests[one.file]], copies, reasons), mutants):
            outcomes.append(outcome)
            print(f"{len(outcomes)}/{len(mutants)} {outcome.fate} {outcome.mutant.file}", file=sys.stderr)
            if outcome.fate == "survived":
                print(f"  - {outcome.line}\n  + {outcome.mutated}", file=sys.stderr)
    if arguments.json:
        content = [vars(one) | {"mutant": vars(one.mutant)} for one in outcomes]
        arguments.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    counts = {file: len(spots) for file, spots in places.items()}
    sys.exit(0 if report(counts, outcomes, time.perf_counter() - began) else 1)


if __name__ == "__main__":
    main()
