"""Runs side by side: numbers against brute force over the runs' own results, refusals, and the sentences about them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import statistics

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.loop.launch import search
from evomnas.problem.loading import load_definition
from evomnas.report.comparison.comparison import COST_LIMITS, HYPERVOLUME_SHARES, CensoredMedian, Comparison, compare
from evomnas.report.comparison.significance import Pair, compare_pairs
from evomnas.report.comparison.words import notes, significance_note, summary_table, verdict
from evomnas.results.archive import Archive
from evomnas.results.run import Run


@pytest.fixture(scope="module")
def folders(benchmarked):
    return [path.parent for path in sorted(benchmarked.glob("*/run.json"))]


@pytest.fixture(scope="module")
def comparison(folders) -> Comparison:
    return compare(folders)


def area(points, reference) -> float:
    """Hypervolume of two losses by strips, as a share of the box."""
    inside = sorted(point for point in points if point[0] < reference[0] and point[1] < reference[1])
    total, top = 0.0, reference[1]
    for x, y in inside:
        if y < top:
            total += (reference[0] - x) * (top - y)
            top = y
    return total / (reference[0] * reference[1])


def evaluations(folder):
    return [result.evaluation for result in Run.open(folder).results()]


def runs_of(folders, name):
    return [folder for folder in folders if folder.name.startswith(f"{name}-")]


def test_curves_are_quartiles_of_every_beginning_of_every_run(folders, comparison):
    reference = comparison.definition.hypervolume.reference_point
    for group in comparison.groups:
        curves = [
            [area([evaluation.relative_losses for evaluation in done[: count + 1]], reference) for count in range(40)]
            for done in map(evaluations, runs_of(folders, group.name))
        ]
        np.testing.assert_allclose(group.curve.median, np.median(curves, axis=0))
        np.testing.assert_allclose(group.curve.low, np.sort(curves, axis=0)[1])  # the second of five
        np.testing.assert_allclose(group.curve.high, np.sort(curves, axis=0)[3])
        np.testing.assert_allclose(group.finals, [curve[-1] for curve in curves])
        manifests = [Run.open(folder).manifest.hypervolume for folder in runs_of(folders, group.name)]
        np.testing.assert_allclose(group.finals, manifests)


def test_the_best_known_of_a_complete_table_is_its_true_front(folders, comparison):
    true = Run.open(folders[0]).manifest.true_front
    assert comparison.complete
    assert comparison.best_known == true.hypervolume
    assert {tuple(losses) for losses in comparison.best_front} == {tuple(losses) for losses in true.losses}
    assert "the true front's: the table is complete" in notes(comparison)[0]


def test_evaluations_to_a_share_are_counted_on_every_curve(folders, comparison):
    reference = comparison.definition.hypervolume.reference_point
    for group, (place, share) in itertools.product(comparison.groups, enumerate(HYPERVOLUME_SHARES)):
        counts = []
        for done in map(evaluations, runs_of(folders, group.name)):
            values = [
                area([evaluation.relative_losses for evaluation in done[: count + 1]], reference) for count in range(40)
            ]
            counts.append(
                next((n for n, v in enumerate(values, start=1) if v >= share * comparison.best_known), math.inf)
            )
        median = statistics.median(counts)
        expected = CensoredMedian(median if median < math.inf else None, sum(count < math.inf for count in counts))
        assert group.to_reach[place] == expected


def test_a_median_is_not_reached_where_half_of_the_runs_or_more_do_not():
    inf = math.inf
    assert CensoredMedian.of([5, 7, inf]) == CensoredMedian(7, 2)
    assert CensoredMedian.of([5, inf, inf]) == CensoredMedian(None, 1)
    assert CensoredMedian.of([5, 7, 9, inf]) == CensoredMedian(8, 3)
    assert CensoredMedian.of([5, 7, inf, inf]) == CensoredMedian(None, 2)
    assert CensoredMedian.of([inf]) == CensoredMedian(None, 0)


def test_the_best_within_a_limit_keeps_it(folders, comparison):
    cost = Run.open(folders[0]).reference_cost()
    for group, (place, limit) in itertools.product(comparison.groups, enumerate(COST_LIMITS)):
        best = []
        for done in map(evaluations, runs_of(folders, group.name)):
            within = [evaluation.losses[0] for evaluation in done if evaluation.losses[1] <= limit * cost]
            best.append(min(within, default=math.inf))
        median = statistics.median(best)
        assert group.under[place].median == (pytest.approx(median) if median < math.inf else None)
    for place, limit in enumerate(COST_LIMITS):
        known = [error for error, ms in comparison.best_front if ms <= limit * cost]
        assert comparison.best_under[place] == (min(known) if known else None)


def test_attainment_surfaces_are_what_one_half_and_all_of_the_runs_attain(folders, comparison):
    for group in comparison.groups:
        fronts = [[evaluation.losses for evaluation in evaluations(folder)] for folder in runs_of(folders, group.name)]
        grid = itertools.product(np.linspace(0.1, 0.7, 13), np.linspace(1, 7, 13))
        for point in grid:
            count = sum(any(a <= point[0] and b <= point[1] for a, b in front) for front in fronts)
            for name, level in (("best", 1), ("median", 3), ("worst", 5)):
                attained = any(a <= point[0] and b <= point[1] for a, b in group.surfaces[name])
                assert attained == (count >= level)


def test_a_table_has_no_time_axis(comparison):
    assert all(group.over_time is None and group.own_share is None for group in comparison.groups)
    assert all(group.own_seconds > 0 for group in comparison.groups)


def test_everything_is_json_and_finite(comparison):
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert [group["name"] for group in values["algorithms"]] == [group.name for group in comparison.groups]
    assert len(values["runs"]) == 10
    assert values["algorithms"][0]["evaluations_to"].keys() == {"0.9", "0.95", "0.99"}
    assert len(values["algorithms"][0]["over_evaluations"]["median"]) == values["evaluations"] == 40


# --- which runs ------------------------------------------------------------------------------------------


def test_runs_in_different_archives_and_of_different_budgets_are_compared_as_far_as_they_go(tabular_file, tmp_path):
    search(tabular_file, "nsga2", budget=30, seed=1, out=tmp_path / "a" / "one")
    search(tabular_file, "random", budget=12, seed=1, out=tmp_path / "b" / "two")
    comparison = compare([tmp_path / "a" / "one", tmp_path / "b" / "two"])
    assert comparison.evaluations == 12
    assert {len(group.curve.median) for group in comparison.groups} == {12}
    [note] = [note for note in notes(comparison) if note.startswith("Runs go up to")]
    assert note == f"Runs go up to 30 evaluations; all are compared up to 12, where {tmp_path}/b/two ends."


def test_options_stand_in_the_name_where_they_differ(tabular_file, tmp_path):
    for name, options in (("soft", {}), ("hard", {"alpha": 0.0, "beta": -1.0}), ("two", {"target_ms": [2.0, 3.5]})):
        search(tabular_file, "rl-weighted", budget=21, options=options, out=tmp_path / "runs" / name)
    search(tabular_file, "random", budget=21, out=tmp_path / "runs" / "random")
    target = Run.open(tmp_path / "runs" / "soft").reference_cost()
    first = compare([tmp_path / "runs" / name for name in ("soft", "hard")])
    assert {group.name for group in first.groups} == {"rl-weighted", "rl-weighted (alpha 0, beta -1)"}
    every = compare([tmp_path / "runs" / name for name in ("soft", "hard", "two", "random")])
    assert {group.name for group in every.groups} == {
        f"rl-weighted (target_ms {target:g})",
        f"rl-weighted (alpha 0, beta -1, target_ms {target:g})",
        "rl-weighted (target_ms 2+3.5)",
        "random",
    }


def test_a_run_with_nothing_more_to_ask_stays_where_it_is(tabular_file, tmp_path):
    search(tabular_file, "nsga2", budget=300, out=tmp_path / "runs" / "nsga2")  # the table has 243 networks
    search(tabular_file, "random", budget=300, out=tmp_path / "runs" / "random")
    comparison = compare([tmp_path / "runs" / "nsga2", tmp_path / "runs" / "random"])
    assert comparison.evaluations == 300
    [random] = [group for group in comparison.groups if group.name == "random"]
    assert random.finals == pytest.approx(comparison.best_known)  # it has seen every network
    assert set(random.curve.median[242:]) == {random.curve.median[-1]}
    assert any(note.startswith("Had nothing more to ask before 300 evaluations") for note in notes(comparison))


@pytest.fixture
def pair(folders):
    """Two runs that compare."""
    return [folder for folder in folders if folder.name in ("nsga2-s1", "random-s1")]


def test_one_run_alone_is_refused(pair):
    with pytest.raises(InputError, match="a comparison needs at least two runs"):
        compare(pair[:1])


def test_the_same_run_twice_is_refused(pair):
    with pytest.raises(InputError, match="random-s1 are the same run: name it once"):
        compare([*pair, pair[1]])


def test_the_same_search_twice_is_refused(pair, tabular_file, tmp_path):
    search(tabular_file, "random", budget=4, out=tmp_path / "other" / "run")
    with pytest.raises(InputError, match="are the same search, random with seed 1: it counts once"):
        compare([*pair, tmp_path / "other" / "run"])


def test_a_run_without_evaluations_is_refused(pair, tabular_file, tmp_path, monkeypatch):
    def stop(self, *arguments):
        raise KeyboardInterrupt("stop here")

    monkeypatch.setattr(Archive, "add_asks", stop)
    with pytest.raises(KeyboardInterrupt, match="stop here"):
        search(tabular_file, "nsga2", seed=2, out=tmp_path / "runs" / "empty")
    with pytest.raises(InputError, match="empty has no evaluation yet: evomnas resume"):
        compare([*pair, tmp_path / "runs" / "empty"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hypervolume.reference_point=[1.0,3.0]", r"hypervolume.reference_point is \[1.0, 2.0\] and \[1.0, 3.0\]"),
        ("table.reference='22222'", r"reference is \S+ and 7.0"),  # the table's median cost, and its largest
        ("constraints.max_latency_ms=5.0", "constraints.max_latency_ms is nothing and 5.0"),
    ],
)
def test_runs_of_different_problems_are_refused_with_the_difference(override, message, pair, tabular_file, tmp_path):
    search(load_definition(tabular_file, [override]), "nsga2", seed=2, budget=4, out=tmp_path / "other" / "run")
    with pytest.raises(InputError, match=f"nsga2-s1 and .*run are not runs of the same problem: .*{message}"):
        compare([*pair, tmp_path / "other" / "run"])
    search(load_definition(tabular_file, [override]), "random", budget=4, out=tmp_path / "another" / "run")
    with pytest.raises(InputError, match="are not runs of the same problem"):  # although algorithm and seed are a run's
        compare([*pair, tmp_path / "another" / "run"])


def test_the_name_of_a_problem_and_the_place_of_its_table_do_not_matter(pair, tabular_file, tmp_path):
    (tmp_path / "moved").mkdir()
    for name in ("table.csv", "tabular.toml"):
        (tmp_path / "moved" / name).write_text((tmp_path / name).read_text().replace('"tabular"', '"moved"'))
    search(tmp_path / "moved" / "tabular.toml", "nsga2", seed=2, budget=8, out=tmp_path / "moved" / "run")
    assert len(compare([*pair, tmp_path / "moved" / "run"]).runs) == 3


# --- trained networks ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Two searches of trained networks on one archive."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("nsga2", "random"):
        search(tiny, name, budget=6, out=folder / name)
    return [folder / "nsga2", folder / "random"]


@pytest.mark.thorough
def test_time_counts_what_the_networks_cost_whichever_run_paid(trained, tiny):
    comparison = compare(trained)
    for group, folder in ((group, next(f for f in trained if f.name == group.name)) for group in comparison.groups):
        run = Run.open(folder)
        own = run.manifest.seconds.algorithm
        clock, total = [], 0.0
        for result in run.results():
            total += result.evaluation.measurement.seconds + result.evaluation.training.seconds + own / 6
            clock.append(total)
        times, spread = group.over_time
        assert times[0] == 0
        assert times[-1] == pytest.approx(clock[-1])
        for time, value in zip(times[:-1], spread.median, strict=False):
            done = sum(moment <= time for moment in clock)
            assert value == (group.curve.median[done - 1] if done else 0.0)
        assert group.own_share == pytest.approx(own / clock[-1])


def test_without_a_complete_table_the_best_known_is_that_of_all_runs_together(trained):
    comparison = compare(trained)
    points = [evaluation.relative_losses for folder in trained for evaluation in evaluations(folder)]
    assert not comparison.complete
    assert comparison.best_known == pytest.approx(area(points, comparison.definition.hypervolume.reference_point))
    assert "that of all compared runs together" in notes(comparison)[0]


def test_failed_candidates_count_as_evaluations_and_nothing_else(tabular_file, tmp_path):
    table = tmp_path / "table.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[::2]]) + "\n")  # a network whose row is missing fails
    for name in ("nsga2", "random"):
        search(tabular_file, name, budget=30, out=tmp_path / "runs" / name)
    comparison = compare([tmp_path / "runs" / "nsga2", tmp_path / "runs" / "random"])
    failed = [evaluation.failure is not None for evaluation in evaluations(tmp_path / "runs" / "nsga2")]
    assert any(failed)
    assert comparison.evaluations == 30
    curve = next(group for group in comparison.groups if group.name == "nsga2").curve.median
    assert all(after == before for before, after, no in zip(curve, curve[1:], failed[1:], strict=False) if no)
    json.dumps(comparison.to_dict(), allow_nan=False)


# --- sentences and tables --------------------------------------------------------------------------------


def with_finals(comparison: Comparison, finals: dict[str, list[float]], needed: int = 5) -> Comparison:
    """A comparison of groups whose runs end at given values."""
    base = comparison.groups[0]
    groups = [
        dataclasses.replace(base, name=name, seeds=tuple(range(len(values))), finals=np.array(values))
        for name, values in finals.items()
    ]
    groups.sort(key=lambda group: -group.median)
    pairs = compare_pairs({group.name: group.finals.tolist() for group in groups})
    return dataclasses.replace(
        comparison, groups=tuple(groups), pairs=tuple(pairs), seeds_needed=needed, best_known=1.0
    )


CLEAR = {"a": [0.81, 0.82, 0.83, 0.84, 0.85], "b": [0.1, 0.2, 0.3, 0.4, 0.5]}


def test_what_is_beyond_chance_is_said_with_its_figures(comparison):
    # 2 of C(10, 5) = 252 orders are as extreme
    assert verdict(with_finals(comparison, CLEAR)) == (
        "After 40 evaluations a has the most hypervolume, 0.8300 in the median of 5 seeds, 83.0% of the true front's; "
        "that is, beyond chance, more than b (0.3000, p = 0.008, A12 = 1.00)."
    )


def test_what_is_not_significant_is_said_to_be_so(comparison):
    close = {"a": [0.1, 0.3, 0.5, 0.7, 0.9], "b": [0.2, 0.35, 0.45, 0.6, 0.8]}
    text = verdict(with_finals(comparison, close))
    assert "its difference from b (0.4500, p = " in text
    assert text.endswith("is not significant.")
    assert "beyond chance" not in text


def test_too_few_seeds_say_nothing_about_chance(comparison):
    changed = with_finals(comparison, {"a": [0.9, 0.8, 0.7], "b": [0.1, 0.2]}, needed=4)
    assert verdict(changed) == (
        "After 40 evaluations a has the most hypervolume, 0.8000 in the median of 3 seeds, 80.0% of the true front's, "
        "against b (0.1500 of 2 seeds); with fewer than 4 seeds each nothing can be said about chance."
    )
    assert significance_note(changed).startswith("Not tested: with fewer than 4 seeds each no difference")


def test_equal_medians_have_no_winner(comparison):
    text = verdict(with_finals(comparison, {"a": [0.5], "b": [0.5]}))
    assert (
        text
        == "After 40 evaluations a and b have the same hypervolume, 0.5000 with one seed, 50.0% of the true front's."
    )


def test_those_behind_equal_leaders_are_compared_with_one_of_them_by_name(comparison):
    text = verdict(with_finals(comparison, {"a": [0.5, 0.5], "b": [0.5, 0.5], "c": [0.4, 0.6]}, needed=2))
    assert "have the same hypervolume" in text
    assert "its difference" not in text


def test_ranks_that_contradict_the_medians_are_not_hidden(comparison):
    changed = with_finals(comparison, CLEAR)
    changed = dataclasses.replace(changed, pairs=(Pair("a", "b", 0.2, 0.01),))
    assert "in their ranks the runs of b (0.3000, p = 0.010, A12 = 0.20) are ahead of it" in verdict(changed)
    assert "more than" not in verdict(changed)


def test_one_algorithm_is_compared_with_nothing(comparison):
    changed = with_finals(comparison, {"a": [0.1, 0.3]})
    assert verdict(changed) == (
        "After 40 evaluations a ends at a hypervolume of 0.2000 in the median of 2 seeds, 20.0% of the true front's."
    )
    assert significance_note(changed) == "There is one algorithm: nothing to test."


def test_no_hypervolume_anywhere_is_said(comparison):
    text = verdict(with_finals(comparison, {"a": [0.0, 0.0], "b": [0.0]}))
    assert text == "After 40 evaluations no algorithm's median run has any hypervolume."


def test_the_table_says_how_many_runs_got_there(comparison):
    group = dataclasses.replace(
        comparison.groups[0],
        to_reach=(CensoredMedian(12.5, 5), CensoredMedian(30, 3), CensoredMedian(None, 1)),
        seeds=(1, 2, 3, 4, 5),
    )
    header, [row] = summary_table(dataclasses.replace(comparison, groups=(group,)))
    cells = dict(zip(header, row, strict=True))
    assert (cells["to 90%"], cells["to 95%"], cells["to 99%"]) == ("12.5", "30 (by 3 of 5)", "by 1 of 5")
