"""Search algorithms: they ask for genomes and are told losses, and know nothing else.

An algorithm is a class that is called with a `SearchSpace` and a seed and has the two methods of
`Algorithm`. It never evaluates, logs or touches files, and draws all randomness from its seed, so that it
can be replayed from an archive. Register another one as an entry point of the group `evomnas.algorithms`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evomnas.space import Genomes


class Algorithm(Protocol):
    """Ask and tell, in turn."""

    def ask(self) -> Genomes:
        """The next genomes, shape (n, n_var); none where the algorithm has nothing more to ask."""
        ...

    def tell(self, genomes: Genomes, losses: NDArray[np.float64], violations: NDArray[np.float64]) -> None:
        """What came of the genomes asked last.

        Args:
            genomes: As asked, shape (n, n_var).
            losses: (error, latency in ms), shape (n, 2); infinite for failed candidates.
            violations: Shape (n,); 0 where a candidate is feasible, positive where it is not or failed.
        """
        ...
