"""A run's folder: what is written, what is read again, and which of its networks are on the front."""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import replace

import pytest

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.loading import load_definition, validate_definition
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Cost, Cut, Failure, Measurement, NetworkEvaluation, TabularEvaluation, Training
from evomnas.results.manifest import CutTrainings, Reused, TrueFront, check_free
from evomnas.results.records import Ask, RunRecord, SearchMode
from evomnas.results.run import Result, Run, rank
from evomnas.results.showing.flat_rows import COLUMNS, to_csv
from evomnas.results.timing import Calibration

NETWORKS = [Architecture.parse(f"stem8_s1-conv_k3_s1_f{8 * number}_n1-head16") for number in range(1, 8)]
DATA = {"train": 80, "validation": 20, "classes": 10, "channels": 1}


def measured(latency: float) -> Measurement:
    """In milliseconds; the reference network takes 2."""
    return Measurement(Cost(10, 20, 3), latency, 0.9 * latency, 1.1 * latency, latency / 2, (latency / 2,), 0.5)


@pytest.fixture
def definition(tiny_values):
    return validate_definition(tiny_values | {"hypervolume": {"reference_point": [1.0, 4.0]}})


@pytest.fixture
def run(definition, tmp_path):
    """Seven networks were asked for, one of them twice, two generations; nothing is known of the last one."""
    archive = Archive(tmp_path / "evomnas.sqlite")
    trainings = archive.add_context({"data": "1234"})
    record = RunRecord("r", "nsga2", 3, definition, trainings, "d", "now", {"population": 6})
    made = Run.create(tmp_path / "a run", archive, record, budget=9, data=DATA)
    archive.add_calibration("d", Calibration(2.0, (2.0, 2.1), 0.5))
    numbers = [0, 1, 2, 1, 3, 4, 5, 6]
    archive.add_asks("r", [Ask(place, place // 4, str(NETWORKS[number])) for place, number in enumerate(numbers)])
    results = [  # accuracy and latency: the third is dominated by the second, the fifth equals the first
        (3.0, Training(0.9, (1.0,), 2.0)),
        (1.0, Training(0.6, (1.0,), 2.0)),
        (1.5, Training(0.5, (1.0,), 2.0)),
        (2.0, Cut((2.0,), 0.7, 1.5)),
        (3.0, Training(0.9, (1.0,), 2.0)),
        (0.1, Failure("diverged", "NaN")),
    ]
    for network, (latency, training) in zip(NETWORKS, results, strict=False):
        archive.add_measurement("d", network, measured(latency))
        if isinstance(training, Cut):
            archive.add_cut("r", network, training)
        else:
            archive.add_training(trainings, network, training)
    yield made
    archive.close()


def test_results_are_those_of_distinct_networks_in_the_order_of_their_first_asks(run):
    results = run.results()
    assert [result.evaluation.architecture for result in results] == NETWORKS
    assert [result.order for result in results] == [0, 1, 2, 4, 5, 6, 7]
    assert [result.generation for result in results] == [0, 0, 0, 1, 1, 1, 1]
    assert [result.evaluation.status for result in results] == ["ok"] * 3 + ["cut", "ok", "failed", "stopped"]
    assert [result.on_front for result in results] == [True, True, False, False, True, False, False]


def test_the_front_is_listed_fastest_first_and_equals_stay_in_the_order_of_asks(run):
    front = run.front()
    assert [result.evaluation.architecture for result in front] == [NETWORKS[1], NETWORKS[0], NETWORKS[4]]
    assert run.front(run.results()[:1])[0].order == 0
    assert run.front([]) == []


def test_the_hypervolume_counts_errors_and_latencies_relative_to_the_reference_network(run):
    """In the box of error 1 and four times the reference: stairs from 0.5 and from 1.5, 0.6 and 0.9 high."""
    assert run.hypervolume(run.results()) == pytest.approx((0.6 * (1.5 - 0.5) + 0.9 * (4 - 1.5)) / 4)
    assert run.hypervolume([]) == 0.0
    assert run.reference_cost() == 2.0


def test_trainings_that_were_cut_off_save_what_was_left_of_them(run, definition):
    assert definition.training.epochs == 1
    run.definition = definition.model_copy(update={"training": definition.training.model_copy(update={"epochs": 4})})
    cuts = run.cut_trainings(run.results())
    assert (cuts.networks, cuts.saved_seconds) == (1, pytest.approx(3 * 1.5))
    assert run.cut_trainings(run.results()[:3]).networks == 0


def test_saved_seconds_are_rounded_to_milliseconds(run):
    evaluation = NetworkEvaluation(NETWORKS[0], measured(1.0), Cut((1.0, 1.0, 1.0), 0.5, 1.0))
    run.definition = run.definition.model_copy(
        update={"training": run.definition.training.model_copy(update={"epochs": 5})}
    )
    assert run.cut_trainings([Result(0, 0, evaluation, False)]).saved_seconds == 0.667  # 1 / 3 * 2


def test_an_archive_is_named_as_seen_from_the_run_with_slashes_or_in_full_from_another_drive(run, monkeypatch):
    assert run.manifest.archive == "../evomnas.sqlite"

    def refuse(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")  # as Windows says

    monkeypatch.setattr("os.path.relpath", refuse)
    path = run.archive.path
    other = Run.create(run.folder.with_name("other"), run.archive, replace(run.record, id="o"), budget=1, data=DATA)
    assert other.manifest.archive == str(path)
    assert Run.open(other.folder).archive.path == path


def test_a_run_is_opened_as_it_was_made(run, tmp_path, definition):
    run.write(6, run.front())
    again = Run.open(tmp_path / "a run")
    assert again.record == run.record
    assert again.manifest == run.manifest
    assert (again.manifest.evaluations, again.manifest.budget, again.manifest.status) == (6, 9, "running")
    assert again.manifest.hypervolume == run.hypervolume(run.results())
    assert again.results() == run.results()
    assert (again.options, again.mode, again.definition) == ({"population": 6}, SearchMode(), definition)
    assert again.search_images_fingerprint == "1234"
    assert again.shape == again.network_shape == {"classes": 10, "channels": 1, "resolution": 8}
    assert again.reference_id == definition.space.mobilenet_v2().id


def test_run_json_says_what_was_asked_for_and_begins_at_nothing(run, tmp_path, definition):
    content = json.loads((tmp_path / "a run" / "run.json").read_text())
    assert content["problem"] == "tiny"
    assert (content["algorithm"], content["seed"], content["budget"]) == ("nsga2", 3, 9)
    assert (content["evaluations"], content["hypervolume"], content["status"]) == (0, 0.0, "running")
    assert content["seconds"] == {"total": 0, "training": 0, "latency": 0, "algorithm": 0, "other": 0}
    assert content["archive"] == "../evomnas.sqlite"
    assert content["options"] == {"population": 6}
    assert content["candidates"] == {"seconds": None, "memory_gib": None}
    assert content["manner"] == {"asynchronous": False, "early_stop": False}
    assert content["definition"] == definition.model_dump(mode="json")
    assert "true_front" not in content


def test_front_csv_holds_the_front_with_the_numbers_of_its_rows(run, tmp_path):
    run.write(6, run.front())
    rows = list(csv.DictReader((tmp_path / "a run" / "front.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == [NETWORKS[number].id for number in (1, 0, 4)]
    first = rows[0]
    assert (float(first["accuracy"]), float(first["latency_ms"])) == (0.6, 1.0)
    assert [float(first[name]) for name in ("loss_1", "loss_2")] == pytest.approx([0.4, 1.0])
    assert [float(first[name]) for name in ("latency_low_ms", "latency_high_ms")] == pytest.approx([0.9, 1.1])
    assert (first["params"], first["macs"], first["on_front"], first["order"]) == ("10", "20", "True", "1")


def test_a_row_says_what_is_known_and_nothing_else(run):
    ok, *_, failed, stopped = (result.to_dict() for result in run.results())
    more = [
        "test_accuracy",
        "test_interval",
        "score",
        "score_error",
        "validation_loss",
        "peak_kb",
        "test_score",
        "test_score_interval",
        "file_kb",
    ]
    more += ["expected_score", "front_chance", "trainings"]
    assert list(ok) == [*COLUMNS, *more]
    assert (ok["test_accuracy"], ok["test_interval"]) == (None, None)
    assert ok["losses"] == pytest.approx([0.1, 3.0])
    assert (ok["accuracy"], ok["latency_ms"], ok["on_front"]) == (0.9, 3.0, True)
    assert (failed["status"], failed["losses"], failed["accuracy"], failed["latency_ms"]) == ("failed", None, None, 0.1)
    assert [stopped[name] for name in ("losses", "latency_ci", "params", "macs")] == [None] * 4


def test_a_point_of_a_plot_has_the_latency_s_interval_or_none_of_its_own(run, definition):
    ok, *_, stopped = run.results()
    assert ok.point(definition) == {
        "x": 3.0, "y": pytest.approx(90.0), "interval": pytest.approx([2.7, 3.3]), "on_front": True,
    }  # fmt: skip
    with pytest.raises(ValueError, match="has no losses"):
        stopped.point(definition)
    row = Result(0, 0, TabularEvaluation(TabularArchitecture("0"), (0.1, 5.0), (0.1, 0.5), {}), False)
    table = load_definition("nas-bench-macro")
    assert row.point(table)["interval"] == [5.0, 5.0]


def test_networks_are_typed_by_their_ids_where_the_run_has_them(run):
    assert run.network_argument(NETWORKS[3]) == NETWORKS[3].id
    other = Architecture.parse("stem8_s1-conv_k5_s1_f8_n1-head16")
    assert shlex.split(run.network_argument(other)) == [str(other)]
    assert shlex.split(run.argument) == [str(run.folder)]
    assert run.argument != str(run.folder)  # there is a space in it


def test_images_that_moved_are_read_where_they_are_now(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run.read_data_from(tmp_path.__class__("~/photos"))
    assert run.definition.data.path == tmp_path / "photos"
    assert run.record.definition.data.path is None
    assert run.trained_problem() is run.definition


def test_the_share_of_the_true_front_is_known_of_complete_tables(run):
    assert run.true_share() is None
    run.manifest.hypervolume, run.manifest.true_front = 0.3, TrueFront(hypervolume=0.4, losses=[(0.1, 1.0)])
    assert run.true_share() == pytest.approx(0.75)
    run.manifest.true_front = TrueFront(hypervolume=0.0, losses=[])
    assert run.true_share() is None


def test_a_table_s_run_has_no_images_and_no_networks_to_build(tmp_path, tabular_file):
    definition = load_definition(tabular_file)
    archive = Archive(tmp_path / "evomnas.sqlite")
    table = archive.add_context({"reference": 3.5})
    record = RunRecord("t", "random", 1, definition, table, table, "now")
    run = Run.create(
        tmp_path / "run", archive, record, 5, {"rows": 243, "reference": "00012"}, TrueFront(hypervolume=0.4, losses=[])
    )
    again = Run.open(tmp_path / "run")
    assert again.shape is None
    assert again.reference_cost() == 3.5
    assert again.reference_id == TabularArchitecture("00012").id
    assert again.manifest.true_front == TrueFront(hypervolume=0.4, losses=[])
    run.read_data_from(tmp_path / "t.csv")
    assert run.definition.table.path == tmp_path / "t.csv"
    assert run.definition == definition.with_data(tmp_path / "t.csv") != definition
    for refused in (run.trained_problem, lambda: run.network_shape):
        with pytest.raises(InputError, match="searched a table: its networks cannot be built or measured"):
            refused()


# --- folders ---------------------------------------------------------------------------------------------


def test_a_folder_is_free_where_nothing_but_unfinished_files_lies_in_it(tmp_path):
    check_free(tmp_path / "new" / "folder")
    check_free(tmp_path)
    (tmp_path / ".run.json.123.part").write_text("half")
    check_free(tmp_path)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InputError, match="exists and is not an empty folder: choose another with --out DIR"):
        check_free(tmp_path)
    with pytest.raises(InputError, match="is a file|exists and is not an empty folder"):
        check_free(tmp_path / "notes")


def test_a_run_may_begin_in_a_folder_that_is_there_and_empty_or_deep_in_none(run, tmp_path):
    for name in ("empty", "deep/down/here"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        Run.create(tmp_path / name, run.archive, replace(run.record, id=name), 1, DATA)
        assert Run.open(tmp_path / name).record.id == name


def test_nothing_was_reused_or_cut_off_unless_it_is_said():
    for counted in (Reused(), CutTrainings()):
        assert set(counted.model_dump().values()) == {0}


def test_a_folder_with_a_run_says_how_to_go_on_with_it(run):
    with pytest.raises(InputError, match=r"holds a run already: go on with it \(evomnas resume '.*a run'\)"):
        check_free(run.folder)
    with pytest.raises(InputError, match="holds a run already"):
        Run.create(run.folder, run.archive, run.record, 1, DATA)


def test_a_folder_without_a_run_is_not_opened(tmp_path, run):
    with pytest.raises(InputError, match=r"holds no run \(no run.json\)"):
        Run.open(tmp_path)
    path = run.folder / "run.json"
    text = path.read_text()
    for wrong, message in (
        ("{", "cannot read .*JSONDecodeError"),
        ("[" * 100_000, "cannot read .*RecursionError"),
        ("\udcff", "cannot read .*UnicodeDecodeError"),
        (text.replace('"budget": 9', '"budget": 0'), "cannot read .*: budget: Input should be greater than or equal"),
        (text.replace('"total": 0.0', '"total": -1.0'), "cannot read .*: seconds.total: Input should be greater"),
        (text.replace('"total": 0.0', '"total": Infinity'), "cannot read .*: seconds.total: Input should be less"),
        (text.replace('"problem"', '"question"'), "cannot read .*: problem: Field required"),
        (text.replace('"classes"', '"kinds"'), "cannot read .*: data.classes: Field required"),
        (text.replace('"run": "r"', '"run": "s"'), "a run came without its archive, which has its evaluations"),
    ):
        path.write_bytes(wrong.encode("utf-8", "surrogateescape"))
        with pytest.raises(InputError, match=message):
            Run.open(run.folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="cannot read .*[Dd]irectory"):
        Run.open(run.folder)


def test_what_older_versions_did_not_write_is_as_they_did_it(run):
    path = run.folder / "run.json"
    content = json.loads(path.read_text())
    del (
        content["seconds"]["algorithm"],
        content["options"],
        content["candidates"],
        content["manner"],
        content["created"],
    )
    path.write_text(json.dumps(content | {"a later version's key": 1}))
    manifest = Run.open(run.folder).manifest
    assert manifest.seconds.algorithm == 0.0
    assert (manifest.options, manifest.candidates, manifest.manner, manifest.created) == ({}, {}, {}, "")
    assert manifest.to_json()["a later version's key"] == 1
    for name in ("true_front", "explanations", "reused", "goals", "cut"):
        assert name not in manifest.to_json()


def test_a_manifest_checks_what_is_assigned(run):
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        run.manifest.budget = 0
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        run.manifest.seconds.training = -1.0
    run.manifest.budget = 1
    run.manifest.seconds.training = 0.0


def test_a_cell_has_one_number():
    one = dict.fromkeys(COLUMNS, None) | {"id": "a", "losses": [0.5, 2.0], "latency_ci": [1.5, 2.5], "order": 3}
    text = to_csv([one | {"test_interval": [0.25, 0.75]}, dict.fromkeys(COLUMNS, None)])
    header, *_ = text.splitlines()
    assert header == (
        "id,architecture,status,loss_1,loss_2,accuracy,latency_ms,latency_low_ms,latency_high_ms,params,macs,on_front,order,"
        "test_accuracy,test_low,test_high,score,score_error,validation_loss,test_score,test_score_low,test_score_high"
    )
    known, unknown = csv.DictReader(text.splitlines())
    given = {
        "id": "a",
        "loss_1": "0.5",
        "loss_2": "2.0",
        "latency_low_ms": "1.5",
        "latency_high_ms": "2.5",
        "order": "3",
    }
    assert {key: cell for key, cell in known.items() if cell} == given | {"test_low": "0.25", "test_high": "0.75"}
    assert not any(unknown.values())
    assert to_csv([]) == header + "\n"


def test_without_any_losses_nothing_is_on_the_front():
    asks = [Ask(place, 0, str(network)) for place, network in enumerate(NETWORKS[:2])]
    results = rank([(ask, NetworkEvaluation(network)) for ask, network in zip(asks, NETWORKS, strict=False)])
    assert [result.on_front for result in results] == [False, False]
    assert rank([]) == []


def test_records_and_results_are_values(run):
    for value, name in ((run.record, "seed"), (run.results()[0], "on_front"), (SearchMode(), "early_stop")):
        with pytest.raises(AttributeError):
            setattr(value, name, 1)


# --- what a candidate may take ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("seconds", 1e-3), ("seconds", 3.6e7), ("memory_gib", 1.5), ("memory_gib", 2**20 - 1)]
)
def test_limits_of_candidates_survive_json(name, value):
    limits = CandidateLimits(**{name: value})
    assert CandidateLimits.from_json(limits.to_json()) == limits
    assert hash(limits) == hash(CandidateLimits(**{name: value}))
    assert CandidateLimits.from_json("{}") == CandidateLimits() == CandidateLimits(None, None)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seconds", 0.0, "time must be positive and at most 10000h"),
        ("seconds", 3.7e7, "time must be positive and at most 10000h"),
        ("memory_gib", 1.49, "memory must be at least 1.5 GiB.* and below 1,048,576 GiB, got 1.49"),
        ("memory_gib", 2.0**20, "memory must be at least 1.5 GiB"),
    ],
)  # fmt: skip
def test_limits_of_candidates_that_mean_nothing_are_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        CandidateLimits(**{name: value})


@pytest.mark.parametrize(
    "damage", [{"validation": "x"}, {"classes": None}, {"channels": 0}, {"train": -1}, {"classes": 1e300}]
)
def test_damaged_sizes_of_the_data_are_named(damage, run):
    path = run.folder / "run.json"
    content = json.loads(path.read_text())
    content["data"] |= damage
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"cannot read .*run.json: data.{next(iter(damage))}: "):
        Run.open(run.folder)


def test_an_id_that_no_archive_can_have_is_named(run):
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"run": "\ud800"}))
    with pytest.raises(InputError, match=r"cannot read .*run.json"):
        Run.open(run.folder)


def test_a_folder_may_be_named_by_a_text(run):
    assert Run.open(str(run.folder)).record == run.record


def test_a_record_of_version_0_1_keeps_the_rules_by_which_its_images_were_read():
    """Its definition names none; a later one names its own, and problem files get the newest."""
    definition = load_definition("images", ["data.path=photos"])
    record = RunRecord("r", "nsga2", 3, definition, "t", "d", "now")
    assert RunRecord.from_row(record.to_row()) == record
    assert definition.data.rules == 2
    values = json.loads(record.to_row()["definition"])
    del values["data"]["rules"], values["data"]["duplicates"]
    old = RunRecord.from_row(record.to_row() | {"definition": json.dumps(values)})
    assert old.definition.data.rules == 1
    assert old.definition.model_copy(update={"data": definition.data}) == definition
