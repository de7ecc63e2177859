"""The things that all commands share: errors in one line, exit codes, signals.

Results go to standard output, progress and errors to standard error. The exit code is 0 for done, 1 for failed, 2 for
wrong usage, 130 for interrupted and 143 for terminated. After the last two, every finished evaluation is saved.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, ParamSpec, TypeVar

import typer

from evomnas.cli import completion
from evomnas.cli.start import config_files
from evomnas.core import remedies
from evomnas.core.errors import EverythingFailed, InputError, WorkersLost
from evomnas.core.requirements import requirements_fault
from evomnas.core.system.shell import join

if TYPE_CHECKING:  # imported where it is used, so that --help is quick
    from evomnas.results.run import Run

P = ParamSpec("P")
T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search MnasNet's space for networks that are accurate on your images and fast on your device.",
)  # fmt: skip
_debug = False
_terminated = False


class Terminated(KeyboardInterrupt):
    """An interruption by SIGTERM."""


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
    except KeyboardInterrupt as error:  # before or after the command itself
        raise SystemExit(interrupted(error)) from None
    except SystemExit as error:  # the option parser ends every interruption as if it were one by SIGINT
        raise SystemExit(143 if _terminated and error.code == 130 else error.code) from None
    except BrokenPipeError:
        _discard_output()
        raise SystemExit(1) from None
    except OSError as error:  # such as help that nobody can read
        _discard_output()
        typer.echo(f"evomnas: {_refusal(error)}", err=True)
        raise SystemExit(1) from None


def _discard_output() -> None:
    """Send the rest of the output nowhere, since its reader takes no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def interrupted(error: KeyboardInterrupt) -> int:
    """Return the exit code of an interruption.

    Args:
        error: The interruption.

    Returns:
        143 for one by SIGTERM, else 130.
    """
    return 143 if isinstance(error, Terminated) else 130


def _interrupt(signum: int, frame: object) -> NoReturn:
    """Stop in good order. A second interruption does not wait for that."""
    global _terminated
    _terminated = signum == signal.SIGTERM
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    raise Terminated if signum == signal.SIGTERM else KeyboardInterrupt


def _leave(signum: int, frame: object) -> NoReturn:
    """Leave at once. Workers end as soon as they see that this process is gone."""
    show_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # a progress line hides it
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, show_cursor + b"evomnas: left at once; every finished evaluation is kept\n")
    os._exit(128 + signum)


def reported(command: Callable[P, T]) -> Callable[P, T]:
    """Decorate a command so that its errors become one line and an exit code.

    Args:
        command: The command.

    Returns:
        The command, which raises `typer.Exit` in place of errors.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            _check_folder()
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except InputError as error:
            fail(str(error), 2)
        except (EverythingFailed, WorkersLost) as error:
            fault = requirements_fault()
            fail(f"{error}; {fault}" if fault else str(error), 1)
        except KeyboardInterrupt as error:
            fail("interrupted", interrupted(error))
        except BrokenPipeError:  # the reader of the output is gone, as in `evomnas show RUN | head -1`
            _discard_output()
            raise typer.Exit(1) from None
        except OSError as error:
            fail(_refusal(error), 2 if remedies.is_misuse(error) else 1)
        except sqlite3.Error as error:
            advice = remedies.explain(error) or f"{error}; it must be whole, on a disk that can be written to"
            fail(f"the archive cannot be used: {advice}", 1)
        except Exception as error:
            fail(_out_of_memory(error) or remedies.explain(error) or _unexplained(error), 1)

    return wrapped


def _check_folder() -> None:
    """Check that there still is a folder in which the command was typed; PyTorch ends the process if there is none.

    Raises:
        InputError: There is none.
    """
    try:
        os.getcwd()
    except OSError:
        raise InputError("the folder in which this was typed was deleted: cd to another one") from None


def _refusal(error: OSError) -> str:
    """Return what the system refused, in one line, and what helps if that is known."""
    return remedies.explain(error) or f"the file system refused: {error}"


def _unexplained(error: Exception) -> str:
    """Return an error that nobody expects, with its likely cause if there is one."""
    cause = remedies.tight_limits() or requirements_fault() or "evomnas --debug ... shows where"
    return f"{type(error).__name__}: {error} ({cause})"


def _out_of_memory(error: Exception) -> str | None:
    """Return an error in words if memory was short, for which libraries have many errors; else return None."""
    from evomnas.core.system.machine import memory_gib
    from evomnas.results.evaluation import Failure

    if Failure.of(error).kind != "out-of-memory":
        return None
    limits = remedies.tight_limits()
    return f"out of memory, of which there are {memory_gib():.1f} GiB here{limits and f' ({limits})'}: {error}"


def fail(message: str, code: int) -> NoReturn:
    """End the command with an error; to be called where an exception is handled.

    Args:
        message: The error, printed as one line.
        code: The exit code.

    Raises:
        typer.Exit: Always, but with `--debug`, where the exception that is handled goes on.
    """
    if _debug:
        raise
    typer.echo(f"evomnas: {' '.join(message.split())}", err=True)
    raise typer.Exit(code) from None


def _print_version(is_wanted: bool) -> None:
    """Print the version and end the command; this is the callback of `--version`."""
    if is_wanted:
        from evomnas.core.system.machine import describe_versions

        typer.echo(f"evomnas {describe_versions()['evomnas']}")
        raise typer.Exit


@app.callback()
@reported
def _general_options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    global _debug
    _debug = debug
    if context.invoked_subcommand not in config_files.OUTSIDE:
        context.default_map = config_files.default_map(context.command)


def debugging() -> bool:
    """Return whether the user asked for tracebacks."""
    return _debug


@contextlib.contextmanager
def repeatable(kept: str) -> Iterator[None]:
    """Tell the user, where the block is interrupted, that the same command goes on from there.

    Args:
        kept: The words for what is kept, for the message.

    Yields:
        Nothing.

    Raises:
        typer.Exit: In place of an interruption, but with `--debug`.
    """
    how = f"{kept}. Go on with the same command: {join(['evomnas', *sys.argv[1:]])}"
    try:
        yield
    except WorkersLost as error:
        raise WorkersLost(f"{error}; {how}") from None
    except KeyboardInterrupt as error:
        if debugging():
            raise
        typer.echo(f"Interrupted; {how}", err=True)
        raise typer.Exit(interrupted(error)) from None


RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run, or packed run.", autocompletion=completion.runs)
]


def open_run(path: Path) -> Run:
    """Open the run that was typed.

    Args:
        path: Its folder, or a packed run, which is unpacked beside itself; the user is told so.

    Returns:
        The run.

    Raises:
        InputError: There is no such run.
    """
    from evomnas.results.run import Run

    return Run.open(run_folder(path))


def open_with_images(path: Path, data: Path | None) -> Run:
    """Open the run that was typed, whose images are needed.

    Args:
        path: See `open_run`.
        data: Where its images are now; None where they were.

    Returns:
        The run.

    Raises:
        InputError: There is no such run, or its images are not there.
    """
    from evomnas.data.first_look import check_images

    opened = open_run(path)
    if data is not None:
        opened.read_data_from(data)
    else:
        check_images(opened.definition)
    return opened


def open_for_training(path: Path, data: Path | None, device: str, changes: Sequence[str]) -> Run:
    """Open the run that was typed, whose networks are trained in full; what was typed is checked without torch.

    Args:
        path: See `open_run`.
        data: See `open_with_images`.
        device: `cpu`, `cuda` or `auto`.
        changes: `full.key=value` strings, the settings of the training.

    Returns:
        The run.

    Raises:
        InputError: There is no such run, device or setting, its images are not there, or it searched a table.
    """
    from evomnas.core.system.device import check_device
    from evomnas.problem.loading import change_full_training

    check_device(device)
    opened = open_with_images(path, data)
    change_full_training(opened.trained_problem(), changes)
    return opened


def run_folder(path: Path) -> Path:
    """Return the folder of the run that was typed; see `open_run`.

    Args:
        path: Its folder, or a packed run.

    Returns:
        The folder.

    Raises:
        InputError: There is a file that is no packed run.
    """
    from evomnas.results.packing.moved import run_folder as find_folder

    found = find_folder(path)
    if found.is_new:
        typer.echo(f"{path} is unpacked now: {found.folder} is the run, and what is added to it goes there.", err=True)
    return found.folder
