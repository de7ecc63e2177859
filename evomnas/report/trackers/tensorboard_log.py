"""A search in TensorBoard: `tensorboard --logdir runs` shows all runs side by side."""

from __future__ import annotations

import io
import time
from functools import partial
from typing import Any

import numpy as np

from evomnas.core.errors import InputError
from evomnas.loop.callbacks.base import Callback
from evomnas.report.run_figures import pareto_figure
from evomnas.report.run_report import REPORT_NAME
from evomnas.report.trackers.numbers import tracked_numbers, training_curve
from evomnas.report.words import result_table
from evomnas.results.run import Result, Run

FOLDER = "tensorboard"  # within the run's


class TensorBoardTracker(Callback):
    """Writes a step for each network, with its numbers and its training loss by epoch, and the front at the end."""

    def __init__(self) -> None:
        """Look for TensorBoard.

        Raises:
            InputError: It is not installed.
        """
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
            from tensorboard.summary.writer import event_file_writer
        except ImportError:
            raise InputError(
                "--track tensorboard needs TensorBoard, which is not installed: pip install 'evomnas[tensorboard]'"
            ) from None
        self._event, self._summary, self._metadata = event_pb2.Event, summary_pb2.Summary, summary_pb2.SummaryMetadata
        shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
        self._tensor = partial(tensor_pb2.TensorProto, dtype=types_pb2.DT_STRING, tensor_shape=shape)
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
        results = run.results()
        if run.front(results):
            self._add_front(run, results)
        self._writer.close()

    def _add_front(self, run: Run, results: list[Result]) -> None:
        """Add the front as an image and as a table, and where the report is."""
        picture = io.BytesIO()
        pareto_figure(run, results).savefig(picture, format="png")
        width, height = np.frombuffer(picture.getvalue()[16:24], ">u4").tolist()  # of the PNG's first chunk
        image = self._summary.Image(height=height, width=width, colorspace=4, encoded_image_string=picture.getvalue())
        self._write(self._summary.Value(tag="search/front", image=image), run.manifest.evaluations)
        header, cells = result_table(run, run.front(results))
        rows = [header, ["---"] * len(header), *cells]
        table = "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
        text = f"{table}\n\nThe report: `{run.folder / REPORT_NAME}`"
        plugin = self._metadata.PluginData(plugin_name="text")
        value = self._summary.Value(
            tag="search/networks", metadata=self._metadata(plugin_data=plugin),
            tensor=self._tensor(string_val=[text.encode()]),
        )  # fmt: skip
        self._write(value, run.manifest.evaluations)

    def _add(self, name: str, value: float, step: int) -> None:
        self._write(self._summary.Value(tag=name, simple_value=value), step)

    def _write(self, value: Any, step: int) -> None:
        content = self._summary(value=[value])
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=content))
