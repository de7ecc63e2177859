"""Sentences about a run's figures, counted again by brute force; settings as people write them; references."""

from __future__ import annotations

import copy
import itertools
import shutil
from dataclasses import replace

import pytest

from evomnas.report.references import find_references
from evomnas.report.run_words import describe_counting, describe_noise, format_setting
from evomnas.results.run import Run


def macs_and_latencies(run) -> list[tuple[float, float]]:
    complete = [result.evaluation for result in run.results() if result.evaluation.losses is not None]
    return [(evaluation.quantities["macs"], evaluation.quantities["latency_ms"]) for evaluation in complete]


def test_what_counting_would_have_got_wrong_is_counted_pair_by_pair(shown_run):
    networks = macs_and_latencies(shown_run)
    pairs = list(itertools.combinations(networks, 2))
    assert len({macs for macs, _ in networks}) == len(networks)  # no ties: then tau's pairs are those counted here
    wrong = sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in pairs) / len(pairs)
    alike = [max(a[1], b[1]) / min(a[1], b[1]) for a, b in pairs if max(a[0], b[0]) <= 1.05 * min(a[0], b[0])]
    text = describe_counting(shown_run.results())
    assert f"in {wrong:.0%} of all pairs" in text
    assert f"by up to {max(alike):.1f} times" in text


def test_few_networks_say_nothing_about_counting(shown_run):
    assert describe_counting(shown_run.results()[:5]) == ""


def test_noise_is_that_of_the_measurements(shown_run):
    texts = describe_noise(shown_run, shown_run.results())
    assert texts["interval of a latency"] == "± 2.5% (median), at most ± 2.5%"  # from 2 % below to 3 % above
    assert texts["rounds per network"] == "9 (median)"
    assert texts["other load meanwhile"] == "0.10 cores (median), at most 0.10"
    assert texts["reference network"] == "MobileNetV2, calibrated at 0.2 ms"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not set"),
        (True, "yes"),
        ([], "none"),
        ([1, 2.50], "1, 2.5"),
        ([{"column": "ms", "quantity": None, "scale": 1.0}, {"column": "top1"}], "column ms, scale 1; column top1"),
        (1e-4, "0.0001"),
        ("text", "text"),
    ],
)
def test_settings_are_written_as_people_do(value, text):
    assert format_setting(value) == text


def test_published_networks_stand_beside_the_front_once_they_are_evaluated(shown_run, tmp_path):
    from evomnas.problem.published import fit_to_resolution, published
    from evomnas.results.evaluation import Cost, Measurement, Training

    shutil.copytree(shown_run.folder.parent, tmp_path / "copy")
    run = Run.open(tmp_path / "copy" / "run")
    results = run.results()
    assert [reference.name for reference in find_references(run, results)] == ["MobileNetV2"]
    network = fit_to_resolution(published("mnasnet-small"), 8)
    archive, record = run.archive, run.record
    archive.add_training(record.training_context, network, Training(0.9, (1.0,), 1.0))
    assert len(find_references(run, results)) == 1  # half an evaluation is none
    archive.add_measurement(
        record.measurement_context, network, Measurement(Cost(1, 2, 0), 0.5, 0.4, 0.6, 2.5, (2.5,), 1.0)
    )
    first, second = find_references(run, results)
    assert (second.name, second.notation, second.interval) == ("mnasnet-small", str(network), (0.4, 0.6))
    assert second.losses == pytest.approx((0.1, 0.5))
    assert first.notation == str(run.definition.space.mobilenet_v2())


def test_a_reference_that_was_never_trained_is_a_latency(shown_run):
    run = copy.copy(shown_run)
    run.record = replace(shown_run.record, training_context="another")
    [reference] = find_references(run, [])
    assert (reference.losses, reference.interval) == ((None, 0.2), None)
