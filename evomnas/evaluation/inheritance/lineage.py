"""The descent of a run's networks, and the weights of those that may have children.

[1] Elsken, Metzen and Hutter, "Efficient Multi-Objective Neural Architecture Search via Lamarckian Evolution",
    ICLR 2019, section 3.

What a network reaches then depends on all that it descends from. So its training has a context of its own in the
archive, which names the run, the parent and the hash of the parent's weights. No other run and no other algorithm sees
it. Networks without a parent are trained as ever, with the problem's recipe, and are kept apart as well: another run
that trained such a network has its weights no more.

Weights are files of the run's folder. One is written before its training is committed to the archive, and is removed
when the network can have no more children and all of its children were trained. So a process that is killed at any time
leaves what is needed to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.files import write_atomically
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.ancestor import Ancestor
from evomnas.problem.pretrained.heritage import RULES
from evomnas.problem.sections import TrainingSection
from evomnas.results.archive import Archive, context_key
from evomnas.results.readers import lineage_alias

CHILD_EPOCHS = 0.4  # of the recipe's; a share of the training that ranks networks as well as all of it
CHILD_RATE = 0.25  # of the recipe's learning rate


def child_recipe(recipe: TrainingSection) -> TrainingSection:
    """Return the recipe by which networks are trained that begin with the weights of a trained one.

    Args:
        recipe: The problem's recipe.
    """
    epochs = max(1, round(CHILD_EPOCHS * recipe.epochs))
    return recipe.model_copy(update={"epochs": epochs, "learning_rate": CHILD_RATE * recipe.learning_rate})


class Lineage:
    """Who inherits from whom in a run, and the weights that may be inherited."""

    def __init__(self, run: str, archive: Archive, folder: Path, conditions: Mapping[str, Any]) -> None:
        """Go on with a run.

        Args:
            run: The id of the run.
            archive: Keeps the contexts of the trainings.
            folder: Keeps the weights.
            conditions: What the training of a network depends on that inherits nothing; see
                `evomnas.evaluation.network_evaluator.training_settings`.
        """
        self._run, self._archive, self._folder, self._conditions = run, archive, folder, conditions
        self._parents: dict[Architecture, Architecture | None] = {}

    def note(self, architecture: Architecture, parent: Architecture | None, recipe: TrainingSection) -> None:
        """Learn from whom a network inherits, and let the archive know the context of its training.

        Args:
            architecture: The network.
            parent: From whom; None for nobody.
            recipe: The recipe by which it is trained.

        Raises:
            InputError: The weights of the parent are gone.
        """
        self._parents[architecture] = parent
        alias = lineage_alias(self._run, architecture)
        if self._archive.alias_contexts(alias):
            return  # an earlier session of the run asked for it
        ancestor = self.ancestor(architecture)
        inherited = None if ancestor is None else {"from": str(ancestor.architecture), "weights": ancestor.sha256}
        own = {"training": recipe.context, "lineage": {"run": self._run, "rules": RULES, "inherited": inherited}}
        self._archive.add_alias(alias, self._archive.add_context({**self._conditions, **own}))

    def ancestor(self, architecture: Architecture) -> Ancestor | None:
        """Return from whom a network inherits, with the weights; None for nobody.

        Args:
            architecture: The network.

        Raises:
            InputError: The weights are gone.
        """
        parent = self._parents[architecture]
        if parent is None:
            return None
        try:
            return Ancestor(parent, self._path(parent).read_bytes())
        except FileNotFoundError:
            raise InputError(
                f"the weights of {parent.id}, which others are to inherit, are not in {self._folder}: bring that "
                "folder back, or start another run with --out DIR"
            ) from None

    def keep(self, architecture: Architecture, weights: bytes) -> None:
        """Keep the weights of a network that was trained.

        Args:
            architecture: The network.
            weights: Its weights, as in `Ancestor`.

        Raises:
            OSError: The folder has no room for them.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(architecture), weights)

    def forget(self, fertile: Iterable[Architecture], waits: Callable[[Architecture], bool]) -> None:
        """Remove the weights that nobody will inherit.

        Args:
            fertile: Networks that may still become parents.
            waits: Whether a network is still to be trained.
        """
        waiting = {parent for one, parent in self._parents.items() if parent is not None and waits(one)}
        kept = {self._path(one) for one in (*fertile, *waiting)}
        for path in self._folder.glob("*.safetensors"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _path(self, architecture: Architecture) -> Path:
        return self._folder / f"{context_key({'network': str(architecture)})}.safetensors"
