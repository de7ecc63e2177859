"""The networks of a run that are trained in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from evomnas.core.errors import InputError
from evomnas.data.gallery.listing import list_images
from evomnas.deploy.detection.detector_store import DetectorTask, DetectorTrainings
from evomnas.deploy.durations import CARD_S, REPORT_S, Plan, measure_pace
from evomnas.deploy.folders.training_folders import check_teacher, network_folder
from evomnas.deploy.full_training import FullTask, Teacher
from evomnas.deploy.saving import load_network
from evomnas.deploy.training_store import (
    FullTrainings,
    MeasurementContext,
    OnProgress,
    SearchOrigin,
    TrainedNetwork,
    TrainingStore,
    TrainingTask,
)
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import change_full_training
from evomnas.results.evaluation import Failure
from evomnas.results.run import Result, Run, changed_images

OnStep = Callable[[str], None]


def front_networks(run: Run) -> list[Architecture]:
    """Return the architectures on the front of a run.

    Args:
        run: The run.

    Returns:
        The architectures, the fastest first.

    Raises:
        InputError: There are none yet, or the run searched a table.
    """
    run.trained_problem()  # raises InputError for a table, which has nothing to build
    front = [result.evaluation.architecture for result in run.front()]
    if not front:
        raise InputError(f"{run.folder} has no network on its front yet: go on with evomnas resume {run.argument}")
    return front


def knee_network(run: Run) -> Architecture:
    """Return the architecture at the deepest knee of a run's front.

    Args:
        run: The run.

    Returns:
        The architecture; the one with the best score if the front has no knee.

    Raises:
        InputError: The front is empty, or the run searched a table.
    """
    best = most_accurate_network(run)
    return next((result.evaluation.architecture for result in run.knees()), best)


def most_accurate_network(run: Run) -> Architecture:
    """Return the architecture with the best validation accuracy on the front of a run.

    Args:
        run: The run.

    Returns:
        The architecture.

    Raises:
        InputError: The front is empty, or the run searched a table.
    """
    front_networks(run)  # raises InputError where there are none
    best: Architecture = run.best().evaluation.architecture
    return best


def train_networks(
    run: Run,
    architectures: Sequence[Architecture],
    *,
    distil: bool = False,
    device: str = "auto",
    settings: Sequence[str] = (),
    accept_changes: bool = False,
    on_plan: Callable[[Plan], None] = lambda plan: None,
    on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    say: OnStep = lambda text: None,
) -> Iterator[TrainedNetwork]:
    """Train networks of a run in full, save each and score it on the test images.

    A network that was trained before is not trained again, and an interrupted training goes on.

    Args:
        run: The run, whose problem has the images and the recipe.
        architectures: Architectures of the run, or any others that suit the images.
        distil: True to train the front's most accurate network first, and to let it teach the others.
        device: `auto`, `cpu` or `cuda`.
        settings: Other settings of the full training than the problem's, as `full.epochs=20`. Such a training is kept
            in a folder of its own, and its score is none of the problem's.
        accept_changes: Train also on images that have changed since the search; the run and the cards then say so.
        on_plan: Called before the first training with the time that all of them are expected to take, by id. For that,
            a few steps of each are timed.
        on_progress: Called after every epoch with the network's id, the number of epochs so far, the number of all
            epochs, and the mean loss of the last one.
        say: Called with a few words when anything else begins.

    Yields:
        Each network as soon as its training has ended; first the teacher, if there is one.

    Raises:
        InputError: The images cannot be read or have changed, an architecture does not suit them, or the teacher is one
            of the networks to be taught.
    """
    definition = change_full_training(run.trained_problem(), settings)
    check_teacher(definition, distil)
    for architecture in architectures:
        architecture.check_resolution(definition.data.resolution)
    teacher_network = most_accurate_network(run) if distil else None
    if teacher_network is not None and teacher_network in architectures:
        raise InputError(
            f"{teacher_network.id} is the front's most accurate network, the teacher: name another one with --teacher"
        )
    trainings = open_trainings(run, definition, device)
    recipe = definition.full_recipe
    changes = check_images(run, trainings.task, accept_changes)
    results = {str(result.evaluation.architecture): result for result in run.results()}
    networks = list(dict.fromkeys(architectures))
    on_plan(_plan(run, trainings, networks, teacher_network, say))
    teacher = None
    if teacher_network is not None:
        folder = network_folder(run, teacher_network, False, recipe)
        origin = _origin(run, results.get(str(teacher_network)), changes)
        trained_teacher = trainings.train(teacher_network, folder, origin, on_progress=on_progress)
        run.write_front(run.front())
        yield trained_teacher
        if isinstance(trained_teacher.result, Failure):
            return
        teacher = Teacher(teacher_network, load_network(folder))
    for architecture in networks:
        folder = network_folder(run, architecture, distil, recipe)
        origin = _origin(run, results.get(str(architecture)), changes)
        trained = trainings.train(architecture, folder, origin, teacher, on_progress)
        run.write_front(run.front())
        yield trained


def open_trainings(run: Run, definition: ProblemDefinition, device: str) -> TrainingStore:
    """Return the full trainings of a run's problem, once its images are read.

    Args:
        run: The run.
        definition: Its problem, maybe with other settings of the full training.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        InputError: The images cannot be read, or there is no test split.
    """
    where = run.archive, measurement_context(run), run.search_images_fingerprint
    if definition.detects:
        return DetectorTrainings(DetectorTask(definition, device), *where)
    return FullTrainings(FullTask(definition, device), *where)


def _plan(
    run: Run, trainings: TrainingStore, networks: Sequence[Architecture], teacher: Architecture | None, say: OnStep
) -> Plan:
    """Time a few steps of every network that is not trained yet, the teacher's first, and return what is to come."""
    task = trainings.task
    _, steps = task.recipe.batches(len(task.training.labels))
    lessons = [*([(teacher, None)] if teacher else []), *((network, teacher) for network in networks)]
    expected: dict[str, float] = {}
    for network, its_teacher in lessons:
        folder = network_folder(run, network, its_teacher is not None, task.definition.full_recipe)
        epochs = trainings.remaining_epochs(network, folder, None if its_teacher is None else str(its_teacher))
        expected[network.id] = 0.0
        if epochs:
            say(f"timing a step of {network.id}")
            expected[network.id] = epochs * steps * task.time_step(network, its_teacher)
    return Plan(expected, (CARD_S + REPORT_S) * measure_pace())


def check_images(run: Run, task: TrainingTask, accept_changes: bool = False) -> str:
    """Check that the images of a problem are still those that a run searched with, or were accepted since.

    Args:
        run: The run.
        task: The run's problem with its images as they are now.
        accept_changes: Whether they may have changed; the run then keeps that they have.

    Returns:
        The changes in words; empty where there are none.

    Raises:
        InputError: The images have changed.
    """
    shape = run.network_shape
    compared = {
        "classes": (shape["classes"], len(task.training.classes)),
        "channels": (shape["channels"], task.training.channels),
    }
    for name, (searched, now) in compared.items():
        if now != searched:
            raise InputError(f"{run.folder} searched images with {searched} {name}, its data now have {now}")
    images = task.search_images_fingerprint
    if images == run.search_images_fingerprint:
        return ""
    known = next((one.changes for one in run.accepted if one.images == images), None)
    if known is not None:
        return known
    listing = list_images(task.training, task.definition.data)
    changes = run.describe_changes(None if listing is None else listing.images)
    if not accept_changes:
        raise InputError(changed_images(run, changes))
    run.accept(images, changes)
    return changes


def measurement_context(run: Run) -> MeasurementContext:
    """Return the device on which a run measured its networks.

    Args:
        run: The run.
    """
    key = run.record.measurement_context
    return MeasurementContext(key, run.archive.context(key))


def _origin(run: Run, result: Result | None, changes: str = "") -> SearchOrigin:
    """Return the search that a network comes from; its result is None if the search did not evaluate it."""
    if result is None:
        return SearchOrigin(None, None, changes=changes)
    record, evaluations = run.record, run.manifest.evaluations
    search = f"{record.algorithm}, seed {record.seed}, {evaluations} networks evaluated, in {run.folder.name}"
    return SearchOrigin(search, result.evaluation.quantities.get("accuracy"), result.evaluation.score, changes)
