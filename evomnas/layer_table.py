"""Latencies from a table of layers: each distinct layer is measured once, a network is the calibrated sum.

A layer is measured by itself, in the runtime, relative to the reference network as everything is. The sum of a
network's layers is not its latency: every call of a runtime costs something, and layouts change at a layer's
borders. So ratio = a * sum + b * layers + c, with coefficients fitted to networks that were measured whole,
random ones of the space. The table and the fit are kept in this user's archive of the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from evomnas.architecture import Architecture
from evomnas.evaluation import Cost, Failure, Measurement
from evomnas.latency.runtimes import Prepared
from evomnas.meter import Meter
from evomnas.space import SearchSpace

FIT_NETWORKS, MIN_FIT_NETWORKS = 24, 8
LAYER_LIMIT_S = 0.1  # per layer: a network has many, whose errors cancel in part
COEFFICIENTS = ("sum", "layers", "one")
INTERVAL = 1.96  # standard deviations of the fit's relative error


@dataclass(frozen=True, slots=True)
class Parts:
    """Some of the stages that an architecture's network consists of, by their places."""

    architecture: Architecture
    places: tuple[int, ...]


def stage_keys(architecture: Architecture, channels: int, resolution: int, classes: int) -> list[str]:
    """What each stage of a network is, from stem to classifier: equal keys take equal time.

    A key holds the operation, input and output channels, stride, SE, skip and the input's resolution.
    """
    side = resolution
    keys = [f"stem_i{channels}_f{architecture.stem}_s{architecture.stem_stride}_r{side}"]
    side = -(-side // architecture.stem_stride)
    for _, _, block, inputs, stride in architecture.layers():
        skip = block.shortcut(inputs, stride)
        se = block.squeeze(inputs) if block.se else 0
        keys.append(f"{block.op}_k{block.kernel}_i{inputs}_f{block.filters}_s{stride}_q{se}_{skip}_r{side}")
        side = -(-side // stride)
    keys.append(f"head_i{architecture.blocks[-1].filters}_f{architecture.head}_r{side}")
    keys.append(f"classifier_i{architecture.head}_o{classes}_r{side}")
    return keys


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
            prepare_parts: Makes stages of networks ready, each with the input that it has in its network.
        """
        self._meter, self._space, self._prepare, self._prepare_parts = meter, space, prepare, prepare_parts
        self._space_key = hashlib.blake2b(repr(space).encode(), digest_size=6).hexdigest()

    def measure(self, architectures: Sequence[Architecture]) -> Iterator[tuple[Architecture, float | Failure]]:
        """Latency of each architecture relative to the reference network; missing layers are measured first."""
        coefficients = self._fit()
        failed = self._fill(architectures)
        for architecture in architectures:
            missing = [key for key in self._keys(architecture) if self._meter.layer(key) is None]
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

    def _keys(self, architecture: Architecture) -> list[str]:
        setting = self._meter.setting
        return stage_keys(architecture, setting.channels, setting.resolution, setting.classes)

    def _features(self, architecture: Architecture) -> NDArray[np.float64]:
        ratios = np.array([self._meter.layer(key) for key in self._keys(architecture)], dtype=np.float64)
        return np.array([ratios.sum(), len(ratios), 1.0])

    def _fit_key(self, name: str) -> str:
        return f"fit_{self._space_key}_{name}"

    def _fit(self) -> NDArray[np.float64]:
        known = [self._meter.layer(self._fit_key(name)) for name in COEFFICIENTS]
        if None not in known:
            return np.array(known, dtype=np.float64)
        rng = np.random.default_rng(0)
        networks = list(dict.fromkeys(self._space.decode(genome) for genome in self._space.sample(FIT_NETWORKS, rng)))
        prepared = {one: made for one, made in self._prepare(networks) if not isinstance(made, Failure)}
        whole = {one: made.ratio for one, made in self._meter.measure(prepared) if isinstance(made, Measurement)}
        self._fill(list(whole))
        usable = [one for one in whole if all(self._meter.layer(key) is not None for key in self._keys(one))]
        if len(usable) < MIN_FIT_NETWORKS:
            raise RuntimeError(
                f"only {len(usable)} of {len(networks)} networks could be measured to fit the layer table"
            )
        ratios = np.array([whole[one] for one in usable])
        features = np.stack([self._features(one) for one in usable])
        # relative errors count, so that small networks are not drowned by large ones
        coefficients, *_ = np.linalg.lstsq(features / ratios[:, None], np.ones(len(usable)), rcond=None)
        residuals = features @ coefficients / ratios - 1
        error = float(np.sqrt((residuals**2).sum() / (len(usable) - len(COEFFICIENTS))))
        for name, value in zip((*COEFFICIENTS, "error"), (*coefficients, error), strict=True):
            self._meter.add_layer(self._fit_key(name), float(value))
        return np.asarray(coefficients, dtype=np.float64)

    def _fill(self, architectures: Sequence[Architecture]) -> dict[str, Failure]:
        """Measure the layers of these architectures that the table lacks, each once; returns what failed."""
        failed: dict[str, Failure] = {}
        places: dict[Architecture, dict[int, str]] = {}
        seen: set[str] = set()
        for architecture in architectures:
            for place, key in enumerate(self._keys(architecture)):
                if key not in seen and self._meter.layer(key) is None:
                    places.setdefault(architecture, {})[place] = key
                seen.add(key)
        wanted = [Parts(architecture, tuple(chosen)) for architecture, chosen in places.items()]
        prepared: dict[str, Prepared] = {}
        for parts, made in self._prepare_parts(wanted):
            keys = [places[parts.architecture][place] for place in parts.places]
            if isinstance(made, Failure):
                failed |= dict.fromkeys(keys, made)
            else:
                prepared |= dict(zip(keys, made, strict=True))
        for key, ratio in self._meter.compare(prepared, time_limit_s=LAYER_LIMIT_S):
            if isinstance(ratio, Failure):
                failed[key] = ratio
            else:
                self._meter.add_layer(key, ratio.ratio)
        return failed


@dataclass(frozen=True, slots=True)
class Check:
    """How well added-up latencies agree with measured ones: rank correlation, and relative errors."""

    networks: int
    tau: float
    mean_error: float
    largest_error: float


def check(table: LayerTable, meter: Meter, prepare: Prepare, architectures: Sequence[Architecture]) -> Check:
    """Measure networks both ways.

    Raises:
        RuntimeError: Fewer than two could be measured both ways.
    """
    added = {one: ratio for one, ratio in table.measure(architectures) if not isinstance(ratio, Failure)}
    prepared = {one: made for one, made in prepare(list(added)) if not isinstance(made, Failure)}
    whole = {one: made.ratio for one, made in meter.measure(prepared) if isinstance(made, Measurement)}
    if len(whole) < 2:
        raise RuntimeError("fewer than two networks could be measured both ways")
    sums, ratios = np.array([added[one] for one in whole]), np.array(list(whole.values()))
    errors = np.abs(sums / ratios - 1)
    tau = float(kendalltau(sums, ratios).statistic)
    return Check(len(whole), tau, float(errors.mean()), float(errors.max()))
