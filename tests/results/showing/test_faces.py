"""Runs, comparisons, networks and problems as a notebook and a terminal show them; data frames and plots."""

from __future__ import annotations

import sys

import pytest

import evomnas
from evomnas.core.errors import InputError
from evomnas.results.run import Run
from evomnas.results.showing.flat_rows import flat_row


@pytest.fixture(scope="module")
def benchmark_runs(benchmarked):
    return sorted(path.parent for path in benchmarked.rglob("run.json"))


def test_a_run_shows_its_front_as_a_figure_and_a_table(finished_run):
    markup = finished_run._repr_html_()
    assert "<svg" in markup
    for result in finished_run.front():
        assert f">{result.evaluation.architecture.id}</td>" in markup
    assert f"hypervolume {finished_run.manifest.hypervolume:.3f}" in markup


def test_a_run_prints_in_one_line(finished_run):
    text = repr(finished_run)
    assert text.startswith(f"Run({str(finished_run.folder)!r}: tiny by ")
    assert "\n" not in text
    assert "finished" in text


def test_a_run_of_which_nothing_is_known_shows_its_headline_alone(tabular_file, tmp_path, stopped_at):
    with stopped_at("add_asks", 1):
        evomnas.search(tabular_file, budget=3, out=tmp_path / "run")
    markup = Run.open(tmp_path / "run")._repr_html_()
    assert "0 of 3 networks" in markup
    assert "<svg" not in markup


def test_names_from_outside_are_escaped(tabular_file, tmp_path):
    run = evomnas.search(tabular_file, "random", budget=3, out=tmp_path / "<script>")
    assert "<script>" not in run._repr_html_()
    assert "&lt;script&gt;" in run._repr_html_()


def test_a_plot_has_every_network_and_the_front(finished_run):
    figure = finished_run.plot()
    [axes] = figure.axes
    evaluated = next(line for line in axes.lines if line.get_label() == "evaluated")
    complete = [one for one in finished_run.results() if one.evaluation.losses is not None]
    assert len(evaluated.get_xdata()) == len(complete) - len(finished_run.front())
    assert axes.get_xlabel() == "latency (ms)"
    assert figure._repr_html_().startswith("<svg")


def test_a_data_frame_has_objectives_costs_and_genes_of_every_evaluation(finished_run):
    pytest.importorskip("pandas")
    frame = finished_run.to_dataframe()
    results = sorted(finished_run.results(), key=lambda one: one.order)
    assert frame["id"].tolist() == [one.evaluation.architecture.id for one in results]
    assert frame["loss_1"].tolist() == [one.evaluation.losses[0] for one in results]
    assert frame["on_front"].sum() == len(finished_run.front())
    space = finished_run.definition.space
    genes = frame[[name for name in frame if name.startswith("gene_")]].to_numpy()
    assert [space.decode(row) for row in genes] == [one.evaluation.architecture for one in results]
    assert (frame["seconds"] > 0).all()


def test_without_pandas_there_is_one_line(finished_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="a data frame needs pandas, which is not installed: pip install pandas"):
        finished_run.to_dataframe()


def test_lists_become_columns_and_what_is_not_known_stays_empty():
    assert flat_row({"id": "a", "losses": [0.5, 2.0], "latency_ci": None}) == {
        "id": "a", "loss_1": 0.5, "loss_2": 2.0, "latency_low_ms": None, "latency_high_ms": None,
    }  # fmt: skip


def test_a_network_shows_its_blocks_as_bars_and_rows():
    network = evomnas.published("mnasnet-a1")
    markup = network._repr_html_()
    assert markup.count("<tr>") == 1 + len(network.blocks)
    assert markup.count("background:") == sum(block.layers for block in network.blocks)
    assert network.id in markup


def test_a_problem_shows_its_space_and_settings(tiny):
    problem = evomnas.load_problem(tiny)
    markup = problem._repr_html_()
    assert '<td style="text-align:left">training.epochs</td>' in markup
    assert f"{tiny.space.networks:,} networks" in markup
    assert repr(problem) == str(problem)
    assert repr(problem).startswith("SearchProblem(tiny: ")


def test_a_comparison_shows_hypervolumes_by_algorithm(benchmark_runs):
    comparison = evomnas.compare(benchmark_runs)
    markup = comparison._repr_html_()
    for group in comparison.groups:
        assert f"{group.name} {group.median:.3f}" in repr(comparison)
        assert f">{group.name}</td>" in markup
    assert "\n" not in repr(comparison)
