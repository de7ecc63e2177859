"""Worker processes that do one call after another, and are replaced when they die.

Every worker has a pipe of its own, and a thread of this process that hands it calls. So one that is killed, at whatever
moment, takes nothing with it but its call. (In pools whose workers share a queue it may hold the queue's lock, or leave
half a message in it, and all wait for ever.) The server from which workers are forked may die as well: those that live
do not notice, and the next one starts a new server.
"""

from __future__ import annotations

import atexit
import errno
import pickle
import queue
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from evomnas.core import remedies
from evomnas.core.errors import WorkersLost
from evomnas.core.system.optional import soft_limit
from evomnas.core.system.processes import interrupts_blocked

START_PAUSES_S = (0.0, 0.5, 2.0, 8.0)  # before each attempt to start a worker, if the one before was killed
MAX_UNSEEN = 3  # workers that die before they see a call; then it is the cause
REAP_S = 5.0  # until the exit code of a process is known that has closed its pipe
CANNOT_START = "worker processes cannot be started"
SERVER_DIED = 255  # the exit code that multiprocessing makes up if the server that knows it has died

_starting = threading.Lock()  # multiprocessing keeps a list of all processes, which no two threads may change
# Its process that cleans up may be killed as well. It is started anew, and there is nothing of ours to clean up.
warnings.filterwarnings("ignore", "resource_tracker: process died unexpectedly")


class WorkerDied(Exception):
    """A worker ended while it did a call.

    Its call ends at once, before its exit code is known: that waits while another worker is started, for seconds if the
    server has to be started first. So calls whose workers are killed together end together.
    """

    def __init__(self, exit_code: Future[int | None]) -> None:
        """Take its exit code, which may not be known yet."""
        super().__init__(exit_code)
        self._exit_code = exit_code

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative if a signal ended it; None if it is never known. Waits until that is clear."""
        return self._exit_code.result()

    def __str__(self) -> str:
        return "ended" if self.exit_code is None else f"ended with exit code {self.exit_code}"


class _Closed(Exception):
    """The crew was closed meanwhile."""


@dataclass
class _Call:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any]
    unseen: int = 0  # workers that died before they saw it


class Crew:
    """Worker processes, so many as long as they can be had, else fewer.

    Attributes:
        ready: Done when the first worker is prepared; else it has the error that `submit` names.
    """

    def __init__(self, size: int, context: Any, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Start the workers. Nobody waits for them.

        Args:
            size: How many, at least 1.
            context: A context of multiprocessing.
            prepare: The function of a module that every worker calls first.
            arguments: Its arguments.
        """
        self.ready: Future[None] = Future()
        self._task = prepare, arguments
        self._context = context
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._workers: set[_Worker] = set()
        self._closing = threading.Event()
        self._mutex = threading.Lock()  # of the attributes below, and of `ready`
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []
        with interrupts_blocked(), self._mutex:
            for _ in range(size):
                thread = threading.Thread(target=self._serve, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # the system starts no more
                    if not self._threads:
                        raise WorkersLost(f"{CANNOT_START}: {remedies.explain(error) or error}") from None
                    break
                self._threads.append(thread)
            self._size = len(self._threads)
        atexit.register(self.close)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Let the next free worker do a call.

        Args:
            function: The function of a module.
            arguments: Values that can be pickled.

        Returns:
            The result, or what the function raised. It is `WorkerDied` if the worker ended, and, if no worker can be
            had any more, the reason: `WorkersLost`, or what `prepare` raised.
        """
        call = _Call(function, arguments, Future())
        with self._mutex:
            if self._error is None:
                self._calls.put(call)
            else:
                call.future.set_exception(self._error)
        return call.future

    def close(self) -> None:
        """End the workers, whatever they do."""
        atexit.unregister(self.close)
        self._closing.set()
        with _starting:
            for worker in self._workers:
                worker.kill()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join(REAP_S)

    def _serve(self) -> None:
        """Have calls done by a worker, and by others after it."""
        try:
            while True:
                worker = self._hire()
                while worker.lives:
                    call = self._calls.get()
                    if call is None:
                        return
                    self._do(worker, call)
        except _Closed:
            return
        except BaseException as error:
            self._leave(error)

    def _do(self, worker: _Worker, call: _Call) -> None:
        try:
            if not worker.sees(call) and call.unseen < MAX_UNSEEN:  # it died before, while it had nothing to do
                call.unseen += 1
                self._calls.put(call)
                return
            call.future.set_result(worker.result())
        except BaseException as error:
            call.future.set_exception(error)
            if isinstance(error, WorkerDied):
                worker.reap()

    def _hire(self) -> _Worker:
        """Start a worker and wait until it is prepared."""
        reason = ""
        for pause in START_PAUSES_S:
            if self._closing.wait(pause):
                raise _Closed
            try:
                worker = self._start()
                worker.result()
            except WorkerDied as death:
                worker.reap()
                reason = f"the last one {death}"
                if (death.exit_code or 0) > 0:  # no signal: the next one would do the same
                    break
            except EOFError:
                reason = "the process that starts them has died"
                if soft_limit("NPROC") is not None:  # the likeliest reason
                    reason = str(remedies.explain(BlockingIOError(errno.EAGAIN, "")))
            except (OSError, MemoryError) as error:  # the system is short of something
                reason = remedies.explain(error) or str(error) or type(error).__name__
            else:
                with self._mutex:
                    if not self.ready.done():
                        self.ready.set_result(None)
                return worker
        raise WorkersLost(f"{CANNOT_START}: {reason}")

    def _start(self) -> _Worker:
        with _starting:
            if self._closing.is_set():
                raise _Closed
            self._workers = {worker for worker in self._workers if worker.lives}
            worker = _Worker(self._context, *self._task)
            self._workers.add(worker)
        return worker

    def _leave(self, error: BaseException) -> None:
        """Do without this thread's workers. If there are no others, nothing can be done any more."""
        with self._mutex:
            self._size -= 1
            if self._size:
                return
            self._error = error
            if not self.ready.done():
                self.ready.set_exception(error)
            while not self._calls.empty():
                if (call := self._calls.get()) is not None:
                    call.future.set_exception(error)


class _Worker:
    """A process and this end of its pipe; one thread talks to it."""

    def __init__(self, context: Any, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Start the process. `result` then waits until it is prepared."""
        self.lives = True
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, prepare, arguments))
        self._exit_code: Future[int | None] = Future()
        try:
            with interrupts_blocked():
                self._process.start()
        except BaseException:
            self._pipe.close()
            raise
        finally:
            other.close()

    def sees(self, call: _Call) -> bool:
        """Hand the worker a call, and return whether it begins: False if it has died."""
        message = pickle.dumps((call.function, call.arguments))
        try:
            self._pipe.send_bytes(message)
            self._pipe.recv()
        except (EOFError, OSError):
            self.reap()
            return False
        return True

    def result(self) -> Any:
        """Wait for what a call returns, or raise what it raised, or `WorkerDied`; then `reap` has to follow."""
        try:
            value, error = self._pipe.recv()
        except (EOFError, OSError):
            raise WorkerDied(self._exit_code) from None
        if error is not None:
            raise error
        return value

    def kill(self) -> None:
        """End the process, whatever it does; its thread then finds the pipe closed."""
        with suppress(ValueError):  # it was reaped
            self._process.kill()
            if not self._process.is_alive():  # as far as its dead server tells; it sees that its sentinel is closed
                self._process.close()

    def reap(self) -> None:
        """Learn the exit code of the process, which has ended."""
        if not self.lives:
            return
        self.lives = False
        self._pipe.close()
        code = None
        try:
            with _starting, suppress(ValueError):  # it was closed by `kill`
                self._process.join(REAP_S)
                code = self._process.exitcode
                self._process.close()
        finally:
            self._exit_code.set_result(None if code == SERVER_DIED else code)


# --- in the worker ---------------------------------------------------------------------------------------


def _work(pipe: Connection, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Do calls until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        _answer(pipe, prepare, arguments)
        while True:
            message = pipe.recv_bytes()
            pipe.send(None)
            _answer(pipe, _called, (message,))


def _called(message: bytes) -> Any:
    function, arguments = pickle.loads(message)
    return function(*arguments)


def _answer(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    answer: tuple[Any, Exception | None]
    try:
        answer = function(*arguments), None
    except Exception as error:
        error.add_note(f"In the worker process:\n{traceback.format_exc()}")
        answer = None, error
    try:
        message = pickle.dumps(answer)
    except Exception as error:
        message = pickle.dumps((None, RuntimeError(f"what a worker process has cannot be sent: {error}")))
    pipe.send_bytes(message)
