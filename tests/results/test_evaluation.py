"""What an evaluation says: every combination of halves, failures, and what algorithms are told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evomnas.problem.architecture import Architecture
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.evaluation import (
    Cost,
    Cut,
    Failure,
    Measurement,
    NetworkEvaluation,
    RuntimeMismatch,
    Score,
    TabularEvaluation,
    Training,
    TrainingDiverged,
    losses_and_violations,
    mean_training,
)

NETWORK = Architecture.parse("stem8_s1-conv_k3_s1_f8_n1-head16")
ROW = TabularArchitecture("01")
MEASURED = Measurement(Cost(10, 20, 3), 0.5, 0.4, 0.6, 1.25, (1.2, 1.3), 0.25)
TRAINED = Training(0.75, (2.0, 1.0), 3.5)
CUT = Cut((2.0, 1.5), 0.4, 1.5)
FAILED = Failure("diverged", "the loss is NaN")

CASES = [  # measurement, training; status, losses, relative, expected, seconds
    (None, None, "stopped", None, None, None, None),
    (MEASURED, None, "stopped", None, None, None, None),
    (None, TRAINED, "stopped", None, None, None, None),
    (None, CUT, "stopped", None, None, None, None),
    (MEASURED, TRAINED, "ok", (0.25, 0.5), (0.25, 1.25), None, 3.75),
    (MEASURED, CUT, "cut", None, None, (0.4, 0.5), 1.75),
    (MEASURED, FAILED, "failed", None, None, None, None),
    (FAILED, None, "failed", None, None, None, None),
    (FAILED, TRAINED, "failed", None, None, None, None),
    (FAILED, CUT, "failed", None, None, None, None),
    (None, FAILED, "failed", None, None, None, None),
]


@pytest.mark.parametrize(("measurement", "training", "status", "losses", "relative", "expected", "seconds"), CASES)
def test_two_halves_say_together_what_is_known(measurement, training, status, losses, relative, expected, seconds):
    evaluation = NetworkEvaluation(NETWORK, measurement, training)
    assert evaluation.status == status
    assert evaluation.ended == (status in ("ok", "cut", "failed"))
    assert (evaluation.losses, evaluation.relative_losses) == (losses, relative)
    assert (evaluation.expected_losses, evaluation.seconds) == (expected, seconds)
    assert evaluation.failure == (FAILED if FAILED in (measurement, training) else None)


@pytest.mark.parametrize(("measurement", "training"), [case[:2] for case in CASES])
def test_beyond_a_limit_nothing_counts_whatever_is_known(measurement, training):
    """A run must not depend on what others found out about networks that it would not have trained."""
    evaluation = NetworkEvaluation(NETWORK, measurement, training).exceeding(0.01)
    assert (evaluation.status, evaluation.ended, evaluation.violation) == ("infeasible", False, 0.01)
    assert evaluation.losses is evaluation.relative_losses is evaluation.expected_losses is None


def test_quantities_and_the_interval_are_known_as_soon_as_they_are_measured():
    assert NetworkEvaluation(NETWORK).quantities == NetworkEvaluation(NETWORK, FAILED, TRAINED).quantities == {}
    assert NetworkEvaluation(NETWORK).latency_ci is None
    counted = {"latency_ms": 0.5, "params": 10, "macs": 20}
    measured = NetworkEvaluation(NETWORK, MEASURED)
    assert (measured.quantities, measured.latency_ci) == (counted, (0.4, 0.6))
    assert NetworkEvaluation(NETWORK, MEASURED, CUT).quantities == counted
    assert NetworkEvaluation(NETWORK, MEASURED, TRAINED).quantities == counted | {"accuracy": 0.75}


def test_the_failure_of_the_first_half_is_the_one_that_is_told():
    first = Failure("mismatch", "other logits")
    assert NetworkEvaluation(NETWORK, first, FAILED).failure == first


def test_a_table_s_evaluation_is_what_the_row_says():
    row = TabularEvaluation(ROW, (0.1, 5.0), (0.1, 0.5), {"accuracy": 0.9})
    assert (row.status, row.ended) == ("ok", True)
    assert (row.expected_losses, row.latency_ci, row.seconds) == (None, None, None)
    missing = TabularEvaluation(ROW, None, None, {}, Failure("missing", "no row"))
    assert (missing.status, missing.ended) == ("failed", True)
    unknown = TabularEvaluation(ROW, None, None, {})
    assert (unknown.status, unknown.ended) == ("stopped", False)
    beyond = row.exceeding(0.5)
    assert (beyond.status, beyond.ended, beyond.losses, beyond.relative_losses) == ("infeasible", False, None, None)
    assert beyond.quantities == row.quantities


def test_algorithms_are_told_losses_and_violations_and_of_a_cut_training_the_foretold_error():
    evaluations = [
        NetworkEvaluation(NETWORK, MEASURED, TRAINED),
        NetworkEvaluation(NETWORK, MEASURED, CUT),
        NetworkEvaluation(NETWORK, MEASURED, FAILED),
        NetworkEvaluation(NETWORK, MEASURED, TRAINED, violation=0.5),
        NetworkEvaluation(NETWORK, MEASURED, FAILED, violation=0.25),
        NetworkEvaluation(NETWORK),
    ]
    losses, violations = losses_and_violations(evaluations)
    assert losses.tolist() == [[0.25, 0.5], [0.4, 0.5], *[[math.inf, math.inf]] * 4]
    assert violations.tolist() == [0.0, 0.0, math.inf, 0.5, 0.25, 0.0]
    none, nothing = losses_and_violations([])
    assert (none.shape, nothing.shape) == ((0, 2), (0,))
    assert none.dtype == nothing.dtype == np.float64


def test_what_a_cut_saves_is_the_time_of_the_epochs_that_are_left():
    """Two of ten epochs took 1.5 seconds, so eight more would have taken 6."""
    assert CUT.saved(10) == pytest.approx(8 * 0.75)
    assert CUT.saved(2) == 0.0


@pytest.mark.parametrize(("correct", "images"), [(0, 10), (7, 10), (10, 10), (973, 1000)])
def test_a_score_s_interval_is_wilson_s(correct, images):
    """Wilson 1927: the shares p of which the observed one lies within z standard deviations."""
    score, z = Score(correct, images), 1.959963984540054
    share = correct / images
    assert score.accuracy == share
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    assert score.interval == pytest.approx((middle - half, middle + half), abs=1e-9)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (TrainingDiverged("loss is NaN"), "diverged", "loss is NaN"),
        (RuntimeMismatch("off by 3"), "mismatch", "off by 3"),
        (MemoryError(), "out-of-memory", "MemoryError"),
        (RuntimeError("CUDA: Out of Memory\ntried 3 GiB"), "out-of-memory", "CUDA: Out of Memory"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), "out-of-memory", "DefaultCPUAllocator: not enough me"),
        (RuntimeError("can't allocate memory"), "out-of-memory", "can't"),
        (OSError("Cannot allocate memory"), "out-of-memory", "Cannot"),
        (RuntimeError("std::bad_alloc"), "out-of-memory", "std"),
        (TrainingDiverged("out of memory"), "diverged", "out of memory"),  # what the type says comes first
        (ValueError("  wrong  \nsecond line"), "error", "wrong"),
        (ValueError(), "error", "ValueError"),
        (ValueError("   "), "error", "ValueError"),
    ],
)
def test_an_exception_becomes_a_failure_of_one_line_with_its_trace(error, kind, message):
    try:
        raise error
    except Exception as caught:
        failure = Failure.of(caught)
    assert failure.kind == kind
    assert failure.message.startswith(message)
    assert "\n" not in failure.message
    assert failure.trace.startswith("Traceback")
    assert type(error).__name__ in failure.trace
    assert failure.tries == 1


def test_a_measurement_counts_as_precise_unless_it_says_otherwise():
    assert (MEASURED.precise, MEASURED.load) == (True, None)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (MEASURED.cost, "params"),
        (MEASURED, "ratio"),
        (TRAINED, "accuracy"),
        (CUT, "error"),
        (Score(1, 2), "correct"),
        (FAILED, "kind"),
        (NetworkEvaluation(NETWORK), "training"),
        (TabularEvaluation(ROW, None, None, {}), "losses"),
    ],
)
def test_results_are_never_changed(value, field):
    with pytest.raises(AttributeError):
        setattr(value, field, 1)


def test_the_mean_of_trainings_has_half_the_variance_and_the_time_of_both():
    first = Training(0.75, (2.0, 1.0), 3.5, score=0.5, score_error=0.03, loss=0.6)
    second = Training(0.85, (2.5, 1.5), 2.5, score=0.7, score_error=0.04, loss=0.8)
    mean = mean_training(first, second)
    assert (mean.accuracy, mean.score, mean.loss) == pytest.approx((0.8, 0.6, 0.7))
    assert mean.score_error == pytest.approx(0.025)  # of 0.03 and 0.04: the root of their squares' sum, over two
    assert (mean.losses, mean.seconds, mean.trainings) == ((2.0, 1.0), 6.0, 2)
    assert mean.error == pytest.approx(0.4)
    assert mean_training(first) == first


def test_of_what_one_training_does_not_say_there_is_no_mean():
    mean = mean_training(Training(None, (1.0,), 1.0, score=0.5, score_error=0.1), Training(0.5, (1.0,), 1.0))
    assert (mean.accuracy, mean.score, mean.score_error, mean.loss) == (None, None, None, None)
