"""Android phones, through the stock `adb` and a stand-in for the daemon on a phone.

The stand-in's `benchmark_model` prints the times that a file beside it has, and writes the logits that lie there.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from adb_daemon import AdbDaemon

from evomnas.core.errors import InputError
from evomnas.latency.devices import protocol, remote
from evomnas.latency.devices.android import adb_device, benchmark_tool, phone
from evomnas.latency.devices.android.adb_device import _channels_last, _file_name
from evomnas.latency.devices.android.benchmark_tool import Tool, read_seconds
from evomnas.latency.devices.factory import open_device
from evomnas.latency.doctor import Finding, examine_target
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.latency.setting import Setting, default_reference
from evomnas.problem.target import AdbTarget, parse_target
from evomnas.results.evaluation import Failure

TOOL = r"""#!/bin/sh
for word in "$@"; do
    case "$word" in
        --graph=*) graph=${word#*=} ;;
        --num_runs=*) runs=${word#*=} ;;
        --output_filepath=*) output=${word#*=} ;;
        --input_layer_value_files=*) input=${word#*:} ;;
    esac
done
here=$(dirname "$0")/known/$(basename "$graph")
[ -e "$here.fault" ] && . "$here.fault"
[ -n "$output" ] && { cmp -s "$input" "$here.in" || { echo "wrong input"; exit 1; }; cp "$here.out" "$output"; }
. "$here.time"
echo "INFO: STARTING!"
echo "INFO: count=1 curr=9000"
echo "INFO: count=$runs first=900 curr=$time min=$time max=900 avg=$time.5 std=3 p5=1 median=2 p95=3"
"""
PYTHON_TOOL = """#!{python}
import sys, time
sys.path[:] = {path!r}.split(":")
import numpy as np
from ai_edge_litert.interpreter import Interpreter
options = dict(word[2:].split("=", 1) for word in sys.argv[1:])
interpreter = Interpreter(options["graph"], num_threads=int(options["num_threads"]))
interpreter.allocate_tensors()
[image], [logits] = interpreter.get_input_details(), interpreter.get_output_details()
if "input_layer_value_files" in options:
    name, _, file = options["input_layer_value_files"].partition(":")
    assert name in image["name"] and options["input_layer_shape"] == ",".join(map(str, image["shape"]))
    interpreter.set_tensor(image["index"], np.fromfile(file, np.float32).reshape(image["shape"]))
times = []
for _ in range(int(options["num_runs"])):
    started = time.perf_counter()
    interpreter.invoke()
    times.append((time.perf_counter() - started) * 1e6)
if "output_filepath" in options:
    interpreter.get_tensor(logits["index"]).tofile(options["output_filepath"])
print(f"count={{len(times)}} first=1 curr=1 min={{min(times):.0f}} max=9 avg={{sum(times) / len(times):g}} std=1")
"""
COMMANDS = {
    "getprop": "case $1 in ro.product.model) echo 'Phone 7';; ro.board.platform) echo chip;; *abi) echo arm64-v8a;; "
    "ro.build.fingerprint) echo maker/phone:14;; esac",
    "dumpsys": 'cat "$(dirname "$0")/$1"',
    "taskset": 'echo "$1" >"$(dirname "$0")/mask"; shift; exec "$@"',
}


def network(number: int) -> PreparedNetwork:
    rng = np.random.default_rng(number)
    images = rng.random((1, 3, 4, 4)).astype(np.float32)
    return PreparedNetwork(rng.bytes(60), images, rng.random((1, 5)).astype(np.float32))


REFERENCE, FAST, SLOW = networks = [network(number) for number in range(3)]
TIMES_US = {0: 1000, 1: 500, 2: 3000}


class Phone:
    """A stand-in phone: its daemon, and the folder of what it has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        for path in (self.bin, folder / "tmp" / "known"):
            path.mkdir(parents=True)
        for name, body in COMMANDS.items():
            self.write(self.bin / name, f"#!/bin/sh\n{body}\n")
        self.tool = folder / "tmp" / "benchmark_model"
        self.write(self.tool, TOOL)
        for core, rate in enumerate((1800, 1800, 2400, 2400)):
            path = folder / "cpu" / f"cpu{core}" / "cpufreq"
            path.mkdir(parents=True)
            (path / "cpuinfo_max_freq").write_text(f"{rate}000\n")
        self.state(temperature=305, level=80, awake="Awake")
        for number, one in enumerate(networks):
            self.know(one, TIMES_US[number])
        self.daemon = AdbDaemon({"PATH": f"{self.bin}:/usr/bin:/bin"})
        self.serial = f"127.0.0.1:{self.daemon.port}"

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def know(self, one: PreparedNetwork, time_us: int) -> None:
        known = self.folder / "tmp" / "known" / _file_name(one)
        Path(f"{known}.in").write_bytes(_channels_last(one.images))
        Path(f"{known}.out").write_bytes(one.logits.tobytes())
        Path(f"{known}.time").write_text(f"time={time_us}\n")

    def fault(self, one: PreparedNetwork, script: str) -> None:
        Path(f"{self.folder / 'tmp' / 'known' / _file_name(one)}.fault").write_text(script + "\n")

    def state(self, temperature: int, level: int, awake: str) -> None:
        (self.bin / "battery").write_text(f"  level: {level}\n  temperature: {temperature}\n")
        (self.bin / "power").write_text(f"  mWakefulness={awake}\n")

    def plug_in(self) -> None:
        """Connect it again, since adb itself would wait for ten seconds."""
        adb("disconnect", self.serial)
        adb("connect", self.serial)

    @property
    def remains(self) -> list[str]:
        return [path.name for path in (self.folder / "tmp").iterdir() if path.name.startswith("evomnas")]


def adb(*arguments: str) -> str:
    return subprocess.run(["adb", *arguments], capture_output=True, text=True, timeout=30, check=False).stdout


@pytest.fixture(scope="module")
def adb_server(tmp_path_factory):
    """A server of adb's own for these tests, so that a developer's phones are left alone."""
    if shutil.which("adb") is None:
        message = "needs adb: apt-get install adb"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    patch = pytest.MonkeyPatch()
    patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # where adb keeps its keys
    adb("start-server")
    yield
    adb("kill-server")
    patch.undo()


@pytest.fixture
def handset(adb_server, tmp_path, monkeypatch):
    """A phone that is plugged in."""
    one = Phone(tmp_path / "phone")
    monkeypatch.setattr(adb_device, "FOLDER", str(one.folder / "tmp"))
    monkeypatch.setattr(adb_device, "DEFAULT_TOOL", str(one.tool))
    monkeypatch.setattr(adb_device, "TIME_LIMIT_S", 0.2)
    monkeypatch.setattr(adb_device, "CALIBRATION_S", 0.01)
    monkeypatch.setattr(adb_device, "COOLING_S", 0.0)
    monkeypatch.setattr(phone, "CPUS", str(one.folder / "cpu"))
    monkeypatch.setattr(remote, "RETRY_PAUSES_S", (0.01, 0.01))
    adb("connect", one.serial)
    yield one
    adb("disconnect", one.serial)
    one.daemon.close()


@pytest.fixture
def device(handset):
    opened = open_device("adb://", "litert", 1)
    yield opened
    opened.close()


def compared(opened, candidates, on_wait=lambda: None):
    return dict(opened.compare(candidates, REFERENCE, on_wait, 0.2))


def test_targets_are_read():
    assert parse_target("adb://") == AdbTarget("adb://")
    assert parse_target("adb://emulator-5554") == AdbTarget("adb://emulator-5554", "emulator-5554")
    text = "adb://10.0.0.7:5555/data/local/tmp/tools/benchmark_model"
    assert parse_target(text) == AdbTarget(text, "10.0.0.7:5555", "/data/local/tmp/tools/benchmark_model")


def test_a_phone_runs_litert_on_its_cpu_alone():
    settings = [Setting("onnxruntime", "adb://", 1, 1, 3, 32, 10, default_reference(32))]
    settings.append(Setting("litert", "adb://", 1, 1, 3, 32, 10, default_reference(32), provider="cuda"))
    for setting, message in zip(settings, ("only the runtime litert", "only the CPU can measure"), strict=True):
        with pytest.raises(InputError, match=f"on adb:// {message}"):
            setting.check()


def test_ratios_are_those_of_the_times_and_nothing_stays_behind(handset, device):
    ratios = compared(device, [FAST, SLOW])
    assert [round(ratios[index].ratio, 6) for index in (0, 1)] == [0.5, 3.0]
    assert all(len(ratio.samples) >= protocol.MIN_ROUNDS for ratio in ratios.values())
    assert device.calibrate(REFERENCE).latency_ms == 1.0
    assert (handset.bin / "mask").read_text() == "8\n"  # the last of the fastest cores
    described = device.describe()
    assert described | {"version": ""} == {
        "host": "Phone 7", "processor": "chip, arm64-v8a", "build": "maker/phone:14", "version": "", "cores": "3",
    }  # fmt: skip
    [folder] = handset.remains
    assert len(list((handset.folder / "tmp" / folder).iterdir())) == 1  # the reference network
    device.close()
    assert handset.remains == []


def test_the_doctor_says_what_a_phone_is_and_how_it_is(handset):
    found = {finding.name: finding for finding in examine_target("adb://")}
    assert found["target"].state == "adb://"
    assert {name: found[name].state for name in ("host", "processor", "build", "cores")} == {
        "host": "Phone 7", "processor": "chip, arm64-v8a", "build": "maker/phone:14", "cores": "3",
    }  # fmt: skip
    assert found["version"].state.startswith("benchmark_model ")
    assert found["state"] == Finding("state", "battery 80 %, at 30.5 degrees Celsius; its screen is on")
    assert handset.remains == []


def test_a_cable_that_was_pulled_out_in_a_round_is_taken_up_again(handset, device):
    handset.daemon.drops = 1
    waits: list[bool] = []

    def plug_in() -> None:
        waits.append(True)
        handset.plug_in()

    ratios = compared(device, [FAST], plug_in)
    assert waits
    assert round(ratios[0].ratio, 6) == 0.5
    device.close()
    assert handset.remains == []


def test_a_network_with_other_logits_or_a_crash_fails_alone(handset, device):
    handset.know(SLOW, 3000)
    known = handset.folder / "tmp" / "known" / f"{_file_name(SLOW)}.out"
    known.write_bytes((SLOW.logits + 0.1).tobytes())
    broken = network(7)
    handset.know(broken, 100)
    handset.fault(broken, "echo 'ERROR: no memory'; exit 9")
    ratios = compared(device, [FAST, SLOW, broken])
    assert round(ratios[0].ratio, 6) == 0.5
    assert isinstance(ratios[1], Failure)
    assert "benchmark_model computes other logits than PyTorch" in ratios[1].message
    assert "benchmark_model failed on the phone: ERROR: no memory" in ratios[2].message


def test_rounds_in_which_the_clock_rate_changed_do_not_count(handset, device, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_DISTURBED", 6)
    handset.fault(REFERENCE, 'n=$(cat "$0.n" 2>/dev/null || echo 0); echo $((n + 1)) >"$0.n"')
    time = handset.folder / "tmp" / "known" / f"{_file_name(REFERENCE)}.time"
    time.write_text("time=$((1000 + 500 * (n % 2)))\n")  # every burst of it is half as fast or twice as fast
    [ratio] = compared(device, [FAST]).values()
    assert ratio.kind == "throttled"
    assert "the phone's clock rate changed in 6 rounds" in ratio.message


def refuse(handset, message: str, target: str = "adb://") -> None:
    with pytest.raises(InputError, match=message) as caught, closing(open_device(target, "litert", 1)) as opened:
        compared(opened, [FAST])
    assert "\n" not in str(caught.value)
    assert handset.remains == []


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"temperature": 431}, r"is hot, 43.1 C: let it cool below 40 C"),
        pytest.param({"level": 7}, "the battery of the phone .* has 7 %", marks=pytest.mark.thorough),
        pytest.param({"awake": "Dozing"}, "is asleep: switch its screen on", marks=pytest.mark.thorough),
    ],
)
def test_a_phone_that_cannot_keep_its_clock_rate_is_one_line(handset, state, message):
    handset.state(**{"temperature": 305, "level": 80, "awake": "Awake"} | state)
    refuse(handset, message)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda one: one.tool.unlink(), "has no .*benchmark_model: get benchmark_model from storage.googleapis.com"),
        pytest.param(lambda one: one.tool.chmod(0o644), "is no program yet: adb -s", marks=pytest.mark.thorough),
        pytest.param(
            lambda one: Phone.write(one.tool, "\x7fELF"), "is no program for the phone", marks=pytest.mark.thorough
        ),
        (
            lambda one: Phone.write(one.tool, "#!/bin/sh\necho '===== BENCHMARK RESULTS ====='\n"),
            "this benchmark_model is LiteRT's, which takes no input",
        ),
        pytest.param(
            lambda one: Phone.write(one.tool, "#!/bin/sh\necho hello\n"),
            "does not print what TensorFlow Lite's prints, but: hello",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            lambda one: Phone.write(one.tool, TOOL.replace('cp "$here.out" "$output"', ":")),
            "writes no logits",
            marks=pytest.mark.thorough,
        ),
        (lambda one: setattr(one.daemon, "room", 20), "has no room for [0-9,]+ bytes"),
        pytest.param(
            lambda one: one.fault(REFERENCE, "exit 5"),
            "the reference network cannot be measured on adb://: benchmark_model failed on the phone: exit code 5",
            marks=pytest.mark.thorough,
        ),
    ],
)  # fmt: skip
def test_a_phone_that_lacks_something_is_one_line(handset, fault, message):
    fault(handset)
    refuse(handset, message)


def test_a_phone_that_is_not_there_or_not_alone_is_one_line(handset, tmp_path, monkeypatch):
    refuse(handset, "there is no phone R58M, adb devices lists 127.0.0.1:[0-9]+: plug it in", "adb://R58M")
    other = Phone(tmp_path / "other")
    adb("connect", other.serial)
    refuse(handset, "2 phones are connected: name one of them, as adb://127.* or adb://127")
    adb("disconnect", other.serial)
    other.daemon.close()
    adb("disconnect", handset.serial)
    refuse(handset, "adb:// finds no phone: plug one in, and switch on USB debugging")


def test_a_phone_that_has_not_allowed_the_computer_is_one_line(handset):
    adb("disconnect", handset.serial)
    handset.daemon.is_known = False
    adb("connect", handset.serial)
    refuse(handset, "has not allowed this computer")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("X\toffline", "the phone X is offline: pull out the cable"),
        ("X\tno permissions (missing udev rules?)", "the phone X cannot be opened by this user"),
        ("X\tsideload", "the phone X is in the state sideload"),
    ],
)
def test_states_of_phones_are_one_line(said, message, tmp_path, monkeypatch):
    Phone.write(tmp_path / "adb", f"#!/bin/sh\nprintf 'List of devices attached\\n{said}\\n'\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InputError, match=message):
        open_device("adb://", "litert", 1)


def test_a_computer_without_adb_is_told_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="adb:// needs adb of Android's platform tools: apt-get install adb"):
        open_device("adb://", "litert", 1)


def test_a_phone_that_stays_lost_is_a_recorded_failure(handset, device):
    handset.daemon.drops = 9
    [failure] = compared(device, [FAST]).values()
    assert failure.kind == "connection"
    assert "and 2 times it could not be taken up again: the phone " in failure.message
    assert "is offline: pull out the cable and plug it in again" in failure.message


@pytest.mark.thorough
def test_real_files_run_in_real_litert_on_the_phone(handset, monkeypatch):
    """From the networks of a setting to a latency, with a stand-in for the program that runs LiteRT's interpreter."""
    from evomnas.latency.meter import measure_latency
    from evomnas.problem.architecture import Architecture

    monkeypatch.setattr(adb_device, "MAX_DRIFT", 99.0)  # this machine's other programs
    Phone.write(handset.tool, PYTHON_TOOL.format(python=sys.executable, path=os.pathsep.join(sys.path)))
    network = Architecture.parse("stem8_s2-mbconv3_k3_s2_f12_n1_se0.25-head16")
    arguments = {"runtime": "litert", "target": "adb://", "resolution": 16, "classes": 5, "reference": network}
    for precision in ("float", "int8"):
        measured = measure_latency(network, precision=precision, **arguments)
        assert measured.low_ms <= measured.latency_ms <= measured.high_ms
    assert handset.remains == []


@pytest.mark.thorough
def test_a_phone_that_gives_no_answer_is_lost(handset, device, monkeypatch):
    monkeypatch.setattr(adb_device, "RUN_TIMEOUT_S", 0.5)
    handset.fault(FAST, "sleep 60")
    [failure] = compared(device, [FAST], handset.plug_in).values()
    assert failure.kind == "connection"


def test_what_the_program_prints_is_read():
    tool = Tool("/data/local/tmp/benchmark_model", 1, (3,))
    command = tool.command("a.tflite", 50)
    assert command.startswith(
        "taskset 8 /data/local/tmp/benchmark_model --graph=a.tflite --num_threads=1 --num_runs=50"
    )
    assert Tool("t", 2, ()).command("a", 1).startswith("t ")
    line = "INFO: count=50 first=1200 curr=1100 min=1050 max=1900 avg=1103.24 std=90\n"
    assert read_seconds("INFO: count=1 curr=9000 (all same)\n" + line, 50) == pytest.approx(0.00105)
    short = "count=500 first=90 curr=80 min=79 max=99 avg=80.25 std=2"
    assert read_seconds(short, 500) == pytest.approx(80.25e-6)  # whole microseconds would be too coarse
    assert read_seconds("count=3 curr=400 (all same)", 3) == pytest.approx(0.0004)
    with pytest.raises(RuntimeError, match="timed 50 inferences and not 60"):
        read_seconds(line, 60)
    with pytest.raises(benchmark_tool.ForeignTool, match="but: nothing"):
        read_seconds("", 3)
