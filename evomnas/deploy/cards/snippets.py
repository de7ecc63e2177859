"""The code on a model card: for PyTorch, and for every format of exported files.

Each snippet runs as it is printed, in the network's folder, on a picture of the user's. Beside the runtime it needs
Pillow and NumPy. How the picture is read is the source of the functions with which evomnas itself reads it, so that
both see the same pixels.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Sequence

from evomnas.data import colours
from evomnas.data.photographs import Preprocessing
from evomnas.deploy.formats import FORMATS, ExportFormat
from evomnas.deploy.formats.exported_files import ANY_SIZE, FIGURE_FILE, Export
from evomnas.deploy.formats.gains import find_gain
from evomnas.deploy.formats.pytorch.names import PYTORCH_SUFFIXES, usage

PICTURE = "photo.jpg"  # the user's, on every card
SHOWN_CLASSES = 3  # the most probable ones
FUNCTIONS: tuple[Callable[..., object], ...] = (  # by which a picture becomes pixels
    colours.read_picture, colours.read_colours, colours.read_layers, colours.read_deep, colours.srgb_transform,
    colours.apply_gamma, colours.turn_upright, colours.read_orientation, colours.to_picture, colours.scale_picture,
    colours.crop_box, colours.inner_size, colours.pad_picture,
)  # fmt: skip
WHOLE_FUNCTIONS = (colours.read_whole_picture, *FUNCTIONS[1:8])  # at its own size

_PYTORCH = """\
import evomnas
import torch

network = evomnas.load_network(".")  # a torch module: the network of this folder
pixels = torch.from_numpy(network.preprocessing.read({picture}))
with torch.inference_mode():
    probabilities = network(pixels[None])[0].softmax(0)
for index in probabilities.argsort(descending=True)[:{shown}]:
    print(f"{{network.classes[index]}}: {{probabilities[index]:.2%}}")
"""

_FILE = """\
import io
import json
from functools import lru_cache

{imports}

model, picture = {file}, {picture}


{functions}


with Image.open(picture) as opened:
    {reading}
pixels = np.asarray(image, dtype=np.float32).reshape(1, {height}, {width}, {channels})
pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))  # channels first, values from 0 to 255

{code}
exponentials = np.exp(logits - logits.max())
probabilities = exponentials / exponentials.sum()
for index in np.argsort(-probabilities)[:{shown}]:
    print(f"{{classes[index]}}: {{probabilities[index]:.2%}}")
"""


def pytorch_snippet() -> str:
    """Return the code that classifies a picture with the network of a folder in PyTorch."""
    return _PYTORCH.format(picture=json.dumps(PICTURE), shown=SHOWN_CLASSES)


def file_snippet(kind: ExportFormat, file: str, preprocessing: Preprocessing, any_size: bool = False) -> str:
    """Return the code that classifies a picture with an exported file; evomnas need not be installed.

    Args:
        kind: The format of the file.
        file: The name of the file.
        preprocessing: What is done with the picture.
        any_size: Whether the file does that itself, with pictures of any size.
    """
    (height, width), channels, fit = preprocessing.size, preprocessing.channels, json.dumps(preprocessing.fit)
    reading = f"image = read_picture(opened, {channels}, ({height}, {width}), {fit})"
    imports = ["import numpy as np", *kind.imports, "from PIL import Image, ImageCms"]
    return _FILE.format(
        imports="\n".join(sorted(imports, key=lambda line: (line.startswith("from"), line.lower()))),
        file=json.dumps(file),
        picture=json.dumps(PICTURE),
        functions="\n\n\n".join(_source(function) for function in (WHOLE_FUNCTIONS if any_size else FUNCTIONS)),
        reading=f"image = read_whole_picture(opened, {channels})" if any_size else reading,
        channels=channels,
        height="image.height" if any_size else height,
        width="image.width" if any_size else width,
        code=kind.code,
        shown=SHOWN_CLASSES,
    )


def usage_section(exports: Sequence[Export], preprocessing: Preprocessing) -> str:
    """Return the section of a model card that says how the network is used, with its exported files.

    Args:
        exports: The exported files.
        preprocessing: What is done with a picture.

    Returns:
        The section in Markdown, from its heading on.
    """
    parts = [
        f"Everything here runs as it stands in this folder, on a picture `{PICTURE}` of yours. It reads the picture as "
        "the network wants it and prints the most probable classes.",
        f"On the command line: `evomnas predict . {PICTURE}`. Any file of the table below may take the place of the "
        "folder, and a folder of pictures that of the picture." if exports else
        f"On the command line: `evomnas predict . {PICTURE}`. A folder of pictures may take the place of the picture.",
        f"In PyTorch, with evomnas:\n\n```python\n{pytorch_snippet()}```",
    ]  # fmt: skip
    if exports:
        parts.append(_files_table(exports))
    for name in dict.fromkeys(export.format for export in exports):
        if name in PYTORCH_SUFFIXES:
            file = next(export.file for export in exports if export.format == name)
            parts.append(
                f"`{file}`, in PyTorch without evomnas. It takes pixel values from 0 to 255, float32 of shape (n, "
                f"{preprocessing.channels}, {preprocessing.size[0]}, {preprocessing.size[1]}), and returns logits.\n\n"
                f"```python\n{usage(name, file)}```"
            )
            continue
        for any_size in (False, True):
            files = [one.file for one in exports if one.format == name and (ANY_SIZE in one.variant) == any_size]
            if files:
                parts.append(_file_part(FORMATS[name], files, preprocessing, any_size))
    return "## Use\n\n" + "\n\n".join(parts) + "\n"


def _file_part(kind: ExportFormat, files: Sequence[str], preprocessing: Preprocessing, any_size: bool) -> str:
    """Return the part of a card about files of a format, with the code for one of them."""
    first = min(files, key=_preference)
    others = " Other files of this format take the place of its name." if len(files) > 1 else ""
    if any_size:
        others = " It takes pictures of any size and resizes them itself; so do others whose names say so."
    snippet = file_snippet(kind, first, preprocessing, any_size)
    return f"`{first}`, without evomnas (`pip install {kind.packages}`).{others}\n\n```python\n{snippet}```"


def _files_table(exports: Sequence[Export]) -> str:
    """Return the exported files with their figures as a table in Markdown, and the figure that shows them."""
    header = ("file", "test accuracy", "as PyTorch", "latency ms", "KiB", "against float, on that device")
    rows = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for export in exports:
        latency = "-" if export.latency_ms is None else f"{export.latency_ms:.4f}"
        shares = f"{export.score.accuracy:.2%} | {export.agreement:.2%}"
        gain = find_gain(export, exports)
        size = f"{export.bytes / 1024:.1f}"
        rows.append(f"| `{export.file}` | {shares} | {latency} | {size} | {'' if gain is None else gain.text} |")
    if sum(export.latency_ms is not None for export in exports) > 1:
        rows += ["", f"![Test accuracy of these files against latency and size]({FIGURE_FILE})"]
    return "\n".join(rows)


def _preference(file: str) -> tuple[bool, bool]:
    """Return a key that sorts the plain int8 file of a format first, then the plain float one."""
    stem = file.rpartition(".")[0]
    return stem != "model-int8", stem != "model-float"


def _source(function: Callable[..., object]) -> str:
    """Return the source of a function without its docstring."""
    source = inspect.getsource(function)
    [definition] = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    docstring = definition.body[0]
    lines = source.splitlines()
    del lines[docstring.lineno - 1 : docstring.end_lineno]
    return "\n".join(lines)
