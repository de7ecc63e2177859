"""DPP-Net's search: networks grow, a recurrent predictor looks ahead, and Pareto selection keeps a few.

[1] Dong et al., "DPP-Net: Device-aware Progressive Search for Pareto-optimal Neural Architectures", ECCV 2018.

Published is the step: train K networks, teach the predictor their results, let each of them grow in all ways, predict
the accuracies of the children, and keep K of their Pareto front in predicted accuracy and the costs that the device
measures. There a network grows by a layer, from one layer to a fixed number. Here all networks have all blocks, so that
their evaluations can be compared and shared; a block that has not grown yet stands on the reference network's choices.
A network grows by one more block, which takes any of its choices. When the last block has grown, the next step goes on
with the first one, from the best networks so far, until the budget ends.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.base import AskAndTell, Losses, check_whole_number
from evomnas.algorithms.progressive.recurrent_predictor import RecurrentPredictor
from evomnas.algorithms.progressive.selection import select_spread
from evomnas.algorithms.random_search import draw_new_genome
from evomnas.algorithms.surrogate.features import EncodedNetworks, NetworkEncoder, drop_duplicates
from evomnas.algorithms.weighing import measurable_candidates
from evomnas.problem.search_space import Genomes, Space

MAX_CANDIDATES = 1000  # per step; of more, some are drawn at random
LEAST_LOSS = 1e-9  # a logarithm's argument


class DPPNet(AskAndTell):
    """DPP-Net's search, with blocks of this package's spaces in place of layers.

    Attributes:
        explanations: Texts for the report, by the names of `metrics`.
    """

    explanations: ClassVar[Mapping[str, str]] = {
        "misprediction": "the factor by which the errors of a batch's networks differed from what was predicted, as a "
        "geometric mean: 1 is perfect.",
    }

    def __init__(self, space: Space, seed: int, *, batch: int = 8) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            batch: Number of networks that are kept and trained per step, K of [1], at least 2.

        Raises:
            InputError: The batch is out of range.
        """
        super().__init__(space)
        self._batch = check_whole_number("batch", batch, 2)
        numpy_seed, torch_seed = np.random.SeedSequence(seed).spawn(2)
        self._rng = np.random.default_rng(numpy_seed)
        self._predictor = RecurrentPredictor(space.gene_sizes, 2, torch_seed)
        self._encode = NetworkEncoder(space)
        self._seen: set[Hashable] = set()  # keys of all networks asked for
        self._costs: dict[Hashable, float] = {}  # by keys
        self._genomes = np.zeros((0, len(space.gene_sizes)), dtype=np.int64)  # told so far, and what came of them
        self._losses, self._violations = np.zeros((0, 2)), np.zeros(0)
        self._block = 0  # the block that grows in the next step
        self._candidates: EncodedNetworks | None = None  # what `consider` proposed for the next ask
        self._metrics: dict[str, float] = {}

    @property
    def _blocks(self) -> int:
        return -(-len(self.space.gene_sizes) // self.space.genes_per_block)

    def consider(self, price: float) -> Genomes:
        """See `Weighing.consider`: all candidates where costs are free, else the best ones by what is predicted."""
        candidates = self._grow()
        self._candidates = candidates
        if price > 0:
            count = measurable_candidates(price, self._batch) if len(self._genomes) else 0
            if count == 0:
                return candidates.genomes[:0]
            self._candidates = candidates = candidates[select_spread(self._expected_losses(candidates), count)]
        return candidates.genomes[np.isnan(self._known_costs(candidates))]

    def weigh(self, genomes: Genomes, costs: NDArray[np.float64]) -> None:
        """See `Weighing.weigh`."""
        self._costs.update(zip(self._encode(genomes).keys, costs.tolist(), strict=True))

    def _breed(self) -> Genomes:
        candidates = self._grow() if self._candidates is None else self._candidates
        self._candidates = None
        candidates = candidates[np.flatnonzero(~np.isinf(self._known_costs(candidates)))]  # others exceed a limit
        if not self._seen:
            rows = np.arange(min(self._batch, len(candidates)))
        else:
            rows = select_spread(self._expected_losses(candidates), self._batch)
        self._block = (self._block + 1) % self._blocks
        self._seen.update(candidates[rows].keys)
        genomes = list(candidates.genomes[rows])
        if not genomes:
            draws = (draw_new_genome(self.space, self._seen, self._rng, self._encode.key) for _ in range(self._batch))
            genomes = [genome for genome in draws if genome is not None]
        return np.array(genomes, dtype=np.int64).reshape(-1, len(self.space.gene_sizes))

    def _grow(self) -> EncodedNetworks:
        """Return the children of the best networks that were not asked for; the first block that has any grows.

        Before the first results they are those of the reference network, which is the first of them.
        """
        parents = self._parents()
        for step in range(self._blocks):
            block = (self._block + step) % self._blocks
            children = drop_duplicates(self._encode(self._children(parents, block)), self._seen)
            if len(children):
                self._block = block
                return children
        return self._encode(parents[:0])

    def _parents(self) -> Genomes:
        """Return the best networks that were told, as many as a batch has at most; else the one to begin with."""
        if not self._seen:
            landmarks = self.space.landmarks()
            return landmarks[:1] if len(landmarks) else self.space.draw(self._rng)[None]
        possible = np.isfinite(self._violations) & np.isfinite(self._losses).all(axis=1)
        if not possible.any():
            closest = np.argsort(self._violations, kind="stable")[: self._batch]
            return self._genomes[closest]
        rows = np.flatnonzero(possible)
        return self._genomes[rows[select_spread(self._losses[rows], self._batch)]]

    def _children(self, parents: Genomes, block: int) -> Genomes:
        """Return parents with all choices of a block, or some of them at random where there are very many.

        Args:
            parents: Shape (n, n_var).
            block: The number of the block, from 0.

        Returns:
            Shape (m, n_var), in random order behind the first parent.
        """
        genes = slice(block * self.space.genes_per_block, (block + 1) * self.space.genes_per_block)
        choices = np.array(list(np.ndindex(*self.space.gene_sizes[genes].tolist())), dtype=np.int64)
        children = np.repeat(parents, len(choices), axis=0)
        children[:, genes] = np.tile(choices, (len(parents), 1))
        order = self._rng.permutation(len(children))[:MAX_CANDIDATES]
        return np.concatenate([parents[:1], children[order]])

    def _expected_losses(self, networks: EncodedNetworks) -> NDArray[np.float64]:
        """Return the logarithms of predicted errors, and of costs as far as they are known, shape (n, 2)."""
        expected = self._predictor.predict(networks.genomes)
        costs = self._known_costs(networks)
        expected[:, 1] = np.where(np.isnan(costs), expected[:, 1], np.log(np.maximum(costs, LEAST_LOSS)))
        return expected

    def _known_costs(self, networks: EncodedNetworks) -> NDArray[np.float64]:
        """Return the costs of networks, shape (n,): NaN where they are not known, infinite where there are none."""
        return np.array([self._costs.get(key, np.nan) for key in networks.keys])

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        self.weigh(genomes, losses[:, 1])
        self._genomes = np.concatenate([self._genomes, genomes])
        self._losses = np.concatenate([self._losses, losses])
        self._violations = np.concatenate([self._violations, violations])
        known = np.asarray(np.isfinite(self._losses).all(axis=1))
        self._metrics = {}
        if not known.any():
            return
        log_losses = np.log(np.maximum(self._losses, LEAST_LOSS))
        log_losses[~known] = [log_losses[known, 0].max() + 1, np.nan]  # failures count as far worse than the worst
        new = np.flatnonzero(known[-len(genomes) :])
        if len(new) and known[: -len(genomes)].any():
            differences = self._predictor.predict(genomes[new])[:, 0] - log_losses[-len(genomes) :][new, 0]
            self._metrics = {"misprediction": float(np.exp(np.abs(differences).mean()))}
        self._predictor.learn(self._genomes, log_losses)

    def metrics(self) -> Mapping[str, float]:
        """See `Introspective.metrics`: how far the predictions were off; empty of the first networks."""
        return self._metrics
