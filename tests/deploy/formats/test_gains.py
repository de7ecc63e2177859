"""What files bring against the float one of their format, in words and as a figure."""

from __future__ import annotations

import re

from evomnas.deploy.cards.tradeoffs import COLOURS, tradeoff_figure
from evomnas.deploy.formats.exported_files import Export
from evomnas.deploy.formats.gains import find_gain


def file(variant, correct, latency_ms, size, format="onnx", spread=0.01):
    ends = (None, None) if latency_ms is None else (latency_ms - spread, latency_ms + spread)
    return Export(f"model-{variant}.{format}", format, variant, correct, 1000, 0.9, latency_ms, *ends, size, size)


FILES = [
    file("float", 900, 2.0, 4096), file("int8", 896, 1.0, 1024), file("pruned 50 %", 905, 2.01, 4100),
    file("slow", 900, 2.5, 8192), file("float", 900, None, 100, "litert"), file("int8", 900, 3.0, 50, "litert"),
    file("x", 1, 1.0, 1, "executorch"),
]  # fmt: skip


def test_a_file_is_compared_with_the_float_one_of_its_format():
    gains = [find_gain(one, FILES) for one in FILES]
    assert [gain and gain.text for gain in gains] == [
        None,
        "2.00x as fast, 75 % smaller, -0.40 points",
        "as fast, as large, +0.50 points",  # the intervals of the latencies overlap
        "0.80x as fast, 100 % larger, +0.00 points",
        None,
        "50 % smaller, +0.00 points",  # the float file was not measured
        None,
    ]


def test_the_figure_shows_every_measured_file_against_latency_and_size():
    figure = tradeoff_figure(FILES)
    for label in ("latency (ms)", "file (KiB)", "test accuracy (%)", "onnx", "litert", "executorch", "float", "x"):
        assert figure.count(f">{label}<") == 1
    assert "int8<" in figure
    markers = re.findall(r'<use xlink:href="#\w+"[^>]* style="fill: (#\w+); stroke: (#\w+)', figure)
    names = COLOURS[:2]
    filled = [(fill, stroke) for fill, stroke in markers if stroke == names[0]]
    assert filled.count((names[0], names[0])) == 2 * 2  # int8 of two formats, in both parts
    assert filled.count(("#ffffff", names[0])) == 2  # float of one, since the other was not measured
    assert markers.count(("#ffffff", names[1])) == 2
    assert figure == tradeoff_figure(FILES)
    assert tradeoff_figure([FILES[0], FILES[4]]) is None
