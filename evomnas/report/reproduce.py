"""What it takes to run a search again, or to build and use one of its networks: commands, and the problem as a file."""

from __future__ import annotations

import json
import shlex
from typing import Any

from evomnas.problem.loading import builtin_problems, flat, load_definition
from evomnas.results.run import Run

ID, NOTATION = "{id}", "{architecture}"  # what the page puts a network's own into


def run_command(run: Run) -> str:
    """The command that makes the same search; a problem that is not built in is the file of `problem_file`."""
    parts = ["evomnas", "run", run.definition.name]
    settings = _overrides(run)
    if settings is None:
        parts[-1], settings = f"{run.definition.name}.toml", []
    parts += ["--algo", run.record.algorithm, "--budget", str(run.manifest.budget), "--seed", str(run.record.seed)]
    for name, value in run.options.items():
        parts += _option(name, value)
    parts += ["--async"] * run.mode.asynchronous
    if run.definition.epochs > 1 and not run.mode.early_stop:
        parts.append("--no-early-stop")
    return shlex.join(parts + [part for setting in settings for part in ("--set", setting)])


def _option(name: str, value: Any) -> list[str]:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return [f"--{name.replace('_', '-')}", text]


def _overrides(run: Run) -> list[str] | None:
    """What was set on top of the built-in problem of that name; None where the problem is another one."""
    name = run.definition.name
    if name not in builtin_problems():
        return None
    builtin = dict(flat(load_definition(name).model_dump(mode="json")))
    ours = dict(flat(run.definition.model_dump(mode="json")))
    changed = {key: value for key, value in ours.items() if builtin.get(key) != value}
    if any(value is None for value in changed.values()) or builtin.keys() - ours.keys():
        return None  # TOML cannot unset a value
    return [f"{key}={_toml(value)}" for key, value in changed.items()]


def problem_file(run: Run) -> str:
    """The run's problem as a TOML file, complete."""
    values = run.definition.model_dump(mode="json", exclude_none=True)
    lines = [f"{name} = {_toml(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for section, content in values.items():
        if isinstance(content, dict) and content:
            lines += ["", f"[{section}]", *(f"{name} = {_toml(value)}" for name, value in content.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)  # a JSON scalar is one of TOML's


def network_commands(run: Run) -> list[dict[str, str]]:
    """What can be done with a network of the run: title and text, with `{id}` and `{architecture}` for its own."""
    folder, shape = shlex.quote(str(run.folder)), run.shape
    if shape is None:
        return []
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
