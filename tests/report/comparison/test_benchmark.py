"""Whole benchmarks: carried on, extended, nothing evaluated twice, and nothing mixed that does not belong together."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3

import pytest
from accessibility import hidden_columns, serious, sticking_out

from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate
from evomnas.core.defaults import SEEDS
from evomnas.core.errors import EverythingFailed, InputError
from evomnas.loop.launch import search
from evomnas.report.comparison.benchmark import ALGORITHMS, benchmark
from evomnas.report.comparison.page import write_comparison
from evomnas.report.comparison.significance import seeds_needed
from evomnas.report.comparison.traces import group_names, read_trace
from evomnas.report.pages import figure_markup
from evomnas.results.archive import Archive
from evomnas.results.run import Run
from evomnas.training.proxy_task import ProxyTask

TWO = ["nsga2", "random"]


pytestmark = pytest.mark.usefixtures("no_drawings")  # but for those of `benchmarked`


def runs(folder):
    return {path.parent.name: Run.open(path.parent) for path in sorted(folder.glob("*/run.json"))}


def figures(comparison) -> dict:
    """All that two comparisons of the same searches have in common: not times and places."""
    values = comparison.to_dict()
    for group in values["algorithms"]:
        del group["own_seconds"], group["own_seconds_per_evaluation"]
    for run in values["runs"]:
        run["folder"] = run["folder"].rpartition("/")[2]
    return values


def test_every_algorithm_runs_with_every_seed_on_one_archive(benchmarked):
    finished = runs(benchmarked)
    assert list(finished) == [f"{name}-s{seed}" for name in TWO for seed in range(1, 6)]
    assert {run.archive.path for run in finished.values()} == {(benchmarked / "evomnas.sqlite").resolve()}
    assert {run.manifest.evaluations for run in finished.values()} == {40}
    values = json.loads((benchmarked / "comparison.json").read_text())
    assert {group["name"]: group["seeds"] for group in values["algorithms"]} == {name: [1, 2, 3, 4, 5] for name in TWO}
    assert (benchmarked / "comparison.html").is_file()


@pytest.fixture(scope="module")
def undisturbed(benchmarked, tmp_path_factory):
    """The folder of a benchmark of 2 seeds and 30 evaluations that nobody stopped, and its comparison."""
    folder = tmp_path_factory.mktemp("undisturbed") / "bench"
    return folder, benchmark(benchmarked.parent / "tabular.toml", TWO, seeds=2, budget=30, out=folder)


@pytest.mark.parametrize("stop", [pytest.param(1, marks=pytest.mark.thorough), 4, 6])
def test_interrupted_and_carried_on_it_ends_as_if_nothing_had_happened(
    stop, undisturbed, tabular_file, tmp_path, monkeypatch
):
    folder, expected = undisturbed
    original, calls = Archive.add_lookups, []

    def stopped(self, *arguments):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt("stop here")
        original(self, *arguments)

    monkeypatch.setattr(Archive, "add_lookups", stopped)
    with pytest.raises(KeyboardInterrupt, match="stop here"):
        benchmark(tabular_file, TWO, seeds=2, budget=30, out=tmp_path / "bench")
    assert not (tmp_path / "bench" / "comparison.html").exists()
    carried_on = benchmark(tabular_file, TWO, seeds=2, budget=30, out=tmp_path / "bench")
    assert figures(carried_on) == figures(expected)
    for name, run in runs(tmp_path / "bench").items():
        assert run.asks == Run.open(folder / name).asks


def test_again_it_asks_for_nothing(tabular_file, tmp_path, monkeypatch):
    first = benchmark(tabular_file, TWO, seeds=2, budget=10, out=tmp_path / "bench")
    before = {name: run.manifest for name, run in runs(tmp_path / "bench").items()}

    def never(*arguments):
        raise AssertionError("a finished run asked again")

    monkeypatch.setattr(Archive, "add_asks", never)
    again = benchmark(tabular_file, TWO, seeds=2, budget=10, out=tmp_path / "bench")
    assert figures(again) == figures(first)
    assert {name: run.manifest for name, run in runs(tmp_path / "bench").items()} == before


def test_more_seeds_and_a_larger_budget_extend_what_is_there(tabular_file, tmp_path):
    benchmark(tabular_file, TWO, seeds=1, budget=6, out=tmp_path / "bench")
    identity = {name: run.record.id for name, run in runs(tmp_path / "bench").items()}
    extended = benchmark(tabular_file, TWO, seeds=2, budget=25, out=tmp_path / "bench")
    at_once = benchmark(tabular_file, TWO, seeds=2, budget=25, out=tmp_path / "at-once")
    assert figures(extended) == figures(at_once)
    assert identity.items() <= {name: run.record.id for name, run in runs(tmp_path / "bench").items()}.items()


def test_no_network_is_trained_twice(tiny, tmp_path, monkeypatch):
    trained = []
    original = ProxyTask.train

    def counting(self, network, *arguments, **options):
        trained.append(1)
        return original(self, network, *arguments, **options)

    monkeypatch.setattr(ProxyTask, "train", counting)
    benchmark(tiny, ["nsga2"], seeds=2, budget=2, out=tmp_path / "bench")
    asked = [ask.architecture for run in runs(tmp_path / "bench").values() for ask in run.asks]
    assert len(trained) == len(set(asked)) < len(asked)  # MobileNetV2's point is in every first population of nsga2


def test_options_go_to_the_algorithms_that_have_them(tabular_file, tmp_path):
    benchmark(tabular_file, TWO, seeds=1, budget=10, options={"population": 6}, out=tmp_path / "bench")
    finished = runs(tmp_path / "bench")
    assert finished["nsga2-s1"].options == {"population": 6}
    assert finished["random-s1"].options == {}
    with pytest.raises(InputError, match="nsga2-s1 is another run, there and now: population is 6 and 8"):
        benchmark(tabular_file, TWO, seeds=1, budget=10, options={"population": 8}, out=tmp_path / "bench")


def test_an_option_at_its_default_makes_no_other_search(tabular_file, tmp_path):
    for options in ({}, {"population": 20}):
        benchmark(tabular_file, TWO, seeds=1, budget=10, options=options, out=tmp_path / "bench")
    assert runs(tmp_path / "bench")["nsga2-s1"].options == {}


def test_runs_that_began_by_other_rules_are_compared_and_not_carried_on(tabular_file, tmp_path, monkeypatch):
    algorithms = ["nsga2-surrogate", "random"]
    before = benchmark(tabular_file, algorithms, seeds=1, budget=10, out=tmp_path / "bench")
    monkeypatch.setattr(NSGA2Surrogate, "rules", NSGA2Surrogate.rules + 1)
    again = benchmark(tabular_file, algorithms, seeds=1, budget=10, out=tmp_path / "bench")
    assert figures(again) == figures(before)
    with pytest.raises(InputError, match="nsga2-surrogate of this version asks for other networks"):
        benchmark(tabular_file, algorithms, seeds=1, budget=20, out=tmp_path / "bench")
    assert {run.manifest.budget for run in runs(tmp_path / "bench").values()} == {10}


def test_a_comparison_tells_the_rules_of_one_algorithm_apart(tabular_file, tmp_path, monkeypatch):
    search(tabular_file, "nsga2-surrogate", budget=10, out=tmp_path / "now")
    monkeypatch.setattr(NSGA2Surrogate, "rules", 1)
    search(tabular_file, "nsga2-surrogate", budget=10, out=tmp_path / "then")
    traces = [read_trace(tmp_path / name) for name in ("now", "then")]
    assert group_names(traces) == ["nsga2-surrogate (rules 2)", "nsga2-surrogate"]
    assert group_names(traces[:1]) == ["nsga2-surrogate"]


def test_the_default_benchmark_can_tell_its_algorithms_apart():
    assert seeds_needed(len(ALGORITHMS)) <= SEEDS


def test_a_run_in_which_all_fails_is_named(tiny, tmp_path, monkeypatch):
    def broken(self, architecture):
        raise RuntimeError("the cable is loose")

    monkeypatch.setattr(ProxyTask, "train", broken)
    with pytest.raises(EverythingFailed, match=r"nsga2 with seed 1: all candidates failed \(3\)"):
        benchmark(tiny, TWO, seeds=1, budget=3, out=tmp_path / "bench")


def test_progress_counts_runs_and_evaluations(tabular_file, tmp_path):
    steps = []
    benchmark(tabular_file, TWO, seeds=2, budget=25, out=tmp_path / "bench", on_progress=steps.append)
    assert [step.evaluated for step in steps] == sorted(step.evaluated for step in steps)
    assert steps[-1].evaluated == 100
    assert {(step.run, step.algorithm, step.seed) for step in steps} == {
        (1, "nsga2", 1), (2, "random", 1), (3, "nsga2", 2), (4, "random", 2),
    }  # fmt: skip
    assert {step.runs for step in steps} == {4}


# --- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"algorithms": ["nsga9"]}, "unknown algorithm 'nsga9'"),
        ({"algorithms": ["nsga2", "nsga2"]}, "an algorithm is named twice: nsga2, nsga2"),
        ({"algorithms": ["nsga2"], "seeds": 1}, "a benchmark needs 2 runs or more"),
        ({"algorithms": []}, "a benchmark needs an algorithm: dpp-net, evo-constrained, "),
        ({"seeds": 0}, "a benchmark needs 2 runs or more"),
        ({"seeds": 10**9}, "takes up to 1000 seeds"),
        ({"budget": 0}, "the budget must be at least 1"),
        ({"options": {"tournament": 3}}, "none of nsga2, random has an option tournament"),
        ({"options": {"population": 0}}, "population must be a whole number"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(arguments, message, tabular_file, tmp_path):
    with pytest.raises(InputError, match=message):
        benchmark(tabular_file, **{"algorithms": TWO, "out": tmp_path / "bench"} | arguments)
    assert not (tmp_path / "bench").exists()


@pytest.fixture(scope="module")
def small(benchmarked, tmp_path_factory):
    """A small benchmark's problem and folder, which nobody changes."""
    problem, folder = benchmarked.parent / "tabular.toml", tmp_path_factory.mktemp("small") / "bench"
    benchmark(problem, TWO, seeds=1, budget=6, out=folder)
    return problem, folder


def test_another_problem_in_the_same_folder_is_refused_with_the_difference(small):
    problem, folder = small
    override = ["hypervolume.reference_point=[1.0,3.0]"]
    message = r"nsga2-s1 is a run of another problem.*: hypervolume.reference_point is \[1.0, 2.0\] and \[1.0, 3.0\]"
    for algorithms in (TWO, ["evo-weighted", "rl-weighted"]):  # whichever runs are asked for now
        with pytest.raises(InputError, match=message):
            benchmark(problem, algorithms, seeds=1, budget=6, overrides=override, out=folder)
    assert len(runs(folder)) == 2


def test_a_smaller_budget_is_refused(small):
    problem, folder = small
    with pytest.raises(InputError, match="has a budget of 6 already: --budget can only raise it"):
        benchmark(problem, TWO, seeds=1, budget=5, out=folder)


def test_a_lost_archive_is_named_and_no_new_one_is_begun(small, tmp_path):
    problem, folder = small[0], shutil.copytree(small[1], tmp_path / "bench")
    (folder / "evomnas.sqlite").unlink()
    with pytest.raises(InputError, match=r"came without its archive, .* \(evomnas.sqlite\) into the folder"):
        benchmark(problem, TWO, seeds=2, budget=6, out=folder)
    assert not (folder / "evomnas.sqlite").exists()


def test_the_archive_of_the_runs_that_are_there_is_taken_and_no_other(tabular_file, tmp_path):
    shared = tmp_path / "shared.sqlite"
    benchmark(tabular_file, TWO, seeds=1, budget=6, out=tmp_path / "bench", archive=shared)
    benchmark(tabular_file, TWO, seeds=2, budget=6, out=tmp_path / "bench")
    assert not (tmp_path / "bench" / "evomnas.sqlite").exists()
    with sqlite3.connect(shared) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)
    with pytest.raises(InputError, match="has its archive at .*shared.sqlite, not at .*other.sqlite"):
        benchmark(tabular_file, TWO, seeds=2, budget=6, out=tmp_path / "bench", archive=tmp_path / "other.sqlite")


def test_a_run_s_folder_or_a_file_is_no_benchmark_s_folder(small):
    problem, folder = small
    with pytest.raises(InputError, match="nsga2-s1 is a run: choose another folder"):
        benchmark(problem, TWO, out=folder / "nsga2-s1")
    with pytest.raises(InputError, match="comparison.html is a file: choose another folder"):
        benchmark(problem, TWO, out=folder / "comparison.html")


# --- the page --------------------------------------------------------------------------------------------


def test_the_page_is_one_small_file_that_asks_for_nothing(benchmarked):
    text = (benchmarked / "comparison.html").read_text()
    assert len(text) < 1_000_000
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "<script" not in text
    for name in TWO:
        for seed in range(1, 6):
            assert f"{name}-s{seed}" in text


@pytest.mark.thorough
def test_names_from_a_problem_file_stay_text(tabular_file, tmp_path, monkeypatch):
    hostile = r"<script>alert(1)</script> $\frac{a}$ & _"
    for file in (tabular_file, tmp_path / "table.csv"):
        text = file.read_text().replace('column = "ms"', f"column = '{hostile}'")
        file.write_text(re.sub(r"\bms$", hostile.replace("\\", r"\\"), text, count=1, flags=re.MULTILINE))
    tabular_file.write_text(tabular_file.read_text().replace(', quantity = "latency_ms"', ""))
    comparison = benchmark(tabular_file, TWO, seeds=1, budget=8, out=tmp_path / "bench")
    assert comparison.definition.axes[1] == hostile
    monkeypatch.setattr("evomnas.report.comparison.page.figure_markup", figure_markup)
    page = write_comparison(comparison, tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 3


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1280),
        ("dark", 390),
        *(pytest.param("light", width, marks=pytest.mark.thorough) for width in (320, 768)),
    ],
)
def test_the_page_opens_from_disk_and_fits(visit, benchmarked, scheme, width):
    page = visit(benchmarked / "comparison.html", scheme, width)
    assert page.locator("h1").inner_text().startswith("After 40 evaluations nsga2 has the most hypervolume")
    assert page.locator("svg").count() == 5  # hypervolume, two of fronts, a panel per algorithm
    page.locator("summary").click()
    assert sticking_out(page) == []
    assert hidden_columns(page) == []
    assert page.locator("details tbody tr").count() == 10
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert serious(page) == []
