"""Pretrained baselines: published networks fine-tuned on a problem's images, at every resolution of its space.

They are what one would take instead of a search, and a person can lower the resolution, too. Each is measured on the
problem's device as a candidate is, trained as a candidate is and scored on the validation images, so that its point can
stand beside those of a search. Then it is trained in full and scored on the test images, those on the baselines' own
front first. All that goes into the archive that the problem's runs share, where their reports find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution, format_resolution
from evomnas.core.system import lock
from evomnas.core.system.memory import within_container
from evomnas.data.images import Dataset
from evomnas.data.splits import split_for_search
from evomnas.deploy.baselines import Baseline, OnStep, measure_baselines, with_name
from evomnas.deploy.durations import CARD_S, Plan, measure_pace
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.training_store import FullTrainings, MeasurementContext, OnProgress, TrainedNetwork
from evomnas.evaluation.network_evaluator import training_settings
from evomnas.latency.meter import open_meter
from evomnas.latency.quantization.scoring import quantizer_for
from evomnas.latency.setting import problem_setting
from evomnas.networks.torchvision_models import AnyNetwork, explain_incompatibility, parse_network
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.pareto import non_dominated
from evomnas.problem.pretrained.baselines import PretrainedBaseline, pretrained_baselines
from evomnas.problem.pretrained.donors import PUBLISHED_WEIGHTS, find_published_weights
from evomnas.problem.pretrained.files import donor_file, find_weights
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Failure, NetworkEvaluation, Training
from evomnas.results.readers import baseline_alias
from evomnas.training.proxy_task import ProxyTask

FOLDER = "pretrained"  # in the folder of the problem's baselines


@dataclass(frozen=True)
class FineTunedBaseline(Baseline):
    """A pretrained baseline on a problem.

    Attributes:
        resolution: The size of its images in pixels.
        validation: Its training as a candidate's, or why there is none; None if it was not trained.
    """

    resolution: Resolution | None = None
    validation: Training | Failure | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the baseline as a row for scripts, in which None stands for what is not known."""
        row = super().to_dict()
        trained = self.validation if isinstance(self.validation, Training) else None
        if row["reason"] is None and isinstance(self.validation, Failure):
            row["reason"] = self.validation.message
        row["resolution"] = self.resolution
        row["validation_accuracy"] = None if trained is None else trained.accuracy
        row["validation_score"] = None if trained is None else trained.quality
        return row


class _FineTuning:
    """The trainings that start from the weights of one network: those as a candidate's, and the full ones.

    Attributes:
        task: The full training.
        trainings: The store of the full trainings.
    """

    def __init__(self, whole: FullTask, name: str, archive: Archive, device: MeasurementContext) -> None:
        """Read the weights.

        Args:
            whole: The full training of the problem, for its images.
            name: The name of the network with these weights.
            archive: The archive of the results.
            device: The device whose latencies the model cards show.

        Raises:
            InputError: The weights are not on this machine, or not what they should be.
        """
        self.task = whole.fine_tuning(name)
        self.trainings = FullTrainings(self.task, archive, device)
        self._archive, self._device = archive, device.key
        definition, images = self.task.definition, whole.search_images_fingerprint
        settings = training_settings(definition, images, self.task.device.type, donor_file(definition.weights))
        self._context = archive.add_context(settings)
        archive.add_alias(baseline_alias(definition, images), self._context)

    def known(self, baseline: PretrainedBaseline) -> NetworkEvaluation:
        """Return what the archive has of a baseline: its latency, and its training as a candidate's."""
        score = self.task.definition.data.score
        return self._archive.evaluation(self._context, self._device, baseline, score=score)

    @cached_property
    def _dataset(self) -> Dataset:
        return split_for_search(self.task.training, self.task.definition.data)

    @cached_property
    def _candidates(self) -> ProxyTask:
        definition, device = self.task.definition, self.task.device.type
        return ProxyTask(
            self._dataset, definition.data, definition.training, device, self.task.donor, quantizer_for(definition)
        )

    def train_as_candidate(self, baseline: PretrainedBaseline, network: AnyNetwork) -> bool:
        """Train a baseline as a candidate is, unless that was done before; return whether it was done now."""
        if self.known(baseline).training is not None:
            return False
        try:
            with within_container(), lock.training():
                result = self._candidates.train(network)
        except Exception as error:  # stored, as the failure of a candidate is
            self._archive.add_training(self._context, baseline, Failure.of(error))
        else:
            assert isinstance(result, Training)  # without a threshold none is cut off
            self._archive.add_training(self._context, baseline, result)
        return True

    def steps(self, baseline: PretrainedBaseline, network: AnyNetwork, folder: Path) -> tuple[int, int]:
        """Return the steps that are left of a baseline's training as a candidate's, and of its full one."""
        definition, full = self.task.definition, self.task.recipe
        images = len(self._dataset.split(0).train_labels)
        short = 0 if self.known(baseline).training is not None else definition.training.epochs * definition.trainings
        left = self.trainings.remaining_epochs(network, folder)
        return short * definition.training.batches(images)[1], left * full.batches(len(self.task.training.labels))[1]


def fine_tune_baselines(
    definition: ProblemDefinition,
    names: Sequence[str],
    path: Path,
    folder: Path,
    *,
    device: str = "auto",
    on_plan: Callable[[Plan], None] = lambda plan: None,
    on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    say: OnStep = lambda text: None,
) -> list[FineTunedBaseline]:
    """Measure and fine-tune published networks with pretrained weights, at every resolution of a problem's space.

    Results that the archive has are not made again, and an interrupted training goes on.

    Args:
        definition: The problem.
        names: Names of networks with pretrained weights; empty for all that are known.
        path: The archive of the problem's runs. It is created if need be, once names and images have proven right.
        folder: The folder of the problem's baselines. Each network gets a folder in it.
        device: `auto`, `cpu` or `cuda`, for the trainings.
        on_plan: Called before the first training with the time that all are expected to take, by name. For that,
            a few steps of each are timed.
        on_progress: Called after every epoch of a full training with the name of the work, the number of epochs so far,
            the number of all epochs, and the mean loss of the last one; and after each training as a candidate's.
        say: Called with a few words when anything else begins.

    Returns:
        The baselines in the order of their names, the largest resolution of each first. A network whose weights are
        missing or damaged has the reason and nothing else.

    Raises:
        InputError: A name is wrong, there are none of the weights on this machine, the images cannot be read, or the
            device cannot be reached.
    """
    baselines = pretrained_baselines(definition, names or PUBLISHED_WEIGHTS)
    reasons = _missing_weights(definition, dict.fromkeys(one.name for one in baselines))
    if all(one.name in reasons for one in baselines):
        name, reason = next(iter(reasons.items()))
        raise InputError(f"no pretrained weights on this machine; {name}: {reason}; evomnas donors lists the others")
    say("reading the images")
    whole = FullTask(definition, device)
    channels, classes = whole.training.channels, whole.training.classes
    networks = {one: parse_network(one.notation) for one in baselines}
    usable: dict[PretrainedBaseline, AnyNetwork] = {}
    for one, network in networks.items():
        refusal = reasons.get(one.name) or explain_incompatibility(network, channels, one.resolution)
        if refusal is None:
            usable[one] = network
        else:
            reasons[one.label] = refusal
    archive = Archive(path, late=True)
    with open_meter(problem_setting(definition, len(classes), channels), archive) as meter:
        archive.establish()
        tunings = _read_weights(whole, usable, archive, MeasurementContext(meter.key, meter.context), reasons)
        usable = {one: network for one, network in usable.items() if one.name in tunings}
        measure_baselines(meter, archive, {one.label: network for one, network in usable.items()}, say)
        folders = {one: folder / FOLDER / f"{one.name}-{format_resolution(one.resolution)}px" for one in usable}
        on_plan(_plan(tunings, usable, folders, say))
        for one, network in usable.items():
            if tunings[one.name].train_as_candidate(one, network):
                on_progress(_short(one), 1, 1, _loss(tunings[one.name].known(one)))
        known = {one: tunings[one.name].known(one) for one in usable}
        trained = {
            one: tunings[one.name].trainings.train(
                usable[one], folders[one], on_progress=with_name(on_progress, one.label)
            )
            for one in _front_first(known)
        }
        return [
            _result(one, network, reasons, known.get(one), trained.get(one), classes)
            for one, network in networks.items()
        ]


def _missing_weights(definition: ProblemDefinition, names: Iterable[str]) -> dict[str, str]:
    """Return why networks have no weights here, by their names."""
    missing = {}
    for name in names:
        published, section = find_published_weights(name), definition.fine_tuning(name).weights
        if find_weights(published, None if section is None else section.file) is None:
            missing[name] = f"its weights are not on this machine: {published.how}"
    return missing


def _read_weights(
    whole: FullTask,
    baselines: Iterable[PretrainedBaseline],
    archive: Archive,
    device: MeasurementContext,
    reasons: dict[str, str],
) -> dict[str, _FineTuning]:
    """Return the trainings of every network by name; of one whose weights are damaged, its reason is added."""
    tunings = {}
    for name in dict.fromkeys(one.name for one in baselines):
        try:
            tunings[name] = _FineTuning(whole, name, archive, device)
        except InputError as error:
            reasons[name] = str(error)
    return tunings


def _plan(
    tunings: Mapping[str, _FineTuning],
    networks: Mapping[PretrainedBaseline, AnyNetwork],
    folders: Mapping[PretrainedBaseline, Path],
    say: OnStep,
) -> Plan:
    """Time a few steps of every network that is not trained yet, and return what the trainings will take."""
    short, full = {}, {}
    for one, network in networks.items():
        tuning = tunings[one.name]
        steps = tuning.steps(one, network, folders[one])
        step_seconds = 0.0
        if any(steps):
            say(f"timing a step of {one.label}")
            step_seconds = tuning.task.for_network(network).time_step(network)
        short[_short(one)], full[one.label] = (count * step_seconds for count in steps)
    return Plan(short | full, CARD_S * measure_pace())


def _front_first(known: Mapping[PretrainedBaseline, NetworkEvaluation]) -> list[PretrainedBaseline]:
    """Return the baselines that went well so far, those on the front of their short trainings first."""
    complete = [one for one, evaluation in known.items() if evaluation.losses is not None]
    on_front = non_dominated([known[one].losses or () for one in complete])
    ranked = zip(complete, on_front, strict=True)
    return [one for one, _ in sorted(ranked, key=lambda pair: not pair[1])]


def _result(
    baseline: PretrainedBaseline,
    network: AnyNetwork,
    reasons: Mapping[str, str],
    known: NetworkEvaluation | None,
    trained: TrainedNetwork | None,
    classes: tuple[str, ...],
) -> FineTunedBaseline:
    reason = reasons.get(baseline.name) or reasons.get(baseline.label)
    short = known.training if known is not None and isinstance(known.training, Training | Failure) else None
    result = None if trained is None else trained.result
    measurement = None if known is None else known.measurement
    return FineTunedBaseline(baseline.name, network, reason, result, measurement, classes, baseline.resolution, short)


def _short(baseline: PretrainedBaseline) -> str:
    """Return the name of the work of training a baseline as a candidate is."""
    return f"{baseline.label} as a candidate"


def _loss(evaluation: NetworkEvaluation) -> float:
    trained = evaluation.trained
    return float("nan") if trained is None else trained.losses[-1]
