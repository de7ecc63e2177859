"""Which of pymoo's algorithms can search networks: what cannot is told so before networks are evaluated."""

from __future__ import annotations

from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.core.algorithm import Algorithm
from pymoo.operators.repair.rounding import RoundingRepair

from evomnas.core.errors import InputError

_REAL_OPERATORS = ("sbx", "pm", "gauss", "pcx", "dex")  # pymoo's modules of operators for real numbers
_REMEDY = (
    "genes are whole numbers, so give the algorithm the problem's operators, as in NSGA2(**problem.operators()); one "
    "that moves through real numbers, such as a particle swarm, cannot search networks"
)


def check_genomes(genomes: NDArray[Any]) -> None:
    """Check that genomes are whole numbers.

    Args:
        genomes: Shape (n, n_var).

    Raises:
        InputError: They are not, since the algorithm has operators for real numbers.
    """
    if genomes.dtype.kind != "f":
        return
    for row, gene in np.argwhere(genomes != np.floor(genomes))[:1]:
        raise InputError(f"pymoo asks for a network whose gene {gene} is {genomes[row, gene]:.3g}: {_REMEDY}")


def check_algorithm(algorithm: Algorithm | None, asked: int) -> None:
    """Check that an algorithm of pymoo can search networks, where its first ones are asked for.

    Args:
        algorithm: The algorithm; None if it is not known.
        asked: The number of networks that it asks for.

    Raises:
        InputError: It is for one objective, would ask for what is no network after these, or would never end.
    """
    if algorithm is None or algorithm.is_initialized or not type(algorithm).__module__.startswith("pymoo."):
        return
    name = type(algorithm).__name__
    if type(algorithm).__module__.startswith("pymoo.algorithms.soo."):
        raise InputError(
            f"{name} is for one objective, and this problem has two, error and latency: use an algorithm of "
            "pymoo.algorithms.moo, such as NSGA2"
        )
    if not _rounds(getattr(algorithm, "repair", None)) and _computes_with_real_numbers(algorithm):
        raise InputError(f"{name} would ask for fractions of genes: {_REMEDY}")
    if name == "CTAEA" and asked < algorithm.pop_size:  # it would look for the others without an end
        raise InputError(
            f"CTAEA needs one network for each of its {algorithm.pop_size} reference directions, and the space has "
            f"{asked}: give it fewer directions"
        )


def _computes_with_real_numbers(algorithm: Algorithm) -> bool:
    """Return whether an algorithm of pymoo is known to make genomes of real numbers out of whole ones."""
    if not isinstance(algorithm, GeneticAlgorithm):
        return True
    operators: list[Any] = [getattr(algorithm.mating, part, None) for part in ("crossover", "mutation")]
    return any(
        type(operator).__module__.startswith("pymoo.operators.")
        and type(operator).__module__.rpartition(".")[2] in _REAL_OPERATORS
        and not _rounds(operator.repair)
        and operator.vtype is not int
        for operator in operators
    )


def _rounds(repair: Any) -> bool:
    """Return whether a repair makes whole numbers; one of the user's own is taken at its word."""
    own = repair is not None and not type(repair).__module__.startswith("pymoo.")
    return own or isinstance(repair, RoundingRepair)


def check_knows_constraints(caller: FrameType) -> None:
    """Check that it is no algorithm's set-up that asks whether a problem has constraints.

    pymoo's algorithms that know none assert there that the problem has none (MOEA/D and those for problems that
    change). Others take constraints as they come.

    Args:
        caller: The frame of the function that asks.

    Raises:
        InputError: It is an algorithm's set-up.
    """
    asking = caller.f_locals.get("self")
    if caller.f_code.co_name in ("setup", "_setup") and isinstance(asking, Algorithm):
        raise InputError(
            f"{type(asking).__name__} knows no constraints, and networks that fail violate one: write "
            'load_problem(..., failures="penalty")'
        )
