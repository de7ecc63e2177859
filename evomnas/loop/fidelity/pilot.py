"""A pilot: some networks trained for different numbers of epochs, and how few are enough.

Its networks are drawn evenly from the space. Each is trained for 1/5, 2/5 and all of the epochs by the problem's
recipe, and for all of them with another seed. Every training is in the archive, so that a pilot that was interrupted
goes on, and one that is repeated takes no time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evomnas.core.errors import EverythingFailed, InputError
from evomnas.evaluation.executors.base import Workers
from evomnas.evaluation.factory import open_evaluator
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.loop.fidelity.ranking import Ranking, compare_rankings, propose_epochs
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.problem.sections import TrainingSection
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits

SHARES = (0.2, 0.4)  # of a problem's epochs, rounded up
NETWORKS, MIN_NETWORKS, MAX_NETWORKS = 16, 8, 1000
MAX_DRAWS = 100  # for each network, until one keeps the problem's limits of parameters and MACs

OnPilot = Callable[[str, int, int], None]  # what is done, trainings so far, and all of them


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Trainings of one length.

    Attributes:
        epochs: Their epochs.
        seconds: How long one takes, with all folds, the mean over the networks.
        ranking: How well they rank networks.
    """

    epochs: int
    seconds: float
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class Pilot:
    """The result of a pilot.

    Attributes:
        networks: How many networks it is about.
        failed: How many more could not be trained.
        fidelities: By ascending epochs; the last ones are whole trainings.
        proposed: The fewest epochs that rank networks as well as far as that is known.
        new_seconds: What its trainings took that were not known before, added up over all workers.
    """

    networks: int
    failed: int
    fidelities: tuple[Fidelity, ...]
    proposed: int
    new_seconds: float

    @property
    def worthwhile_budget(self) -> int | None:
        """From how many networks on a search is faster with the pilot than without; None where it never is."""
        whole = self.fidelities[-1].seconds
        saved = whole - next(one.seconds for one in self.fidelities if one.epochs == self.proposed)
        spent = self.networks * (whole + sum(one.seconds for one in self.fidelities))
        return math.ceil(spent / saved) if saved > 0 else None


def check_pilot(definition: Definition, networks: int = NETWORKS) -> ProblemDefinition:
    """Check that a pilot can be made.

    Args:
        definition: The problem.
        networks: How many networks it trains.

    Returns:
        The problem.

    Raises:
        InputError: It cannot: the problem is a table, or its trainings have one epoch, or the number is out of range.
    """
    problem = definition.trained(f"{definition.name} looks its networks up in a table: nothing is trained")
    if problem.epochs < 2:
        raise InputError("trainings of one epoch cannot have fewer: set training.epochs to 2 or more for a pilot")
    if not MIN_NETWORKS <= networks <= MAX_NETWORKS:
        raise InputError(
            f"a pilot trains {MIN_NETWORKS} to {MAX_NETWORKS} networks, not {networks}: with fewer, no ranking is told "
            "from chance"
        )
    return problem


def run_pilot(
    definition: Definition,
    archive: Path,
    networks: int = NETWORKS,
    seed: int = 1,
    workers: Workers = 0,
    device: str = "auto",
    candidates: CandidateLimits = CandidateLimits(),
    on_pilot: OnPilot = lambda phase, done, count: None,
) -> Pilot:
    """Train networks for different numbers of epochs, and compare how these rank them.

    Args:
        definition: The problem.
        archive: The archive file that keeps the trainings; it is made if need be.
        networks: How many networks.
        seed: By which they are drawn.
        workers: Worker processes, or a cluster; 0 trains in this process.
        device: `auto`, `cpu` or `cuda`.
        candidates: The time and memory that one network may take.
        on_pilot: Told where it stands.

    Returns:
        What it has shown.

    Raises:
        InputError: It cannot be made; see `check_pilot`. Or few networks keep the problem's limits.
        EverythingFailed: Too few of the networks could be trained.
    """
    problem = check_pilot(definition, networks)
    store = Archive(archive.resolve(), late=True)
    try:
        with open_evaluator(
            problem, store, workers, device, candidates, on_phase=lambda phase: on_pilot(phase, 0, 0)
        ) as evaluator:
            assert isinstance(evaluator, NetworkEvaluator)
            store.establish()
            return _run(problem, evaluator, networks, seed, on_pilot)
    finally:
        store.close()


def with_epochs(definition: ProblemDefinition, epochs: int) -> ProblemDefinition:
    """Return a problem whose trainings have other epochs.

    Args:
        definition: The problem.
        epochs: The epochs of each training of a candidate.
    """
    return definition.model_copy(update={"training": definition.training.model_copy(update={"epochs": epochs})})


def pilot_recipes(recipe: TrainingSection) -> tuple[dict[int, TrainingSection], TrainingSection]:
    """Return the recipes that a pilot compares.

    Args:
        recipe: The problem's.

    Returns:
        Those with its seed by their epochs, ascending, and that of whole trainings with another seed.
    """
    epochs = sorted({*(math.ceil(share * recipe.epochs) for share in SHARES), recipe.epochs})
    recipes = {one: recipe.model_copy(update={"epochs": one}) for one in epochs}
    return recipes, recipe.repeated


def _run(problem: ProblemDefinition, evaluator: NetworkEvaluator, networks: int, seed: int, on_pilot: OnPilot) -> Pilot:
    drawn = _draw(problem, evaluator, networks, seed)
    recipes, repeat = pilot_recipes(problem.training)
    views = {epochs: evaluator.with_recipe(recipe) for epochs, recipe in recipes.items()}
    repeated = evaluator.with_recipe(repeat)
    everyone = [*reversed(views.values()), repeated]
    missing = [(view, [one for one in drawn if view.training_of(one) is None]) for view in everyone]
    count, begun, seconds = sum(len(ones) for _, ones in missing), evaluator.stopwatch.trained, 0.0
    for view, architectures in missing:
        view.on_phase = lambda phase: on_pilot(phase, evaluator.stopwatch.trained - begun, count)
        for architecture in view.train(architectures):
            trained = view.known(architecture).trained
            seconds += 0.0 if trained is None else trained.seconds
    good = [one for one in drawn if all(view.known(one).trained is not None for view in everyone)]
    if len(good) < MIN_NETWORKS:
        raise EverythingFailed(
            f"only {len(good)} of {len(drawn)} networks could be trained: a pilot needs {MIN_NETWORKS}"
        )
    scores = {epochs: _scores(view, good) for epochs, view in views.items()}
    rankings = compare_rankings(scores, _scores(repeated, good))
    fidelities = tuple(Fidelity(epochs, _mean_seconds(view, good), rankings[epochs]) for epochs, view in views.items())
    return Pilot(len(good), len(drawn) - len(good), fidelities, propose_epochs(rankings), seconds)


def _draw(problem: ProblemDefinition, evaluator: NetworkEvaluator, count: int, seed: int) -> list[Architecture]:
    """Draw different networks that keep the problem's limits of parameters and MACs."""
    rng, found = np.random.default_rng(seed), dict[Architecture, None]()
    for _ in range(MAX_DRAWS * count):
        architecture = problem.space.decode(problem.space.draw(rng))
        if evaluator.known(architecture).status != "infeasible":
            found.setdefault(architecture)
        if len(found) == count:
            break
    if len(found) < MIN_NETWORKS:
        raise InputError(f"the space has {len(found)} networks within the limits: a pilot needs {MIN_NETWORKS}")
    return list(found)


def _scores(
    view: NetworkEvaluator, architectures: Sequence[Architecture]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([trained.quality for one in architectures if (trained := view.known(one).trained) is not None])


def _mean_seconds(view: NetworkEvaluator, architectures: Sequence[Architecture]) -> float:
    return float(
        np.mean([trained.seconds for one in architectures if (trained := view.known(one).trained) is not None])
    )
