"""Searches with further objectives: tables and trained networks, resumed, with their files and reports."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from evomnas.cli import show  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.core.errors import InputError
from evomnas.loop.launch import resume, search
from evomnas.problem.counting import count_architecture
from evomnas.problem.loading import load_definition, validate_definition
from evomnas.problem.pareto import hypervolume, non_dominated
from evomnas.report.comparison.comparison import compare
from evomnas.report.run_report import write_report
from evomnas.report.words import headline, result_table

THIRD = '    { column = "kb", direction = "minimize", scale = 2.0 },\n]'


@pytest.fixture
def three(tabular_file):
    """The tabular problem with a third objective, which the first gene alone decides."""
    table = tabular_file.with_name("table.csv")
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([f"{header},kb", *(f"{row},{1 + int(row[0]) ** 2}" for row in rows)]) + "\n")
    before, _, _ = tabular_file.read_text().rstrip().rpartition("]")
    tabular_file.write_text(before + THIRD + "\n")
    return load_definition(tabular_file)


@pytest.mark.parametrize("algorithm", ["nsga3", "nsga2"])
def test_a_search_of_three_objectives_is_resumed_as_it_would_have_gone_on(three, tmp_path, algorithm):
    whole = search(three, algorithm, budget=60, out=tmp_path / "whole", archive=tmp_path / "a.sqlite")
    search(three, algorithm, budget=25, out=tmp_path / "part", archive=tmp_path / "b.sqlite")
    part = resume(tmp_path / "part", budget=60)
    assert [ask.architecture for ask in part.asks] == [ask.architecture for ask in whole.asks]
    results = whole.results()
    losses = np.array([result.evaluation.losses for result in results])
    assert losses.shape == (60, 3)
    assert np.array_equal([result.on_front for result in results], non_dominated(losses))
    relative = losses / (1.0, whole.reference_cost(), *whole.reader.reference_further)
    corner = (*three.hypervolume.reference_point, 2.0)
    assert whole.manifest.hypervolume == pytest.approx(hypervolume(relative, corner))
    assert whole.manifest.true_front.hypervolume >= whole.manifest.hypervolume


def test_files_tables_and_comparisons_have_the_third_objective(three, tmp_path):
    runs = [search(three, "random", budget=20, seed=seed, out=tmp_path / f"run-{seed}") for seed in (1, 2)]
    front = runs[0].front()
    header, rows = result_table(runs[0], front)
    assert header[-2:] == ("kb", "status")
    assert float(rows[0][-2]) == front[0].evaluation.losses[2]
    cells = next(csv.DictReader((runs[0].folder / "front.csv").open()))
    assert float(cells["loss_3"]) == front[0].evaluation.losses[2]
    shown = CliRunner().invoke(app, ["show", str(runs[0].folder), "--format", "json"])
    assert json.loads(shown.stdout)[0]["losses"] == list(front[0].evaluation.losses)
    page = write_report(runs[0]).read_text()
    assert '"further": [{"label": "kb", "unit": " kb"}]' in page
    assert " kb" in headline(runs[0], runs[0].results())
    comparison = compare(runs)
    assert comparison.to_dict()["objectives"][2] == "kb"
    assert comparison.best_front.shape[1] == 2


def test_who_minimises_two_objectives_says_so_in_one_line(three, tmp_path):
    message = "evo-weighted minimises error and cost alone, and .* has 3: search with nsga2, .* or random, or drop kb"
    with pytest.raises(InputError, match=message):
        search(three, "evo-weighted", budget=20, out=tmp_path / "run")


def test_parameters_of_trained_networks_are_an_objective(finished_run, tiny_values, tmp_path):
    """The archive has what another search trained: its objectives are another matter."""
    problem = validate_definition(tiny_values | {"objectives": ["error", "latency_ms", "params"]})
    archive = finished_run.archive.path
    run = search(problem, "nsga2", budget=20, seed=3, out=tmp_path / "run", archive=archive)
    assert run.manifest.reused.networks == 20
    for result in run.results():
        losses = result.evaluation.losses
        params = count_architecture(result.evaluation.architecture, **run.shape).params
        assert losses[2] == params == result.evaluation.quantities["params"]
    assert 0 < run.manifest.hypervolume <= 1
    header = (run.folder / "front.csv").read_text().splitlines()[0].split(",")
    assert {"loss_3", "peak_kb", "file_kb"} <= {*header}
    errors = [result.evaluation.losses[0] for result in run.front()]
    assert run.best().evaluation.losses[0] == min(errors) < errors[-1]  # the slowest may be on the front for its size
