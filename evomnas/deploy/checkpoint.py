"""The state of a training in a file, from which an interrupted one goes on."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from evomnas.core.files import write_atomically
from evomnas.training.trainer import Trainer

CHECKPOINT_INTERVAL_S = 20.0  # an interruption loses at most this and one epoch


def read_checkpoint(path: Path, key: str) -> dict[str, Any] | None:
    """Return the state of a training from its file.

    Args:
        path: The file.
        key: The key of the training.

    Returns:
        The state; None if the file is missing, damaged or of another training.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # there is no file, or torch raises any error for a damaged or foreign one
        return None
    return state if isinstance(state, dict) and state.get("key") == key else None


class Checkpoint:
    """A file with the state of a training, replaced in one step. The state of another training is not read.

    Attributes:
        path: The file.
        key: The key of the training.
        trainer: The training.
        average: The average of the network's weights; None if there is none.
    """

    def __init__(self, path: Path, key: str, trainer: Trainer, average: AveragedModel | None = None) -> None:
        """Name the file. Nothing is read or written yet.

        Args:
            path: The file.
            key: The key of the training: everything that it depends on.
            trainer: The training.
            average: The average of the network's weights that the training updates; None if there is none.
        """
        self.path, self.key, self.trainer, self.average = path, key, trainer, average
        self._saved_at = time.monotonic()

    def save(self, seconds: float, force: bool = False) -> None:
        """Write the state if `CHECKPOINT_INTERVAL_S` have passed since the last time, or if it is forced.

        Args:
            seconds: How long the training has taken so far.
            force: True to write it in any case.
        """
        if not force and time.monotonic() - self._saved_at < CHECKPOINT_INTERVAL_S:
            return
        trainer = self.trainer
        state = {
            "key": self.key,
            "seconds": seconds,
            "losses": trainer.losses,
            "network": trainer.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "schedule": trainer.schedule.state_dict(),
            "order": trainer.generator.get_state(),
            "dropout": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            state["dropout-cuda"] = torch.cuda.get_rng_state()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save(state, content)  # into memory, since torch's message about a full disk helps nobody
        write_atomically(self.path, content.getvalue())
        self._saved_at = time.monotonic()

    def restore(self) -> float:
        """Restore the state from the file, if there is one of this training.

        Returns:
            How long the training had taken by then, in seconds; 0 if it begins now.
        """
        state = read_checkpoint(self.path, self.key)
        if state is None:
            return 0.0
        trainer = self.trainer
        trainer.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.schedule.load_state_dict(state["schedule"])
        trainer.losses[:] = state["losses"]
        trainer.generator.set_state(state["order"])
        torch.set_rng_state(state["dropout"])
        if "dropout-cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["dropout-cuda"])
        return float(state["seconds"])
