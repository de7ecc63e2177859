"""The folders of a run's trained networks: their names, and which of several trainings of a network is meant.

The files of a network are in the run's folder: in `networks/ID`, or in `networks/ID-distilled` if it had a teacher. If
the training had other settings than the run's problem, they are in the name as well, as in `networks/ID-epochs-10`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from evomnas.core.errors import InputError
from evomnas.core.system.shell import quote
from evomnas.deploy.training_store import NETWORKS_FOLDER
from evomnas.networks.torchvision_models import AnyNetwork
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import change_full_training
from evomnas.problem.sections import Augmentation, FullSection
from evomnas.results.run import Run

DISTILLED, NOTHING = "-distilled", "none"  # in the names of folders: had a teacher, and an empty list
_SETTING = re.compile(rf"-({'|'.join(FullSection.model_fields)})-")
_CHANGES = re.compile("|".join(sorted(get_args(Augmentation), key=len, reverse=True)))


class Training(NamedTuple):
    """A full training of a network that has ended.

    Attributes:
        folder: The folder of its files.
        settings: The settings that were not the problem's, as `full.epochs=3`.
        distilled: Whether the network had a teacher.
    """

    folder: Path
    settings: tuple[str, ...]
    distilled: bool

    @property
    def options(self) -> str:
        """The options by which commands know the training, such as `--set full.epochs=3`; empty if it needs none."""
        words = ["--teacher"] * self.distilled + [f"--set {quote(setting)}" for setting in self.settings]
        return " ".join(words)

    def describe_choice(self, settings: Sequence[str], distilled: bool) -> str:
        """Return the line that says that this training was chosen without being named; empty if it was named.

        Args:
            settings: The settings that were typed.
            distilled: Whether a network with a teacher was asked for.
        """
        is_named = (self.settings, self.distilled) == (tuple(settings), distilled)
        return "" if is_named else f"This is the training with {self.options}, the only one of the network."


def check_teacher(definition: ProblemDefinition, distilled: bool) -> None:
    """Check that networks of a problem can have a teacher.

    Args:
        definition: The problem.
        distilled: Whether one is asked for.

    Raises:
        InputError: One is asked for, and its networks are detectors.
    """
    if distilled and definition.detects:
        raise InputError("detectors learn from boxes alone, and have no teacher: drop --teacher")


def network_folder(run: Run, network: AnyNetwork, distilled: bool, recipe: FullSection | None = None) -> Path:
    """Return the folder in which a run stores a trained network.

    Args:
        run: The run.
        network: The network.
        distilled: Whether it had a teacher.
        recipe: The settings of its training, as `ProblemDefinition.full_recipe` has them; None for those of the run's
            problem.

    Returns:
        The folder, which need not exist.
    """
    usual = run.trained_problem().full_recipe.model_dump(mode="json")
    settings = usual if recipe is None else recipe.model_dump(mode="json")
    changed = [f"-{name}-{_word(value)}" for name, value in settings.items() if value != usual[name]]
    return run.folder / NETWORKS_FOLDER / "".join([network.id, *[DISTILLED] * distilled, *changed])


def find_training(
    run: Run, network: Architecture, manifest: str, settings: Sequence[str] = (), distilled: bool = False
) -> Training:
    """Return the training of a network that somebody means.

    That is the one with these settings. Where none were given and there is none with the problem's own, it is the only
    one that has ended, whatever its settings.

    Args:
        run: The run.
        network: The network.
        manifest: The name of the file that describes a trained network, in its folder.
        settings: The settings that were typed, as `full.epochs=3`.
        distilled: Whether a network with a teacher was asked for.

    Raises:
        InputError: There is no such training, or there are several; the message names what there is. Or detectors are
            asked for that had a teacher.
    """
    check_teacher(run.trained_problem(), distilled)
    recipe = change_full_training(run.trained_problem(), settings).full_recipe
    folder = network_folder(run, network, distilled, recipe)
    if (folder / manifest).is_file():
        return Training(folder, tuple(settings), distilled)
    trainings = _trainings(run, network, manifest)
    if not settings:
        meant = [one for one in trainings if one.distilled or not distilled]
        if len(meant) == 1:
            return meant[0]
    choices = " or ".join(one.options or "no option" for one in trainings)
    if not settings and not distilled and trainings:
        raise InputError(f"{network.id} was trained in {len(trainings)} ways: give {choices}")
    wanted = Training(folder, tuple(settings), distilled)
    again = f"evomnas train {run.argument} {run.network_argument(network)} {wanted.options}".strip()
    other = f"; it was trained with {choices}" if trainings else ""
    raise InputError(f"{network.id} is not trained yet: {again}{other}")


def _trainings(run: Run, network: Architecture, manifest: str) -> list[Training]:
    """Return all trainings of a network that have ended, in the order of their folders."""
    folders = sorted(path.parent for path in (run.folder / NETWORKS_FOLDER).glob(f"{network.id}*/{manifest}"))
    found = (_read_name(run, network, folder) for folder in folders)
    return [training for training in found if training is not None]


def _read_name(run: Run, network: Architecture, folder: Path) -> Training | None:
    """Return the training that the name of a folder stands for; None for one that somebody has named."""
    rest = folder.name.removeprefix(network.id)
    distilled = rest.startswith(DISTILLED)
    _, *words = _SETTING.split(rest.removeprefix(DISTILLED))
    settings = tuple(f"full.{name}={_typed(name, word)}" for name, word in zip(words[::2], words[1::2], strict=True))
    try:
        recipe = change_full_training(run.trained_problem(), settings).full_recipe
    except InputError:
        return None
    is_own = network_folder(run, network, distilled, recipe).name == folder.name
    return Training(folder, settings, distilled) if is_own else None


def _word(value: object) -> str:
    """Return the value of a setting as a part of a file's name."""
    return "-".join(map(str, value)) or NOTHING if isinstance(value, list) else str(value)


def _typed(name: str, word: str) -> str:
    """Return the value of a setting as somebody types it; the inverse of `_word`."""
    if name != "augment":
        return word
    return json.dumps(_CHANGES.findall(word))
