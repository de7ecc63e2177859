"""Problem files: what is accepted, and that every fault is one clear line."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from tiny_problem import TINY

from evomnas.core.errors import InputError
from evomnas.problem.counting import count_architecture
from evomnas.problem.definition import ProblemDefinition, TableDefinition
from evomnas.problem.loading import builtin_problems, change_full_training, flat, load_definition, validate_definition
from evomnas.problem.typed.settings import parse_value


@pytest.mark.parametrize("name", sorted(builtin_problems()))
def test_built_in_problems_are_valid(name):
    definition = load_definition(name)
    assert definition.name == name
    if isinstance(definition, ProblemDefinition):  # the others need a table
        assert definition.space.decode(definition.space.reference()) == definition.space.reference_network()


def test_overrides_change_single_values():
    overrides = ["training.epochs=9", "data.dataset=npz", "space.kernels=[3]", "training.learning_rate = 0.5"]
    definition = load_definition("digits", overrides)
    assert definition.training.epochs == 9
    assert definition.data.dataset == "npz"
    assert definition.space.kernels == (3,)
    assert definition.training.learning_rate == 0.5


def test_paths_are_relative_to_the_file_or_to_where_the_override_was_typed(tiny_file, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    text = tiny_file.read_text().replace('dataset = "digits"', 'dataset = "npz"')
    tiny_file.write_text(text.replace("[data]", '[data]\npath = "photos"'))
    monkeypatch.chdir(elsewhere)
    assert load_definition(tiny_file).data.path == tmp_path / "photos"
    assert load_definition(tiny_file, ["data.path=mine"]).data.path == elsewhere / "mine"
    assert load_definition(tiny_file, data="mine").data.path == elsewhere / "mine"


@pytest.mark.parametrize(
    ("problem", "overrides", "message"),
    [
        ("digit", [], "unknown problem 'digit': there are .*did you mean digits"),
        ("nowhere.toml", [], "cannot read the problem file"),
        ("digits", ["training.epoch=3"], "unknown key 'training.epoch': .*did you mean training.epochs"),
        ("digits", ["space.fiters=[3]"], "unknown key 'space.fiters'.*did you mean space.filters"),
        ("digits", ["trainin.epochs=3"], "unknown key 'trainin'.*did you mean training"),
        ("digits", ["training.epochs=0"], "training.epochs: .*greater than or equal to 1, got '0'"),
        ("digits", ["training.epochs"], "write it as section.key=value"),
        ("digits", ["name.x=3"], "name is a value, not a section"),
        ("digits", ["data.dataset=cifar"], "unknown dataset 'cifar'.*did you mean cifar10"),
        (
            "digits",
            ["latency.runtime=tflite"],
            "unknown runtime 'tflite': there are executorch, litert, ncnn, onnxruntime, openvino",
        ),
        ("digits", ["data.resolution=2"], "block 4 brings the total stride to 4, more than the image's 2 pixels"),
        ("digits", ["space.ops=['conv', 'skip']"], "space: unknown op 'skip'"),
        ("digits", ["training.epochs=1\nfoo=2"], "training.epochs: "),
        ("digits", ["training.epochs=" + "[" * 3000], "training.epochs: "),
        ("digits", ['data.path="a\\u0000b"'], "null character"),
        ("~nobody/x.toml", [], "cannot read the problem file"),
        ("digits", ["name='../x'"], "name: string should match pattern"),
        ("digits", ["training.epochs=-1", "training.batch=1"], "training.epochs.*; training.batch"),
        (
            "digits",
            [
                "data.dataset=digit",
                "latency.runtime=onyx",
                "training.optimizer=sdg",
                "space.ops=['convv']",
                "space.kernels=[4]",
                "training.epoch=2",
                "latency.target=ssh://",
            ],
            "(?=.*space: unknown op 'convv')(?=.*kernel size 4)(?=.*did you mean digits)(?=.*unknown runtime 'onyx')"
            "(?=.*unknown training.optimizer 'sdg': there are adamw, rmsprop, sgd; did you mean sgd)"
            "(?=.*unknown key 'training.epoch')(?=.*latency.target: cannot read the target 'ssh://')",
        ),
        (
            "digits",
            ["space.fitlers=[3]", "space.stem='x'", "space.layers=3", "data=1"],
            "(?=.*did you mean space.filters)(?=.*space.stem)"
            "(?=.*space.layers: input should be a list)(?=.*data: input should be a section of keys)",
        ),
        ("digits", ["training.learning_rate=nan"], "training.learning_rate: input should be a finite number"),
    ],
)
def test_faults_are_named_with_what_is_allowed(problem, overrides, message):
    with pytest.raises(InputError, match=message) as caught:
        load_definition(problem, overrides)
    assert "\n" not in str(caught.value)


def test_only_the_full_training_changes_after_a_search():
    problem = load_definition("digits")
    changed = change_full_training(problem, ["full.epochs=9", "full.optimizer=sgd", "full.augment=['shift']"])
    assert changed.full == problem.full.model_copy(update={"epochs": 9, "optimizer": "sgd", "augment": ("shift",)})
    assert changed.model_copy(update={"full": problem.full}) == problem
    assert change_full_training(problem, []) == problem


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.resolution=16", "data.resolution belongs to what was searched.*evomnas run --set data.resolution=16"),
        ("space.width=2", "space.width belongs to what was searched"),
        ("training.epochs=2", "training.epochs belongs to what was searched"),
        ("data.augment=['flip']", "data.augment belongs to what was searched"),
        ("name=other", "name belongs to what was searched"),
        ("epochs=3", "write epochs with its section, as in --set full.epochs=3"),
        ("full.epoch=3", "unknown key 'full.epoch': .*did you mean full.epochs"),
        ("full.epochs=0", "full.epochs: .*greater than or equal to 1"),
        ("full.epochs", "cannot read the override 'full.epochs'"),
        ("full=3", "full belongs to what was searched|full: input should be a section"),
        ("full.optimizer=lion", "unknown full.optimizer 'lion': there are adamw, rmsprop, sgd"),
    ],
)
def test_a_setting_that_would_change_what_was_searched_or_is_wrong_is_refused(setting, message):
    with pytest.raises(InputError, match=message) as caught:
        change_full_training(load_definition("digits"), [setting])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_toml_says_so(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("[space\n")
    with pytest.raises(InputError, match="not valid TOML"):
        load_definition(path)
    for windows in (r"C:\photos", r"C:\Users\me"):
        path.write_text(f'name = "broken"\n[data]\npath = "{windows}"\n')
        with pytest.raises(InputError, match="not valid TOML: .*write paths of Windows as 'C:"):
            load_definition(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read the problem file"):
        load_definition(path)


def test_a_definition_survives_its_own_json():
    definition = load_definition("images", ["data.path=somewhere"])
    again = validate_definition(definition.model_dump(mode="json"))
    assert again == definition
    assert isinstance(again.data.path, Path)


def test_a_trained_problem_is_shown_by_accuracy_and_latency():
    definition = load_definition("digits")
    assert isinstance(definition, ProblemDefinition)
    assert definition.axes == ("validation accuracy (%)", "latency (ms)")
    assert definition.is_percent
    assert definition.plot_point((0.25, 3.0)) == (3.0, 75.0)  # cost to the right, quality up: 100 (1 - 0.25)
    assert definition.epochs == definition.training.epochs
    assert definition.trained("why") is definition
    network = definition.reference({})
    assert network == definition.space.mobilenet_v2() == definition.parse(str(network))


def test_networks_of_images_are_trained_and_those_of_a_table_are_not():
    assert load_definition("digits", ["training.epochs=1"]).trains
    assert not load_definition("nas-bench-macro").trains


def test_how_often_and_how_long_a_candidate_trains_follows_from_folds_and_batch():
    table, folded = load_definition("nas-bench-macro"), load_definition("digits", ["data.folds=4"])
    assert (table.trainings, table.step_macs, load_definition("digits").trainings, folded.trainings) == (1, 0, 1, 4)
    definition = load_definition("images", ["training.batch=7", "data.resolution=224"])
    network = definition.space.reference_network()
    assert definition.step_macs == 7 * count_architecture(network, 1, 3, 224).macs


def test_the_timed_resolution_is_the_data_s_unless_it_is_given():
    assert load_definition("digits", ["data.resolution=16"]).latency_resolution == 16
    definition = load_definition("digits", ["data.resolution=16", "latency.resolution=32"])
    assert definition.latency_resolution == 32
    with pytest.raises(InputError, match="more than the image's 2 pixels"):
        load_definition("digits", ["data.resolution=16", "latency.resolution=2"])


@pytest.mark.parametrize(
    ("score", "axis"),
    [("balanced-accuracy", "validation balanced accuracy (%)"), ("macro-f1", "validation macro-F1 (%)")],
)
def test_the_axes_name_the_score(score, axis):
    definition = load_definition("digits", [f"data.score={score}"])
    assert (definition.axes, definition.is_percent) == ((axis, "latency (ms)"), True)
    assert definition.plot_point((0.25, 2.0)) == (2.0, 75.0)


def test_a_score_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InputError, match=r"data.score 'recall'.*accuracy, balanced-accuracy, likelihood, macro-f1"):
        load_definition("digits", ["data.score=recall"])
    with pytest.raises(InputError, match=r"folds: must be at least 2, and data.validation = 0.2 .* instead, got '1'"):
        load_definition("digits", ["data.folds=1"])


NEWER = {
    "class_weights",
    "head_rate",
    "statistics",
    "schedule",
    "precision",
}  # settings of a recipe that version 0.1 did not have


def test_what_older_versions_did_not_have_is_no_part_of_a_recipe_that_does_without():
    """A hash of the recipe is a part of every archive's keys."""
    plain = load_definition("digits")
    for section in (plain.training, plain.full, plain.full_recipe):
        assert section.context == section.model_dump(mode="json", exclude=NEWER)
    for none in (["training.class_weights=none"], ["full.class_weights=none"]):
        same = load_definition("digits", none)
        assert (same.training.context, same.full_recipe.context) == (plain.training.context, plain.full.context)
    weighted = load_definition("digits", ["training.class_weights=balanced"])
    assert weighted.training.context == plain.training.context | {"class_weights": "balanced"}
    assert weighted.full_recipe.context == plain.full.context | {"class_weights": "balanced"}
    apart = load_definition("digits", ["training.class_weights=balanced", "full.class_weights=none"])
    assert apart.full_recipe.context == plain.full.context


def test_what_makes_runs_comparable_is_the_space_the_limits_the_score_and_the_reference_point():
    definition = load_definition("digits")
    assert set(definition.comparable_settings) == {"space", "constraints", "hypervolume", "score", "objectives"}
    for override in ("training.epochs=99", "latency.threads=2", "summary=other"):
        assert load_definition("digits", [override]).comparable_settings == definition.comparable_settings
    for override in (
        "space.head=99", "constraints.max_params=99", "hypervolume.reference_point=[1.0, 9.0]", "data.score=macro-f1",
    ):  # fmt: skip
        assert load_definition("digits", [override]).comparable_settings != definition.comparable_settings


TABLE = {
    "name": "t",
    "table": {
        "genes": ["a", "b"],
        "objectives": [
            {"column": "err", "direction": "minimize"},
            {"column": "ms", "direction": "minimize"},
        ],
    },
}


def table_of(tmp_path, rows, first=("minimize", 1.0, None), second=("minimize", 1.0, None), **more):
    """A tabular problem with two genes and so many rows `a,b,err,ms`."""
    (tmp_path / "t.csv").write_text("a,b,err,ms\n" + "\n".join(rows) + "\n")
    values = copy.deepcopy(TABLE) | more
    values["table"]["path"] = str(tmp_path / "t.csv")
    for objective, (direction, scale, quantity) in zip(values["table"]["objectives"], (first, second), strict=True):
        objective |= {"direction": direction, "scale": scale, "quantity": quantity}
    return validate_definition(values)


@pytest.mark.parametrize(
    ("first", "second", "axes", "percent", "point"),
    [
        (("minimize", 1.0, None), ("minimize", 1.0, None), ("err", "ms"), False, (0.2, 0.4)),
        (("maximize", 1.0, "accuracy"), ("minimize", 1.0, "params"), ("accuracy (%)", "parameters"), True, (0.2, 60)),
        (("maximize", 1.0, None), ("maximize", 1.0, "macs"), ("err (%)", "1 - MACs"), True, (0.2, 60)),
        (("minimize", 1.0, None), ("minimize", 1.0, "latency_ms"), ("err", "latency (ms)"), False, (0.2, 0.4)),
    ],
)
def test_a_table_is_shown_by_what_its_objectives_are(tmp_path, first, second, axes, percent, point):
    definition = table_of(tmp_path, ["0,0,0.4,0.2"], first, second)
    assert definition.axes == axes
    assert definition.is_percent == percent
    assert definition.plot_point((0.4, 0.2)) == pytest.approx(point)
    assert definition.epochs == 0


@pytest.mark.parametrize(
    ("rows", "first", "second"),
    [
        (["0,0,0,1e-9", "0,1,1,9e99"], "minimize", "minimize"),  # a share may be 0 and 1, a cost anything between
        (["0,0,0,0", "0,1,1,1"], "maximize", "maximize"),
        (["0,0,0.5,1", "0,1,0.5,1"], "minimize", "minimize"),
    ],
)
def test_objectives_at_the_ends_of_their_ranges_are_allowed(tmp_path, rows, first, second):
    definition = table_of(tmp_path, rows, (first, 1.0, None), (second, 1.0, None))
    assert definition.space.networks == 2


@pytest.mark.parametrize(
    ("rows", "first", "second", "message"),
    [
        (["0,0,-0.1,1", "0,1,0.5,1"], "minimize", "minimize", "first objective, err .* spans -0.1 to 0.5"),
        (["0,0,0.1,1", "0,1,1.1,1"], "minimize", "minimize", "first objective, err .* spans 0.1 to 1.1"),
        (["0,0,-0.1,1", "0,1,0.5,1"], "maximize", "minimize", "column err .* is maximised and spans -0.1 to 0.5"),
        (["0,0,0.1,1", "0,1,1.1,1"], "maximize", "minimize", "column err .* is maximised and spans 0.1 to 1.1"),
        (["0,0,0.1,-1", "0,1,0.1,1"], "minimize", "minimize", "second objective, ms .* spans -1 to 1"),
        (["0,0,0.1,0", "0,1,0.1,1"], "minimize", "minimize", "second objective, ms .* spans 0 to 1"),
        (["0,0,0.1,1", "0,1,0.1,1e100"], "minimize", "minimize", r"second objective, ms .* spans 1 to 1e\+100"),
        (["0,0,0.1,0.5", "0,1,0.1,1.5"], "minimize", "maximize", "column ms .* is maximised and spans 0.5 to 1.5"),
    ],
)
def test_objectives_beyond_their_ranges_are_named_with_what_they_span(tmp_path, rows, first, second, message):
    definition = table_of(tmp_path, rows, (first, 1.0, None), (second, 1.0, None))
    with pytest.raises(InputError, match=message):
        _ = definition.space


def test_scales_count_before_ranges_do(tmp_path):
    assert table_of(tmp_path, ["0,0,40,7"], ("maximize", 0.01, None)).space.networks == 1
    assert table_of(tmp_path, ["0,0,40,7"], ("minimize", 0.01, None)).space.networks == 1
    with pytest.raises(InputError, match="must be a share between 0 and 1 and spans 4 to 4"):
        _ = table_of(tmp_path, ["0,0,40,7"], ("minimize", 0.1, None)).space


def test_a_table_s_limits_need_an_objective_of_that_quantity(tmp_path):
    second = ("minimize", 1.0, "latency_ms")
    limited = table_of(tmp_path, ["0,0,0.1,7"], second=second, constraints={"max_latency_ms": 3.0})
    assert limited.constraints.max_latency_ms == 3.0
    with pytest.raises(InputError, match="constraints.max_macs = 3: no objective of the table has that quantity"):
        table_of(tmp_path, ["0,0,0.1,7"], second=second, constraints={"max_macs": 3})


def test_a_table_s_reference_is_read_from_the_run_and_not_from_the_file():
    definition = validate_definition(TABLE)
    assert str(definition.reference({"reference": "01"})) == "01"
    assert str(definition.parse("10")) == "10"
    with pytest.raises(InputError, match="pictures of a table$"):
        definition.trained("pictures of a table")
    with pytest.raises(InputError, match="table.path is missing: get the file of t and add --set table.path=FILE"):
        _ = definition.space
    assert set(definition.comparable_settings) == {"constraints", "hypervolume"}


def test_the_first_kind_that_describes_a_file_reads_it():
    assert isinstance(validate_definition(TABLE), TableDefinition)
    with pytest.raises(InputError, match=r"unknown key 'dates'"):
        validate_definition(TABLE | {"dates": {}})


# --- faults, one by one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["=3"], "cannot read the override '=3': write it as section.key=value"),
        (["training..epochs=3"], "cannot read the override"),
        (["training.epochs.x=3"], "cannot set training.epochs.x: epochs is a value, not a section"),
        (["full.optimizer=adam"], "unknown full.optimizer 'adam': there are adamw, rmsprop, sgd; did you mean adamw"),
        (["data.path=3"], "data.path: input should be a path in quotes, got '3'"),
        (["training.epochs='" + "9" * 100 + "x'"], f"got '{'9' * 80}'$"),
        (["space.layers='" + "9" * 100 + "x'"], f"should be a list, got '{'9' * 80}'$"),
        (["full.optimizer='" + "9" * 100 + "x'"], f"unknown full.optimizer '{'9' * 80}'"),
        (["constraints=3"], "^constraints: input should be a section of keys and values, got '3'$"),
        (["space=3"], "^space: input should be a section of keys and values, got '3'$"),
        (["latency.target=x"], "^latency.target: cannot read the target 'x': write local.*, got 'x'$"),
        (["data.dataset=nothing"], "^data.dataset: unknown dataset 'nothing'.*"),
    ],
)
def test_a_fault_is_told_with_the_place_the_expectation_and_what_came(overrides, message):
    with pytest.raises(InputError, match=message):
        load_definition("digits", overrides)


def test_a_missing_key_is_named_and_so_are_the_faults_beside_it():
    with pytest.raises(InputError) as caught:
        validate_definition({"name": "a", "data": {"dataset": "digits"}, "space": {"ops": ["no"]}})
    assert str(caught.value).split("; ")[:2] == [
        "space: unknown op 'no': allowed are conv, dconv, pass, mbconvN, fmbconvN, extradwN, convnextN, ffnN, uibNaK, "
        "shuffleN, fireN, condenseN (N up to 99, K odd)",
        "data.resolution is missing",
    ]  # fmt: skip
    assert str(caught.value).endswith("training is missing")
    assert str(caught.value).count("missing") == 2


@pytest.mark.parametrize("section", ["data", "training", "latency", "full", "space"])
def test_a_table_and_what_is_trained_exclude_each_other(section):
    with pytest.raises(InputError, match=rf"^\[table\] and \[{section}\] exclude each other: .*; drop \[table\], or "):
        validate_definition(TABLE | {section: {}})
    with pytest.raises(InputError, match=r"^\[table\] and \[data\], \[training\], \[space\] exclude each other"):
        load_definition("digits", ["table.path=x.csv"])


def test_faults_of_objectives_are_told_by_their_number():
    objective = {"column": "ms", "direction": "minimise"}
    with pytest.raises(InputError, match="unknown table.objectives.1.direction 'minimise'.*did you mean minimize"):
        validate_definition(TABLE | {"table": {"objectives": [TABLE["table"]["objectives"][0], objective]}})
    objective = {"colum": "ms", "direction": "minimize"}
    with pytest.raises(InputError, match="unknown key 'table.objectives.1.colum'.*did you mean table.objectives.1.col"):
        validate_definition(TABLE | {"table": {"objectives": [TABLE["table"]["objectives"][0], objective]}})


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("space.layers=[1]", "space: filters, layers and strides need one value per block each"),
        ('space.layers="x"', "space.layers: input should be a list"),
        ("space.stem=0", "space: filters, layers, strides, stem and head must be at least 1"),
        ("space.width=0", "space: width, divisor and filter_multipliers must be positive"),
        ('space.ops=["foo"]', "space: unknown op 'foo': allowed are conv"),
        ("space.filtres=[8,8]", r"unknown key 'space.filtres': there are .*did you mean space.filters\?"),
        ("space=3", "space: input should be a section of keys and values, got '3'"),
        ("data.resolution=0", "data.resolution: input should be greater than or equal to 1"),
        ('data.dataset="boxs"', "data.dataset: unknown dataset 'boxs'"),
        ('latency.runtime="x"', "latency.runtime: unknown runtime 'x'"),
        ('objectives=["error", "foo"]', "objectives: unknown objective 'foo'"),
    ],
)
def test_a_default_in_place_of_what_is_wrong_is_never_blamed(setting, fault):
    """The default space shrinks the digits' 8 pixels to none, which is nobody's fault here."""
    with pytest.raises(InputError, match=f"^{fault}") as caught:
        load_definition("digits", [setting])
    assert "; " not in str(caught.value).replace("; did you mean", "")


def test_faults_of_several_sections_are_told_at_once():
    with pytest.raises(InputError, match="^space: unknown skip 'x'.*; training.epochs: input") as caught:
        load_definition("digits", ['space.skips=["x"]', "training.epochs=0"])
    assert str(caught.value).count("; ") == 1


def test_values_are_not_changed_by_what_is_found_wrong_with_them():
    values = {"name": "a", "data": {"dataset": "nothing", "resolution": 8}, "training": {"epochs": 0}}
    before = copy.deepcopy(values)
    with pytest.raises(InputError, match="unknown dataset.*training.epochs"):
        validate_definition(values)
    assert values == before


@pytest.mark.parametrize("section", ["data", "table"])
def test_a_path_is_relative_to_the_file_for_images_and_tables_alike(section, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "folder"
    folder.mkdir()
    contents = {
        "data": '[data]\ndataset = "npz"\nresolution = 32\npath = "x"\n[training]\nepochs = 1\n',
        "table": '[table]\npath = "x"\ngenes = ["a"]\nobjectives = [{column = "b", direction = "minimize"}, '
        '{column = "c", direction = "minimize"}]\n',
    }
    (folder / "p.toml").write_text('name = "p"\n' + contents[section])
    for overrides, expected in (
        ([], folder / "x"),
        ([f"{section}.path=y"], tmp_path / "y"),
        ([f" {section}.path =~/y"], tmp_path / "home" / "y"),
        ([f"{section}.path='{tmp_path}/z'"], tmp_path / "z"),
    ):
        assert getattr(load_definition(folder / "p.toml", overrides), section).path == expected


def test_a_value_that_is_no_toml_is_text():
    assert load_definition("digits", ["summary=all of it"]).summary == "all of it"
    assert load_definition("digits", ['summary="quoted"']).summary == "quoted"
    assert load_definition("digits", ["summary=a = b"]).summary == "a = b"


@pytest.mark.parametrize(
    "typed", [r"C:\photos", r'"C:\photos"', r"'C:\photos'", r'"C:\\photos"', r'"C:\Users\me"', r"\\server\photos"]
)
def test_a_path_of_windows_may_be_typed_with_quotes_or_without(typed):
    assert parse_value(typed) == typed.strip("\"'").replace(r"C:\\", "C:\\")


def test_a_path_with_an_escape_in_it_says_how_it_is_written():
    with pytest.raises(InputError, match=r"data.path 'C:\\new' holds a control character; .* paths of Windows as"):
        load_definition("images", [r'data.path="C:\new"'])


def test_a_key_that_was_not_in_the_file_makes_its_section():
    assert load_definition("digits", ["full.epochs=7"]).full.epochs == 7


def test_nested_settings_have_flat_names():
    nested = {"a": 1, "b": {"c": 2, "d": {"e": [3]}}, "f": {}}
    assert list(flat(nested)) == [("a", 1), ("b.c", 2), ("b.d.e", [3])]


def test_built_in_problems_are_listed_by_name_with_what_they_are_about():
    problems = builtin_problems()
    assert list(problems) == sorted(problems)
    assert all(problems[name] == load_definition(name).summary != "" for name in problems)


def test_long_nonsense_is_quoted_in_part(tmp_path):
    path = tmp_path / "long.toml"
    path.write_text("x" * 10_000)
    with pytest.raises(InputError) as caught:
        load_definition(path)
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"resolutions": [8, 12]}}, "space.resolutions go up to 12 pixels, and data.resolution is 8"),
        (
            {"space": {"resolutions": [4, 8]}, "latency": {"resolution": 8}},
            "measured at its own: drop latency.resolution",
        ),
        ({"space": {"resolutions": [3, 8]}}, "total stride to 4, more than the image's 3 pixels"),
        (
            {"space": {"resolutions": [4, 8]}, "data": {"resolution": [8, 12]}},
            "space.resolutions has 4, and data.resolution is 8x12: allowed are sizes of the same proportions",
        ),
        (
            {"space": {"resolutions": [[12, 8]]}, "data": {"resolution": [8, 12]}},
            "go up to 12x8 pixels, and data.resolution is 8x12",
        ),
        ({"data": {"resolution": [8, 3]}}, "total stride to 4, more than the image's 3 pixels"),
        ({"data": {"resolution": [8]}}, "data.resolution: must be one number of pixels, or .height, width., got"),
        (
            {"data": {"resolution": [8, 5000]}},
            "data.resolution: input should be less than or equal to 4096, got '5000'",
        ),
        ({"data": {"resolution": [8, "wide"]}}, "data.resolution: input should be a valid integer"),
        ({"data": {"fit": "shrink"}}, "unknown data.fit 'shrink': there are crop, pad, stretch"),
        ({"space": {"traits": {"activation": "swish"}}}, "unknown activation 'swish'"),
    ],
)
def test_a_space_with_resolutions_fits_the_images(changes, message):
    values = {**TINY, **{name: {**TINY.get(name, {}), **section} for name, section in changes.items()}}
    with pytest.raises(InputError, match=message):
        validate_definition(values)


def test_a_square_is_one_number_however_it_is_written():
    square = validate_definition(TINY)
    for written in ([8, 8], (8, 8), 8):
        definition = validate_definition({**TINY, "data": {**TINY["data"], "resolution": written}})
        assert definition == square
        assert definition.model_dump_json() == square.model_dump_json()
    assert square.data.resolution == 8


def test_sides_that_differ_are_height_and_width_and_go_through_json():
    values = {**TINY, "data": {**TINY["data"], "resolution": [8, 12]}, "latency": {"resolution": [16, 8]}}
    definition = validate_definition(values)
    assert (definition.data.resolution, definition.latency_resolution) == ((8, 12), (16, 8))
    written = definition.model_dump(mode="json")
    assert written["data"]["resolution"] == [8, 12]
    assert validate_definition(written) == definition
    assert load_definition("digits", ["data.resolution=[8, 12]"]).latency_resolution == (8, 12)


def test_resolutions_of_a_space_may_be_all_sizes_of_the_images_proportions():
    space = {**TINY["space"], "resolutions": [[4, 6], [6, 9], [8, 12]]}
    definition = validate_definition({**TINY, "space": space, "data": {**TINY["data"], "resolution": [8, 12]}})
    assert definition.space.resolutions == ((4, 6), (6, 9), (8, 12))
    assert definition.space.reference_network().resolution == (8, 12)


def test_a_reference_network_of_its_own_is_called_so():
    base = "stem8_s1-dconv_k3_s2_f8_n1-mbconv3_k5_s2_f8_n2_id-head16"
    definition = validate_definition({**TINY, "space": {**TINY["space"], "base": base, "resolutions": [4, 8]}})
    assert str(definition.reference({})) == f"8px-{base}"
    assert definition.words.reference == "the reference network"
    assert validate_definition(dict(TINY)).words.reference == "MobileNetV2"
