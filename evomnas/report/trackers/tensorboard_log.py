"""A search in TensorBoard: `tensorboard --logdir runs` shows all runs side by side."""

from __future__ import annotations

import time
from typing import Any

from evomnas.core.errors import InputError
from evomnas.loop.callbacks.base import Callback
from evomnas.report.trackers.numbers import tracked_numbers, training_curve
from evomnas.results.run import Result, Run

FOLDER = "tensorboard"  # within the run's


class TensorBoardTracker(Callback):
    """Writes a step for each network: its numbers, and its training loss by epoch."""

    def __init__(self) -> None:
        """Look for TensorBoard.

        Raises:
            InputError: It is not installed.
        """
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer import event_file_writer
        except ImportError:
            raise InputError(
                "--track tensorboard needs TensorBoard, which is not installed: pip install 'evomnas[tensorboard]'"
            ) from None
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._open = event_file_writer.EventFileWriter
        self._writer: Any = None

    def on_begin(self, run: Run) -> None:
        """See `Callback.on_begin`."""
        self._writer = self._open(str(run.folder / FOLDER))

    def on_evaluation(self, run: Run, result: Result) -> None:
        """See `Callback.on_evaluation`."""
        for name, value in tracked_numbers(result).items():
            self._add(f"network/{name}", value, result.order)
        for epoch, loss in enumerate(training_curve(result), start=1):
            self._add(f"training/{result.evaluation.architecture.id}", loss, epoch)
        self._writer.flush()

    def on_generation(self, run: Run) -> None:
        """See `Callback.on_generation`."""
        self._add("search/hypervolume", run.manifest.hypervolume, run.manifest.evaluations)

    def on_end(self, run: Run) -> None:
        """See `Callback.on_end`."""
        self.on_generation(run)
        self._writer.close()

    def _add(self, name: str, value: float, step: int) -> None:
        content = self._summary(value=[self._summary.Value(tag=name, simple_value=value)])
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=content))
