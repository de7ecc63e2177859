"""A recurrent network that predicts losses from genomes.

[1] Dong et al., "DPP-Net: Device-aware Progressive Search for Pareto-optimal Neural Architectures", ECCV 2018.

Published is that an RNN reads a network layer by layer and predicts its accuracy, and that it is trained again by every
network that was trained. Its size and its training are ours, as is its second output, the cost: it counts where the
costs of candidates are not measured.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evomnas.algorithms.rnn_controller import one_thread
from evomnas.core.seeding import torch_generator
from evomnas.problem.search_space import Genomes

UNITS = 64
EMBEDDING = 32
MAX_INITIAL_WEIGHT = 0.125
LEARNING_RATE = 0.01
PASSES = 20  # over all networks, for every batch that is new


class GenomeReader(nn.Module):
    """An LSTM that reads a genome gene by gene and ends in numbers.

    Attributes:
        tokens: Embedding of all choices of all genes.
        rnn: The LSTM.
        outputs: The linear layer from its last state to the numbers.
    """

    def __init__(self, sizes: NDArray[np.int64], outputs: int, generator: torch.Generator) -> None:
        """Draw the initial weights.

        Args:
            sizes: Number of choices of every gene, shape (n_var,).
            outputs: Number of outputs.
            generator: Source of the random numbers.
        """
        super().__init__()
        starts = [0, *itertools.accumulate(sizes.tolist())]
        self._offsets = torch.tensor(starts[:-1])
        with torch.device("meta"):  # skips torch's own initialisation, which would use the global generator
            self.tokens = nn.Embedding(starts[-1], EMBEDDING)
            self.rnn = nn.LSTM(EMBEDDING, UNITS)
            self.outputs = nn.Linear(UNITS, outputs)
        self.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-MAX_INITIAL_WEIGHT, MAX_INITIAL_WEIGHT, generator=generator)

    def forward(self, genomes: Tensor) -> Tensor:
        """Compute the outputs of genomes.

        Args:
            genomes: Shape (n, n_var).

        Returns:
            Shape (n, outputs).
        """
        hidden, _ = self.rnn(self.tokens((genomes + self._offsets).T))
        outputs: Tensor = self.outputs(hidden[-1])
        return outputs


class RecurrentPredictor:
    """Predicts numbers of networks. It keeps its weights from one training to the next."""

    def __init__(self, sizes: NDArray[np.int64], outputs: int, seed: np.random.SeedSequence) -> None:
        """Make a predictor that has learnt nothing.

        Args:
            sizes: Number of choices of every gene, shape (n_var,).
            outputs: How many numbers it predicts of a network.
            seed: The source of all random numbers.
        """
        self._reader = GenomeReader(sizes, outputs, torch_generator(seed))
        self._optimizer = torch.optim.Adam(self._reader.parameters(), lr=LEARNING_RATE)
        self._mean, self._scale = np.zeros(outputs), np.ones(outputs)

    def learn(self, genomes: Genomes, targets: NDArray[np.float64]) -> None:
        """Train on networks: the mean of squared errors, in standard deviations of the targets.

        Args:
            genomes: All networks so far, shape (n, n_var), n > 0.
            targets: What is to be predicted, shape (n, outputs); NaN where it is not known. Each output is known of one
                network at least.
        """
        self._mean, self._scale = np.nanmean(targets, axis=0), np.maximum(np.nanstd(targets, axis=0), 1e-9)
        scaled = torch.from_numpy((targets - self._mean) / self._scale).float()
        is_known, samples = ~scaled.isnan(), torch.from_numpy(genomes)
        with one_thread():
            for _ in range(PASSES):
                loss = ((self._reader(samples)[is_known] - scaled[is_known]) ** 2).mean()
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()

    def predict(self, genomes: Genomes) -> NDArray[np.float64]:
        """Return what is predicted of networks.

        Args:
            genomes: Shape (n, n_var).

        Returns:
            Shape (n, outputs).
        """
        with one_thread(), torch.no_grad():
            outputs = self._reader(torch.from_numpy(genomes)).double().numpy()
        return np.asarray(outputs * self._scale + self._mean, dtype=np.float64)
