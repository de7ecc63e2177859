"""The archive: what was added comes back, nothing is overwritten, foreign files are left alone."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.core.errors import InputError
from evomnas.loop.launch import resume, search
from evomnas.problem.architecture import Architecture
from evomnas.problem.loading import load_definition
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.archive import Archive, context_key
from evomnas.results.evaluation import Cost, Cut, Failure, FullTraining, Measurement, Score, TabularEvaluation, Training
from evomnas.results.records import Ask, RunRecord, SearchMode
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


def test_two_runs_in_one_archive_at_the_same_time_are_the_runs_they_are_alone(tmp_path, tabular_file):
    alone = {seed: search(tabular_file, budget=80, seed=seed, out=tmp_path / f"alone{seed}" / "run") for seed in (1, 2)}
    code = "import sys, evomnas; evomnas.search(sys.argv[1], budget=80, seed=int(sys.argv[2]), out=sys.argv[3])"
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
    with pytest.raises(InputError, match="another program's database: name another file with --archive"):
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
    with pytest.raises(InputError, match="has version 99, this evomnas reads up to 5: update evomnas"):
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
        assert archive.aliased("problem") == ["full"]
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
