"""The answers of a network: its worst mistakes, and parts that are joined."""

from __future__ import annotations

import numpy as np
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


def test_answers_come_back_from_their_row():
    answers = Answers.of(LABELS, GIVEN, CONFIDENCES, 3)
    assert Answers.from_row(answers.to_row()) == answers
    right = Answers.of(LABELS, LABELS, CONFIDENCES, 3)
    assert Answers.from_row(right.to_row()) == right
    assert right.mistakes == ()
