"""Latencies from a table of layers: each distinct layer is measured once, and a network is a calibrated sum.

**Layers.** A layer is measured in surroundings that resemble those in a network
(`evomnas.latency.layers.surroundings`). The latency of the surroundings alone is subtracted. Everything is measured
relative to the middle layer of the reference network. The whole reference network would be a poor unit for layers: its
weights do not stay in the cache as a single layer's do, and other programs on the machine disturb that, so that a
layer's ratio to it changes by several per cent within half a minute.

**Sums.** The sum of a network's layers is not its latency. Weights that are in the cache while one layer is timed are
not there in a network, and a layer's neighbours have an influence. So the model is: ratio = a * sum + b * layers + c +
corrections for weights, squeeze-and-excite and identity skips. Its coefficients are fitted to random networks of the
space that are measured whole. The coefficients of the corrections are drawn towards zero (ridge regression).

The table and the fit are kept in this user's archive of the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomnas.core.numbers.ranks import kendall_tau
from evomnas.latency.layers.stages import STAGE_COPIES, Parts, Stage, describe_stages
from evomnas.latency.meter import Meter
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import SearchSpace
from evomnas.results.evaluation import Cost, Failure, Measurement

FIT_NETWORKS, MIN_FIT_NETWORKS = 40, 8  # networks that the sum is fitted to, and the least that must be measured
LAYER_TIME_LIMIT_S = 0.05  # per layer; it may be short, since a network has many layers, whose errors cancel in part
SWEEPS = 2  # measurements of each layer, at different times
LAYERS_BATCH, WHOLE_BATCH = 8, 20  # networks whose layers, or that themselves, are in memory at the same time
CORRECTIONS = ("weights", "gates", "identities")  # attributes of `Stage`
COEFFICIENTS = ("sum", "layers", "one", *CORRECTIONS)
RIDGE_STRENGTH = 0.03  # relative to what a correction could explain; 0.003 to 0.1 gave the same errors
INTERVAL_DEVIATIONS = 1.96  # half the width of the interval, in standard deviations of the fit's relative error


Prepare = Callable[[Sequence[Architecture]], Iterable[tuple[Architecture, "tuple[Cost, PreparedNetwork] | Failure"]]]
PrepareParts = Callable[[Sequence[Parts]], Iterable[tuple[Parts, "list[PreparedNetwork] | Failure"]]]


class LayerTable:
    """The layer table of a device, with the fit for one search space."""

    def __init__(self, meter: Meter, space: SearchSpace, prepare: Prepare, prepare_parts: PrepareParts) -> None:
        """Set up the table. Nothing is measured yet.

        Args:
            meter: The meter of the device, which also stores the table.
            space: The search space from which the networks for the fit are drawn.
            prepare: Converts whole networks for the runtime, and yields each of them.
            prepare_parts: Converts parts of networks, and yields a list for each, in the order of `Parts.selection`.
        """
        self._meter, self._space, self._prepare, self._prepare_parts = meter, space, prepare, prepare_parts
        fit_settings = space, FIT_NETWORKS, COEFFICIENTS, RIDGE_STRENGTH
        self._unit: PreparedNetwork | None = None
        self._fit_name = hashlib.blake2b(repr(fit_settings).encode(), digest_size=6).hexdigest()

    def measure(self, architectures: Sequence[Architecture]) -> Iterator[tuple[Architecture, float | Failure]]:
        """Add up the latencies of architectures. Layers that the table lacks are measured first.

        The first call also measures the networks of the fit.

        Args:
            architectures: The architectures.

        Yields:
            Each architecture with its latency relative to the reference network, or why it could not be measured.

        Raises:
            RuntimeError: Fewer than `MIN_FIT_NETWORKS` networks could be measured for the fit, or the middle layer of
                the reference network could not be converted.
        """
        coefficients = self._fit()
        failures = self._measure_missing(architectures)
        for architecture in architectures:
            missing = self._missing(architecture)
            if missing:
                yield architecture, failures[missing[0]]
                continue
            ratio = float(self._features(architecture) @ coefficients)
            if ratio > 0:
                yield architecture, ratio
            else:
                yield (
                    architecture,
                    Failure("error", f"the table of layers adds up to {ratio:.3g}: measure whole networks"),
                )

    def to_measurement(self, cost: Cost, ratio: float) -> Measurement:
        """Return a latency that was added up as a measurement.

        Args:
            cost: The network's parameters and MACs.
            ratio: Its latency relative to the reference network.

        Returns:
            The measurement in milliseconds. Its interval follows from the error of the fit, and it has no samples.
        """
        scale = self._meter.calibration.latency_ms
        low, high = (ratio * (1 + sign * INTERVAL_DEVIATIONS * self.error) for sign in (-1, 1))
        return Measurement(cost, ratio * scale, max(0.0, low) * scale, high * scale, ratio, (), 0.0, precise=False)

    @property
    def error(self) -> float:
        """The standard deviation of the fit's relative error; 0 before the first measurement."""
        return self._meter.layer(self._fit_key("error")) or 0.0

    def _stages(self, architecture: Architecture) -> list[Stage]:
        setting = self._meter.setting
        return describe_stages(architecture, setting.channels, setting.resolution, setting.classes)

    def _missing(self, architecture: Architecture) -> list[str]:
        """Return the keys that a network's sum needs and the table lacks."""
        keys = [key for stage in self._stages(architecture) for key in (stage.key, stage.surroundings_key) if key]
        return [key for key in keys if self._meter.layer(key) is None]

    def _features(self, architecture: Architecture) -> NDArray[np.float64]:
        """Return the values of `COEFFICIENTS` for a network none of whose layers is missing."""
        stages = self._stages(architecture)
        total = sum(self._ratio(stage.key) - self._ratio(stage.surroundings_key) for stage in stages) / STAGE_COPIES
        corrections = [sum(getattr(stage, name) for stage in stages) for name in CORRECTIONS]
        return np.array([total, len(stages), 1.0, *corrections], dtype=np.float64)

    def _ratio(self, key: str | None) -> float:
        ratio = 0.0 if key is None else self._meter.layer(key)
        assert ratio is not None
        return ratio

    def _fit_key(self, name: str) -> str:
        return f"fit_{self._fit_name}_{name}"

    def _fit(self) -> NDArray[np.float64]:
        """Return the coefficients, from the archive or from new measurements."""
        stored = [self._meter.layer(self._fit_key(name)) for name in COEFFICIENTS]
        if None not in stored:
            return np.array(stored, dtype=np.float64)
        rng = np.random.default_rng(0)
        networks = list(dict.fromkeys(self._space.decode(genome) for genome in self._space.sample(FIT_NETWORKS, rng)))
        ratios = measure_whole_networks(self._meter, self._prepare, networks)
        self._measure_missing(list(ratios))
        usable = [architecture for architecture in ratios if not self._missing(architecture)]
        if len(usable) < MIN_FIT_NETWORKS:
            raise RuntimeError(
                f"only {len(usable)} of {len(networks)} networks could be measured to fit the layer table"
            )
        features = np.stack([self._features(architecture) for architecture in usable])
        coefficients, error = fit_coefficients(features, np.array([ratios[architecture] for architecture in usable]))
        for name, value in zip((*COEFFICIENTS, "error"), (*coefficients, error), strict=True):
            self._meter.add_layer(self._fit_key(name), float(value))
        return coefficients

    def _measure_missing(self, architectures: Sequence[Architecture]) -> dict[str, Failure]:
        """Measure the layers of architectures that the table lacks, each once, and return the failures by key."""
        keys = self._select_missing(architectures)
        failures: dict[str, Failure] = {}
        parts = list(keys)
        for start in range(0, len(parts), LAYERS_BATCH):
            prepared: dict[str, PreparedNetwork] = {}
            for network_parts, result in self._prepare_parts(parts[start : start + LAYERS_BATCH]):
                if isinstance(result, Failure):
                    failures |= dict.fromkeys(keys[network_parts], result)
                else:
                    prepared |= dict(zip(keys[network_parts], result, strict=True))
            failures |= self._measure_parts(prepared, self._prepare_unit())
        return failures

    def _select_missing(self, architectures: Sequence[Architecture]) -> dict[Parts, list[str]]:
        """Return the parts of architectures that the table lacks, each once, with the key of each selected part."""
        seen: set[str | None] = {None}
        keys: dict[Parts, list[str]] = {}
        for architecture in architectures:
            missing = set(self._missing(architecture)) - seen
            selection: dict[str, tuple[int, bool]] = {}
            for index, stage in enumerate(self._stages(architecture)):
                for key, has_stage in ((stage.key, True), (stage.surroundings_key, False)):
                    if key in missing:
                        selection.setdefault(key, (index, has_stage))
            if selection:
                keys[Parts(architecture, tuple(selection.values()))] = list(selection)
            seen |= missing
        return keys

    def _prepare_unit(self) -> PreparedNetwork:
        """Return the unit of all layers: the middle layer of the reference network, in its surroundings."""
        if self._unit is None:
            reference = self._meter.setting.reference
            middle = len(self._stages(reference)) // 2
            [(_, result)] = self._prepare_parts([Parts(reference, ((middle, True),))])
            if isinstance(result, Failure):
                raise RuntimeError(f"a layer of the reference network cannot be prepared: {result.message}")
            [self._unit] = result
        return self._unit

    def _measure_parts(self, prepared: dict[str, PreparedNetwork], unit: PreparedNetwork) -> dict[str, Failure]:
        """Measure converted parts `SWEEPS` times, store the mean of each, and return the failures by key."""
        failures: dict[str, Failure] = {}
        ratios: dict[str, list[float]] = {key: [] for key in prepared}
        for _ in range(SWEEPS):
            for key, ratio in self._meter.compare(prepared, time_limit_s=LAYER_TIME_LIMIT_S, reference=unit):
                if isinstance(ratio, Failure):
                    failures[key] = ratio
                else:
                    ratios[key].append(ratio.ratio)
        for key in prepared.keys() - failures.keys():
            self._meter.add_layer(key, float(np.mean(ratios[key])))
        return failures


def measure_whole_networks(
    meter: Meter, prepare: Prepare, architectures: Sequence[Architecture]
) -> dict[Architecture, float]:
    """Measure whole networks.

    Args:
        meter: The meter of the device.
        prepare: Converts networks for the runtime.
        architectures: The networks.

    Returns:
        The ratio to the reference network, for each network that could be measured.
    """
    ratios: dict[Architecture, float] = {}
    for start in range(0, len(architectures), WHOLE_BATCH):
        results = prepare(architectures[start : start + WHOLE_BATCH])
        prepared = {architecture: result for architecture, result in results if not isinstance(result, Failure)}
        for architecture, measurement in meter.measure(prepared):
            if isinstance(measurement, Measurement):
                ratios[architecture] = measurement.ratio
    return ratios


def fit_coefficients(features: NDArray[np.float64], ratios: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Fit the coefficients of the sum to measured networks, by ridge regression.

    The squares of relative errors are minimised, since otherwise large networks would outweigh small ones. Only the
    coefficients of the corrections, which are the last ones, are drawn towards zero.

    Args:
        features: The values of `COEFFICIENTS` for each network, shape (networks, coefficients).
        ratios: The measured latencies relative to the reference network, shape (networks,).

    Returns:
        The coefficients, shape (coefficients,), and the standard deviation of the relative error.
    """
    relative = features / ratios[:, None]
    scale = np.abs(relative).mean(axis=0)
    scale[scale == 0] = 1.0  # as in a space without squeeze-and-excite
    scaled = relative / scale
    strength = np.where(
        np.arange(features.shape[1]) < features.shape[1] - len(CORRECTIONS), 0.0, RIDGE_STRENGTH * len(ratios)
    )
    rows = np.vstack([scaled, np.diag(np.sqrt(strength))])
    targets = np.concatenate([np.ones(len(ratios)), np.zeros(len(strength))])
    coefficients = np.linalg.lstsq(rows, targets, rcond=None)[0] / scale
    residuals = features @ coefficients / ratios - 1
    error = float(np.sqrt((residuals**2).sum() / (len(ratios) - features.shape[1])))
    return coefficients, error


@dataclass(frozen=True, slots=True)
class TableCheck:
    """A comparison of latencies that were added up with measured ones.

    Attributes:
        networks: The number of networks that were measured both ways.
        tau: Kendall's rank correlation between the sums and the means of two measurements of the whole networks.
        tau_whole: Kendall's rank correlation between these two measurements; sums cannot be expected to do better.
        mean_error: The mean relative error of the sums.
        largest_error: The largest relative error of a sum.
    """

    networks: int
    tau: float
    tau_whole: float
    mean_error: float
    largest_error: float


def check_table(table: LayerTable, meter: Meter, prepare: Prepare, architectures: Sequence[Architecture]) -> TableCheck:
    """Measure networks whole and by their layers, and compare the two.

    Whole networks are measured twice, before and after, to tell their own noise from errors of the sums.

    Args:
        table: The layer table.
        meter: The meter of the device.
        prepare: Converts whole networks for the runtime.
        architectures: The networks, which should not be those of the fit.

    Returns:
        The rank correlations and relative errors.

    Raises:
        RuntimeError: Fewer than two networks could be measured both ways.
    """
    before = measure_whole_networks(meter, prepare, architectures)
    added_up = {
        architecture: ratio for architecture, ratio in table.measure(list(before)) if not isinstance(ratio, Failure)
    }
    after = measure_whole_networks(meter, prepare, list(added_up))
    compared = [architecture for architecture in added_up if architecture in after]
    if len(compared) < 2:
        raise RuntimeError("fewer than two networks could be measured both ways")
    sums, first, second = (
        np.array([ratios[architecture] for architecture in compared]) for ratios in (added_up, before, after)
    )
    means = (first + second) / 2
    errors = np.abs(sums / means - 1)
    tau, tau_whole = kendall_tau(sums, means), kendall_tau(first, second)
    return TableCheck(len(compared), tau, tau_whole, float(errors.mean()), float(errors.max()))
