"""Which training of a network is meant: by what was typed, or because there is no other."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.core.errors import InputError
from evomnas.deploy.folders.training_folders import _trainings, find_training, network_folder
from evomnas.deploy.saving import MODEL_MANIFEST
from evomnas.problem.loading import change_full_training
from evomnas.results.run import Run

ONE, TWO = "full.epochs=1", 'full.augment=["random-resized-crop", "flip"]'


@pytest.fixture
def network(finished_run):
    return finished_run.front()[0].evaluation.architecture


@pytest.fixture
def run(finished_run, tmp_path):
    """The finished run, as if it had no trained networks."""
    return Run(tmp_path, finished_run.archive, finished_run.record, finished_run.manifest)


def finish(run, network, *settings, distilled=False):
    """Make the folder of a training that has ended."""
    folder = network_folder(run, network, distilled, change_full_training(run.definition, settings).full_recipe)
    folder.mkdir(parents=True)
    (folder / MODEL_MANIFEST).write_text("{}")
    return folder


def find(run, network, *settings, distilled=False):
    return find_training(run, network, MODEL_MANIFEST, settings, distilled)


def test_the_only_training_is_found_whatever_its_settings(run, network):
    folder = finish(run, network, ONE, TWO)
    found = find(run, network)
    assert (found.folder, found.settings, found.distilled) == (folder, (ONE, TWO), False)
    assert find(run, network, TWO, ONE).folder == folder
    line = f"This is the training with --set {ONE} --set '{TWO}', the only one of the network."
    assert found.describe_choice((), False) == line
    assert found.describe_choice((ONE, TWO), False) == ""


def test_the_problem_s_own_training_goes_first(run, network):
    folder = finish(run, network)
    finish(run, network, ONE)
    found = find(run, network)
    assert (found.folder, found.settings, found.describe_choice((), False)) == (folder, (), "")
    assert find(run, network, ONE).settings == (ONE,)


def test_several_trainings_are_named(run, network):
    finish(run, network, ONE)
    finish(run, network, "full.epochs=2", distilled=True)
    finish(run, network, distilled=True)
    with pytest.raises(InputError) as caught:
        find(run, network)
    assert str(caught.value) == (
        f"{network.id} was trained in 3 ways: give --teacher or --teacher --set full.epochs=2 or --set {ONE}"
    )
    assert find(run, network, distilled=True).settings == ()


def test_the_only_one_with_a_teacher_is_found_with_and_without_its_option(run, network):
    folder = finish(run, network, ONE, distilled=True)
    for distilled in (True, False):
        assert find(run, network, distilled=distilled) == (folder, (ONE,), True)


def test_a_training_that_there_is_not_says_how_to_make_it_and_what_there_is(run, network):
    again = re.escape(f"{network.id} is not trained yet: evomnas train {run.argument} {network.id}")
    with pytest.raises(InputError, match=f"^{again}$"):
        find(run, network)
    finish(run, network, ONE)
    with pytest.raises(InputError, match=f"^{again} --set full.epochs=9; it was trained with --set {ONE}$"):
        find(run, network, "full.epochs=9")
    with pytest.raises(InputError, match=f"^{again} --teacher; it was trained with --set {ONE}$"):
        find(run, network, distilled=True)


def test_folders_that_somebody_named_or_that_are_not_complete_are_no_trainings(run, network):
    for name in (f"{network.id}-best", f"{network.id}-epochs-many", f"{network.id}-epochs-1-old"):
        (run.folder / "networks" / name).mkdir(parents=True)
        (run.folder / "networks" / name / MODEL_MANIFEST).write_text("{}")
    (run.folder / "networks" / f"{network.id}-epochs-3").mkdir()
    with pytest.raises(InputError, match="is not trained yet"):
        find(run, network)


@given(
    st.integers(1, 500), st.sampled_from([1e-5, 0.004, 0.5, 12.0]), st.sampled_from(["sgd", "adamw", "rmsprop"]),
    st.lists(st.sampled_from(["shift", "flip", "crop", "random-resized-crop"]), unique=True), st.booleans(),
)  # fmt: skip
def test_every_name_is_read_as_what_it_was_made_of(finished_run, tmp_path_factory, epochs, rate, kind, changes, taught):
    run = Run(tmp_path_factory.mktemp("run"), finished_run.archive, finished_run.record, finished_run.manifest)
    network = run.front()[0].evaluation.architecture
    typed = [f"full.epochs={epochs}", f"full.learning_rate={rate}", f"full.optimizer={kind}", f"full.augment={changes}"]
    folder = finish(run, network, *typed, distilled=taught)
    [read] = _trainings(run, network, MODEL_MANIFEST)
    assert (read.folder, read.distilled) == (folder, taught)
    wanted, got = (change_full_training(run.definition, words).full_recipe for words in (typed, read.settings))
    assert got == wanted
