"""A search in MLflow: one run, with a child run for each network.

The place is MLflow's own setting: the variable `MLFLOW_TRACKING_URI`, or a folder or database here. The experiment is
that of `MLFLOW_EXPERIMENT_NAME`, or else has the problem's name.
"""

from __future__ import annotations

import os
from typing import Any

from evomnas.core.errors import InputError
from evomnas.loop.callbacks.base import Callback
from evomnas.report.run_report import write_report
from evomnas.report.trackers.numbers import tracked_numbers, training_curve
from evomnas.results.run import Result, Run

MAX_TEXT = 500  # characters of a parameter, as MLflow's databases allow
FILES = ("front.csv", "run.json")


class MlflowTracker(Callback):
    """Logs settings, numbers, training curves, the front and the report."""

    def __init__(self) -> None:
        """Look for MLflow.

        Raises:
            InputError: It is not installed, or cannot use the place that it is to log to.
        """
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient, get_tracking_uri
        except ImportError:
            raise InputError(
                "--track mlflow needs MLflow, which is not installed: pip install 'evomnas[mlflow]'"
            ) from None
        try:
            self._client: Any = MlflowClient()
        except MlflowException as error:
            raise InputError(
                f"--track mlflow cannot log to {get_tracking_uri()}: set MLFLOW_TRACKING_URI to a server, such as "
                f"http://localhost:5000, or pip install mlflow for a database ({str(error).strip().partition('. ')[0]})"
            ) from None
        self._experiment, self._run = "", ""

    def on_begin(self, run: Run) -> None:
        """See `Callback.on_begin`."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", run.definition.name)
        known = self._client.get_experiment_by_name(name)
        self._experiment = self._client.create_experiment(name) if known is None else known.experiment_id
        self._run = self._begin(run.folder.name, {})
        record = run.record
        settings = {"algorithm": record.algorithm, "seed": record.seed, "budget": run.manifest.budget, **run.options}
        for name, value in settings.items():
            self._client.log_param(self._run, name, str(value)[:MAX_TEXT])

    def on_evaluation(self, run: Run, result: Result) -> None:
        """See `Callback.on_evaluation`."""
        architecture, status = result.evaluation.architecture, result.evaluation.status
        child = self._begin(architecture.id, {"mlflow.parentRunId": self._run})
        for name, value in {"architecture": architecture, "status": status, "order": result.order}.items():
            self._client.log_param(child, name, str(value)[:MAX_TEXT])
        for name, value in tracked_numbers(result).items():
            self._client.log_metric(child, name, value)
            self._client.log_metric(self._run, name, value, step=result.order)
        for epoch, loss in enumerate(training_curve(result), start=1):
            self._client.log_metric(child, "training_loss", loss, step=epoch)
        self._client.set_terminated(child, "FAILED" if status == "failed" else "FINISHED")

    def on_generation(self, run: Run) -> None:
        """See `Callback.on_generation`."""
        self._client.log_metric(self._run, "hypervolume", run.manifest.hypervolume, step=run.manifest.evaluations)

    def on_end(self, run: Run) -> None:
        """See `Callback.on_end`."""
        self.on_generation(run)
        for path in (*(run.folder / name for name in FILES), write_report(run)):
            self._client.log_artifact(self._run, str(path))
        self._client.set_terminated(self._run, "KILLED" if run.manifest.status == "interrupted" else "FINISHED")

    def _begin(self, name: str, tags: dict[str, str]) -> str:
        """Return the id of a new run of MLflow."""
        found = self._client.create_run(self._experiment, run_name=name, tags=tags)
        return str(found.info.run_id)
