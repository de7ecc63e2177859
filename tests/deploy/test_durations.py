"""What trainings will take: by hand, from a search whose times are made up, and corrected as epochs pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.deploy import durations
from evomnas.deploy.durations import FORWARD_SHARE, Plan, StepTimes, TrainingForecast
from evomnas.evaluation.factory import open_evaluator
from evomnas.loop.launch import begin
from evomnas.problem.counting import count_architecture
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cost, Cut, FullTraining, Measurement, Score, Training
from evomnas.results.full_trainings import FullyTrained
from evomnas.results.records import Ask

LAYER_S, MAC_S = 0.002, 3e-8  # of the made-up machine


class Clock:
    """A clock that goes when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_expected_time_is_the_sum_of_what_is_known():
    assert Plan({"a": 10.0, "b": 0.0, "c": 5.0}).seconds == 15
    assert Plan({"a": 10.0, "b": None}).seconds is None
    assert Plan({}).seconds == 0


def test_the_rest_is_corrected_by_what_the_epochs_took():
    """Twice as long as expected: so the other network will take as well. The first epoch is no measure for others."""
    clock = Clock()
    plan = Plan({"a": 10.0, "b": 20.0}, clock)
    clock.now += 60
    assert plan.remaining("a", 1, 5) == pytest.approx(4 * 2 + 20)
    for epoch in (2, 3, 4, 5):
        clock.now += 4
        assert plan.remaining("a", epoch, 5) == pytest.approx((5 - epoch) * 4 + 40)
    clock.now += 60
    assert plan.remaining("b", 1, 4) == pytest.approx(3 * 10)
    clock.now += 5  # as long as it was expected to take
    assert plan.remaining("b", 2, 4) == pytest.approx(10)


def test_work_of_one_step_is_compared_as_a_whole():
    clock = Clock()
    plan = Plan({"writing": 10.0, "measuring": 4.0, "running": 6.0}, clock)
    clock.now += 20
    assert plan.remaining("writing", 1, 1) == pytest.approx(20)
    clock.now += 8
    assert plan.remaining("measuring", 1, 1) == pytest.approx(12)


def test_a_continued_training_has_fewer_epochs_left():
    clock = Clock()
    plan = Plan({"a": 8.0}, clock)  # of the epochs 57 to 60
    assert plan.remaining("a", 57, 60) == pytest.approx(6)
    clock.now += 3
    assert plan.remaining("a", 58, 60) == pytest.approx(6)


def test_a_network_of_which_nothing_is_known_counts_as_the_one_that_is_trained():
    clock = Clock()
    plan = Plan({"a": None, "b": None, "done": 0.0}, clock)
    clock.now += 3
    assert plan.remaining("a", 1, 4) == pytest.approx(9 + 12)
    clock.now += 2
    assert plan.remaining("a", 2, 4) == pytest.approx(4 + 8)


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=5), st.floats(0.1, 10), st.integers(1, 9))
def test_at_the_end_nothing_is_left_and_a_constant_factor_is_found_with_the_second_epoch(expected, factor, epochs):
    clock = Clock()
    plan = Plan({str(number): seconds for number, seconds in enumerate(expected)}, clock)
    spent, total = 0.0, factor * sum(expected)
    for number, seconds in enumerate(expected):
        for epoch in range(1, epochs + 1):
            clock.now += factor * seconds / epochs
            spent += factor * seconds / epochs
            left = plan.remaining(str(number), epoch, epochs)
            if number or epoch > 1 or epochs == 1:
                assert left == pytest.approx(total - spent, rel=1e-6, abs=1e-6 * total)
    assert left == pytest.approx(0, abs=1e-6 * total)


def test_the_times_of_a_layer_and_of_a_mac_are_found():
    rng = np.random.default_rng(2)
    sizes = [(int(rng.integers(5, 25)), float(rng.integers(10**6, 10**8))) for _ in range(12)]
    times = StepTimes.fit((layers, macs, LAYER_S * layers + MAC_S * macs) for layers, macs in sizes)
    assert (times.per_layer, times.per_mac) == (pytest.approx(LAYER_S), pytest.approx(MAC_S))
    one = StepTimes.fit([(10, 1e6, 0.5)])
    assert one.seconds(10, 1e6) == pytest.approx(0.5)


@pytest.fixture
def run(tiny, tmp_path):
    """A run whose trainings took what they would take on the made-up machine; two of 12 epochs were cut after 3."""
    definition = tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": 12})})
    with open_evaluator(definition, Archive(tmp_path / "evomnas.sqlite")) as evaluator:
        archive, proxy, device = evaluator.archive, evaluator.training_context, evaluator.measurement_context
        run = begin(evaluator, tmp_path / "run", "nsga2", 1, 12, {})
    rng = np.random.default_rng(4)
    networks = list(dict.fromkeys(definition.space.decode(one) for one in definition.space.sample(40, rng)))[:12]
    steps = int(run.manifest.data["train"]) // 50
    for number, network in enumerate(networks):
        epochs = 3 if number in (3, 5) else 12
        seconds = epochs * steps * step_seconds(network, 50)
        measurement = Measurement(Cost(1, 1, 0), 0.1, 0.09, 0.11, 1.0, (1.0,), 0.5, True, 0.0)
        archive.add_measurement(device, network, measurement)
        if epochs == 12:
            archive.add_training(proxy, network, Training(0.5, (1.0,) * 12, seconds))
        else:
            archive.add_cut(run.record.id, network, Cut((1.0,) * 3, 0.5, seconds))
    archive.add_asks(run.record.id, [Ask(number, 0, str(one)) for number, one in enumerate(networks)])
    return run


def step_seconds(network, batch: int) -> float:
    """What a step takes on the made-up machine."""
    layers = sum(block.layers for block in network.blocks) + 2
    return LAYER_S * layers + MAC_S * batch * count_architecture(network, 10, 1, 8).macs


def test_a_full_training_is_foreseen_with_its_own_steps_and_batch(run):
    forecast = TrainingForecast(run, 1438, "cpu")
    recipe = run.definition.full  # batches of 128
    networks = [result.evaluation.architecture for result in run.results()]
    for network in networks:
        assert forecast.epoch_seconds(network, recipe) == pytest.approx(11 * step_seconds(network, 128))
    small = recipe.model_copy(update={"batch": 32})
    assert forecast.epoch_seconds(networks[0], small) == pytest.approx(44 * step_seconds(networks[0], 32))
    teacher = networks[1]
    expected = 11 * (step_seconds(networks[0], 128) + FORWARD_SHARE * step_seconds(teacher, 128))
    assert forecast.epoch_seconds(networks[0], recipe, teacher) == pytest.approx(expected)


def test_the_trainings_of_a_cross_validation_are_told_apart(run):
    network = next(result.evaluation.architecture for result in run.results() if result.evaluation.status == "ok")
    one = TrainingForecast(run, 1438, "cpu").epoch_seconds(network, run.definition.full)
    run.manifest.data = run.manifest.data | {"folds": 5}
    fifth = TrainingForecast(run, 1438, "cpu")
    assert fifth._steps[network] == pytest.approx(step_seconds(network, 50) / 5)
    assert fifth.epoch_seconds(network, run.definition.full) < one


def test_a_network_that_the_search_did_not_train_is_foreseen_by_its_size(run):
    known = {result.evaluation.architecture for result in run.results()}
    space = run.definition.space
    other = next(one for one in map(space.decode, space.sample(60, np.random.default_rng(9))) if one not in known)
    seconds = TrainingForecast(run, 1438, "cpu").epoch_seconds(other, run.definition.full)
    assert seconds == pytest.approx(11 * step_seconds(other, 128))


def test_nothing_is_foreseen_on_another_device(run):
    network = run.results()[0].evaluation.architecture
    assert TrainingForecast(run, 1438, "cuda").epoch_seconds(network, run.definition.full) is None


def test_full_trainings_before_correct_the_forecast(run, monkeypatch):
    """They took 2, 3 and 7 times as long as on the made-up machine: so will the others take 3 times as long."""
    recipe, networks = run.definition.full, [result.evaluation.architecture for result in run.results()]
    trained = [
        FullyTrained(
            one.id,
            str(one),
            FullTraining(Score(90, 100), (1.0,) * 4, 4 * 11 * factor * step_seconds(one, 128)),
            None,
            "",
        )
        for one, factor in zip(networks, (2, 3, 7), strict=False)
    ]
    monkeypatch.setattr(durations, "fully_trained", lambda run: trained)
    forecast = TrainingForecast(run, 1438, "cpu")
    for network in networks:
        assert forecast.epoch_seconds(network, recipe) == pytest.approx(3 * 11 * step_seconds(network, 128))
