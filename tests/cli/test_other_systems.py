"""Commands on a system without what Windows or macOS lack; see `bare_system`. No test runs on either of them."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import bare_system
import pytest

from evomnas.latency.devices import agent, ssh

COMMANDS = """
import json, os, sys
assert not hasattr(os, "fork")
from evomnas.cli import main
for command in json.loads(sys.argv[1]):
    if "FASTEST" in command:
        command[command.index("FASTEST")] = open("runs/tiny-random-s1/front.csv").readlines()[1].split(",")[0]
    sys.argv = command
    try:
        main()
    except SystemExit as error:
        if error.code:
            raise
"""


@pytest.fixture
def bare(tmp_path):
    """Run Python on such a system, and return what it did."""
    site = tmp_path / "site"
    site.mkdir()
    environment = bare_system.environment(site)

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False, input=stdin)

    return run


@pytest.fixture
def evomnas(bare):
    """Run commands there one after the other, until one fails; return the exit code, what was printed, the errors."""

    def run(*commands: str) -> tuple[int, str, str]:
        done = bare("-c", COMMANDS, json.dumps([["evomnas", *command.split()] for command in commands]))
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


def test_a_table_is_searched_and_has_a_report(evomnas, tabular_file, tmp_path):
    run = tmp_path / "runs" / "tabular-random-s1"
    code, output, errors = evomnas("--help", f"run {tabular_file} --budget 20 --algo random", f"report {run}")
    assert code == 0, errors
    assert "Traceback" not in errors
    for expected in ("Usage: evomnas", "20 networks"):
        assert expected in output
    assert (run / "report.html").is_file()


@pytest.mark.thorough
def test_a_search_is_made_and_goes_on_and_has_a_report(evomnas, tiny_file, tabular_file, tmp_path):
    run = tmp_path / "runs" / "tiny-random-s1"
    code, output, errors = evomnas(
        "--help",
        f"run {tabular_file} --budget 20 --algo random",
        f"run {tiny_file} --budget 2 --workers 1 --algo random",
        f"resume {run} --budget 3 --workers 0",
        f"report {run}",
        f"show {run} --all --format csv",
    )
    assert code == 0, errors
    assert "Traceback" not in errors
    for expected in ("Usage: evomnas", "20 networks", "2 networks", "3 networks"):
        assert expected in output
    assert output.count(",ok,") == 3
    assert (run / "report.html").is_file()


@pytest.mark.thorough
def test_a_limit_that_such_a_system_does_not_keep_is_refused(evomnas, tiny_file):
    code, _, errors = evomnas(f"run {tiny_file} --workers 1 --candidate-memory 2")
    assert code == 2
    assert "cannot limit the memory of a process: drop --candidate-memory" in errors


@pytest.mark.thorough
def test_a_candidate_that_hangs_is_given_up(evomnas, tiny_file):
    slow = f"run {tiny_file} --algo random --budget 1 --workers 1 --set training.epochs=1000000"
    code, _, errors = evomnas(f"{slow} --candidate-time 20s")
    assert code == 1
    assert "all candidates failed (1), most often with: given up: it took more than 20 s" in errors


@pytest.mark.thorough
def test_the_other_commands_work_as_well(evomnas, tiny_file, tmp_path):
    run = tmp_path / "runs" / "tiny-random-s1"
    code, output, errors = evomnas(
        f"run {tiny_file} --budget 2 --workers 2 --algo random",
        f"run {tiny_file} --budget 4 --workers 2 --async --algo random --seed 2",
        f"train {run} FASTEST",
        f"export {run} FASTEST --to onnx --to executorch --quantize int8",
        f"describe FASTEST --run {run}",
        f"measure FASTEST --run {run} --runtime torch",
        f"baselines {tiny_file} mobilenet-v2@0.1 --archive runs/evomnas.sqlite",
        f"compare {run} runs/tiny-random-s2",
        f"benchmark {tiny_file} --algo random --seeds 2 --budget 2 --workers 1",
        f"estimate {tiny_file} --workers 1",
        "doctor --fix",
        "problems",
        "algorithms",
        "runtimes",
    )
    assert code == 0, errors
    assert "Traceback" not in errors
    assert "Memory    not known on this system" in output
    assert "as PyTorch" in output
    assert list(run.glob("networks/*/*.onnx"))
    assert "the system does not tell" in output


def test_such_a_machine_can_be_a_target(bare):
    """The agent, which `SshDevice` sends there, begins and ends well."""
    script = ssh._agent_script()
    code = "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
    done = bare("-c", code, stdin=b"%d\n" % len(script) + script)
    assert done.returncode == 0, done.stderr.decode()
    machine, _ = agent.receive(io.BytesIO(done.stdout.partition(agent.GREETING)[2]))
    assert set(machine) == {"host", "processor", "version", "accelerator", "providers"}
