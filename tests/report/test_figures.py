"""Drawings of architectures: the content of the paper's figure 7, in text that stays text."""

from __future__ import annotations

import re

import pytest

from evomnas.core.errors import InputError
from evomnas.core.showing.style import to_svg
from evomnas.problem.architecture import Architecture
from evomnas.problem.published import published
from evomnas.report.figures import architecture_figure, boxes


def texts_of(architecture: Architecture, **shape: int) -> list[str]:
    """The texts of a drawing, in the order in which they are drawn."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", to_svg(architecture_figure(architecture, **shape)))


def test_mnasnet_a1_is_drawn_as_in_the_paper():
    texts = texts_of(published("mnasnet-a1"))
    operations = [word for word in texts if "Conv" in word]
    assert operations == [
        "Conv 3×3", "SepConv 3×3", "MBConv6 3×3", "MBConv3 5×5", "MBConv6 3×3", "MBConv6 3×3", "MBConv6 5×5",
        "MBConv6 3×3", "Conv 1×1",
    ]  # fmt: skip
    assert [word for word in texts if word.startswith("×")] == ["×2", "×3", "×4", "×2", "×3"]
    shapes = [word for word in texts if re.match(r"\d+×\d+×", word)]
    assert shapes == [
        "224×224×3", "112×112×32", "112×112×16", "56×56×24", "28×28×40", "14×14×80", "14×14×112", "7×7×160",
        "7×7×320", "7×7×1280",
    ]  # fmt: skip
    assert texts.count("SE") == 3
    assert texts[-1] == "1000"


@pytest.mark.parametrize(
    ("block", "solid", "dashed"),
    [
        ("mbconv3_k3_s2_f8_n3_id", 2, 0),
        ("mbconv3_k3_s2_f8_n3_pool", 2, 1),
        ("mbconv3_k3_s1_f8_n3_id", 3, 0),
        ("mbconv3_k3_s2_f8_n3", 0, 0),
    ],
)
def test_every_layer_s_skip_is_an_arc(block, solid, dashed):
    from matplotlib.patches import Arc

    figure = architecture_figure(Architecture.parse(f"stem8_s1-{block}-head16"), 16, 1, 4)
    arcs = [patch.get_linestyle() for patch in figure.axes[0].patches if isinstance(patch, Arc)]
    assert (arcs.count("-") + arcs.count("solid"), arcs.count("--") + arcs.count("dashed")) == (solid, dashed)


def test_shapes_are_those_of_the_network_at_odd_resolutions():
    texts = texts_of(Architecture.parse("stem8_s2-conv_k3_s2_f8_n1-head16"), resolution=13, channels=1, classes=2)
    assert [word for word in texts if "×" in word and "Conv" not in word] == ["13×13×1", "7×7×8", "4×4×8", "4×4×16"]


def test_long_labels_stay_inside_the_figure():
    figure = architecture_figure(Architecture.parse("stem8_s1-conv_k3_s1_f10000_n1-head16000"), 2048, 3, 1000)
    figure.canvas.draw()
    assert all(text.get_window_extent().x0 >= 0 for text in figure.axes[0].texts)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(InputError, match="block 4 brings the total stride to 16"):
        architecture_figure(published("mnasnet-a1"), 8)


def test_a_detector_is_drawn_with_its_extra_layers_and_ends_in_boxes():
    texts = texts_of(published("mnasnet-a1"), resolution=320, classes=90, detects=True)
    assert texts.count("Extra 3×3") == 4
    shapes = [word for word in texts if re.match(r"\d+×\d+×", word)]
    assert shapes[-5:] == ["10×10×1280", "5×5×512", "3×3×256", "2×2×256", "1×1×128"]
    assert texts[-2:] == ["boxes and classes", "2,034 × 91"]  # 3 at 20x20 places, 6 at 10x10, 5x5, 3x3, 2x2 and 1


def test_a_late_head_is_drawn_behind_the_average_and_operations_without_a_kernel_have_none():
    architecture = Architecture.parse("stem8_s1-ffn2_k1_s2_f12_n1-condense4_k5_s1_f12_n1-head32-late")
    drawn = list(boxes(architecture))
    assert [box.text for box in drawn] == ["Conv 3×3", "FFN2", "Cond4 5×5", "Pool, Conv 1×1"]
    texts = {text.get_text() for text in architecture_figure(architecture, 16, 3, 10).axes[0].texts}
    assert {"8×8×12", "1×1×32", "linear"} <= texts
