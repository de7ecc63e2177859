"""Still figures, by matplotlib: how they are saved, and the drawing of an architecture.

Every figure has a canvas of its own. Matplotlib's global state is neither used nor changed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Rectangle

from evomnas.core.files import write_atomically
from evomnas.core.resolution import MAX_PIXELS, Resolution, divided, sides
from evomnas.core.showing.style import ACCENT, MUTED, STYLE, to_svg
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.ops.catalogue import operation

# The drawing of an architecture, in inches; colours with their opacity.
WIDTH_IN, LABEL_IN, MIDDLE_IN, GAP_IN = 2.9, 0.86, 1.68, 0.12
OP_COLOURS = {
    "conv": ("#d98a1f", 0.45),
    "dconv": ("#2a9d6f", 0.30),
    "mbconv3": ("#3b7dd8", 0.28),
    "mbconv": ("#3b7dd8", 0.60),  # and operations that have no colour of their own
}
SE_COLOUR = "#a23bd8"


def architecture_figure(
    architecture: Architecture,
    resolution: Resolution = 224,
    channels: int = 3,
    classes: int = 1000,
    detects: bool = False,
) -> Figure:
    """Draw an architecture from its image to its logits, as in figure 7 of the MnasNet paper.

    Each block is a box with its operation and its kernel, and with SE where it has squeeze-and-excite. A box has a
    segment per layer. The more filters a block has, the wider is its box, on a logarithmic scale. To the left of a box
    stands the shape of its output, height x width x channels. To its right stand its number of layers and an arc for
    every skip connection; the arc is dashed where the skip pools and thereby changes the shape. Colours tell the
    operations apart. They are transparent, so that they suit light and dark pages.

    Args:
        architecture: The network to draw.
        resolution: The size of its images in pixels.
        channels: Channels of its images.
        classes: Number of its logits.
        detects: Draw the network as the backbone of an SSDLite detector, and its extra layers behind it.

    Returns:
        A figure as tall as the network is deep.

    Raises:
        InputError: The images are too small for the network's strides, or of no size that a detector takes.
    """
    architecture.check_resolution(resolution)
    network_boxes = list(boxes(architecture))
    if detects:
        plan = plan_detector(architecture, resolution)
        network_boxes += [Box("Extra 3×3", "conv", filters, 2, False, ("none",)) for filters in plan.extras]
        end, answers = "boxes and classes", f"{plan.boxes:,} × {classes + 1}"
    else:
        end = "linear" if architecture.traits.head == "late" else "average pooling, linear"
        answers = f"{classes}"
    heights = [0.2 + 0.11 * len(box.skips) for box in network_boxes]
    depth = sum(heights) + GAP_IN * (len(network_boxes) + 1) + 0.4
    with matplotlib.rc_context(STYLE):
        longest = len(_format_shape(resolution, max(box.filters for box in network_boxes)))
        width = WIDTH_IN + 0.065 * max(0, longest - 12)  # labels stand to the left
        figure = Figure(figsize=(width, depth))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(WIDTH_IN - width, WIDTH_IN), ylim=(depth, 0))
        axes.set_axis_off()
        size, y = resolution, 0.14
        axes.text(MIDDLE_IN, y, "image", ha="center", va="center", size=7.5)
        axes.text(LABEL_IN, y, _format_shape(size, channels), ha="right", va="center", size=7, color=MUTED)
        y += 0.08
        for box, height in zip(network_boxes, heights, strict=True):
            size = divided(size, box.stride)
            y = _draw_gap(axes, y)
            _draw_box(axes, box, y, height)
            axes.text(
                LABEL_IN, y + height / 2, _format_shape(size, box.filters), ha="right", va="center", size=7, color=MUTED
            )
            y += height
        y = _draw_gap(axes, y)
        axes.text(MIDDLE_IN, y + 0.07, end, ha="center", va="center", size=7.5)
        axes.text(LABEL_IN, y + 0.07, answers, ha="right", va="center", size=7, color=MUTED)
        return figure


@dataclass(frozen=True)
class Box:
    """The parts of the drawing of a block, a stem or a head.

    Attributes:
        text: The label: operation and kernel.
        op: The operation, which decides on the colour.
        filters: Output channels.
        stride: The stride of its first layer.
        se: True where it has squeeze-and-excite.
        skips: The skip connection of each layer: `none`, `identity` or `pool`.
    """

    text: str
    op: str
    filters: int
    stride: int
    se: bool
    skips: tuple[str, ...]


def boxes(architecture: Architecture) -> Iterator[Box]:
    """Return the boxes of a drawing.

    Args:
        architecture: The network to draw.

    Yields:
        The boxes of the stem, of each block, and of the head.
    """
    yield Box("Conv 3×3", "conv", architecture.stem, architecture.stem_stride, False, ("none",))
    inputs = architecture.stem
    for block in architecture.blocks:
        found = operation(block.op)
        name = f"{found.label} {block.kernel}×{block.kernel}" if found.has_kernel else found.label
        skips = (block.shortcut(inputs, block.stride), *[block.shortcut(block.filters, 1)] * (block.layers - 1))
        yield Box(name, block.op, block.filters, block.stride, block.se > 0, skips)
        inputs = block.filters
    is_late = architecture.traits.head == "late"
    name, stride = ("Pool, Conv 1×1", MAX_PIXELS) if is_late else ("Conv 1×1", 1)  # the average is over all pixels
    yield Box(name, "conv", architecture.head, stride, False, ("none",))


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


def _format_shape(size: Resolution, channels: int) -> str:
    height, width = sides(size)
    return f"{height}×{width}×{channels}"


def save_figure(figure: Figure, path: Path, outlines: bool = False) -> None:
    """Write a figure to a file, in one step. The same figure gives the same bytes every time.

    Args:
        figure: The figure.
        path: The file, which ends in .svg, .pdf or .png.
        outlines: Turn the text of an .svg into outlines, which need no fonts. Other formats do not regard it.
    """
    extension = path.suffix.lower().removeprefix(".")
    if extension == "svg":
        write_atomically(path, to_svg(figure, outlines))
        return
    content = io.BytesIO()  # of a full disk matplotlib would say other things
    with matplotlib.rc_context(STYLE):
        date = {"CreationDate": None} if extension == "pdf" else {}
        figure.savefig(content, format=extension, dpi=200, metadata=date)
    write_atomically(path, content.getvalue())
