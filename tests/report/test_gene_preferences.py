"""Preferences of a front: shares that are counted by hand, and spaces whose choices differ by block."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evomnas.loop.launch import search
from evomnas.report.gene_preferences import count_preferences


def test_shares_are_those_of_a_count(shown_run):
    results = [result for result in shown_run.results() if result.evaluation.losses is not None]
    preferences = count_preferences(shown_run, results)
    assert preferences.columns == ("block 1", "block 2")
    blocks = {True: [], False: []}
    for result in results:
        blocks[False].append(result.evaluation.architecture.blocks)
        if result.on_front:
            blocks[True].append(result.evaluation.architecture.blocks)
    for (row, (gene, value)), column in itertools.product(enumerate(preferences.rows), range(2)):
        if gene in ("op", "kernel", "skip"):
            for on_front, shares in ((False, preferences.everywhere), (True, preferences.front)):
                has_value = [str(getattr(network[column], gene)) == value for network in blocks[on_front]]
                assert shares[row, column] == pytest.approx(np.mean(has_value))


def test_every_gene_of_every_block_adds_up_to_all(shown_run):
    preferences = count_preferences(shown_run, shown_run.results())
    for gene in {gene for gene, _ in preferences.rows}:
        rows = [place for place, (name, _) in enumerate(preferences.rows) if name == gene]
        assert np.nansum(preferences.front[rows], axis=0) == pytest.approx([1, 1])
        assert np.nansum(preferences.everywhere[rows], axis=0) == pytest.approx([1, 1])


def test_choices_that_a_block_lacks_are_not_zero_but_missing(shown_run):
    """Block 1 has a base of one layer, so none fewer; 0.75 of 8 filters rounds to 8 in both."""
    preferences = count_preferences(shown_run, shown_run.results())
    rows = {row: place for place, row in enumerate(preferences.rows)}
    assert np.isnan(preferences.front[rows["layers", "-1"]]).tolist() == [True, False]
    assert np.isnan(preferences.front[rows["filters", "×0.75"]]).all()
    assert not np.isnan(preferences.front[rows["filters", "×1"]]).any()


def test_the_strongest_preference_comes_first(shown_run):
    preferences = count_preferences(shown_run, shown_run.results())
    gains = [front - everywhere for *_, front, everywhere in preferences.strongest(5)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == pytest.approx(np.nanmax(preferences.front - preferences.everywhere))


def test_a_table_s_genes_are_its_columns(tabular_file, tmp_path):
    run = search(tabular_file, "random", budget=30, out=tmp_path / "run")
    (tabular_file.parent / "table.csv").unlink()  # its report does not need it
    preferences = count_preferences(run, run.results())
    assert preferences.columns == ("g0", "g1", "g2", "g3", "g4")
    assert preferences.rows == (("value", "0"), ("value", "1"), ("value", "2"))
    assert preferences.everywhere.sum(axis=0) == pytest.approx(np.ones(5))
    assert preferences.front.sum(axis=0) == pytest.approx(np.ones(5))


def test_a_value_that_no_network_of_a_table_has_at_a_place_is_missing(tmp_path):
    rows = [f"{op},{width},{50 + width},{width}" for op, width in itertools.product(("conv", "dconv"), (8, 16))]
    (tmp_path / "table.csv").write_text("\n".join(["op,width,top1,ms", *rows]))
    (tmp_path / "table.toml").write_text(
        'name = "table"\n[table]\npath = "table.csv"\ngenes = ["op", "width"]\nobjectives = [\n'
        '{ column = "top1", direction = "maximize", scale = 0.01 }, { column = "ms", direction = "minimize" }]\n'
    )
    run = search(tmp_path / "table.toml", "random", budget=4, out=tmp_path / "run")
    preferences = count_preferences(run, run.results())
    shares = dict(zip([value for _, value in preferences.rows], preferences.everywhere.tolist(), strict=True))
    assert np.isnan([shares["conv"][1], shares["dconv"][1], shares["8"][0], shares["16"][0]]).all()
    assert shares["conv"][0] == shares["8"][1] == 0.5


def test_without_a_front_there_is_no_preference(shown_run):
    assert count_preferences(shown_run, []) is None
