"""The full trainings of the finished run's problem."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def task(finished_run):
    """The images and the recipe of the finished run's problem."""
    from evomnas.deploy.full_training import FullTask

    return FullTask(finished_run.definition, "cpu")
