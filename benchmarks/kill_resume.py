"""Does a killed search, resumed, become the search that nobody disturbed?

A search is killed with SIGKILL, workers and all, at a random moment of its life (starting, asking, training, measuring,
in a commit, writing files or the report), resumed, killed again, and in the end left alone. Then it is compared with a
search that ran undisturbed: the sequence of asks, every evaluation, the front and the goals must be the same, and
what had ended before a kill must not have been taken again.

On a table (243 networks, made here) for every algorithm, by generations and in steady state, and on the digits with
real trainings: there the archive holds the undisturbed search's latencies, since a latency that is measured twice is
never the same to the last digit. In steady state no two searches of the digits are alike; there the events before a
kill must be those afterwards, and playing the whole search again at its end must ask for the same.

    python benchmarks/kill_resume.py [--kills 100] [--digits-kills 10]

Takes about 5 minutes for the table and 5 for the digits on two cores. Exits with 1 at the first difference.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from evomnas.core import registry
from evomnas.loop.asking import is_steady
from evomnas.results.run import Run

COMMAND = [sys.executable, "-c", "from evomnas.cli import main; main()"]
TABLE = """name = "table"
[table]
path = "table.csv"
genes = ["g0", "g1", "g2", "g3", "g4"]
objectives = [
    { column = "top1", direction = "maximize", scale = 0.01, quantity = "accuracy" },
    { column = "ms", direction = "minimize", quantity = "latency_ms" },
]
"""


def write_table(folder: Path) -> Path:
    lines = ["g0,g1,g2,g3,g4,top1,ms"]
    for genes in itertools.product(range(3), repeat=5):
        accuracy = 40 + 5 * sum(genes) - 3 * (genes[0] - genes[4]) ** 2
        latency = 1 + sum((place + 1) * gene for place, gene in enumerate(genes)) / 5
        lines.append(",".join(map(str, (*genes, accuracy, latency))))
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    (folder / "table.toml").write_text(TABLE)
    return folder / "table.toml"


def facts(folder: Path) -> dict[str, Any]:
    """All that two runs must have in common."""
    run = Run.open(folder)
    rows = [result.to_dict() for result in run.results()]
    return {
        "asks": [(ask.position, ask.generation, ask.architecture) for ask in run.asks],
        "rows": rows,
        "front": (folder / "front.csv").read_text(),
        "goals": run.manifest.goals,
        "hypervolume": run.manifest.hypervolume,
        "report": (folder / "report.html").stat().st_size > 0,
    }


def ended(archive: Path) -> dict[tuple[str, ...], str]:
    """When each evaluation was added to the archive."""
    with sqlite3.connect(archive) as connection:
        return {
            (table, *row[:2]): row[2]
            for table, whose in (("trainings", "context"), ("measurements", "context"), ("cuts", "run"))
            for row in connection.execute(f"SELECT {whose}, architecture, created FROM {table}")
        }


def kill_at(command: list[str], seconds: float | None) -> tuple[bool, float]:
    """Run a command; kill it with all that it started after some seconds. Whether it was killed, and its life."""
    started = time.perf_counter()
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True, time.perf_counter() - started
    if process.returncode:
        sys.exit(f"{' '.join(command[3:])} failed: {errors.decode()[-500:]}")
    return False, time.perf_counter() - started


def disturbed(start: list[str], folder: Path, life: float, kills: int, rng: random.Random) -> int:
    """A search that is killed up to so often and then left alone; returns how often it was."""
    survived = 0
    while True:
        resumes = (folder / "run.json").is_file()
        command = [*COMMAND, "resume", str(folder)] if resumes else start
        archive = folder.parent / "evomnas.sqlite"
        before = ended(archive) if archive.is_file() and survived else {}
        killed, _ = kill_at(command, rng.uniform(0.1, life) if survived < kills else None)
        after = ended(archive) if archive.is_file() else {}
        if any(after.get(key) != when for key, when in before.items()):
            sys.exit("an evaluation that had ended was taken again")
        if not killed:
            return survived
        survived += 1


def compare(name: str, whole: Path, other: Path) -> None:
    one, two = facts(whole), facts(other)
    for key, value in one.items():
        if two[key] != value:
            sys.exit(f"{name}: {key} differ:\n{json.dumps(value)[:500]}\n{json.dumps(two[key])[:500]}")


def on_the_table(kills: int, rng: random.Random) -> None:
    names = sorted(registry.available("algorithms"))
    ways = [(name, []) for name in names] + [(name, ["--async"]) for name in names if is_steady(name)]
    survived: Counter[str] = Counter()
    for name, manner in itertools.cycle(ways):
        left = kills - survived.total()
        if left <= 0:
            break
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            problem = write_table(folder)
            arguments = ["run", str(problem), "--algo", name, "--budget", "80", "--seed", str(rng.randrange(100))]
            arguments += manner
            _, life = kill_at([*COMMAND, *arguments, "--out", str(folder / "whole" / "run")], None)
            start = [*COMMAND, *arguments, "--out", str(folder / "other" / "run")]
            survived[" ".join([name, *manner])] += disturbed(start, folder / "other" / "run", life, min(left, 5), rng)
            compare(name, folder / "whole" / "run", folder / "other" / "run")
    print(f"table: {survived.total()} kills survived, nothing lost: {dict(survived)}")


def on_the_digits(kills: int, rng: random.Random) -> None:
    survived = 0
    while survived < kills:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            arguments = ["run", "digits", "--budget", "30", "--seed", str(rng.randrange(100))]
            _, life = kill_at([*COMMAND, *arguments, "--out", str(folder / "whole" / "run")], None)
            (folder / "other").mkdir()
            shutil.copy(folder / "whole" / "evomnas.sqlite", folder / "other")
            with sqlite3.connect(folder / "other" / "evomnas.sqlite") as connection:
                connection.execute("DELETE FROM trainings")
            start = [*COMMAND, *arguments, "--out", str(folder / "other" / "run")]
            survived += disturbed(start, folder / "other" / "run", life, min(kills - survived, 5), rng)
            compare("digits", folder / "whole" / "run", folder / "other" / "run")
    print(f"digits: {survived} kills survived, nothing lost")


def events(folder: Path) -> tuple[list[Any], list[Any]]:
    """What a run asked for and was told; nothing where there is none yet."""
    if not (folder / "run.json").is_file():
        return [], []
    run = Run.open(folder)
    return run.asks, run.archive.tells(run.record.id)


def in_steady_state(kills: int, rng: random.Random) -> None:
    survived = 0
    while survived < kills:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text) / "run"
            start = [*COMMAND, "run", "digits", "--budget", "30", "--async", "--seed", str(rng.randrange(100))]
            _, life = kill_at([*start, "--out", str(Path(text) / "whole" / "run")], None)
            command, killed = [*start, "--out", str(folder)], True
            while killed:
                before = events(folder)
                killed, _ = kill_at(command, rng.uniform(0.1, life) if survived < kills else None)
                if any(new[: len(old)] != old for old, new in zip(before, events(folder), strict=True)):
                    sys.exit("steady state: events of the past have changed")
                survived += killed
                if (folder / "run.json").is_file():
                    command = [*COMMAND, "resume", str(folder)]
            finished = events(folder)
            kill_at(command, None)
            if events(folder) != finished or len(finished[1]) != 30:
                sys.exit("steady state: the search played again is another one")
    print(f"digits in steady state: {survived} kills survived, nothing lost")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="on the table")
    parser.add_argument("--digits-kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    on_the_table(given.kills, rng)
    on_the_digits(given.digits_kills, rng)
    in_steady_state(given.digits_kills, rng)


if __name__ == "__main__":
    main()
