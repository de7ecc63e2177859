"""The answers of a network: its worst mistakes, and parts that are joined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import confusion_matrix

from evomnas.results.answers.mistakes import MAX_MISTAKES, Answers, Mistake

LABELS = np.array([0, 0, 1, 1, 2, 2])
GIVEN = np.array([0, 1, 1, 2, 0, 2])
CONFIDENCES = np.array([0.9, 0.5, 0.8, 0.7, 0.7, 1.0])


def test_the_mistakes_that_a_network_was_surest_of_come_first():
    answers = Answers.of(LABELS, GIVEN, CONFIDENCES, 3)
    assert answers.mistakes == (Mistake(3, 1, 2, 0.7), Mistake(4, 2, 0, 0.7), Mistake(1, 0, 1, 0.5))
    np.testing.assert_array_equal(answers.confusion.dense(), confusion_matrix(LABELS, GIVEN))


def test_no_more_mistakes_are_kept_than_a_page_shows(rng):
    labels, confidences = np.zeros(100, dtype=np.int64), rng.random(100)
    answers = Answers.of(labels, labels + 1, confidences, 2)
    assert [one.image for one in answers.mistakes] == np.argsort(-confidences)[:MAX_MISTAKES].tolist()


def test_parts_are_joined_to_the_answers_to_all_images():
    whole = Answers.of(LABELS, GIVEN, CONFIDENCES, 3)
    parts = [np.array([0, 3, 4]), np.array([1, 2, 5])]
    joined = Answers.joined([Answers.of(LABELS[part], GIVEN[part], CONFIDENCES[part], 3, part) for part in parts])
    assert joined == whole


def test_the_loss_is_the_mean_over_images_also_of_joined_parts():
    losses = np.array([0.1, 0.9, 0.2, 1.5, 2.0, 0.0])
    whole = Answers.of(LABELS, GIVEN, CONFIDENCES, 3, losses=losses)
    assert whole.loss == losses.mean()
    assert whole.loss_error == pytest.approx(stats.sem(losses))
    parts = [np.array([0, 3]), np.array([1, 2, 4, 5])]
    joined = Answers.joined(
        [Answers.of(LABELS[part], GIVEN[part], CONFIDENCES[part], 3, part, losses[part]) for part in parts]
    )
    assert joined.loss == pytest.approx(whole.loss)
    errors = np.array([stats.sem(losses[part]) for part in parts])
    assert joined.loss_error == pytest.approx(np.sqrt((errors**2 * [4, 16]).sum()) / 6)
    without = Answers.of(LABELS, GIVEN, CONFIDENCES, 3)
    assert (without.loss, without.loss_error) == (None, None)
    assert Answers.joined([whole, without]).loss is None
    assert Answers.of(LABELS[:1], GIVEN[:1], CONFIDENCES[:1], 3, losses=losses[:1]).loss_error == 0


def test_a_negative_loss_is_no_loss():
    row = Answers.of(LABELS, GIVEN, CONFIDENCES, 3, losses=np.ones(6)).to_row()
    with pytest.raises(ValueError, match="a loss is negative"):
        Answers.from_row(row | {"loss": -0.1})


@pytest.mark.parametrize("losses", [None, np.linspace(0, 1, 6)])
def test_answers_come_back_from_their_row(losses):
    answers = Answers.of(LABELS, GIVEN, CONFIDENCES, 3, losses=losses)
    assert Answers.from_row(answers.to_row()) == answers
    right = Answers.of(LABELS, LABELS, CONFIDENCES, 3)
    assert Answers.from_row(right.to_row()) == right
    assert right.mistakes == ()
