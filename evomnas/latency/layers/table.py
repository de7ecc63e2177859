"""Latencies from a table of layers: each distinct layer is measured once, a network is the calibrated sum.

A layer is measured in surroundings that resemble a network's (`evomnas.latency.layers.surroundings`), less the
surroundings alone, relative to the middle layer of the reference network. That network itself is no unit for layers:
its weights come from further away than a single layer's, where other programs on the machine get in the way, so that a
layer's ratio to it changes by several per cent within half a minute.

The sum of a network's layers is not its latency: weights that are warm in the cache while one layer is timed are
not so in a network, and what a layer's neighbours do matters. So ratio = a * sum + b * layers + c + corrections for
weights, SE and identity skips. The coefficients are fitted to random networks of the space that are measured whole;
those of the corrections are drawn towards zero. The table and the fit are kept in this user's archive of the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from evomnas.latency.layers.stages import COPIES, Parts, Stage, stages
from evomnas.latency.meter import Meter
from evomnas.latency.runtimes.base import Prepared
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import SearchSpace
from evomnas.results.evaluation import Cost, Failure, Measurement

FIT_NETWORKS, MIN_FIT_NETWORKS = 40, 8
LAYER_LIMIT_S, SWEEPS = 0.05, 2  # per layer: a network has many, whose errors cancel in part
LAYERS_OF, WHOLE = 8, 20  # networks whose layers, or that themselves, are made ready and in memory at once
CORRECTIONS = ("weights", "gates", "identities")
COEFFICIENTS = ("sum", "layers", "one", *CORRECTIONS)
RIDGE = 0.03  # of the corrections, each relative to what it could explain: 0.003 to 0.1 gave the same errors
INTERVAL = 1.96  # standard deviations of the fit's relative error


Prepare = Callable[[Sequence[Architecture]], Iterable[tuple[Architecture, "tuple[Cost, Prepared] | Failure"]]]
PrepareParts = Callable[[Sequence[Parts]], Iterable[tuple[Parts, "list[Prepared] | Failure"]]]


class LayerTable:
    """A device's table for one search space."""

    def __init__(self, meter: Meter, space: SearchSpace, prepare: Prepare, prepare_parts: PrepareParts) -> None:
        """Nothing is measured before a latency is asked for.

        Args:
            meter: Measures, and keeps the table.
            space: Whose random networks the sum is fitted to.
            prepare: Makes whole networks ready for the runtime.
            prepare_parts: Makes stages of networks ready, in the order of `Parts.wanted`.
        """
        self._meter, self._space, self._prepare, self._prepare_parts = meter, space, prepare, prepare_parts
        fitted = space, FIT_NETWORKS, COEFFICIENTS, RIDGE
        self._unit: Prepared | None = None
        self._fit_name = hashlib.blake2b(repr(fitted).encode(), digest_size=6).hexdigest()

    def measure(self, architectures: Sequence[Architecture]) -> Iterator[tuple[Architecture, float | Failure]]:
        """Latency of each architecture relative to the reference network; missing layers are measured first."""
        coefficients = self._fit()
        failed = self._fill(architectures)
        for architecture in architectures:
            missing = self._missing(architecture)
            if missing:
                yield architecture, failed[missing[0]]
                continue
            ratio = float(self._features(architecture) @ coefficients)
            if ratio > 0:
                yield architecture, ratio
            else:
                yield (
                    architecture,
                    Failure("error", f"the table of layers adds up to {ratio:.3g}: measure whole networks"),
                )

    def measurement(self, cost: Cost, ratio: float) -> Measurement:
        """A latency that was added up; its interval is that of the fit, and there are no samples."""
        scale = self._meter.calibration.latency_ms
        low, high = (ratio * (1 + sign * INTERVAL * self.error) for sign in (-1, 1))
        return Measurement(cost, ratio * scale, max(0.0, low) * scale, high * scale, ratio, (), 0.0, precise=False)

    @property
    def error(self) -> float:
        """Standard deviation of the fit's relative error; 0 before the first measurement."""
        return self._meter.layer(self._fit_key("error")) or 0.0

    def _stages(self, architecture: Architecture) -> list[Stage]:
        setting = self._meter.setting
        return stages(architecture, setting.channels, setting.resolution, setting.classes)

    def _missing(self, architecture: Architecture) -> list[str]:
        """Keys that the network's sum needs and the table lacks."""
        keys = [key for stage in self._stages(architecture) for key in (stage.key, stage.around) if key]
        return [key for key in keys if self._meter.layer(key) is None]

    def _features(self, architecture: Architecture) -> NDArray[np.float64]:
        """What the coefficients are multiplied with; the table has all that it needs."""
        found = self._stages(architecture)
        total = sum(self._known(stage.key) - self._known(stage.around) for stage in found) / COPIES
        corrections = [sum(getattr(stage, name) for stage in found) for name in CORRECTIONS]
        return np.array([total, len(found), 1.0, *corrections], dtype=np.float64)

    def _known(self, key: str | None) -> float:
        value = 0.0 if key is None else self._meter.layer(key)
        assert value is not None
        return value

    def _fit_key(self, name: str) -> str:
        return f"fit_{self._fit_name}_{name}"

    def _fit(self) -> NDArray[np.float64]:
        known = [self._meter.layer(self._fit_key(name)) for name in COEFFICIENTS]
        if None not in known:
            return np.array(known, dtype=np.float64)
        rng = np.random.default_rng(0)
        networks = list(dict.fromkeys(self._space.decode(genome) for genome in self._space.sample(FIT_NETWORKS, rng)))
        whole = measure_whole(self._meter, self._prepare, networks)
        self._fill(list(whole))
        usable = [one for one in whole if not self._missing(one)]
        if len(usable) < MIN_FIT_NETWORKS:
            raise RuntimeError(
                f"only {len(usable)} of {len(networks)} networks could be measured to fit the layer table"
            )
        features = np.stack([self._features(one) for one in usable])
        coefficients, error = fit(features, np.array([whole[one] for one in usable]))
        for name, value in zip((*COEFFICIENTS, "error"), (*coefficients, error), strict=True):
            self._meter.add_layer(self._fit_key(name), float(value))
        return coefficients

    def _fill(self, architectures: Sequence[Architecture]) -> dict[str, Failure]:
        """Measure the layers of these architectures that the table lacks, each once; returns what failed."""
        wanted = self._wanted(architectures)
        failed: dict[str, Failure] = {}
        parts = list(wanted)
        for start in range(0, len(parts), LAYERS_OF):
            prepared: dict[str, Prepared] = {}
            for one, made in self._prepare_parts(parts[start : start + LAYERS_OF]):
                if isinstance(made, Failure):
                    failed |= dict.fromkeys(wanted[one], made)
                else:
                    prepared |= dict(zip(wanted[one], made, strict=True))
            failed |= self._time(prepared, self._prepare_unit())
        return failed

    def _wanted(self, architectures: Sequence[Architecture]) -> dict[Parts, list[str]]:
        """What the table lacks for these architectures, each once, and the keys of what is made of it."""
        seen: set[str | None] = {None}
        wanted: dict[Parts, list[str]] = {}
        for architecture in architectures:
            lacking = set(self._missing(architecture)) - seen
            found: dict[str, tuple[int, bool]] = {}
            for place, stage in enumerate(self._stages(architecture)):
                for key, inside in ((stage.key, True), (stage.around, False)):
                    if key in lacking:
                        found.setdefault(key, (place, inside))
            if found:
                wanted[Parts(architecture, tuple(found.values()))] = list(found)
            seen |= lacking
        return wanted

    def _prepare_unit(self) -> Prepared:
        """What layers are compared with: the middle one of the reference network, in its surroundings."""
        if self._unit is None:
            reference = self._meter.setting.reference
            middle = len(self._stages(reference)) // 2
            [(_, made)] = self._prepare_parts([Parts(reference, ((middle, True),))])
            if isinstance(made, Failure):
                raise RuntimeError(f"a layer of the reference network cannot be prepared: {made.message}")
            [self._unit] = made
        return self._unit

    def _time(self, prepared: dict[str, Prepared], unit: Prepared) -> dict[str, Failure]:
        """Measure what was made ready, twice, and keep the means; returns what failed."""
        failed: dict[str, Failure] = {}
        ratios: dict[str, list[float]] = {key: [] for key in prepared}
        for _ in range(SWEEPS):
            for key, ratio in self._meter.compare(prepared, time_limit_s=LAYER_LIMIT_S, reference=unit):
                if isinstance(ratio, Failure):
                    failed[key] = ratio
                else:
                    ratios[key].append(ratio.ratio)
        for key in prepared.keys() - failed.keys():
            self._meter.add_layer(key, float(np.mean(ratios[key])))
        return failed


def measure_whole(meter: Meter, prepare: Prepare, architectures: Sequence[Architecture]) -> dict[Architecture, float]:
    """Ratios of those networks that could be measured."""
    ratios: dict[Architecture, float] = {}
    for start in range(0, len(architectures), WHOLE):
        made = prepare(architectures[start : start + WHOLE])
        prepared = {one: result for one, result in made if not isinstance(result, Failure)}
        measured = meter.measure(prepared)
        ratios |= {one: result.ratio for one, result in measured if isinstance(result, Measurement)}
    return ratios


def fit(features: NDArray[np.float64], ratios: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Coefficients of features of shape (networks, coefficients) for ratios of shape (networks,), and their error.

    Relative errors count, so that small networks are not drowned by large ones. The coefficients of the corrections,
    the last ones, are drawn towards zero.
    """
    relative = features / ratios[:, None]
    scale = np.abs(relative).mean(axis=0)
    scale[scale == 0] = 1.0  # a space without SE, say
    scaled = relative / scale
    strength = np.where(np.arange(features.shape[1]) < features.shape[1] - len(CORRECTIONS), 0.0, RIDGE * len(ratios))
    rows = np.vstack([scaled, np.diag(np.sqrt(strength))])
    targets = np.concatenate([np.ones(len(ratios)), np.zeros(len(strength))])
    coefficients = np.linalg.lstsq(rows, targets, rcond=None)[0] / scale
    residuals = features @ coefficients / ratios - 1
    error = float(np.sqrt((residuals**2).sum() / (len(ratios) - features.shape[1])))
    return coefficients, error


@dataclass(frozen=True, slots=True)
class Check:
    """How well added-up latencies agree with measured ones: rank correlation, and relative errors.

    Attributes:
        networks: How many were measured both ways.
        tau: Kendall's, between the sums and the means of two measurements of the whole networks.
        tau_whole: Between these two measurements: as well as sums could do.
        mean_error, largest_error: Of the sums, relative to the means.
    """

    networks: int
    tau: float
    tau_whole: float
    mean_error: float
    largest_error: float


def check(table: LayerTable, meter: Meter, prepare: Prepare, architectures: Sequence[Architecture]) -> Check:
    """Measure networks both ways; whole ones twice, since their own noise is no error of the sums.

    Raises:
        RuntimeError: Fewer than two could be measured both ways.
    """
    before = measure_whole(meter, prepare, architectures)
    added = {one: ratio for one, ratio in table.measure(list(before)) if not isinstance(ratio, Failure)}
    after = measure_whole(meter, prepare, list(added))
    both = [one for one in added if one in after]
    if len(both) < 2:
        raise RuntimeError("fewer than two networks could be measured both ways")
    sums, first, second = (np.array([found[one] for one in both]) for found in (added, before, after))
    measured = (first + second) / 2
    errors = np.abs(sums / measured - 1)
    tau, tau_whole = (float(kendalltau(one, other).statistic) for one, other in ((sums, measured), (first, second)))
    return Check(len(both), tau, tau_whole, float(errors.mean()), float(errors.max()))
