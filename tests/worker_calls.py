"""What workers do in tests. A module that workers can import, which a module of tests is not."""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from evomnas.core.errors import InputError
from evomnas.core.system.processes import wait_for_parent


def prepare(action: str = "", place: str = "") -> None:
    """What a worker does first."""
    if action == "watch":
        threading.Thread(target=end_with_parent, daemon=True).start()
    if action == "refuse":
        raise InputError("no such thing here")
    if action == "exit":
        os._exit(3)
    if action == "die" or (action == "one" and not make(place)):
        os.kill(os.getpid(), signal.SIGKILL)


def end_with_parent() -> None:
    wait_for_parent()
    os._exit(1)


def make(place: str) -> bool:
    try:
        os.mkdir(place)
    except FileExistsError:
        return False
    return True


def number() -> int:
    return os.getpid()


def sleep(path: str, seconds: float) -> str:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(seconds)
    return "slept"


def fail() -> None:
    raise ValueError("as it should")


def closure():
    return lambda: None


def send_half() -> None:
    """Die in the middle of a message of 4,096 bytes."""
    pipe = sys._getframe(2).f_locals["pipe"]
    os.write(pipe.fileno(), struct.pack("!i", 4096) + b"half")
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class WaitingJob:
    """Tells who does it, and waits until it may end."""

    kind: ClassVar[str] = "wait"
    trains: ClassVar[bool] = False
    subject: str
    folder: Path

    def run(self, bench: object) -> str:
        (self.folder / str(os.getpid())).touch()
        while not (self.folder / "end").exists():
            time.sleep(0.01)
        return "done"


def take_on_a_blind_node(dataset: Any, sender: Any, cache: Path) -> tuple[Any, Any, Path]:
    """The images of a data set on a node that does not see their file, and where it has its copy."""
    from evomnas.data.prepared.cache import VARIABLE
    from evomnas.evaluation.executors import ray_images

    os.environ[VARIABLE] = str(cache)
    ray_images.is_visible = lambda path: False
    here = ray_images.images_here(dataset, sender)
    return here.train_images[:], here.validation_images[:], here.train_images.path
