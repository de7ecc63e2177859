"""The archive: what was added comes back, nothing is overwritten, foreign files are left alone."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.core.errors import InputError
from evomnas.loop.launch import resume, search
from evomnas.problem.architecture import Architecture
from evomnas.problem.loading import load_definition
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.answers.mistakes import Answers
from evomnas.results.archive import Archive, context_key
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.database import connection
from evomnas.results.evaluation import Cost, Cut, Failure, FullTraining, Measurement, Score, TabularEvaluation, Training
from evomnas.results.records import Ask, GenerationRecord, RunRecord, SearchMode, Tell
from evomnas.results.run import Run
from evomnas.results.timing import Calibration

ARCHITECTURE = Architecture.parse("stem8_s1-conv_k3_s1_f8_n1-head16")
OTHER = Architecture.parse("stem8_s1-conv_k5_s1_f8_n1-head16")
MEASUREMENT = Measurement(Cost(10, 20, 3), 0.5, 0.4, 0.6, 1.25, (1.2, 1.3), 0.1)
TRAINING = Training(0.75, (2.0, 1.0), 3.5)


@pytest.fixture
def archive(tmp_path):
    opened = Archive(tmp_path / "archive.sqlite")
    yield opened
    opened.close()


def test_evaluations_come_back_as_they_were_added(archive):
    assert archive.evaluation("p", "d", ARCHITECTURE).status == "stopped"
    archive.add_measurement("d", ARCHITECTURE, MEASUREMENT)
    assert archive.evaluation("p", "d", ARCHITECTURE).losses is None
    archive.add_training("p", ARCHITECTURE, TRAINING)
    evaluation = archive.evaluation("p", "d", ARCHITECTURE)
    assert (evaluation.measurement, evaluation.training) == (MEASUREMENT, TRAINING)
    assert evaluation.losses == (0.25, 0.5)
    assert evaluation.relative_losses == (0.25, 1.25)
    assert archive.evaluation("p", "d", OTHER).measurement is None
    assert archive.evaluation("another recipe", "d", ARCHITECTURE).training is None


def test_a_failure_is_a_record_and_never_a_number(archive):
    failure = Failure("diverged", "loss is NaN", "Traceback ...")
    archive.add_measurement("d", ARCHITECTURE, MEASUREMENT)
    archive.add_training("p", ARCHITECTURE, failure)
    evaluation = archive.evaluation("p", "d", ARCHITECTURE)
    assert (evaluation.status, evaluation.failure, evaluation.losses) == ("failed", failure, None)


def test_what_a_run_cut_off_stays_so_for_it_and_is_nothing_to_others(archive):
    cut = Cut((2.0, 1.5), 0.4, 1.25)
    archive.add_measurement("d", ARCHITECTURE, MEASUREMENT)
    archive.add_cut("r", ARCHITECTURE, cut)
    assert archive.evaluation("p", "d", ARCHITECTURE, run="r").training == cut
    assert archive.evaluation("p", "d", ARCHITECTURE, run="another").status == "stopped"
    assert archive.evaluation("p", "d", ARCHITECTURE).status == "stopped"
    archive.add_training("p", ARCHITECTURE, TRAINING)  # another run trained it in full
    own = archive.evaluation("p", "d", ARCHITECTURE, run="r")
    assert (own.status, own.ended, own.losses, own.expected_losses) == ("cut", True, None, (0.4, 0.5))
    assert own.seconds == MEASUREMENT.seconds + 1.25
    assert archive.evaluation("p", "d", ARCHITECTURE, run="another").training == TRAINING


def test_lookups_come_back_as_they_were_added(archive):
    found = TabularEvaluation(TabularArchitecture("012"), (0.1, 5.0), (0.1, 0.5), {"accuracy": 0.9, "macs": 5.0})
    missing = TabularEvaluation(TabularArchitecture("222"), None, None, {}, Failure("missing", "no row"))
    archive.add_lookups("t", [found, missing])
    assert archive.lookup("t", found.architecture) == found
    assert archive.lookup("t", missing.architecture) == missing
    assert archive.lookup("another table", found.architecture) is None
    assert (found.status, missing.status) == ("ok", "failed")


def test_the_first_result_counts(archive):
    archive.add_training("p", ARCHITECTURE, TRAINING)
    archive.add_training("p", ARCHITECTURE, Training(0.1, (), 0.0))
    assert archive.evaluation("p", "d", ARCHITECTURE).training == TRAINING
    first = archive.add_calibration("d", Calibration(2.0, (2.0,), 0.5))
    assert archive.add_calibration("d", Calibration(9.0, (9.0,), None)) == first == Calibration(2.0, (2.0,), 0.5)


def test_runs_and_asks_come_back_in_order(archive):
    record = RunRecord("r", "nsga2", 1, load_definition("digits"), "p", "d", "now", {"population": 6})
    archive.add_run(record)
    asks = [Ask(1, 0, str(OTHER)), Ask(0, 0, str(ARCHITECTURE)), Ask(2, 1, str(ARCHITECTURE))]
    archive.add_asks("r", asks[:1])
    archive.add_asks("r", asks[1:])
    assert archive.run("r") == record
    assert archive.run("r").rules == 1
    later = replace(record, id="later", mode=SearchMode(early_stop=True), rules=2)
    archive.add_run(later)
    assert archive.run("later") == later
    assert archive.asks("r") == sorted(asks, key=lambda ask: ask.position)
    with pytest.raises(InputError, match="has no run x"):
        archive.run("x")


def test_another_connection_sees_a_result_at_once(archive):
    archive.add_training("p", ARCHITECTURE, TRAINING)
    reader = Archive(archive.path)
    assert reader.evaluation("p", "d", ARCHITECTURE).training == TRAINING
    reader.close()


def test_two_writers_lose_nothing(tmp_path):
    path = tmp_path / "shared.sqlite"
    Archive(path).close()

    def write(name: str) -> None:
        archive = Archive(path)
        for position in range(50):
            archive.add_asks(name, [Ask(position, 0, str(ARCHITECTURE))])
        archive.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    archive = Archive(path)
    assert [len(archive.asks(name)) for name in ("a", "b")] == [50, 50]


def test_a_reader_that_never_lets_go_stops_no_writer_and_other_readers_see_all(tmp_path, tabular_file):
    search(tabular_file, "random", budget=10, out=tmp_path / "run")
    with contextlib.closing(sqlite3.connect(tmp_path / "evomnas.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM asks").fetchone()
        run = resume(tmp_path / "run", budget=40)
        assert reader.execute("SELECT count(*) FROM asks").fetchone() == before == (10,)
        assert len(Run.open(run.folder).results()) == 40


@pytest.mark.thorough
def test_two_runs_in_one_archive_at_the_same_time_are_the_runs_they_are_alone(tmp_path, tabular_file):
    alone = {seed: search(tabular_file, budget=40, seed=seed, out=tmp_path / f"alone{seed}" / "run") for seed in (1, 2)}
    code = "import sys, evomnas; evomnas.search(sys.argv[1], budget=40, seed=int(sys.argv[2]), out=sys.argv[3])"
    commands = {
        seed: [sys.executable, "-c", code, tabular_file, str(seed), tmp_path / "both" / f"s{seed}"] for seed in (1, 2)
    }
    processes = [subprocess.Popen(command) for command in commands.values()]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for seed, run in alone.items():
        beside = Run.open(tmp_path / "both" / f"s{seed}")
        assert beside.asks == run.asks
        assert [r.to_dict() for r in beside.results()] == [r.to_dict() for r in run.results()]


def test_a_torn_archive_is_recognised_and_left_alone(tmp_path, tabular_file):
    run = search(tabular_file, "random", budget=60, out=tmp_path / "run")
    run.archive.close()
    path = tmp_path / "evomnas.sqlite"
    torn = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(torn)
    with pytest.raises(InputError, match="as an archive: database disk image is malformed"):
        Run.open(run.folder)
    assert path.read_bytes() == torn


def test_a_foreign_database_is_recognised_and_left_alone(tmp_path):
    path = tmp_path / "foreign.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(InputError, match="another program's database: name an archive"):
        Archive(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.sqlite"
    path.write_text("my notes, " * 200)
    with pytest.raises(InputError, match="cannot use .* as an archive"):
        Archive(path)
    assert path.read_text() == "my notes, " * 200


def test_an_archive_of_another_version_is_refused(tmp_path):
    path = tmp_path / "future.sqlite"
    Archive(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="has version 99, this evomnas reads up to 8: update evomnas"):
        Archive(path)


@pytest.mark.parametrize("version", [1, 3])
def test_an_older_archive_is_brought_up_to_date_and_loses_nothing(tmp_path, version):
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript((Path(__file__).parent / f"archive-v{version}.sql").read_text())
        connection.execute("UPDATE runs SET definition = ?", (load_definition("digits").model_dump_json(),))
    for _ in range(2):  # and opening it again finds it as it is
        archive = Archive(path)
        architecture = Architecture.parse("stem8_s1-conv_k3_s1_f8_n1-head8")
        found = archive.evaluation("proxy", "device", architecture)
        assert found.measurement == Measurement(
            Cost(100, 1000, 10), 0.5, 0.49, 0.51, 2.0, (2.0, 2.0), 0.1, precise=True, load=None
        )
        assert found.training == Training(0.9, (1.0, 0.5), 3.0)
        assert archive.calibration("device") == Calibration(0.25, (0.25, 0.26), None)
        assert [ask.architecture for ask in archive.asks("r")] == [str(architecture)]
        assert (archive.run("r").options, archive.run("r").mode) == ({}, SearchMode())
        assert archive.evaluation("proxy", "device", architecture, run="r") == found
        archive.add_cut("another", architecture, Cut((1.0,), 0.5, 1.0))
        assert archive.evaluation("proxy", "device", architecture, run="another").status == "cut"
        archive.add_layer("device", "layer", 0.5)
        assert archive.layer("device", "layer") == 0.5
        archive.add_full_training("full", architecture, FullTraining(Score(9, 10), (1.0,), 2.0))
        archive.add_alias("problem", "full")
        assert archive.full_trainings("full") == {str(architecture): FullTraining(Score(9, 10), (1.0,), 2.0)}
        assert archive.alias_contexts("problem") == ["full"]
        assert archive.evaluation("proxy", "device", architecture, score="macro-f1").training is None
        assert (archive.answers("full", architecture), archive.picture("images", 0)) == (None, None)
        archive.close()


def test_a_missing_archive_is_not_made_where_one_is_expected(tmp_path):
    with pytest.raises(InputError, match="there is no archive"):
        Archive(tmp_path / "none.sqlite", create=False)
    assert not (tmp_path / "none.sqlite").exists()


def test_an_empty_file_is_not_filled_where_an_archive_is_expected(tmp_path):
    path = tmp_path / "empty.sqlite"
    path.touch()
    with pytest.raises(InputError, match="is empty"):
        Archive(path, create=False)
    assert path.stat().st_size == 0


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_context_keys_ignore_the_order_of_keys(content):
    assert context_key(content) == context_key(dict(reversed(content.items())))
    assert context_key(content) != context_key(content | {"another key": 1})


def test_contexts_come_back_and_have_keys_of_24_digits(archive):
    content = {"b": [1, 2], "a": {"c": None}}
    key = archive.add_context(content)
    assert re.fullmatch("[0-9a-f]{24}", key)
    assert (key, archive.context(key)) == (context_key(content), content)
    assert archive.context("unknown") == {}
    changes = archive.changes
    assert archive.add_context(dict(reversed(content.items()))) == key
    assert archive.changes == changes


def test_answers_come_back_and_the_first_ones_count(archive):
    answers = Answers.of(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.5, 0.75, 0.5]), 2)
    others = Answers.of(np.array([0, 1]), np.array([1, 0]), np.array([0.5, 0.5]), 2)
    archive.add_training("p", ARCHITECTURE, replace(TRAINING, answers=answers))
    archive.add_training("p", ARCHITECTURE, replace(TRAINING, answers=others))
    archive.add_full_training("f", ARCHITECTURE, FullTraining(Score(2, 3), (1.0,), 2.0, others))
    assert archive.answers("p", ARCHITECTURE) == answers
    assert archive.answers("f", ARCHITECTURE) == others
    assert archive.answers("p", OTHER) is None


@pytest.mark.parametrize("score", ["balanced-accuracy", "macro-f1"])
def test_another_score_follows_from_the_answers_and_is_unknown_without_them(archive, score):
    archive.add_measurement("d", ARCHITECTURE, MEASUREMENT)
    archive.add_training("p", ARCHITECTURE, TRAINING)  # as an older version stored it
    assert archive.evaluation("p", "d", ARCHITECTURE).losses == (0.25, 0.5)
    assert archive.evaluation("p", "d", ARCHITECTURE, score=score).status == "stopped"
    answers = Answers.of(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), np.full(4, 0.5), 2)
    archive.add_training("p", ARCHITECTURE, Training(0.5, (3.0,), 9.0, answers=answers))
    evaluation = archive.evaluation("p", "d", ARCHITECTURE, score=score)
    assert evaluation.losses == (1 - answers.confusion.score(score), 0.5)
    assert (evaluation.quantities["accuracy"], evaluation.score) == (0.75, answers.confusion.score(score))
    assert evaluation.score_error == answers.confusion.score_error(score)
    assert archive.evaluation("p", "d", ARCHITECTURE).training == TRAINING  # the first training still counts


def test_the_likelihood_follows_from_the_loss_and_is_unknown_without_it(archive):
    archive.add_measurement("d", ARCHITECTURE, MEASUREMENT)
    labels, confidences, losses = np.array([0, 1]), np.array([0.5, 0.8]), -np.log([0.5, 0.2])
    without = Answers.of(labels, np.array([0, 0]), confidences, 2)
    archive.add_training("p", ARCHITECTURE, replace(TRAINING, answers=without))  # as an older version stored it
    assert archive.evaluation("p", "d", ARCHITECTURE, score="likelihood").status == "stopped"
    assert archive.evaluation("p", "d", ARCHITECTURE).trained.loss is None
    changes = archive.changes
    archive.add_training("p", ARCHITECTURE, replace(TRAINING, answers=without))
    assert archive.changes == changes
    answers = Answers.of(labels, np.array([0, 0]), confidences, 2, losses=losses)
    archive.add_training("p", ARCHITECTURE, replace(TRAINING, answers=answers))
    evaluation = archive.evaluation("p", "d", ARCHITECTURE, score="likelihood")
    assert evaluation.score == pytest.approx(np.sqrt(0.5 * 0.2))
    assert evaluation.losses == (1 - evaluation.score, 0.5)
    assert evaluation.trained.loss == pytest.approx(losses.mean())
    assert evaluation.score_error == pytest.approx(evaluation.score * losses.std(ddof=1) / np.sqrt(2))
    assert evaluation.quantities["accuracy"] == 0.75
    archive.add_training("p", ARCHITECTURE, replace(TRAINING, answers=replace(answers, loss=9.0)))
    assert archive.evaluation("p", "d", ARCHITECTURE, score="likelihood") == evaluation  # the first one counts


def test_class_names_and_pictures_belong_to_images(archive):
    archive.add_class_names("images", ["a", "\udcff", "c"])
    changes = archive.changes
    archive.add_class_names("images", ["x"])
    assert archive.changes == changes
    assert (archive.class_names("images"), archive.class_names("others")) == (["a", "\udcff", "c"], [])
    archive.add_pictures("images", {3: b"three", 5: b"five"})
    archive.add_pictures("images", {3: b"another"})
    assert [archive.picture(*key) for key in (("images", 3), ("images", 5), ("images", 4), ("others", 3))] == [
        b"three", b"five", None, None,
    ]  # fmt: skip


def test_what_is_not_there_is_none(archive):
    assert archive.calibration("d") is None
    assert archive.layer("d", "stem") is None
    assert archive.measurement("d", ARCHITECTURE) is None
    assert archive.full_training("f", ARCHITECTURE) is None
    assert archive.full_trainings("f") == {}
    assert archive.alias_contexts("a") == archive.asks("r") == archive.tells("r") == archive.generations("r") == []


def test_layers_are_kept_by_device_and_layer_and_the_first_one_counts(archive):
    for device, layer, ratio in (("d", "stem", 0.5), ("d", "head", 0.25), ("e", "stem", 0.125), ("d", "stem", 9.0)):
        archive.add_layer(device, layer, ratio)
    assert [archive.layer(*key) for key in (("d", "stem"), ("d", "head"), ("e", "stem"))] == [0.5, 0.25, 0.125]


def test_calibrations_are_kept_by_device(archive):
    archive.add_calibration("d", Calibration(2.0, (2.0, 2.5), 0.5))
    other = archive.add_calibration("e", Calibration(3.0, (3.0,), None))
    assert other == archive.calibration("e") == Calibration(3.0, (3.0,), None)
    assert archive.calibration("d") == Calibration(2.0, (2.0, 2.5), 0.5)


def test_the_last_context_of_an_alias_is_the_one_that_was_added_last(archive):
    for key in ("x", "y", "x", "z"):
        archive.add_alias("a", key)
    archive.add_alias("b", "y")
    assert archive.alias_contexts("a") == ["y", "x", "z"]
    changes = archive.changes
    archive.add_alias("a", "z")
    assert archive.changes == changes
    archive.add_alias("a", "y")
    assert archive.alias_contexts("a") == ["x", "z", "y"]


LITTLE, MORE = CandidateLimits(seconds=10.0), CandidateLimits(seconds=20.0)


@pytest.mark.parametrize("kind", ["time-out", "out-of-memory", "killed", "error", "connection"])
def test_a_failure_that_more_time_or_memory_might_mend_is_one_by_these_limits_alone(archive, kind):
    failure = Failure(kind, "no", tries=3)
    archive.add_measurement("d", ARCHITECTURE, failure, LITTLE)
    archive.add_training("p", ARCHITECTURE, failure, LITTLE)
    by_little = archive.evaluation("p", "d", ARCHITECTURE, LITTLE)
    assert (by_little.measurement, by_little.training) == (failure, failure)
    for limits in (MORE, CandidateLimits()):
        other = archive.evaluation("p", "d", ARCHITECTURE, limits)
        assert (other.measurement, other.training) == (None, None)
    archive.add_measurement("d", ARCHITECTURE, MEASUREMENT, MORE)
    archive.add_training("p", ARCHITECTURE, TRAINING, MORE)
    assert archive.evaluation("p", "d", ARCHITECTURE, MORE).losses == (0.25, 0.5)
    assert archive.evaluation("p", "d", ARCHITECTURE, LITTLE) == by_little  # that is what its runs were told
    assert archive.measurement("d", ARCHITECTURE) == MEASUREMENT


@pytest.mark.parametrize("kind", ["diverged", "mismatch"])
def test_a_failure_that_lies_in_the_network_is_one_for_all(archive, kind):
    failure = Failure(kind, "no")
    archive.add_measurement("d", ARCHITECTURE, failure, LITTLE)
    archive.add_training("p", ARCHITECTURE, failure, LITTLE)
    evaluation = archive.evaluation("p", "d", ARCHITECTURE, MORE)
    assert (evaluation.measurement, evaluation.training) == (failure, failure)
    assert archive.measurement("d", ARCHITECTURE) == failure


def test_a_measurement_that_was_not_precise_says_so(archive):
    rough = replace(MEASUREMENT, precise=False, load=0.75)
    archive.add_measurement("d", ARCHITECTURE, rough)
    assert archive.measurement("d", ARCHITECTURE) == rough
    assert archive.measurement("e", ARCHITECTURE) is None


def test_full_trainings_come_back_by_network_in_the_order_in_which_they_ended(archive):
    good, failure = FullTraining(Score(9, 10), (2.0, 1.0), 5.0), Failure("diverged", "NaN")
    archive.add_full_training("f", OTHER, failure)
    time.sleep(0.002)  # they are dated by the millisecond
    archive.add_full_training("f", ARCHITECTURE, good)
    archive.add_full_training("f", ARCHITECTURE, FullTraining(Score(1, 10), (), 0.0))
    archive.add_full_training("g", ARCHITECTURE, failure)
    assert archive.full_training("f", ARCHITECTURE) == good
    assert archive.full_training("f", OTHER) == failure
    assert list(archive.full_trainings("f").items()) == [(str(OTHER), failure), (str(ARCHITECTURE), good)]


def test_what_an_algorithm_was_told_comes_back_in_order(archive):
    tells = [Tell(1, 5, 3), Tell(0, 4, 2), Tell(2, 5, 0)]
    for tell in tells:
        archive.add_tell("r", tell)
    archive.add_tell("s", Tell(0, 1, 0))
    assert archive.tells("r") == [tells[1], tells[0], tells[2]]


def test_a_generation_that_was_told_in_part_is_replaced_when_it_is_told_again(archive):
    part, whole = GenerationRecord(1, 5.0, {"reward": 0.5}), GenerationRecord(1, 7.0, {"reward": 0.75, "entropy": 1.0})
    archive.add_generations("r", [part, GenerationRecord(0, 2.0, {})])
    archive.add_generations("r", [whole])
    archive.add_generations("s", [part])
    archive.add_generations("r", [])
    assert archive.generations("r") == [GenerationRecord(0, 2.0, {}), whole]
    assert archive.generations("s") == [part]


def test_asks_belong_to_their_run_and_the_first_at_a_position_counts(archive):
    archive.add_asks("r", [Ask(0, 0, "a")])
    archive.add_asks("r", [Ask(0, 1, "b"), Ask(1, 1, "c")])
    archive.add_asks("s", [Ask(0, 0, "d")])
    archive.add_asks("s", [])
    assert archive.asks("r") == [Ask(0, 0, "a"), Ask(1, 1, "c")]
    assert archive.asks("s") == [Ask(0, 0, "d")]


def test_rows_of_one_call_are_added_together_or_not_at_all(archive):
    with pytest.raises(sqlite3.Error):
        archive.add_asks("r", [Ask(0, 0, "a"), Ask(1, 0, {"no": "text"})])
    assert archive.asks("r") == []
    archive.add_asks("r", [Ask(0, 0, "b")])
    assert archive.asks("r") == [Ask(0, 0, "b")]


def test_rows_that_were_there_are_no_changes(archive):
    before = archive.changes
    archive.add_training("p", ARCHITECTURE, TRAINING)
    assert archive.changes == before + 1
    archive.add_training("p", ARCHITECTURE, TRAINING)
    archive.evaluation("p", "d", ARCHITECTURE)
    assert archive.changes == before + 1


def test_an_archive_can_be_used_from_another_thread(archive):
    thread = threading.Thread(target=archive.add_training, args=("p", ARCHITECTURE, TRAINING))
    thread.start()
    thread.join()
    assert archive.evaluation("p", "d", ARCHITECTURE).training == TRAINING


def test_archives_in_memory_are_their_own():
    one, other = Archive(), Archive(":memory:")
    one.add_training("p", ARCHITECTURE, TRAINING)
    assert other.evaluation("p", "d", ARCHITECTURE).training is None


def test_a_late_archive_is_in_memory_until_it_is_established(tmp_path):
    path = tmp_path / "new" / "folder" / "archive.sqlite"
    late = Archive(path, late=True)
    assert late.path == path
    key = late.add_context({"data": "x"})
    late.add_training("p", ARCHITECTURE, TRAINING)
    late.add_calibration("d", Calibration(1.0, (1.0, 1.1), 0.0))
    assert not path.parent.parent.exists()
    late.establish()
    late.add_measurement("d", ARCHITECTURE, MEASUREMENT)
    late.establish()  # a second time is none
    with contextlib.closing(Archive(path, create=False)) as other:
        assert other.context(key) == {"data": "x"}
        assert other.evaluation("p", "d", ARCHITECTURE).training == TRAINING
        assert other.evaluation("p", "d", ARCHITECTURE).measurement == MEASUREMENT
        assert other.calibration("d").samples_ms == (1.0, 1.1)
    late.close()


def test_a_late_archive_that_another_run_created_meanwhile_is_shared(tmp_path):
    path = tmp_path / "archive.sqlite"
    late = Archive(path, late=True)
    late.add_training("p", ARCHITECTURE, TRAINING)
    late.add_training("p", OTHER, TRAINING)
    with contextlib.closing(Archive(path)) as first:
        first.add_training("p", ARCHITECTURE, replace(TRAINING, accuracy=0.5))
    late.establish()
    assert late.evaluation("p", "d", ARCHITECTURE).training.accuracy == 0.5
    assert late.evaluation("p", "d", OTHER).training == TRAINING
    late.close()


def test_a_late_archive_that_is_there_is_opened_at_once(archive, tmp_path):
    archive.add_training("p", ARCHITECTURE, TRAINING)
    with contextlib.closing(Archive(archive.path, late=True)) as again:
        assert again.evaluation("p", "d", ARCHITECTURE).training == TRAINING
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(InputError, match="name another file"):
        Archive(tmp_path / "text", late=True)


def test_a_late_archive_in_a_folder_that_cannot_be_written_to_is_refused_at_once():
    with pytest.raises(InputError, match="^cannot write /proc/new/archive.sqlite: .*--archive FILE"):
        Archive(Path("/proc/new/archive.sqlite"), late=True)


def test_an_archive_on_a_read_only_disk_is_read_and_not_written(tmp_path, monkeypatch):
    """Where nobody can write beside it, and no journal lies there that might hold more."""
    path = tmp_path / "archive.sqlite"
    first = Archive(path)
    first.add_training("p", ARCHITECTURE, TRAINING)
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    while_open = Archive(path)  # with a journal: it is not left out
    assert while_open.evaluation("p", "d", ARCHITECTURE).training == TRAINING
    while_open.close()
    first.close()
    assert not path.with_name("archive.sqlite-wal").exists()
    frozen = Archive(path, create=False)
    assert frozen.evaluation("p", "d", ARCHITECTURE).training == TRAINING
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        frozen.add_training("p", OTHER, TRAINING)
    frozen.close()
    monkeypatch.undo()
    writable = Archive(path)
    writable.add_training("p", OTHER, TRAINING)
    writable.close()


@pytest.mark.parametrize("version", [0, 9, 99])
def test_versions_that_never_were_are_refused(tmp_path, version):
    path = tmp_path / "archive.sqlite"
    Archive(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(InputError, match=f"has version {version}, this evomnas reads up to 8"):
        Archive(path)


def test_a_damaged_archive_is_brought_back_or_another_one_is_named(tmp_path):
    path = tmp_path / "notes.sqlite"
    path.write_text("my notes, " * 200)
    with pytest.raises(InputError, match="file is not a database; name another file with --archive"):
        Archive(path)
    with pytest.raises(InputError, match="file is not a database; bring back a copy of it"):
        Archive(path, create=False)


@pytest.mark.parametrize(("free", "is_full"), [(131_071, True), (131_072, False)])
def test_a_full_disk_is_named_as_such(tmp_path, monkeypatch, free, is_full):
    """SQLite says that it cannot open a file where 128 KiB are missing beside it."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=free))
    path = tmp_path / "notes.sqlite"
    path.write_text("my notes, " * 200)
    with pytest.raises(OSError if is_full else InputError) as caught:
        Archive(path)
    assert getattr(caught.value, "errno", None) == (errno.ENOSPC if is_full else None)


def test_new_archives_have_the_layout_of_those_that_were_brought_up_to_date(tmp_path):
    """Tables and their columns, whatever the order in which they were added."""

    def layout(path: Path) -> dict[str, set[tuple[object, ...]]]:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: {row[1:] for row in connection.execute(f"PRAGMA table_info({name})")} for name in tables}

    Archive(tmp_path / "new.sqlite").close()
    for version in (1, 3):
        path = tmp_path / f"{version}.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript((Path(__file__).parent / f"archive-v{version}.sql").read_text())
        Archive(path).close()
        assert layout(path) == layout(tmp_path / "new.sqlite")


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (PureWindowsPath(r"C:\my runs\evomnas.sqlite"), "file:///C:/my%20runs/evomnas.sqlite"),
        (PureWindowsPath(r"\\server\share\evomnas.sqlite"), "file:////server/share/evomnas.sqlite"),
        (PurePosixPath("/runs/evomnas.sqlite"), "file:///runs/evomnas.sqlite"),
    ],
)
def test_sqlite_gets_the_address_of_a_network_drive_without_a_host_which_it_refuses(path, address):
    assert connection._uri(path) == address
