"""The command, as its users run it: real processes, exit codes and signals; what only reads or refuses, in this one.

A search is interrupted by SIGINT, in the thorough part by SIGTERM as well; `test_compare.py` does so with a benchmark.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from evomnas.cli import compare, deploy, measure, predict, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.latency.runtimes import base
from evomnas.problem.genes.block_genes import GENES
from evomnas.problem.loading import load_definition
from evomnas.results.run import Run

COMMAND = [sys.executable, "-c", "from evomnas.cli import main; main()"]


def evomnas(*arguments: object, cwd=None, **options) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, check=False, **options)


def refusal(*arguments: object) -> str:
    """The one line that the command refuses its arguments with."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert not result.stdout
    return result.stderr


def answer(*arguments: object) -> str:
    """What the command prints, in this process."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_package_is_the_command_as_well():
    result = subprocess.run([sys.executable, "-m", "evomnas", "problems"], capture_output=True, text=True, check=True)
    assert result.stdout == answer("problems")


def test_the_version_is_printed():
    assert answer("--version") == f"evomnas {version('evomnas')}\n"


def test_help_has_a_short_option_everywhere():
    group = typer.main.get_command(app)
    assert answer("-h") == answer("--help")
    for name in [*group.commands][::6]:  # all take their options from the same context
        assert answer(name, "-h") == answer(name, "--help")


def test_problems_lists_the_built_in_ones():
    lines = answer("problems").splitlines()
    assert [line.split()[0] for line in lines] == [
        "cifar10", "coco", "digits", "fashion-mnist", "imagenet", "images", "mobilenet-v4",
        "nas-bench-macro",
    ]  # fmt: skip


def test_describe_gives_the_published_totals():
    values = json.loads(answer("describe", "mnasnet-a1", "--format", "json"))
    assert values["params"] == 3_887_038
    assert abs(values["macs"] / 1e6 - 311.3) < 0.1
    assert sum(layer["macs"] for layer in values["layers"]) == values["macs"]
    table = answer("describe", "mobilenet-v2@0.5", "--resolution", 96, "--classes", 10)
    assert re.search(r"^block 7.1 +mbconv6 k3 +160x3x3", table, re.MULTILINE)


def test_describe_gives_the_sizes_of_off_the_shelf_networks():
    values = json.loads(answer("describe", "mobilenet_v1", "--format", "json"))
    assert (values["architecture"], values["params"]) == ("reference:mobilenet_v1", 4_231_976)
    assert "3,217,226 parameters" in answer("describe", "mobilenet_v1", "--resolution", 32, "--classes", 10)
    assert "drop --detect and --figure" in refusal("describe", "mobilenet_v1", "--detect")


def test_describe_counts_a_problem_s_space(tiny_file):
    values = json.loads(answer("describe", "--space", str(tiny_file), "--format", "json"))
    assert values["genomes"] == math.prod(len(block[gene]) for block in values["blocks"] for gene in GENES)
    assert 0 < values["networks"] < values["genomes"]
    table = answer("describe", "--space", "digits")
    assert f"{load_definition('digits').space.networks:,} distinct networks" in table


def test_describe_gives_the_published_totals_of_detectors():
    values = json.loads(answer("describe", "mnasnet-a1", "--detect", "--classes", 90, "--format", "json"))
    assert (values["params"], values["total_macs"], values["boxes"]) == (4_912_181, 837_819_232, 2034)
    assert sum(layer["macs"] + layer["se_macs"] for layer in values["layers"]) == values["total_macs"]
    assert [place["size"] for place in values["maps"]] == [20, 10, 5, 3, 2, 1]
    table = answer("describe", "mobilenet-v2", "--detect")
    assert "320 px, 80 classes, SSDLite with 81 logits" in table
    assert "4,337,013 parameters, 788,830,144 MACs" in table


def test_describe_draws_an_architecture(tmp_path):
    path = tmp_path / "a1.svg"
    assert str(path) in answer("describe", "mnasnet-a1", "--figure", str(path))
    assert ">MBConv3 5×5</text>" in path.read_text()
    first = path.read_text()
    answer("describe", "mnasnet-a1", "--figure", str(path))
    assert path.read_text() == first
    png = tmp_path / "a1.PNG"
    answer("describe", "mnasnet-a1", "--figure", str(png))
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.thorough
def test_measure_prints_every_network_with_its_interval_and_device(finished_run, real_measurements):
    first, second = (result.evaluation.architecture for result in finished_run.results()[:2])
    names = (first.id, str(second))
    rows = json.loads(answer("measure", *names, "--run", finished_run.folder, "--repeat", "2", "--format", "json"))
    assert [row["architecture"] for row in rows] == [str(first), str(second)]
    for row in rows:
        assert row["latency_ci"][0] <= row["latency_ms"] <= row["latency_ci"][1]
        assert len(row["sessions"]) == 2
        assert row["rounds"] >= 24
        assert (row["runtime"], row["target"], row["threads"], row["resolution"]) == ("onnxruntime", "local", 1, 8)


def test_measure_prints_a_table():
    table = answer("measure", "mnasnet-small@0.1", "--resolution", "32", "--runtime", "torch", "--repeat", "2")
    assert re.search(r"^mnasnet-small@0.1 +[0-9.]+ +[0-9.]+ to [0-9.]+ +[0-9]+ ", table, re.MULTILINE)
    assert "torch on local, 1 thread, images 1x3x32x32" in table
    assert "2 sessions" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mnasnet-a2",), "unknown network 'mnasnet-a2'"),
        (("mnasnet-a1", "--resolution", "16"), "block 6 brings the total stride to 32"),
        (("mnasnet-a1", "--resolution", "0"), "--resolution must lie between 1 and 4096"),
        (("mnasnet-a1", "--threads", "0"), "--threads must lie between 1 and 1024"),
        (("mnasnet-a1", "--repeat", "0"), "--repeat must lie between 1 and 1000"),
        (("mnasnet-a1", "--runtime", "tflite"), "unknown runtime 'tflite'"),
        (("mnasnet-a1", "--provider", "qnn"), "the runtime onnxruntime cannot use qnn here, only cpu"),
        (("mnasnet-a1", "--target", "pi"), "cannot read the target 'pi': write local, ssh://"),
        (("mnasnet-a1", "--target", "ssh://127.0.0.1:1"), "cannot reach ssh://127.0.0.1:1"),
    ],
)
def test_measure_refuses_in_one_line(arguments, message):
    assert message in refusal("measure", *arguments)


def test_runtimes_stand_side_by_side_and_those_that_are_missing_have_a_line(monkeypatch):
    installed, here = base.installed_version, ("litert", "onnxruntime")
    monkeypatch.setattr(base, "installed_version", lambda one: installed(one) if one.name in here else None)
    small = ("measure", "stem8_s2-conv_k3_s1_f8_n1-head16", "--resolution", "8", "--runtimes")
    result = CliRunner().invoke(app, [*small, "all"])
    assert result.exit_code == 0, result.output
    header, row, conditions = result.stdout.splitlines()
    assert header.split() == ["latency", "ms", *here]
    assert re.fullmatch(r"[0-9a-f]{8}( +[0-9.]+ ±[0-9.]+%){2}", row)
    assert conditions.startswith("on local, 1 thread, images 1x3x8x8")
    missing = "without executorch: the runtime executorch is not installed: pip install 'evomnas[executorch]'"
    assert missing in result.stderr.splitlines()
    assert result.stderr.count("without ") == 4
    rows = json.loads(answer(*small, "litert, onnxruntime", "stem8_s2-conv_k3_s1_f4_n1-head16", "--format", "json"))
    names = [(row["runtime"], row["id"] == rows[0]["id"]) for row in rows]
    assert names == [("litert", True), ("onnxruntime", True), ("litert", False), ("onnxruntime", False)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runtimes", "litert,onnx"), "unknown runtime 'onnx': there are executorch, "),
        (("--runtimes", "all", "--runtime", "torch"), "--runtimes goes neither with --runtime nor with"),
        (("--runtimes", "all", "--resolution", "8"), "block 4 brings the total stride to 16"),
        (("--runtimes", "ncnn", "--target", "ssh://pi"), "on ssh://pi only the runtime onnxruntime can measure"),
    ],
)
def test_runtimes_that_cannot_stand_side_by_side_are_one_line(arguments, message):
    assert message in refusal("measure", "mnasnet-small", *arguments)


def test_runtimes_lists_versions():
    import onnxruntime

    lines = answer("runtimes").splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "executorch",
        "litert",
        "ncnn",
        "onnxruntime",
        "openvino",
        "torch",
    ]
    assert onnxruntime.__version__ in lines[4]


def test_doctor_looks_at_noise_disk_memory_and_versions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = answer("doctor")
    for name in ("machine", "versions", "noise", "interval", "repeats", "calibration", "disk, this folder"):
        assert re.search(rf"^. {name} +\S", output, re.MULTILINE), name
    assert re.search(r"interval +±[0-9.]+% in [0-9.]+ s per network", output)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "phone"), "cannot read the target 'phone'"),
        (("--target", "adb://", "--fix"), "--fix mends calibrations of this machine: drop it, or --target"),
        (("--target", "adb://"), "needs adb of Android"),
    ],
)
def test_the_doctor_says_why_a_device_cannot_be_examined(options, message, monkeypatch):
    monkeypatch.setenv("PATH", "")
    done = CliRunner().invoke(app, ["doctor", *options])
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "describe takes an architecture"),
        (("mnasnet-a1", "--detect", "--resolution", 64), "a detector takes images of 96 to 512 pixels a side"),
        (("mnasnet-a1", "--space", "digits"), "describe takes an architecture"),
        (("--space", "digits", "--classes", "3"), "drop --space"),
        (("mnasnet-a1", "--figure", "a1.gif"), "ends in .svg, .pdf or .png"),
        (("mnasnet-a1", "--resolution", "16"), "block 6 brings the total stride to 32"),
        (
            ("stem8_s1-mbcon6_k3_s1_f8_n1-head8",),
            "block 1 of the architecture: unknown op 'mbcon6': allowed are conv, ",
        ),
    ],
)
def test_describe_refuses_in_one_line(arguments, message):
    assert message in refusal("describe", *arguments)


def test_show_and_describe_read_a_run(finished_run):
    rows = json.loads(answer("show", finished_run.folder, "--all", "--format", "json"))
    assert len(rows) == 24
    keys = [
        "id",
        "architecture",
        "status",
        "losses",
        "accuracy",
        "latency_ms",
        "latency_ci",
        "params",
        "macs",
        "on_front",
        "order",
        "test_accuracy",
        "test_interval",
        "score",
        "score_error",
        "validation_loss",
        "peak_kb",
        "test_score",
        "test_score_interval",
        "file_kb",
        "expected_score",
        "front_chance",
        "trainings",
    ]
    assert list(rows[0]) == keys
    front = answer("show", finished_run.folder, "--format", "csv")
    kept = (finished_run.folder / "front.csv").read_text().splitlines()
    assert [line.rsplit(",", 2)[0] for line in front.splitlines()] == kept  # but for what is computed on request
    table = answer("show", finished_run.folder)
    assert all(row["id"] in table for row in rows if row["on_front"])
    described = json.loads(answer("describe", rows[5]["id"], "--run", finished_run.folder, "--format", "json"))
    assert (described["params"], described["macs"]) == (rows[5]["params"], rows[5]["macs"])


def test_run_ends_with_the_front_the_report_and_the_next_command(tiny_file, tmp_path, monkeypatch):
    result = evomnas("run", tiny_file, "--budget", 3, "--workers", 2, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert lines[0].startswith(("reading", "getting ready"))
    assert "training 1 of 3, time left not known yet" in lines
    assert re.search(r"^\d networks? on the Pareto front[;,] ", result.stdout, re.MULTILINE)
    folder = tmp_path / "runs" / "tiny-nsga2-surrogate-s1"
    assert (folder / "report.html").is_file()
    assert (tmp_path / "runs" / "evomnas.sqlite").is_file()
    look = re.search(r"^Look: +evomnas (.*)$", result.stdout, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    answer(*look[1].split())
    go_on = re.search(r"^Go on: +evomnas (.*)$", result.stdout, re.MULTILINE)
    answer(*go_on[1].split(), "--workers", 0)
    assert json.loads((folder / "run.json").read_text())["evaluations"] == 6


def test_the_last_line_of_a_log_is_the_end_of_the_search(tabular_file, tmp_path):
    out = ["--out", tmp_path / "run", "--archive", tmp_path / "a.sqlite"]
    arguments = ["run", tabular_file, "--algo", "nsga2", "--async", "--budget", 55, *out]
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    assert "55 of 55 evaluated" in result.stderr.splitlines()[-1]
    output = result.output  # both, as they came
    assert output.index("55 of 55 evaluated") < output.index("networks on the Pareto front")


def test_a_run_at_its_budget_has_nothing_to_do(tabular_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer("run", tabular_file, "--algo", "random", "--budget", 5, "--out", "my run")
    before = (tmp_path / "my run" / "run.json").read_bytes()
    next(tmp_path.glob("*.csv")).unlink()  # nothing is read for that
    for arguments in ((), ("--budget", 5)):
        printed = answer("resume", "my run", *arguments)
        assert "Nothing to do: my run has evaluated all 5 networks of its budget." in printed
        assert "Go on:   evomnas resume 'my run' --budget 10" in printed
    assert (tmp_path / "my run" / "run.json").read_bytes() == before


def test_a_search_that_has_nothing_more_to_ask_for_says_so(tabular_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tabular_file.with_name("table.csv")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:21]))
    printed = answer("run", tabular_file, "--algo", "random", "--budget", 25)  # of 20 networks
    assert "nothing more to ask for: a larger budget would change nothing" in printed
    assert "Go on:" not in printed
    again = answer("resume", "runs/tabular-random-s1")
    assert "Nothing to do: runs/tabular-random-s1 has no more networks to ask for than the 20" in again
    assert "Go on:" not in again


def wrong(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "file").write_text("mine")
    return foreign


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "digit"], "did you mean digits?"),
        (["run", "--algo", "nsga9"], "nsga2-surrogate, nsga3, random, rena, rl-weighted; did you mean nsga"),
        (["run", "--algo", "random", "--alpha", "-1"], "random has no option alpha: it takes none"),
        (["run", "--algo", "nsga2", "--beta", "-1"], "nsga2 has no option beta: it takes population"),
        (["run", "--algo", "rl-weighted", "--target-ms", "fast"], "write milliseconds, as 0.5, or several as 0.5,1,2"),
        (["run", "--algo", "rl-weighted", "--target-ms", "-1"], "the target must be positive, got -1"),
        (["run", "--algo", "evo-weighted", "--target-ms", "1,2"], "only rl-weighted takes several"),
        (["run", "--algo", "rl-weighted", "--reward", "sfot"], "there are hard, soft; did you mean soft?"),
        (["run", "--algo", "rl-weighted", "--reward", "hard", "--beta", "-1"], "drop --alpha and --beta, or --reward"),
        (["run", "nas-bench-macro"], "add --set table.path=FILE"),
        (["run", "nas-bench-macro", "--set", "table.path=nowhere.json"], "cannot read the table"),
        (["run", "--budget", "0"], "budget must be at least 1"),
        (["run", "--set", "training.epoch=3"], "did you mean training.epochs?"),
        (["run", "--time", "soon"], "as 90s, 10m or 2h"),
        (["run", "images"], "needs a path: --set data.path=FOLDER"),
        (["run", "images", "--set", "data.path=nowhere"], "does not exist"),
        (["run", "--out", "FOREIGN"], "is not an empty folder"),
        (["run", "--out", "FOREIGN/file/run"], "since FOREIGN/file is a file: choose another with --out DIR"),
        (["run", "--out", "x" * 300], "choose a shorter one with --out DIR"),
        (["run", "--out", "run", "--archive", "run/a.sqlite"], "would lie in the run's own folder"),
        (["run", "--candidate-time", "9999999999999h"], "at most 10000h"),
        (["run", "--candidate-memory", "1"], "at least 1.5 GiB, most of which a worker process takes"),
        (["run", "--archive", "FOREIGN/file"], "name another file with --archive"),
        (["run", "--executor", "ray", "--workers", "2"], "on GPUs with --candidate-gpus 1"),
        (["run", "--executor", "ray", "--candidate-cpus", "0"], "for example --candidate-cpus 1"),
        (["run", "--candidate-gpus", "1"], "add --executor ray"),
        (["resume", "nowhere"], "holds no run"),
        (["show", "FOREIGN"], "holds no run"),
        (["report", "nowhere"], "holds no run"),
        (["describe", "mnasnet-z9"], "unknown network 'mnasnet-z9'"),
        (["describe", "0123abcd"], "say which run with --run RUN"),
        (["describe", "stem8_s1-conv_k3-head8"], "cannot read block 1"),
        (["describe", "mnasnet-a1", "--resolution", "8"], "more than the image's 8 pixels"),
        (["describe", "mnasnet-a1", "--classes", "0"], "--classes must lie between"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    foreign = wrong(tmp_path)
    said = refusal(*(one.replace("FOREIGN", str(foreign)) for one in arguments))
    assert message.replace("FOREIGN", str(foreign)) in said
    assert said.startswith("evomnas: ")
    assert (foreign / "file").read_text() == "mine"
    assert not list(tmp_path.glob("runs/*/run.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit"], "did you mean digits?"),
        pytest.param(
            ["--executor", "ray", "--ray-address", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1",
            marks=pytest.mark.thorough,
        ),
    ],
)  # fmt: skip
def test_a_process_says_no_more_than_that_line(arguments, message, tmp_path):
    result = evomnas("run", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_that_nobody_can_read_is_one_line():
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*COMMAND, "run", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 1
    assert result.stderr.startswith("evomnas: No space left on device; free some space")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_command_line_is_read_ends_as_one_during_the_command(sent, code):
    program = (
        "import os, typer.main\n"
        "from evomnas.cli import main\n"
        "original = typer.main.get_command\n"
        f"typer.main.get_command = lambda *a, **k: (os.kill(os.getpid(), {int(sent)}), original(*a, **k))[1]\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "problems"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (result.returncode, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr


def test_debug_shows_a_traceback(tmp_path):
    result = evomnas("--debug", "show", tmp_path)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def children(pid: int) -> list[str]:
    return subprocess.run(["pgrep", "-g", str(pid)], capture_output=True, text=True, check=False).stdout.split()


@pytest.fixture
def started(tiny_file, tmp_path):
    """A search whose trainings are long, in a process group of its own, once two networks are evaluated."""
    tiny_file.write_text(tiny_file.read_text().replace("epochs = 1", "epochs = 30"))
    process = subprocess.Popen(
        [*COMMAND, "run", str(tiny_file), "--budget", "40", "--algo", "nsga2", "--option", "population=4"],
        cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    folder = tmp_path / "runs" / "tiny-nsga2-s1"
    wait_until(lambda: (folder / "run.json").exists() and evaluated(folder) >= 2, 240)
    yield process, folder
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def evaluated(folder: Path) -> int:
    return sum(result.evaluation.status == "ok" for result in Run.open(folder).results())


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    for _ in range(int(10 * seconds)):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def left_behind(process: subprocess.Popen, tmp_path: Path) -> list[str]:
    """Processes of its group, and the folders of its workers."""
    return children(process.pid) + [str(path) for path in tmp_path.glob("evomnas-*/*.npy")]


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.thorough)]
)
def test_an_interrupted_run_keeps_everything_and_says_how_to_go_on(sent, code, started, tmp_path):
    process, folder = started
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as a terminal does: to all processes
    else:
        process.send_signal(sent)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    assert f"Go on with: evomnas resume {folder.relative_to(tmp_path)}" in errors
    assert "Traceback" not in errors
    assert "interrupted" in (folder / "report.html").read_text()
    assert evaluated(folder) >= 2
    wait_until(lambda: not left_behind(process, tmp_path), 60)


@pytest.mark.thorough
def test_who_interrupts_again_is_let_go_at_once(started, tmp_path):
    process, folder = started
    os.killpg(process.pid, signal.SIGSTOP)  # so that the second one arrives before the first is dealt with
    os.killpg(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    os.killpg(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (130, 143)
    assert "left at once; every finished evaluation is kept" in errors
    assert "Traceback" not in errors
    assert evaluated(folder) >= 2
    wait_until(lambda: not left_behind(process, tmp_path), 60)


def test_output_that_nobody_reads_is_no_error(finished_run):
    command = " ".join(f"'{part}'" for part in [*COMMAND, "show", str(finished_run.folder), "--all"])
    result = subprocess.run(["bash", "-c", f"{command} | head -1"], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
