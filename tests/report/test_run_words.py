"""Sentences about a run's figures, counted again by brute force; settings as people write them; references."""

from __future__ import annotations

import copy
import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from evomnas.problem.loading import load_definition
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.report.history import Generation, History
from evomnas.report.references import find_references
from evomnas.report.run_figures import metric_figure
from evomnas.report.run_words import (
    NOISE_DEVIATIONS,
    NOISE_TAU,
    chance_levels,
    chance_tau,
    describe_counting,
    describe_noise,
    describe_predictors,
    figure_notes,
    format_setting,
    generation_table,
    hypervolume_note,
    knee_line,
)
from evomnas.report.words import donor_proposal
from evomnas.results.evaluation import TabularEvaluation
from evomnas.results.manifest import ImageData
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


def test_a_tau_by_chance_varies_as_that_of_random_rankings():
    rng = np.random.default_rng(5)
    for networks in (10, 30):
        taus = [kendalltau(rng.permutation(networks), np.arange(networks)).statistic for _ in range(400)]
        assert (chance_tau(networks) - NOISE_TAU) / NOISE_DEVIATIONS == pytest.approx(np.std(taus), rel=0.1)
    assert chance_tau(9) is None
    assert chance_tau(10) < 1


def predicted(*taus: float | None, per_generation: int = 8) -> History:
    """The history of a search whose predictors had these taus before its generations; the first network failed."""
    generations = [
        Generation(
            number, per_generation, per_generation, number == 0, 0, 0, per_generation * (number + 1), 0.1, 0.5, 1.0,
            {} if tau is None else {"tau (error)": tau, "tau (cost)": 0.9, "batch (drawn)": 1.0},
        )
        for number, tau in enumerate(taus)
    ]  # fmt: skip
    return History(tuple(generations), np.zeros(per_generation * len(taus)), {}, 0, 0.0)


def test_what_a_tau_means_is_said_with_the_number_of_networks_that_it_rests_on(shown_run):
    history = predicted(None, -0.05, -0.05, 0.8)
    assert history.lessons == {0: 0, 1: 7, 2: 15, 3: 23}
    header, rows = generation_table(shown_run, history)
    column = header.index("tau (error)")
    assert [row[column] for row in rows] == ["-", "too few networks to tell (7)", "-0.05 (may be chance)", "0.80"]
    assert [row[header.index("batch (drawn)")] for row in rows] == ["-", "1", "1", "1"]
    assert chance_levels(history, "tau") == [(2, chance_tau(15)), (3, chance_tau(23))]
    assert chance_levels(history, "batch") == []


@pytest.mark.parametrize(
    ("taus", "text"),
    [
        ((None,), ""),
        ((None, -0.05), "too few networks to tell (7)"),
        ((None, -0.05, -0.05), "a tau of -0.05, which may be chance: with 15 networks to learn from, chance alone"),
        ((None, 0.1, 0.1, 0.8), "a tau of 0.80, which is more than chance: with 23 networks to learn from, chance"),
    ],
)
def test_the_predictors_are_judged_by_their_last_tau(taus, text):
    said = describe_predictors(predicted(*taus))
    assert text in said
    assert bool(text) == bool(said)


def test_the_figure_of_tau_shows_what_may_be_chance():
    history = predicted(None, -0.05, 0.1, 0.8)
    lines = history.metric_series()["tau"]
    figure = metric_figure("tau", lines, chance_levels(history, "tau"))
    assert "may be chance" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    [band] = figure.axes[0].collections
    assert band.get_datalim(figure.axes[0].transData).y1 == pytest.approx(chance_tau(15))
    assert not list(metric_figure("tau", lines).axes[0].collections)


def test_figures_say_of_which_images_training_and_device_they_are(shown_run):
    accuracy, latency = figure_notes(shown_run, shown_run.results())
    images = shown_run.manifest.data["validation"]
    where = f"of {images} validation images after 1 epoch of training"
    assert accuracy == f"Accuracy (± one standard error): {where}; a full training usually brings more."
    context = shown_run.archive.context(shown_run.record.measurement_context)
    assert latency.startswith(f"Latency: of one image in onnxruntime {context['version']} on ")
    assert latency.endswith(f"{context['processor']}, 1 thread.")
    assert hypervolume_note(shown_run.definition).startswith("Hypervolume is the share of the area up to an error of ")
    assert "latency of MobileNetV2" in hypervolume_note(shown_run.definition)


def test_why_there_is_no_knee_is_said_and_nothing_where_there_is_one(shown_run):
    results = shown_run.results()
    front = shown_run.front(results)
    assert bool(shown_run.knees(results)) != bool(knee_line(shown_run, results))
    assert "it has 1 network, and a knee lies between two others" in knee_line(shown_run, front[:1])
    assert "it has 2 networks" in knee_line(shown_run, front[:2])
    straight = [
        replace(
            front[0], evaluation=TabularEvaluation(TabularArchitecture(str(cost)), (0.5 - cost / 10, cost), None, {})
        )
        for cost in (1.0, 2.0, 3.0)
    ]
    assert shown_run.knees(straight) == []
    assert "none of its networks lies far enough below the straight line between its ends" in knee_line(
        shown_run, straight
    )
    assert knee_line(shown_run, []) == ""


@pytest.mark.parametrize(
    ("problem", "settings", "train", "is_proposed"),
    [
        ("images", [], 1234, True),
        ("images", ["weights.donor=efficientnet-lite0", "space.preset=around donor"], 1234, False),
        ("images", ["data.resolution=32"], 1234, False),
        ("images", [], 50_000, False),
        ("digits", ["data.resolution=96"], 1234, False),
    ],
)
def test_pretrained_weights_are_proposed_for_few_photographs_of_one_s_own(problem, settings, train, is_proposed):
    definition = load_definition(problem, [*settings, "data.path=photos"] if problem == "images" else settings)
    proposal = donor_proposal(definition, ImageData(train=train, validation=20, classes=2, channels=3))
    assert bool(proposal) == is_proposed
    if is_proposed:
        assert "From 1,234 training images" in proposal
        assert "add --donor efficientnet-lite0" in proposal
