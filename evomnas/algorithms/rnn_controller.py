"""The RNN controller, which emits architectures token by token, and its update by a policy gradient: PPO or REINFORCE.

There is one token per gene. A one-layer LSTM with 100 units reads the token before and gives a softmax over the choices
of the next gene only. Tokens are sampled from it. The probability of an architecture is the product of the
probabilities of its tokens ([1], [2]).

Published figures are used where there are any: 100 units, initial weights from U(-0.1, 0.1), Adam with learning rate
3.5e-4, entropy weight 1e-5, and as the baseline a moving average of rewards with decay 0.95. Two figures are not
published. `PPO_CLIP` is the usual one of [3]. The ten passes of `PPO` over a minibatch are ours, since searches here
ask for hundreds of networks where the paper asked for 8,000.

The gradient of PPO's first pass is that of REINFORCE [4] with a baseline, because the ratio of probabilities is 1
there. So `REINFORCE` is one pass. With one pass per minibatch a controller needs longer steps to learn from hundreds of
networks; its learning rate is ours, too (docs/algorithms.md).

[1] Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, appendix A.1.
[2] Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, section 4.2.
[3] Schulman et al., "Proximal Policy Optimization Algorithms", 2017, equation 7.
[4] Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", 1992.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evomnas.core.seeding import torch_generator
from evomnas.problem.search_space import Genomes

LSTM_UNITS = 100
MAX_INITIAL_WEIGHT = 0.1
ENTROPY_WEIGHT = 1e-5
BASELINE_DECAY = 0.95
PPO_CLIP = 0.2


@dataclass(frozen=True, slots=True)
class PolicyGradient:
    """The update of a controller by a minibatch.

    Attributes:
        passes: Number of updates by one minibatch.
        learning_rate: Step size of Adam.
    """

    passes: int
    learning_rate: float


PPO = PolicyGradient(passes=10, learning_rate=3.5e-4)
REINFORCE = PolicyGradient(passes=1, learning_rate=3.5e-3)


class Controller(nn.Module):
    """The RNN controller: a probability distribution over genomes.

    Attributes:
        tokens: Embedding of all choices of all genes, and of one more token for the beginning.
        rnn: The LSTM.
        logits: The linear layer to the logits of all choices of all genes.
    """

    def __init__(self, sizes: NDArray[np.int64], generator: torch.Generator) -> None:
        """Draw the initial weights.

        Args:
            sizes: Number of choices of every gene, shape (n_var,).
            generator: Source of the random numbers.
        """
        super().__init__()
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._spans = [(int(start), int(end)) for start, end in itertools.pairwise(starts)]
        self._offsets = torch.from_numpy(starts[:-1].copy())
        choices = int(starts[-1])
        with torch.device("meta"):  # skips torch's own initialisation, which would use the global generator
            self.tokens = nn.Embedding(choices + 1, LSTM_UNITS)  # the last one stands for the beginning
            self.rnn = nn.LSTM(LSTM_UNITS, LSTM_UNITS)
            self.logits = nn.Linear(LSTM_UNITS, choices)
        self.to_empty(device="cpu")
        self._mask = torch.full((len(sizes), 1, choices), -torch.inf)  # excludes, per gene, the choices of all others
        for gene, (start, end) in enumerate(self._spans):
            self._mask[gene, :, start:end] = 0.0
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-MAX_INITIAL_WEIGHT, MAX_INITIAL_WEIGHT, generator=generator)

    def emit(self, count: int, generator: torch.Generator | None, temperature: float = 1.0) -> Tensor:
        """Emit genomes token by token.

        Args:
            count: Number of genomes.
            generator: Source of the random numbers; None takes the likeliest token each time.
            temperature: The logits are divided by it; above 1 the choices are more even than the controller has learnt.

        Returns:
            Shape (count, n_var).
        """
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
                    probabilities = (logits / temperature).softmax(dim=1)
                    gene = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
                genes.append(gene)
                token = gene + start
            return torch.stack(genes, dim=1)

    def forward(self, genomes: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the probabilities of genomes.

        Args:
            genomes: Shape (n, n_var).

        Returns:
            The logarithm of the probability of each genome, and the sum of the entropies, in nats, of the softmaxes on
            the way to it; both of shape (n,).
        """
        tokens = genomes + self._offsets
        start_tokens = torch.full((len(genomes), 1), self.tokens.num_embeddings - 1)
        previous_tokens = torch.cat([start_tokens, tokens[:, :-1]], dim=1)
        hidden, _ = self.rnn(self.tokens(previous_tokens.T))
        log_softmax = (self.logits(hidden) + self._mask).log_softmax(dim=-1)  # (n_var, n, choices)
        log_probability = log_softmax.gather(-1, tokens.T[..., None])[..., 0].sum(dim=0)
        # Excluded choices have -inf, and 0 * -inf would be NaN.
        finite = log_softmax.clamp(min=torch.finfo(log_softmax.dtype).min)
        entropy = -(log_softmax.exp() * finite).sum(dim=(0, 2))
        return log_probability, entropy


class Policy:
    """A controller that learns from rewards.

    Attributes:
        baseline: Moving average of the minibatches' mean rewards; None before the first update.
    """

    def __init__(self, sizes: NDArray[np.int64], seed: np.random.SeedSequence, gradient: PolicyGradient = PPO) -> None:
        """Make a controller that has learnt nothing.

        Args:
            sizes: Number of choices of every gene, shape (n_var,).
            seed: The source of all random numbers.
            gradient: How it learns.
        """
        self._generator = torch_generator(seed)
        self._controller = Controller(sizes, self._generator)
        self._optimizer = torch.optim.Adam(self._controller.parameters(), lr=gradient.learning_rate)
        self._passes = gradient.passes
        self.baseline: float | None = None

    def sample(self, count: int, temperature: float = 1.0) -> Genomes:
        """Sample genomes.

        Args:
            count: Number of genomes.
            temperature: See `Controller.emit`.

        Returns:
            Shape (count, n_var). A genome may appear several times.
        """
        with one_thread():
            return np.asarray(self._controller.emit(count, self._generator, temperature).numpy(), dtype=np.int64)

    def likeliest_genome(self) -> NDArray[np.int64]:
        """Return the genome each of whose tokens is the likeliest one behind those before it, shape (n_var,)."""
        with one_thread():
            return np.asarray(self._controller.emit(1, None)[0].numpy(), dtype=np.int64)

    def learn(self, genomes: Genomes, rewards: NDArray[np.float64]) -> float | None:
        """Update the controller once, by one minibatch.

        Args:
            genomes: The genomes as they were sampled, shape (n, n_var).
            rewards: Their rewards, shape (n,).

        Returns:
            The entropy before the update, in nats, as a mean over genes; None without genomes, where nothing is learnt.
        """
        if len(genomes) == 0:
            return None
        mean_reward = float(rewards.mean())
        baseline = mean_reward if self.baseline is None else self.baseline
        advantages = torch.from_numpy(rewards - baseline).float()
        self.baseline = BASELINE_DECAY * baseline + (1 - BASELINE_DECAY) * mean_reward
        samples = torch.from_numpy(genomes)
        with one_thread():
            with torch.no_grad():
                log_before, entropy_before = self._controller(samples)
                entropy_per_gene = float(entropy_before.mean() / genomes.shape[1])
            for _ in range(self._passes):
                log_now, entropy = self._controller(samples)
                ratio = (log_now - log_before).exp()
                clipped_ratio = ratio.clamp(1 - PPO_CLIP, 1 + PPO_CLIP)
                objective = torch.minimum(ratio * advantages, clipped_ratio * advantages)  # [3], equation 7
                loss = -(objective + ENTROPY_WEIGHT * entropy).mean()
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
        return entropy_per_gene


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread for a while.

    The matrices are small, so more threads would not help. And one thread adds up in one order, so that a seed always
    gives the same genomes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
