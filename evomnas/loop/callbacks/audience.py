"""All callbacks of a search together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from evomnas.loop.callbacks.base import Callback
from evomnas.results.run import Result, Run


class Audience(Callback):
    """Tells several callbacks the same.

    A callback that raises an error is warned of and told no more: trainings of hours must not end because a plot could
    not be drawn. A `BrokenPipeError` goes on, since it means that nobody reads the output any more.
    """

    def __init__(self, callbacks: Sequence[Callback] = (), on_fault: Callable[[str], object] = warnings.warn) -> None:
        """Gather callbacks.

        Args:
            callbacks: Those to tell, in this order.
            on_fault: Takes the words for one that failed.
        """
        self._callbacks, self._on_fault = list(callbacks), on_fault

    def on_begin(self, run: Run) -> None:
        """See `Callback.on_begin`."""
        self._tell(lambda callback: callback.on_begin(run))

    def on_evaluation(self, run: Run, result: Result) -> None:
        """See `Callback.on_evaluation`."""
        self._tell(lambda callback: callback.on_evaluation(run, result))

    def on_generation(self, run: Run) -> None:
        """See `Callback.on_generation`."""
        self._tell(lambda callback: callback.on_generation(run))

    def on_end(self, run: Run) -> None:
        """See `Callback.on_end`."""
        self._tell(lambda callback: callback.on_end(run))

    def _tell(self, notice: Callable[[Callback], None]) -> None:
        for callback in list(self._callbacks):
            try:
                notice(callback)
            except BrokenPipeError:
                raise
            except Exception as error:
                self._callbacks.remove(callback)
                name, fault = type(callback).__name__, f"{type(error).__name__}: {error}"
                self._on_fault(f"the callback {name} failed, and is told no more of this search ({fault})")
