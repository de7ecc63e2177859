"""Still figures (matplotlib): how they look and are saved, and the drawing of an architecture.

Every figure is drawn on its own canvas; matplotlib's global state is neither used nor changed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Rectangle

from evomnas.problem.architecture import Architecture

INK, MUTED, ACCENT, GRID = "#1a1a1a", "#8a8a8a", "#0b6e99", "#dddddd"
STYLE: Any = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # whole fonts, as publishers want them
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "svg.hashsalt": "evomnas",
    "text.parse_math": False,  # a column's name may hold dollar signs
}

# The drawing of an architecture, in inches; colours with their opacity.
WIDTH_IN, LABEL_IN, MIDDLE_IN, GAP_IN = 2.9, 0.86, 1.68, 0.12
OP_COLOURS = {
    "conv": ("#d98a1f", 0.45),
    "dconv": ("#2a9d6f", 0.30),
    "mbconv3": ("#3b7dd8", 0.28),
    "mbconv": ("#3b7dd8", 0.60),
}
SE_COLOUR = "#a23bd8"


def architecture_figure(
    architecture: Architecture, resolution: int = 224, channels: int = 3, classes: int = 1000
) -> Figure:
    """An architecture from its image to its logits, as in the paper's figure 7.

    One box per block: operation and kernel, SE where it has one, a segment per layer, as wide as its filters
    are many (on a logarithmic scale). To the left what each box hands on, height x width x channels; to the
    right its number of layers and an arc for every skip, dashed where it is a pooling skip that changes the
    shape. The colours tell the operations apart and let the page shine through, light or dark.
    """
    architecture.check_resolution(resolution)
    drawn = list(boxes(architecture))
    heights = [0.2 + 0.11 * len(box.skips) for box in drawn]
    depth = sum(heights) + GAP_IN * (len(drawn) + 1) + 0.4
    with matplotlib.rc_context(STYLE):
        longest = len(_shape(resolution, max(box.filters for box in drawn)))
        width = WIDTH_IN + 0.065 * max(0, longest - 12)  # labels stand to the left
        figure = Figure(figsize=(width, depth))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(WIDTH_IN - width, WIDTH_IN), ylim=(depth, 0))
        axes.set_axis_off()
        side, y = resolution, 0.14
        axes.text(MIDDLE_IN, y, "image", ha="center", va="center", size=7.5)
        axes.text(LABEL_IN, y, _shape(side, channels), ha="right", va="center", size=7, color=MUTED)
        y += 0.08
        for box, height in zip(drawn, heights, strict=True):
            side = -(-side // box.stride)
            y = _draw_gap(axes, y)
            _draw_box(axes, box, y, height)
            axes.text(LABEL_IN, y + height / 2, _shape(side, box.filters), ha="right", va="center", size=7, color=MUTED)
            y += height
        y = _draw_gap(axes, y)
        axes.text(MIDDLE_IN, y + 0.07, "average pooling, linear", ha="center", va="center", size=7.5)
        axes.text(LABEL_IN, y + 0.07, f"{classes}", ha="right", va="center", size=7, color=MUTED)
        return figure


@dataclass(frozen=True)
class Box:
    """What the drawing of one block needs; `skips` has one entry per layer: none, identity or pool."""

    text: str
    op: str
    filters: int
    stride: int
    se: bool
    skips: tuple[str, ...]


def boxes(architecture: Architecture) -> Iterator[Box]:
    """The boxes of a drawing: the stem, the blocks and the head."""
    yield Box("Conv 3×3", "conv", architecture.stem, architecture.stem_stride, False, ("none",))
    inputs = architecture.stem
    for block in architecture.blocks:
        name = {"conv": "Conv", "dconv": "SepConv"}.get(block.op, f"MBConv{block.expansion}")
        skips = (block.shortcut(inputs, block.stride), *[block.shortcut(block.filters, 1)] * (block.layers - 1))
        yield Box(f"{name} {block.kernel}×{block.kernel}", block.op, block.filters, block.stride, block.se > 0, skips)
        inputs = block.filters
    yield Box("Conv 1×1", "conv", architecture.head, 1, False, ("none",))


def _draw_box(axes: Axes, box: Box, y: float, height: float) -> None:
    width = min(1.5, 1.06 + 0.065 * max(0.0, math.log2(box.filters / 8)))
    left, right = MIDDLE_IN - width / 2, MIDDLE_IN + width / 2
    colour, alpha = OP_COLOURS.get(box.op, OP_COLOURS["mbconv"])
    axes.add_patch(Rectangle((left, y), width, height, facecolor=to_rgba(colour, alpha), edgecolor=MUTED, lw=0.7))
    layers = len(box.skips)
    step = height / layers
    for layer, skip in enumerate(box.skips):
        top = y + layer * step
        if layer:
            for end in (left + 0.08, right - 0.08):  # between two layers, clear of the text
                axes.plot((end - 0.08, end + 0.08), (top, top), color=MUTED, lw=0.8)
        if skip != "none":
            style = "--" if skip == "pool" else "-"
            centre = (right, top + step / 2)
            axes.add_patch(Arc(centre, 0.16, step, theta1=-90, theta2=90, color=ACCENT, lw=1.0, ls=style))
    text_x = MIDDLE_IN - (0.13 if box.se else 0)
    axes.text(text_x, y + height / 2, box.text, ha="center", va="center", size=7.5)
    if box.se:
        tag = {"boxstyle": "round,pad=0.18", "facecolor": to_rgba(SE_COLOUR, 0.3), "edgecolor": "none"}
        axes.text(right - 0.16, y + height / 2, "SE", bbox=tag, ha="center", va="center", size=6.5)
    if layers > 1:
        axes.text(WIDTH_IN - 0.2, y + height / 2, f"×{layers}", ha="center", va="center", size=8)


def _draw_gap(axes: Axes, y: float) -> float:
    axes.plot((MIDDLE_IN, MIDDLE_IN), (y, y + GAP_IN), color=MUTED, lw=0.8)
    return y + GAP_IN


def _shape(side: int, channels: int) -> str:
    return f"{side}×{side}×{channels}"


def save(figure: Figure, path: Path, outlines: bool = False) -> None:
    """Write a figure as .svg, .pdf or .png, the same every time; in an .svg text can become outlines, without fonts."""
    if path.suffix.lower() == ".svg":
        path.write_text(to_svg(figure, outlines), encoding="utf-8")
    else:
        with matplotlib.rc_context(STYLE):
            date = {"CreationDate": None} if path.suffix.lower() == ".pdf" else {}
            figure.savefig(path, dpi=200, metadata=date)


def to_svg(figure: Figure, outlines: bool = False) -> str:
    """The figure as an `<svg>` element for a web page: no XML prologue, no date, text as text unless as `outlines`."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.fonttype": "path" if outlines else "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
