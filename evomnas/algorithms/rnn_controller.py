"""The RNN controller that emits architectures token by token, and its update by proximal policy optimization.

One token per gene. A one-layer LSTM with 100 units reads the token before and gives one softmax over just the
choices of the next gene; tokens are sampled, and the probability of an architecture is the product of theirs
([1], [2]). Published figures are used where there are any: 100 units, weights from U(-0.1, 0.1), Adam with
learning rate 3.5e-4, entropy weight 1e-5, a moving average of rewards with decay 0.95 as the baseline. What is
not published is ours: `CLIP` is the usual one of [3], `EPOCHS` the number of passes over a minibatch, since
searches here ask for hundreds of networks where the paper asked for 8,000.

[1] Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, appendix A.1.
[2] Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, section 4.2.
[3] Schulman et al., "Proximal Policy Optimization Algorithms", 2017, equation 7.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evomnas.core.seeding import torch_generator
from evomnas.problem.search_space import Genomes

UNITS = 100
INITIAL = 0.1
LEARNING_RATE = 3.5e-4
ENTROPY_WEIGHT = 1e-5
BASELINE_DECAY = 0.95
CLIP = 0.2
EPOCHS = 10


class Controller(nn.Module):
    """The distribution over genomes with genes of `sizes` choices, shape (n_var,)."""

    def __init__(self, sizes: NDArray[np.int64], generator: torch.Generator) -> None:
        super().__init__()
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._spans = [(int(start), int(end)) for start, end in itertools.pairwise(starts)]
        self._offsets = torch.from_numpy(starts[:-1].copy())
        choices = int(starts[-1])
        with torch.device("meta"):  # skips torch's own initialisation, which would use the global generator
            self.tokens = nn.Embedding(choices + 1, UNITS)  # one more for the beginning
            self.rnn = nn.LSTM(UNITS, UNITS)
            self.logits = nn.Linear(UNITS, choices)
        self.to_empty(device="cpu")
        self._blocked = torch.full((len(sizes), 1, choices), -torch.inf)  # the choices of other genes
        for place, (start, end) in enumerate(self._spans):
            self._blocked[place, :, start:end] = 0.0
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-INITIAL, INITIAL, generator=generator)

    def emit(self, count: int, generator: torch.Generator | None) -> Tensor:
        """`count` genomes, shape (count, n_var), sampled token by token; the likeliest tokens without generator."""
        with torch.no_grad():
            token = torch.full((count,), self.tokens.num_embeddings - 1)
            state: tuple[Tensor, Tensor] | None = None
            genes = []
            for start, end in self._spans:
                hidden, state = self.rnn(self.tokens(token)[None], state)
                logits = nn.functional.linear(hidden[0], self.logits.weight[start:end], self.logits.bias[start:end])
                if generator is None:
                    gene = logits.argmax(dim=1)
                else:
                    gene = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
                genes.append(gene)
                token = gene + start
            return torch.stack(genes, dim=1)

    def forward(self, genomes: Tensor) -> tuple[Tensor, Tensor]:
        """Joint log-probability and summed entropy of genomes of shape (n, n_var), both of shape (n,)."""
        tokens = genomes + self._offsets
        first = torch.full((len(genomes), 1), self.tokens.num_embeddings - 1)
        before = torch.cat([first, tokens[:, :-1]], dim=1)
        hidden, _ = self.rnn(self.tokens(before.T))
        logs = (self.logits(hidden) + self._blocked).log_softmax(dim=-1)  # (n_var, n, choices)
        taken = logs.gather(-1, tokens.T[..., None])[..., 0].sum(dim=0)
        entropy = -(logs.exp() * logs.clamp(min=torch.finfo(logs.dtype).min)).sum(dim=(0, 2))
        return taken, entropy


class Policy:
    """A controller that learns from rewards."""

    def __init__(self, sizes: NDArray[np.int64], seed: np.random.SeedSequence) -> None:
        self._generator = torch_generator(seed)
        self._controller = Controller(sizes, self._generator)
        self._optimizer = torch.optim.Adam(self._controller.parameters(), lr=LEARNING_RATE)
        self.baseline: float | None = None

    def sample(self, count: int) -> Genomes:
        """`count` genomes, shape (count, n_var)."""
        with _one_thread():
            return np.asarray(self._controller.emit(count, self._generator).numpy(), dtype=np.int64)

    def likeliest(self) -> NDArray[np.int64]:
        """The genome of which every token is the likeliest behind those before, shape (n_var,)."""
        with _one_thread():
            return np.asarray(self._controller.emit(1, None)[0].numpy(), dtype=np.int64)

    def learn(self, genomes: Genomes, rewards: NDArray[np.float64]) -> float | None:
        """One update from genomes as they were sampled, shape (n, n_var), and their rewards, shape (n,).

        Returns:
            The entropy before the update, in nats, as a mean over genes; None without genomes, which teach nothing.
        """
        if len(genomes) == 0:
            return None
        mean = float(rewards.mean())
        baseline = mean if self.baseline is None else self.baseline
        advantages = torch.from_numpy(rewards - baseline).float()
        self.baseline = BASELINE_DECAY * baseline + (1 - BASELINE_DECAY) * mean
        taken = torch.from_numpy(genomes)
        with _one_thread():
            with torch.no_grad():
                before, uncertainty = self._controller(taken)
                entropy_per_gene = float(uncertainty.mean() / genomes.shape[1])
            for _ in range(EPOCHS):
                now, entropy = self._controller(taken)
                ratio = (now - before).exp()
                clipped = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)  # [3], (7)
                loss = -(clipped + ENTROPY_WEIGHT * entropy).mean()
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
        return entropy_per_gene


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices are small; and one thread adds up in one order, so that a seed gives one sequence."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
