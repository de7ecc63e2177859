"""A check of whether this machine is fit to search and to measure.

It looks at the noise of latencies, the interval that they reach, the load, the clock, memory, disks and versions.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evomnas.core.requirements import requirements_fault
from evomnas.core.system.container import read_allowance
from evomnas.core.system.machine import (
    clock_governor,
    describe_machine,
    describe_versions,
    free_memory_gib,
    memory_gib,
    user_folder,
)
from evomnas.data.prepared.cache import VARIABLE, KeptSet, cache_folder, list_sets
from evomnas.latency.devices.factory import open_device
from evomnas.latency.devices.protocol import PRECISION, BackgroundLoad
from evomnas.latency.machine_archive import (
    machine_archive_fault,
    open_machine_archive,
    set_machine_archive_aside,
)
from evomnas.latency.meter import open_meter
from evomnas.latency.setting import Setting, default_reference, runtime_of
from evomnas.problem.published import published
from evomnas.results.evaluation import Failure, Measurement

MAX_QUIET_LOAD = 0.1  # cores; so few that are busy with other programs do no harm
MIN_FREE_DISK_GIB, MIN_FREE_MEMORY_GIB = 2.0, 2.0
LOAD_WATCH_S = 1.0
LATENCY_SESSIONS = 5
MAX_LISTED_SETS = 20  # of prepared images


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one thing that was examined.

    Attributes:
        name: Its name.
        state: Its state in words; empty if it does not exist on this machine.
        advice: What to do about it; empty if nothing is wrong.
    """

    name: str
    state: str
    advice: str = ""


def examine(fix: bool = False) -> list[Finding]:
    """Examine the machine, for some seconds.

    Args:
        fix: True to take bad calibrations again, if the machine is quiet now, and to begin a new archive of the machine
            where that is damaged.

    Returns:
        The state of everything that was examined and that exists on this machine, in the order in which it is shown.
    """
    machine, load = describe_machine(), _load()
    is_quiet = not load.advice
    # A latency needs a calibration: what is wrong with old ones is mended before, and told with the new one after it.
    latency = [_calibrations(True, is_quiet), *_latency()] if fix else [*_latency(), _calibrations(False, is_quiet)]
    memory = [f"{machine['memory_gib']} GiB"] if machine["memory_gib"] else []  # else the system does not tell
    findings = [
        Finding("machine", ", ".join([str(machine["processor"]), f"{machine['cores']} cores", *memory])),
        _container(),
        Finding("versions", ", ".join(map(" ".join, describe_versions().items())), requirements_fault()),
        load,
        _governor(),
        *latency,
        _memory(),
        _disk("this folder", Path.cwd()),
        _disk("temporary", Path(tempfile.gettempdir())),
        _user_folder(),
        *_prepared_images(),
    ]
    return [finding for finding in findings if finding.state]


def examine_target(target: str) -> list[Finding]:
    """Connect to another device, and say what latencies there would be of.

    Args:
        target: `ssh://...`, `adb://...` or `ray://...`.

    Returns:
        What the device says of itself, and of a phone its state.

    Raises:
        InputError: The device cannot be reached or used; the message says what to do.
    """
    with closing(open_device(target, runtime_of(target) or "onnxruntime", 1)) as device:
        findings = [Finding("target", target)]
        findings += [Finding(name, str(value)) for name, value in device.describe().items()]
        health = getattr(device, "read_health", None)  # of a phone
        if health is not None:
            state = health()
            advice = "let it cool down: a phone that is warm lowers its clock rate" if state.is_hot else ""
            findings.append(Finding("state", state.text, advice))
    return findings


def _container() -> Finding:
    """The part of the machine that a container, or another control group, allows."""
    allowance = read_allowance()
    parts = []
    if allowance.memory is not None and allowance.memory / 2**30 <= memory_gib():  # else the machine has less
        parts.append(f"{allowance.memory / 2**30:.1f} GiB of memory")
    if allowance.cores is not None:
        parts.append(f"the time of {allowance.cores:g} cores")
    return Finding("container", f"allows {' and '.join(parts)}" if parts else "")


def _load() -> Finding:
    load = BackgroundLoad()
    time.sleep(LOAD_WATCH_S)
    busy = load()
    if busy is None:
        return Finding("load", "the system does not tell")
    advice = "" if busy <= MAX_QUIET_LOAD else "other programs are at work: stop them while latencies matter (see top)"
    return Finding("load", f"{busy:.2f} cores busy with something else", advice)


def _governor() -> Finding:
    governor = clock_governor()
    steady = governor in ("", "performance")
    advice = "" if steady else "a steady clock makes latencies narrower: sudo cpupower frequency-set -g performance"
    return Finding("clock", governor, advice)


def _calibrations(fix: bool, is_quiet: bool) -> Finding:
    """Look for calibrations that are damaged or were taken while the machine was busy, and mend that if asked to."""
    name, fault = "calibrations", machine_archive_fault()
    if fault is not None and not fix:
        return Finding(name, fault, "evomnas doctor --fix sets the file aside, and they are taken again")
    if fault is not None:
        try:
            return Finding(name, f"damaged, and taken again; the old file is {set_machine_archive_aside()} now")
        except OSError as error:
            return Finding(name, fault, f"it cannot be set aside: {error.strerror}; set XDG_CACHE_HOME")
    archive = open_machine_archive()
    if archive is None:
        return Finding(name, "")
    with closing(archive):
        busy = archive.busy_calibrations(MAX_QUIET_LOAD)
        if fix and is_quiet:
            archive.forget_calibrations(busy)
    if not busy:
        return Finding(name, "")
    state = f"{len(busy)} taken while other programs were at work"
    if not fix:
        return Finding(name, state, f"{'' if is_quiet else 'when it is quiet: '}evomnas doctor --fix takes them again")
    if not is_quiet:
        return Finding(name, state, "it is still busy: stop other programs (see top), then evomnas doctor --fix again")
    return Finding(name, f"{state}, and forgotten: each is taken again when it is needed")


def _latency() -> list[Finding]:
    """Measure MnasNet-A1 against MobileNetV2 at 224 pixels several times: the noise, the interval and what repeats."""
    from evomnas.latency.prepare import prepare_here  # it imports torch

    architecture = published("mnasnet-a1")
    setting = Setting("onnxruntime", "local", 1, 1, 3, 224, 1000, default_reference(224))
    prepared = {architecture: prepare_here(setting, architecture)}
    with open_meter(setting) as meter:
        results = [dict(meter.measure(prepared))[architecture] for _ in range(LATENCY_SESSIONS)]
        failure = next((result for result in results if isinstance(result, Failure)), None)
        if failure is not None:
            return [Finding("latency", f"cannot be measured: {failure.message}", "reinstall onnxruntime")]
        calibration = meter.calibration
    measurements = [result for result in results if isinstance(result, Measurement)]
    return [
        *_precision(measurements),
        Finding("calibration", f"MobileNetV2 takes {calibration.latency_ms:.2f} ms at 224 pixels"),
    ]


def _precision(measurements: Sequence[Measurement]) -> list[Finding]:
    """The noise, the interval and the spread of several measurements of one network."""
    latencies = [measurement.latency_ms for measurement in measurements]
    spread = (max(latencies) - min(latencies)) / float(np.median(latencies))
    half_widths = [(result.high_ms - result.low_ms) / 2 / result.latency_ms for result in measurements]
    half_width = float(np.median(half_widths))
    seconds = np.median([measurement.seconds for measurement in measurements])
    samples = [sample for measurement in measurements for sample in measurement.samples]
    noise = float(np.std(samples) / np.mean([measurement.ratio for measurement in measurements]))
    is_noisy = not half_width <= 2 * PRECISION
    advice = "noisy: stop other programs, or measure on a device of its own (--target)" if is_noisy else ""
    return [
        Finding("noise", f"{noise:.1%} from round to round"),
        Finding("interval", f"±{half_width:.1%} in {seconds:.2f} s per network", advice),
        Finding("repeats", f"{LATENCY_SESSIONS} measurements of MnasNet-A1 within {spread:.1%}"),
    ]


def _memory() -> Finding:
    free = free_memory_gib()
    if free is None:
        return Finding("memory", "")
    advice = "" if free >= MIN_FREE_MEMORY_GIB else f"less than {MIN_FREE_MEMORY_GIB:g} GiB: fewer --workers need less"
    return Finding("memory", f"{free:.1f} GiB free", advice)


def _disk(name: str, path: Path) -> Finding:
    free = shutil.disk_usage(path).free / 2**30
    advice = "" if free >= MIN_FREE_DISK_GIB else f"less than {MIN_FREE_DISK_GIB:g} GiB free on the disk of {path}"
    return Finding(f"disk, {name}", f"{free:.1f} GiB free", advice)


def _prepared_images() -> list[Finding]:
    """The images that were prepared, and where, so that their owner may delete some."""
    sets = list_sets()
    if not sets:
        return []
    total, count = sum(one.bytes for one in sets) / 2**30, len(sets)
    advice = f"delete what you do not need any more: it is prepared again where it is; {VARIABLE} names another folder"
    state = f"{count} set{'s' * (count > 1)}, {total:.1f} GiB in {cache_folder()}"
    is_full = shutil.disk_usage(cache_folder()).free / 2**30 < MIN_FREE_DISK_GIB
    return [Finding("images", state, advice if is_full else ""), *map(_prepared_set, sets[:MAX_LISTED_SETS])]


def _prepared_set(one: KeptSet) -> Finding:
    what = f"{one.images:,} images of {one.source}" if one.images else "not complete"
    return Finding("", f"{one.bytes / 2**30:.1f} GiB in {one.folder.name}: {what}")


def _user_folder() -> Finding:
    folder = user_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("own folder", f"{folder}: {error.strerror}", "set XDG_CACHE_HOME: calibrations cannot be kept")
    return Finding("own folder", str(folder))
