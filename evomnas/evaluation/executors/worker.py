"""What a process needs to do jobs: made once, used for all."""

from __future__ import annotations

from collections.abc import Sequence

from evomnas.core.errors import InputError
from evomnas.core.system.memory import release_freed_memory
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.jobs import Job, Logits, Result_co
from evomnas.latency.layers.prepare_layers import prepare_parts
from evomnas.latency.layers.stages import Parts
from evomnas.latency.prepare import count_detector_cost, prepare, prepare_detector
from evomnas.latency.quantization.scoring import quantizer_for
from evomnas.latency.runtimes.base import PreparedNetwork, Runtime, open_runtime
from evomnas.networks.layer_costs import count_cost
from evomnas.networks.pretrained.weights import PretrainedWeights, load_donor
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.detection.definition import DetectionDefinition
from evomnas.problem.pretrained.ancestor import Ancestor
from evomnas.problem.pretrained.files import DonorFile
from evomnas.problem.sections import TrainingSection
from evomnas.results.evaluation import Cost, Cut, Failure, Training
from evomnas.training.detection.detection_task import DetectionTask
from evomnas.training.early_stop import LossThreshold
from evomnas.training.proxy_task import ProxyTask


def open_bench(
    definition: ProblemDefinition, dataset: Dataset, device: str = "auto", donor: DonorFile | None = None
) -> Workbench:
    """Return what does the jobs of a problem, by the problem's kind.

    Args:
        definition: The problem.
        dataset: Its images.
        device: `auto`, `cpu` or `cuda`.
        donor: The file of the pretrained weights that candidates inherit; None for random ones.

    Raises:
        InputError: The device or the runtime is missing, or the donor's file is damaged.
    """
    return _BENCHES[definition.kind](definition, dataset, device, donor)


class Workbench:
    """Does jobs with candidates of one problem; see `evomnas.evaluation.executors.jobs.Bench`."""

    def __init__(
        self, definition: ProblemDefinition, dataset: Dataset, device: str = "auto", donor: DonorFile | None = None
    ) -> None:
        """Open the runtime, read the donor's weights, and put the images on the device.

        Args:
            definition: The problem.
            dataset: Its images.
            device: `auto`, `cpu` or `cuda`.
            donor: The file of the pretrained weights that candidates inherit; None for random ones.

        Raises:
            InputError: The device or the runtime is missing, or the donor's file is damaged.
        """
        weights = None if donor is None else load_donor(donor)
        self.task: ProxyTask | DetectionTask = self._open_task(definition, dataset, device, weights)
        self._teaching = definition.teaching
        self.runtime: Runtime = open_runtime(definition.latency.runtime)
        self._classes, self._channels = len(dataset.classes), dataset.channels
        self._resolution, self._batch = definition.latency_resolution, definition.latency.batch
        self._precision = definition.latency.precision

    def _open_task(
        self, definition: ProblemDefinition, dataset: Dataset, device: str, weights: PretrainedWeights | None
    ) -> ProxyTask | DetectionTask:
        return ProxyTask(dataset, definition.data, definition.training, device, weights, quantizer_for(definition))

    def prepare(self, architecture: Architecture) -> tuple[Cost, PreparedNetwork]:
        """See `Bench.prepare`."""
        shape = self._classes, self._channels, self._resolution
        return self.count(architecture), prepare(self.runtime, architecture, *shape, self._batch, self._precision)

    def prepare_parts(self, parts: Parts) -> list[PreparedNetwork]:
        """See `Bench.prepare_parts`."""
        return prepare_parts(self.runtime, parts, self._classes, self._channels, self._resolution, self._batch)

    def count(self, architecture: Architecture) -> Cost:
        """See `Bench.count`."""
        return count_cost(architecture, self._classes, self._channels, self._resolution)

    def train(
        self,
        architecture: Architecture,
        threshold: LossThreshold | None = None,
        recipe: TrainingSection | None = None,
    ) -> Training | Cut:
        """See `Bench.train`."""
        task = self.task if recipe is None else self.task.with_recipe(recipe)
        return task.train(architecture) if threshold is None else task.train(architecture, threshold)

    def train_heir(
        self, architecture: Architecture, ancestor: Ancestor | None, recipe: TrainingSection
    ) -> tuple[Training, bytes]:
        """See `Bench.train_heir`."""
        assert isinstance(self.task, ProxyTask)  # the networks of detectors do not inherit
        return self.task.with_recipe(recipe).train_heir(architecture, ancestor)

    def teach(self, number: int) -> Logits:
        """See `Bench.teach`."""
        assert self._teaching is not None
        assert isinstance(self.task, ProxyTask)
        return self.task.teach(self._teaching, number)

    def learn(self, lessons: Sequence[Logits]) -> None:
        """Take the answers of a teacher, which are part of the loss of all later trainings.

        Args:
            lessons: The logits for the training images of each training, shape (n, classes) each; none without a
                teacher.
        """
        if lessons:
            assert isinstance(self.task, ProxyTask)
            self.task.learn(lessons)

    def attempt(self, job: Job[object, Result_co]) -> Result_co | Failure:
        """Do a job.

        Args:
            job: What is to be done.

        Returns:
            Its result, or the failure that an exception means.

        Raises:
            InputError: Something is wrong that no other candidate would change.
        """
        try:
            return job.run(self)
        except InputError:
            raise
        except Exception as error:
            failure = Failure.of(error)
        release_freed_memory()  # now that the candidate's own is freed
        return failure


class DetectionBench(Workbench):
    """Does jobs with candidates of one problem that are the backbones of detectors; see `Workbench`."""

    def _open_task(
        self, definition: ProblemDefinition, dataset: Dataset, device: str, weights: PretrainedWeights | None
    ) -> DetectionTask:
        assert isinstance(definition, DetectionDefinition)
        return DetectionTask(dataset, definition.data, definition.training, device)

    def prepare(self, architecture: Architecture) -> tuple[Cost, PreparedNetwork]:
        """Return the costs of a detector, and itself with its decoding; see `Bench.prepare`."""
        shape = self._classes, self._channels, self._resolution
        return self.count(architecture), prepare_detector(self.runtime, architecture, *shape, self._batch)

    def count(self, architecture: Architecture) -> Cost:
        """Return the costs of a detector; see `Bench.count`."""
        return count_detector_cost(architecture, self._classes, self._channels, self._resolution)


_BENCHES: dict[str, type[Workbench]] = {"images": Workbench, "detection": DetectionBench}
