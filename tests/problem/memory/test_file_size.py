"""The size of a network's file in closed form, beside files that are written."""

from __future__ import annotations

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes.base import open_runtime
from evomnas.loop.launch import search
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture
from evomnas.problem.memory.file_size import RULES, FileRule, file_kb, smallest_file_architecture
from evomnas.problem.sections import ConstraintsSection
from evomnas.report.page_data import page_data
from evomnas.report.words import result_table
from evomnas.results.constraints import Limits

SHAPE = {"classes": 10, "channels": 3, "resolution": 32}
NETWORKS = [
    "stem8_s1-dconv_k3_s1_f8_n1-mbconv3_k5_s2_f12_n2_se0.25-conv_k3_s2_f16_n1_pool-head32",
    "stem32_s2-mbconv6_k5_s2_f64_n2_se0.25-mbconv6_k3_s2_f96_n2-head512",
    "stem8_s1-shuffle2_k3_s2_f16_n2_pool-fire4_k3_s1_f16_n1-condense2_k3_s2_f16_n1_id-uib2a3_k5_s1_f16_n1_se0.25_id"
    "-pass_k1_s1_f24_n1-ffn2_k1_s1_f24_n1_id-head16",
]


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_the_size_is_that_of_a_file_within_one_per_cent(runtime, precision):
    for text in NETWORKS:
        network = Architecture.parse(text)
        size = len(prepare(open_runtime(runtime), network, 10, 3, 32, precision=precision).model)
        assert file_kb(network, RULES[runtime][precision], **SHAPE) * 1024 == pytest.approx(size, rel=0.01)


def test_the_weights_are_those_that_are_counted():
    """Batch norm has two parameters for each channel, of which the file keeps one; the classifier has a bias alone."""
    for text in NETWORKS:
        network = Architecture.parse(text.replace("_se0.25", ""))
        weights, channels = (
            file_kb(network, rule, **SHAPE) * 10240 for rule in (FileRule(weight=1), FileRule(channel=1))
        )
        assert weights + 2 * channels - 10 == count_architecture(network, **SHAPE).params


def test_the_smallest_file_of_a_space_is_found_and_a_smaller_limit_is_refused(tiny):
    shape = {"classes": 10, "channels": 1, "resolution": 8}
    rule = RULES["onnxruntime"]["float"]
    least = file_kb(smallest_file_architecture(tiny.space, rule, **shape), rule, **shape)
    genomes = tiny.space.sample(300, np.random.default_rng(0))
    assert least <= min(file_kb(tiny.space.decode(genome), rule, **shape) for genome in genomes)
    Limits(ConstraintsSection(max_file_kb=least), shape).check(tiny.space)
    with pytest.raises(InputError, match=r"no network of the space meets constraints.max_file_kb = .* KiB of file"):
        Limits(ConstraintsSection(max_file_kb=0.9 * least), shape).check(tiny.space)
    with pytest.raises(InputError, match="the size of a file of ncnn is not known in closed form, .* onnxruntime"):
        Limits(ConstraintsSection(max_file_kb=9), shape, runtime="ncnn").check(tiny.space)


def test_a_search_keeps_both_limits_of_memory_and_shows_them(tiny, tmp_path):
    limits = ConstraintsSection(max_file_kb=14, max_peak_kb=3)
    run = search(tiny.model_copy(update={"constraints": limits}), "random", budget=4, out=tmp_path / "run", workers=0)
    results = run.results()
    for row in (result.to_dict() for result in results):
        assert (row["file_kb"] <= 14 and row["peak_kb"] <= 3) == (row["status"] == "ok")
    header, _ = result_table(run, results)
    assert header[-3:] == ("peak KiB", "file KiB", "status")
    complete = [result for result in results if result.evaluation.losses]
    memory = page_data(run, results)["memory"]
    assert memory["file KiB"] == pytest.approx([result.file_kb for result in complete], rel=1e-3)
