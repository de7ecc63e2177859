"""A device that measures while somebody else has the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager


def assert_waits(device, networks, taken: AbstractContextManager[None]) -> None:
    """It measures nothing while the machine is `taken`, says that it waits, and then goes on."""
    done, waits = threading.Event(), []

    def run() -> None:
        list(device.compare(networks[1:], networks[0], lambda: waits.append(1)))
        done.set()

    with taken:
        thread = threading.Thread(target=run)
        thread.start()
        assert wait_until(lambda: waits or done.is_set(), 120)
        assert not done.wait(0.3)
    assert done.wait(120)
    thread.join()


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Return whether something comes true within so many seconds, as soon as it does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())
