"""Silence for libraries that print too much."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Suppress the warnings and log lines of other libraries inside the block, where users cannot act on them.

    Yields:
        Nothing; the settings from before are restored afterwards.
    """
    disabled_level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled_level)
