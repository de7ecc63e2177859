"""What all commands share: errors in one line, exit codes, signals.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 failed, 2 wrong
usage, 130 interrupted and 143 terminated, both with every finished evaluation saved.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec, TypeVar

import typer

from evomnas.core.errors import EverythingFailed, InputError

P = ParamSpec("P")
T = TypeVar("T")

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Search MnasNet's space for networks that are accurate on your images and fast on your device.",
)  # fmt: skip
_debug = False
_terminated = False


class Terminated(KeyboardInterrupt):
    """SIGTERM."""


def run() -> None:
    """Run the command that was typed."""
    signal.signal(signal.SIGINT, _interrupt)  # a shell's background jobs start with it ignored
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        try:
            app(prog_name="evomnas")
        finally:
            if sys.stdout is not None:  # closed by the shell
                sys.stdout.flush()
    except KeyboardInterrupt as error:  # before or after the command's own doing
        raise SystemExit(interrupted(error)) from None
    except SystemExit as error:  # the option parser ends every interruption as one of SIGINT
        raise SystemExit(143 if _terminated and error.code == 130 else error.code) from None
    except BrokenPipeError:
        _discard_output()
        raise SystemExit(1) from None
    except OSError as error:  # such as help that nobody can read
        _discard_output()
        typer.echo(f"evomnas: the file system refused: {error}", err=True)
        raise SystemExit(1) from None


def _discard_output() -> None:
    """Send what is still to be printed nowhere: where it should go takes no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def interrupted(error: KeyboardInterrupt) -> int:
    """The exit code of an interruption."""
    return 143 if isinstance(error, Terminated) else 130


def _interrupt(signum: int, frame: object) -> NoReturn:
    """Give up what is running, in order; who does not want to wait for it interrupts again."""
    global _terminated
    _terminated = signum == signal.SIGTERM
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    raise Terminated if signum == signal.SIGTERM else KeyboardInterrupt


def _leave(signum: int, frame: object) -> NoReturn:
    """Leave at once; workers end as soon as they see that nobody is left to work for."""
    show_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # a progress line hides it
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, show_cursor + b"evomnas: left at once; every finished evaluation is kept\n")
    os._exit(128 + signum)


def reported(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose errors become one line and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except InputError as error:
            fail(str(error), 2)
        except EverythingFailed as error:
            fail(str(error), 1)
        except KeyboardInterrupt as error:
            fail("interrupted", interrupted(error))
        except BrokenPipeError:  # the reader of our output has gone, as in `evomnas show RUN | head -1`
            _discard_output()
            raise typer.Exit(1) from None
        except OSError as error:
            fail(f"the file system refused: {error}", 1)
        except sqlite3.Error as error:
            fail(f"the archive cannot be used: {error}; it must be whole, on a disk that can be written to", 1)
        except Exception as error:
            fail(f"{type(error).__name__}: {error} (evomnas --debug ... shows where)", 1)

    return wrapped


def fail(message: str, code: int) -> NoReturn:
    if _debug:
        raise
    typer.echo(f"evomnas: {' '.join(message.split())}", err=True)
    raise typer.Exit(code) from None


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where something goes wrong.")] = False,
) -> None:
    global _debug
    _debug = debug


def debugging() -> bool:
    """Whether tracebacks were asked for."""
    return _debug


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
