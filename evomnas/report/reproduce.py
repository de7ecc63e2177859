"""Commands that run a search again or that use one of its networks, and the problem of a run as a file."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

from evomnas.core import defaults
from evomnas.core.system.shell import join, quote
from evomnas.problem.counting import NetworkShape
from evomnas.problem.loading import builtin_problems, flat, load_definition
from evomnas.problem.typed.paths import OWN_IMAGES
from evomnas.problem.typed.settings import parse_value
from evomnas.problem.typed.suiting import SUITED
from evomnas.results.run import Result, Run

ID, NOTATION = "{id}", "{architecture}"  # the page puts those of the chosen network in their place


def run_command(run: Run) -> str:
    """Return the command that makes the same search again.

    Args:
        run: The run.

    Returns:
        A line for a shell. A problem that is not built in is the file that `problem_file` returns. Options that are
        None cannot be typed; a comment at the end of the line names them.
    """
    parts = ["evomnas", "run", run.definition.name]
    settings = _overrides(run)
    if settings is None:
        parts[-1], settings = f"{run.definition.name}.toml", []
    parts += ["--algo", run.record.algorithm, "--budget", str(run.manifest.budget), "--seed", str(run.record.seed)]
    untyped = []
    for name, value in run.options.items():
        try:
            parts += option_arguments(name, value)
        except ValueError:
            untyped.append(f"{name}={value}")
    parts += ["--async"] * run.mode.asynchronous
    if run.definition.epochs > 1 and not run.mode.early_stop:
        parts.append("--no-early-stop")
    taught = {} if run.mode.lessons is None else run.archive.context(run.mode.lessons)
    parts += ["--learn-from", taught["learn_from"]] if "learn_from" in taught else []
    parts += ["--confirm", f"{run.mode.confirm:g}"] if run.mode.confirm else []
    limits = run.record.candidates
    for flag, limit in (("--candidate-time", limits.seconds), ("--candidate-memory", limits.memory_gib)):
        parts += [] if limit is None else [flag, np.format_float_positional(limit, trim="-")]
    command = join(parts + [part for setting in settings for part in ("--set", setting)])
    return command + (f"  # cannot be typed, evomnas.search takes it: {', '.join(untyped)}" if untyped else "")


def option_arguments(name: str, value: Any) -> list[str]:
    """Return the arguments of `evomnas run` that give an option of an algorithm a value.

    Args:
        name: The option, such as `population`.
        value: Its value.

    Returns:
        Its flag and the value, such as `["--population", "20"]`. An option that has no flag, or a value that its flag
        does not read, gives `["--option", "KEY=VALUE"]`.

    Raises:
        ValueError: The value cannot be typed: TOML has no word for None.
    """
    kind = defaults.FLAG_TYPES.get(name)
    if kind is not None:
        are_several = name == "target_ms" and isinstance(value, list | tuple) and len(value) > 1
        values = value if are_several else [value]
        numbers = int if kind is int else int | float
        if all(isinstance(number, numbers) and not isinstance(number, bool) for number in values):
            return [defaults.flag(name), ",".join(map(str, values))]
    return ["--option", f"{name}={format_value(value)}"]


def format_value(value: Any) -> str:
    """Return the text that `parse_value` reads as a value.

    Args:
        value: A text, a number, a truth value, or a list or mapping of such.

    Returns:
        TOML, or the text itself where that is read as the same text.

    Raises:
        ValueError: The value, or one inside it, is of another type, such as None.
    """
    is_plain = isinstance(value, str) and parse_value(value) == value
    return value if is_plain else format_toml(value)


def _overrides(run: Run) -> list[str] | None:
    """Return the settings on top of the built-in problem of that name; None where the problem is another one."""
    name = run.definition.name
    if name not in builtin_problems():
        return None
    builtin = dict(flat(load_definition(name).model_dump(mode="json")))
    ours = dict(flat(run.definition.model_dump(mode="json")))
    always = SUITED if name == OWN_IMAGES else ()  # else they would follow from the images again
    changed = {key: value for key, value in ours.items() if builtin.get(key) != value or key in always}
    if builtin.keys() - ours.keys():
        return None
    try:
        return [f"{key}={format_toml(value)}" for key, value in changed.items()]
    except ValueError:  # TOML cannot unset a value
        return None


def problem_file(run: Run) -> str:
    """Return the problem of a run as a TOML file, complete.

    Args:
        run: The run.

    Returns:
        The text of the file.
    """
    values = run.definition.model_dump(mode="json", exclude_none=True)
    lines = [f"{name} = {format_toml(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for section, content in values.items():
        if isinstance(content, dict) and content:
            lines += ["", f"[{section}]", *(f"{name} = {format_toml(value)}" for name, value in content.items())]
    return "\n".join(lines) + "\n"


def format_toml(value: Any) -> str:
    """Return a value as TOML writes it.

    Args:
        value: A text, a number, a truth value, or a list or mapping of such.

    Raises:
        ValueError: The value, or one inside it, is of another type, such as None.
    """
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml_key(name)} = {format_toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))  # JSON has other words for them
    if not isinstance(value, str | int | float):
        raise ValueError(f"TOML has no word for {value!r}")
    # Else a JSON scalar is one of TOML's, but for the character that only TOML wants to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else format_toml(name)


def train_command(run: Run, results: list[Result]) -> tuple[str, str]:
    """Return the command that comes after a search: it trains a network of the front in full.

    Args:
        run: The run of a search that trains; its front has networks.
        results: Its results.

    Returns:
        What the command does, in words, and the command. The network is the front's knee, or else the one with the
        best score.
    """
    has_knee = bool(run.knees(results))
    which = "--knee" if has_knee else run.best(results).evaluation.architecture.id
    best = "most accurate" if run.definition.score_words == "accuracy" else "best"
    name = "the front's knee" if has_knee else f"the {best} network"
    return f"train {name} in full, for a test {run.definition.score_words}", f"evomnas train {run.argument} {which}"


def resume_command(run: Run) -> str | None:
    """Return the command that goes on with a search; None where there is nothing more to ask for.

    Args:
        run: The run. Where its budget is spent, the command doubles it.
    """
    manifest = run.manifest
    is_finished = manifest.status == "finished"
    if is_finished and manifest.evaluations < manifest.budget:
        return None
    return f"evomnas resume {run.argument} --budget {manifest.budget * (1 + is_finished)}"


def network_commands(run: Run) -> list[dict[str, str]]:
    """Return commands and code for any network of a run.

    Args:
        run: The run.

    Returns:
        Items with `title` and `text`, ready to copy once `{id}` and `{architecture}` are replaced by the network's own.
        Empty where networks are looked up in a table.
    """
    folder, shape = quote(str(run.folder)), run.shape
    if shape is None:
        return []
    if run.definition.detects:
        return _detector_commands(folder, shape)
    build = (
        "import evomnas\n\n"
        f'architecture = evomnas.Architecture.parse("{NOTATION}")\n'
        f"network = evomnas.build_network(architecture, classes={shape['classes']}, channels={shape['channels']})"
    )
    return [
        {"title": "Its layers, and a drawing", "text": f"evomnas describe {ID} --run {folder} --figure {ID}.pdf"},
        {"title": "Its latency, measured again", "text": f"evomnas measure {ID} --run {folder}"},
        {"title": "Train it in full, and score it on the test images", "text": f"evomnas train {folder} {ID}"},
        {"title": "Export it once it is trained", "text": f"evomnas export {folder} {ID} --to onnx"},
        {"title": "The network in PyTorch, untrained", "text": build},
    ]


def _detector_commands(folder: str, shape: NetworkShape) -> list[dict[str, str]]:
    """Return commands and code for any backbone of a detector."""
    build = (
        "import evomnas\n"
        "from evomnas.networks.detection.detector import build_detector\n\n"
        f'architecture = evomnas.Architecture.parse("{NOTATION}")\n'
        f"detector = build_detector(architecture, {shape['classes']}, {shape['resolution']}, {shape['channels']})"
    )
    return [
        {"title": "Its layers", "text": f"evomnas describe {ID} --run {folder}"},
        {"title": "Its latency, measured again", "text": f"evomnas measure {ID} --run {folder}"},
        {"title": "Train it in full, and score it on the test images", "text": f"evomnas train {folder} {ID}"},
        {"title": "Export it once it is trained", "text": f"evomnas export {folder} {ID} --to onnx --quantize int8"},
        {"title": "The detector in PyTorch, untrained", "text": build},
    ]
