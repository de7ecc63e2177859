"""Is this machine fit to search and to measure: noise, the interval it can reach, disk, memory, versions."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evomnas.core.machine import describe_machine, describe_versions, user_folder
from evomnas.latency.devices.protocol import PRECISION, BackgroundLoad
from evomnas.latency.meter import Meter, machine_archive_path
from evomnas.latency.prepare import prepare_here
from evomnas.latency.setting import Setting, default_reference
from evomnas.problem.published import published
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Failure

QUIET_LOAD = 0.1  # busy cores that do no harm
MIN_FREE_GIB, MIN_MEMORY_GIB = 2.0, 4.0
WATCH_S = 1.0
SESSIONS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` is empty where it is well."""

    name: str
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at the machine for some seconds."""
    machine = describe_machine()
    findings = [
        Finding("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"),
        Finding("versions", ", ".join(f"{name} {version}" for name, version in describe_versions().items())),
        _load(),
        _governor(),
        *_latency(),
        _memory(),
        _disk("this folder", Path.cwd()),
        _disk("temporary", Path(tempfile.gettempdir())),
        _user_folder(),
    ]
    return [one for one in findings if one.found]


def _load() -> Finding:
    load = BackgroundLoad()
    time.sleep(WATCH_S)
    busy = load()
    if busy is None:
        return Finding("load", "the system does not tell")
    advice = "" if busy <= QUIET_LOAD else "other programs are at work: stop them while latencies matter (see top)"
    return Finding("load", f"{busy:.2f} cores busy with something else", advice)


def _governor() -> Finding:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    governor = path.read_text().strip() if path.is_file() else ""
    steady = governor in ("", "performance")
    advice = "" if steady else "a steady clock makes latencies narrower: sudo cpupower frequency-set -g performance"
    return Finding("clock", governor, advice)


def _latency() -> list[Finding]:
    """MnasNet-A1 against MobileNetV2 at 224 pixels, several times: what repeats, and what the machine adds."""
    architecture = published("mnasnet-a1")
    setting = Setting("onnxruntime", "local", 1, 1, 3, 224, 1000, default_reference(224))
    prepared = {architecture: prepare_here(setting, architecture)}
    meter = Meter(setting, lambda one: prepare_here(setting, one)[1], Archive())
    try:
        results = [dict(meter.measure(prepared))[architecture] for _ in range(SESSIONS)]
    finally:
        meter.close()
    failure = next((one for one in results if isinstance(one, Failure)), None)
    if failure is not None:
        return [Finding("latency", f"cannot be measured: {failure.message}", "reinstall onnxruntime")]
    good = [one for one in results if not isinstance(one, Failure)]
    latencies = [one.latency_ms for one in good]
    width = float(np.median([(one.high_ms - one.low_ms) / 2 / one.latency_ms for one in good]))
    spread = (max(latencies) - min(latencies)) / float(np.median(latencies))
    noise = float(np.std([sample for one in good for sample in one.samples]) / np.mean([one.ratio for one in good]))
    noisy = "" if width <= 2 * PRECISION else "noisy: stop other programs, or measure on a device of its own (--target)"
    calibration = meter.calibration
    calibrated = f"MobileNetV2 takes {calibration.latency_ms:.2f} ms at 224 pixels"
    busy = calibration.load is not None and calibration.load > QUIET_LOAD
    again = f"taken with {calibration.load or 0:.1f} cores busy: when it is quiet, remove {machine_archive_path()}"
    return [
        Finding("noise", f"{noise:.1%} from round to round"),
        Finding("interval", f"±{width:.1%} in {np.median([one.seconds for one in good]):.2f} s per network", noisy),
        Finding("repeats", f"{SESSIONS} measurements of MnasNet-A1 within {spread:.1%}"),
        Finding("calibration", calibrated, again if busy else ""),
    ]


def _memory() -> Finding:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (ValueError, OSError):
        return Finding("memory", "")
    advice = "" if free >= MIN_MEMORY_GIB else f"less than {MIN_MEMORY_GIB:g} GiB: fewer --workers need less"
    return Finding("memory", f"{free:.1f} GiB unused", advice)


def _disk(name: str, path: Path) -> Finding:
    free = shutil.disk_usage(path).free / 2**30
    advice = "" if free >= MIN_FREE_GIB else f"less than {MIN_FREE_GIB:g} GiB free on the disk of {path}"
    return Finding(f"disk, {name}", f"{free:.1f} GiB free", advice)


def _user_folder() -> Finding:
    folder = user_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("own folder", f"{folder}: {error.strerror}", "set XDG_CACHE_HOME: calibrations cannot be kept")
    return Finding("own folder", str(folder))
