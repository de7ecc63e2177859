"""A device that measures while somebody else has the machine."""

from __future__ import annotations

import threading
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
        assert not done.wait(2.0)
    assert done.wait(60)
    thread.join()
    assert waits
