"""Tables: what files say comes out, whatever their form; and what cannot be a table is named."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from evomnas.core.errors import InputError
from evomnas.evaluation.table_evaluator import TableEvaluator
from evomnas.problem.loading import load_definition
from evomnas.problem.table import Table
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.archive import Archive


def write_csv(path, rows, header="op,width,top1,ms"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def csv(tmp_path):
    rows = [
        "conv,16,70,2.0",
        "conv,8,60,1.0",
        "pool,16,50,0.5",
        "pool,8,40,0.25",
        "conv,100,80,4.0",
        "pool,100,55,0.75",
    ]
    return write_csv(tmp_path / "t.csv", rows)


def test_a_csv_s_choices_are_in_the_order_of_numbers_and_then_of_words(csv):
    table = Table(csv, ["op", "width"], ["top1", "ms"])
    assert table.space.choices == (("conv", "pool"), ("8", "16", "100"))
    assert table.complete
    assert str(table.space.decode(np.array([1, 2]))) == "pool-100"
    assert table.row(TabularArchitecture("conv-16")).tolist() == [70.0, 2.0]
    assert table.row(TabularArchitecture("conv-32")) is None


def test_the_reference_network_is_the_one_that_was_named_or_the_median_of_the_costs(csv):
    table = Table(csv, ["op", "width"], ["top1", "ms"])
    assert str(table.space.decode(table.space.reference())) == "pool-100"  # 0.25 0.5 [0.75] 1 2 4
    named = Table(csv, ["op", "width"], ["top1", "ms"], "conv-16")
    assert str(named.space.decode(named.space.reference())) == "conv-16"
    with pytest.raises(InputError, match="has no network 'conv-7'"):
        Table(csv, ["op", "width"], ["top1", "ms"], "conv-7")


def test_json_tables_say_the_same_as_lists_and_as_objects_by_genome(tmp_path):
    values = {"01": (70, 2.0), "00": (60, 1.0), "11": (50, 0.5)}
    by_key = {key: {"top1": top1, "ms": ms} for key, (top1, ms) in values.items()}
    (tmp_path / "keys.json").write_text(json.dumps(by_key))
    (tmp_path / "list.json").write_text(json.dumps([{"a": int(k[0]), "b": int(k[1]), **v} for k, v in by_key.items()]))
    tables = [
        Table(tmp_path / "keys.json", [], ["top1", "ms"]),
        Table(tmp_path / "list.json", ["a", "b"], ["top1", "ms"]),
    ]
    for table in tables:
        assert table.row(TabularArchitecture("01")).tolist() == [70.0, 2.0]
        assert (table.space.genomes, table.space.networks, table.complete) == (4, 3, False)
    assert tables[0].fingerprint == tables[1].fingerprint


def test_rows_of_one_network_are_averaged_and_empty_cells_are_missing(tmp_path):
    path = write_csv(tmp_path / "t.csv", ["a,1,60,1", "a,1,62,3", "b,1,50,", "b,2,40,4"])
    table = Table(path, ["op", "width"], ["top1", "ms"])
    assert table.row(TabularArchitecture("a1")).tolist() == [61.0, 2.0]
    assert table.row(TabularArchitecture("b1")) is None
    assert not table.complete


def test_each_cell_of_a_network_s_rows_counts_by_itself(tmp_path):
    path = write_csv(tmp_path / "t.csv", ["a,1,60,1", "a,1,,3", "b,1,50,", "b,1,,8"])
    table = Table(path, ["op", "width"], ["top1", "ms"])
    assert table.row(TabularArchitecture("a1")).tolist() == [60.0, 2.0]
    assert table.row(TabularArchitecture("b1")).tolist() == [50.0, 8.0]


def test_no_two_genomes_share_a_name_whether_the_table_has_them_or_not(tmp_path):
    path = write_csv(tmp_path / "t.csv", ["a,b-c,1,1", "a-b,x,1,1", "y,c,1,1", "a,x,1,1"])
    space = Table(path, ["op", "width"], ["top1", "ms"]).space
    names = {str(space.decode(np.array(genome))) for genome in itertools.product(range(3), range(3))}
    assert len(names) == 9
    assert "a_b-c" in names


@pytest.mark.parametrize("rows", [["a,b-c,1,1", "a-b,x,1,1", "y,c,1,1"], ["a,1,60,1", "b,2,50,8", "c,3,40,4"]])
def test_a_network_is_encoded_as_it_was_decoded(rows, tmp_path):
    space = Table(write_csv(tmp_path / "t.csv", rows), ["op", "width"], ["top1", "ms"]).space
    for genome in itertools.product(range(3), range(3)):
        assert tuple(space.encode(space.decode(np.array(genome)))) == genome
    with pytest.raises(InputError, match="other is no network of this table's space"):
        space.encode(TabularArchitecture("other"))


def test_draws_are_even_over_the_rows_that_there_are(csv, rng):
    space = Table(csv, ["op", "width"], ["top1", "ms"]).space
    counts = Counter(str(space.decode(space.draw(rng))) for _ in range(3000))
    assert len(counts) == 6
    assert chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "t.csv", "is empty"),
        ("op,width,top1,ms\n", "t.csv", "is empty"),
        ("op,width,top,ms\nconv,8,1,1\n", "t.csv", "unknown column 'top1'.*did you mean top"),
        ("op,top1,ms\nconv,1,1\n", "t.csv", "unknown column 'width'"),
        ("op,width,top1,ms\nconv,,1,1\n", "t.csv", "a row without a value for every gene"),
        ("op,width,top1,ms\nconv,8,high,1\n", "t.csv", "the column top1 of .* holds no number"),
        ("op,width,top1,ms\nconv,8,nan,inf\n", "t.csv", "the column top1 of .* holds no number"),
        ("op,width,top1,ms\nconv,8,,1\nconv,9,1,\n", "t.csv", "no row of .* has both top1 and ms"),
        ("op,width,top1,ms\na-b_c/d|e,c,1,1\n", "t.csv", "hold each of - _ / |"),
        ("op,width,top1,ms\na,b,1,1,7\n", "t.csv", "a row with more cells than columns"),
        ('op,width,top1,ms\n"conv,8,1,1\n', "t.csv", "is not valid CSV|without a value"),
        ("{", "t.json", "is not valid JSON"),
        ("3", "t.json", "must be a list of objects"),
        ("[1, 2]", "t.json", "must be a list of objects"),
        ("[" * 100_000, "t.json", "is not valid JSON"),
    ],
)
def test_what_is_no_table_is_named(content, name, message, tmp_path):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        Table(path, ["op", "width"], ["top1", "ms"])


def test_keys_of_different_lengths_are_no_genomes(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"01": {"a": 1, "b": 1}, "012": {"a": 1, "b": 1}}))
    with pytest.raises(InputError, match="are not genomes of one length"):
        Table(path, [], ["a", "b"])


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot read the table"):
        Table(tmp_path / "none.csv", ["op"], ["a", "b"])
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read the table"):
        Table(tmp_path / "t.csv", ["op"], ["a", "b"])


def test_genomes_of_another_space_are_refused(csv):
    space = Table(csv, ["op", "width"], ["top1", "ms"]).space
    for genome in ([0], [0, 3], [-1, 0], [0.5, 0]):
        with pytest.raises(InputError, match="a genome of this table has 2 whole numbers"):
            space.decode(np.array(genome))


PROBLEM = """
name = "t"
[table]
path = "t.csv"
genes = ["op", "width"]
objectives = [
    {{ column = "top1", direction = "maximize", scale = {scale}, quantity = "accuracy" }},
    {{ column = "ms", direction = "{direction}", quantity = "latency_ms" }},
]
"""


def definition_of(csv, scale=0.01, direction="minimize", overrides=()):
    path = csv.with_name("t.toml")
    path.write_text(PROBLEM.format(scale=scale, direction=direction))
    return load_definition(path, overrides)


def test_a_tabular_problem_s_losses_are_minimised_and_relative_to_the_reference(csv):
    evaluator = TableEvaluator(definition_of(csv), Archive())
    [found, missing] = evaluator.evaluate([TabularArchitecture("conv-16"), TabularArchitecture("conv-1")])
    assert found.losses == pytest.approx((0.3, 2.0))
    assert found.relative_losses == pytest.approx((0.3, 2.0 / 0.75))
    assert found.quantities == pytest.approx({"accuracy": 0.7, "latency_ms": 2.0})
    assert (missing.status, missing.failure.kind) == ("failed", "missing")
    assert evaluator.known(TabularArchitecture("conv-16")) == found
    assert evaluator.known(TabularArchitecture("pool-8")).status == "stopped"


def test_the_true_front_of_a_complete_table_is_known(csv):
    definition = definition_of(csv, overrides=["hypervolume.reference_point=[1.0, 8.0]"])
    true = TableEvaluator(definition, Archive()).true_front()
    front = [(0.6, 0.25), (0.5, 0.5), (0.45, 0.75), (0.4, 1.0), (0.3, 2.0), (0.2, 4.0)]  # in this table, all
    assert np.array(true.losses) == pytest.approx(np.array(sorted(front)))
    # by hand: slices of cost / 0.75 from one network to the next, each as high as 1 - error of the best so far
    widths = np.diff([0.25, 0.5, 0.75, 1.0, 2.0, 4.0, 6.0]) / 0.75
    expected = float(widths @ (1 - np.array([error for error, _ in front]))) / 8.0
    assert true.hypervolume == pytest.approx(expected)


def test_wrong_scales_and_directions_are_named(csv):
    with pytest.raises(InputError, match="top1 .* is maximised and spans 40 to 80: give its objective a scale"):
        _ = definition_of(csv, scale=1).lookup_table
    with pytest.raises(InputError, match="ms .* is maximised and spans 0.25 to 4"):
        _ = definition_of(csv, direction="maximize").lookup_table
    csv.write_text(csv.read_text().replace("2.0", "0"))
    with pytest.raises(InputError, match="second objective, ms of .*, must be positive .* and spans 0 to 4"):
        _ = definition_of(csv).lookup_table


def test_a_quality_that_is_minimised_must_be_a_share(csv):
    definition = definition_of(csv)
    path = csv.with_name("t.toml")
    path.write_text(
        path.read_text().replace('"maximize", scale = 0.01, quantity = "accuracy"', '"minimize", scale = 1.0')
    )
    with pytest.raises(
        InputError, match="first objective, top1 of .*, must be a share between 0 and 1 and spans 40 to 80"
    ):
        _ = load_definition(path).lookup_table
    path.write_text(path.read_text().replace("scale = 1.0", "scale = 0.01"))
    assert load_definition(path).plot_point((0.4, 2.0)) == (2.0, 0.4)
    assert definition.plot_point((0.4, 2.0)) == (2.0, 60.0)


def test_a_column_is_named_once(csv):
    with pytest.raises(InputError, match="the column op is named twice"):
        definition_of(csv, overrides=['table.genes=["op", "op"]'])
    with pytest.raises(InputError, match="the column ms is named twice"):
        definition_of(csv, overrides=['table.genes=["op", "ms"]'])


def test_keys_of_tabular_problems_are_checked_like_all_others(csv):
    with pytest.raises(InputError, match="unknown key 'table.gens'.*did you mean table.genes"):
        definition_of(csv, overrides=["table.gens=3"])
    with pytest.raises(InputError, match=r"\[table\] and \[training\] exclude each other"):
        definition_of(csv, overrides=["training.epochs=3"])
    with pytest.raises(InputError, match="table.objectives"):
        definition_of(csv, overrides=["table.objectives=[]"])


def test_the_context_follows_the_values_and_not_the_file_s_name(csv, tmp_path):
    before = TableEvaluator(definition_of(csv), Archive()).training_context
    moved = tmp_path / "moved.csv"
    moved.write_text(csv.read_text())
    assert TableEvaluator(definition_of(csv, overrides=[f"table.path={moved}"]), Archive()).training_context == before
    moved.write_text(csv.read_text().replace("70,", "71,"))
    assert TableEvaluator(definition_of(csv, overrides=[f"table.path={moved}"]), Archive()).training_context != before


# --- values, one by one ----------------------------------------------------------------------------------


def table_of(tmp_path, *rows: str, **options) -> Table:
    """A table of two genes."""
    return Table(write_csv(tmp_path / "t.csv", list(rows)), ["op", "width"], ["top1", "ms"], **options)


def test_numbers_come_in_their_order_and_then_words_in_theirs(tmp_path):
    """What looks like no finite number is a word."""
    values = ["b", "10", "inf", "9", "-1", "1e2", "a", "0.5", "nan"]
    table = table_of(tmp_path, *(f"{value},0,1,1" for value in values))
    assert table.space.choices[0] == ("-1", "0.5", "9", "10", "1e2", "a", "b", "inf", "nan")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (("1", "2"), {"10", "20"}),
        (("12", "2"), {"12-0", "2-0"}),
        (("a-b", "2"), {"a-b_0", "2_0"}),
        (("a-_", "2"), {"a-_/0", "2/0"}),
        (("a-_/", "2"), {"a-_/|0", "2|0"}),
    ],
)
def test_names_are_joined_by_the_first_sign_that_no_value_has(tmp_path, values, names):
    space = table_of(tmp_path, *(f"{value},0,1,1" for value in values)).space
    assert {str(space.decode(genome)) for genome in space.rows} == names


def test_a_value_of_a_gene_is_text_of_up_to_64_signs_without_spaces_at_its_ends(tmp_path):
    table = table_of(tmp_path, f" {'x' * 64} ,0,1,1", "b c,1,1,1")
    assert table.space.choices[0] == ("b c", "x" * 64)
    for value in ("x" * 65, "", "  ", "a\x07"):
        with pytest.raises(InputError, match="has a row without a value for every gene"):
            table_of(tmp_path, f"{value},0,1,1")


def test_lines_without_anything_are_no_rows(tmp_path):
    assert table_of(tmp_path, "a,0,1,1", "", ",,,", "a,1,1,2").space.networks == 2


@pytest.mark.parametrize(
    ("costs", "reference"),
    [((1, 2, 3), "1"), ((4, 3, 2, 1), "2"), ((5, 5, 5), "1"), ((9, "", 1, 2), "3"), ((7,), "0"), (("", 8), "1")],
)
def test_the_reference_is_the_lower_median_of_known_costs_and_the_first_of_equals(tmp_path, costs, reference):
    space = table_of(tmp_path, *(f"a,{row},1,{cost}" for row, cost in enumerate(costs))).space
    assert str(space.decode(space.reference()))[-1] == reference


def test_a_table_is_complete_where_every_genome_has_both_objectives(tmp_path):
    full = ["a,0,1,1", "a,1,1,1", "b,0,1,1", "b,1,1,1"]
    assert table_of(tmp_path, *full).complete
    assert not table_of(tmp_path, *full[:3]).complete
    assert not table_of(tmp_path, *full[:3], "b,1,,1").complete
    assert not table_of(tmp_path, *full[:3], "b,1,1,").complete


def test_genes_may_be_grouped_if_they_fill_whole_blocks(tmp_path):
    rows = ["a,0,1,1", "b,1,1,1"]
    assert table_of(tmp_path, *rows).space.genes_per_block == 1
    assert table_of(tmp_path, *rows, genes_per_block=2).space.genes_per_block == 2
    with pytest.raises(InputError, match="table.genes_per_block is 3, and .* has 2 genes"):
        table_of(tmp_path, *rows, genes_per_block=3)


def test_the_fingerprint_follows_networks_and_values(tmp_path):
    rows = ["a,0,1,1", "b,1,1,2"]
    fingerprint = table_of(tmp_path, *rows).fingerprint
    assert len(fingerprint) == 24
    assert table_of(tmp_path, *reversed(rows)).fingerprint == fingerprint
    for other in (["a,0,1,1", "c,1,1,2"], ["a,0,1,1", "b,1,1,3"], ["a,0,1,1", "b,1,,2"]):
        assert table_of(tmp_path, *other).fingerprint != fingerprint


def test_json_holds_numbers_texts_of_numbers_and_nothing_else(tmp_path):
    values = [1, 1.5, "2", True, None, "high", [3], {"a": 1}, "1e999", 10**400]
    rows = [{"g": number, "q": 0.5, "c": value} for number, value in enumerate(values)]
    path = tmp_path / "t.JSON"
    path.write_text(json.dumps(rows))
    table = Table(path, ["g"], ["q", "c"])
    costs = [table.row(TabularArchitecture(str(number))) for number in range(10)]
    assert [None if cost is None else cost[1] for cost in costs] == [1.0, 1.5, 2.0] + [None] * 7


def test_json_s_keys_are_genomes_only_where_no_column_is_a_gene(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"x": {"g": "7", "q": 0.5, "c": 1}, "y": {"g": "8", "q": 0.5, "c": 2}}))
    assert Table(path, ["g"], ["q", "c"]).space.choices == (("7", "8"),)
    assert Table(path, [], ["q", "c"]).space.choices == (("x", "y"),)
    path.write_text(json.dumps([{"g": "7", "q": 0.5, "c": 1}]))
    with pytest.raises(InputError, match="table.genes is missing: name the columns that are genes"):
        Table(path, [], ["q", "c"])
    path.write_text(json.dumps({"": {"q": 0.5, "c": 1}}))
    with pytest.raises(InputError, match="not genomes of one length"):
        Table(path, [], ["q", "c"])
    for empty in ("[]", "{}"):
        path.write_text(empty)
        with pytest.raises(InputError, match="is empty"):
            Table(path, ["g"], ["q", "c"])
    path.write_text('{"a": 3}')
    with pytest.raises(InputError, match="must be a list of objects, or an object of objects"):
        Table(path, [], ["q", "c"])


def test_a_column_that_only_later_rows_have_is_one(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"g": 1, "q": 0.5}, {"g": 2, "q": 0.5, "c": 3}]))
    assert Table(path, ["g"], ["q", "c"]).row(TabularArchitecture("2")).tolist() == [0.5, 3.0]


def test_a_table_s_space_is_that_of_its_genes(csv, rng):
    space = Table(csv, ["op", "width"], ["top1", "ms"]).space
    assert (space.genomes, space.networks, space.gene_sizes.tolist()) == (6, 6, [2, 3])
    assert str(space.decode([1.0, 2.0])) == "pool-100"
    for genome in ([2, 0], [0, 1.5], [0, 0, 0], [[0, 0]]):
        with pytest.raises(InputError, match="a genome of this table has 2 whole numbers"):
            space.decode(np.array(genome))
    sample = space.sample(6, rng)
    assert np.bincount(sample[:, 0]).tolist() == [3, 3]
    assert np.bincount(sample[:, 1]).tolist() == [2, 2, 2]


def test_a_table_s_network_is_a_value_with_an_id_of_eight_digits():
    network = TabularArchitecture("conv-8")
    assert network.id == hashlib.blake2b(b"conv-8", digest_size=4).hexdigest()
    assert {network, TabularArchitecture("conv-8")} == {network}
    with pytest.raises(AttributeError):
        network.name = "x"
