"""Confusion matrices: scores against scikit-learn, errors against a simulation, storage."""

from __future__ import annotations

import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from evomnas.results.answers.confusion import Confusion, share_error

ORACLES = {
    "accuracy": metrics.accuracy_score,
    "balanced-accuracy": metrics.balanced_accuracy_score,
    "macro-f1": lambda labels, answers: metrics.f1_score(labels, answers, average="macro", zero_division=0),
}


@st.composite
def answered(draw):
    """Labels, answers and a number of classes, of which some may have no image and be no answer."""
    classes = draw(st.integers(2, 12))
    pairs = draw(st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=80))
    labels, answers = np.array(pairs).T
    return labels, answers, classes


@given(answered())
def test_scores_and_counts_are_those_of_scikit_learn(case):
    labels, answers, classes = case
    confusion = Confusion.of(labels, answers, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is an answer and has no image
        for name, oracle in ORACLES.items():
            assert confusion.score(name) == pytest.approx(oracle(labels, answers), abs=1e-12)
            assert 0 <= confusion.score(name) <= 1
            assert confusion.score_error(name) > 0
        recall = metrics.recall_score(labels, answers, labels=range(classes), average=None, zero_division=np.nan)
    np.testing.assert_allclose(confusion.recall, recall)
    np.testing.assert_array_equal(confusion.dense(), metrics.confusion_matrix(labels, answers, labels=range(classes)))
    assert confusion.total == len(labels)
    counts = np.bincount(labels, minlength=classes)
    assert confusion.majority == (counts.argmax(), counts.max() / len(labels))


@given(answered(), answered())
def test_a_matrix_comes_back_from_its_bytes_and_adds_up(first, second):
    classes = max(first[2], second[2])
    parts = [Confusion.of(labels, answers, classes) for labels, answers, _ in (first, second)]
    both = Confusion.of(*(np.concatenate([first[place], second[place]]) for place in (0, 1)), classes)
    assert parts[0] + parts[1] == both
    assert Confusion.from_bytes(classes, both.to_bytes()) == both
    assert both != parts[0]


@given(answered())
def test_the_most_frequent_mistakes_come_first(case):
    labels, answers, classes = case
    confusion = Confusion.of(labels, answers, classes)
    pairs = confusion.confused(1000)
    matrix = confusion.dense()
    assert [matrix[label, answer] for label, answer, _ in pairs] == [count for _, _, count in pairs]
    assert sum(count for _, _, count in pairs) == (labels != answers).sum()
    counts = [count for _, _, count in pairs]
    assert counts == sorted(counts, reverse=True)
    assert confusion.confused(1) == pairs[:1]


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("sizes", [(290, 10), (40, 40, 40), (500, 100, 20, 4)])
def test_standard_errors_are_those_of_simulated_images(name, sizes):
    """More images of each class are drawn, with the shares that a network was seen to have."""
    rng, classes = np.random.default_rng(5), len(sizes)
    shares = np.full((classes, classes), 0.3 / (classes - 1))
    np.fill_diagonal(shares, 0.7)
    labels = np.repeat(np.arange(classes), sizes)
    scores, errors = [], []
    for _ in range(400):
        answers = np.concatenate([rng.choice(classes, size, p=row) for size, row in zip(sizes, shares, strict=True)])
        confusion = Confusion.of(labels, answers, classes)
        scores.append(confusion.score(name))
        errors.append(confusion.score_error(name))
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.2)


def test_an_error_is_not_zero_where_all_of_a_few_images_were_right():
    assert share_error(3, 3) == pytest.approx((0.8 * 0.2 / 3) ** 0.5)
    assert share_error(900, 1000) == pytest.approx((0.9 * 0.1 / 1000) ** 0.5, rel=0.02)
    always = Confusion.of(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1]), 2)
    assert always.score("balanced-accuracy") == 1
    assert always.score_error("balanced-accuracy") > always.score_error("accuracy") > 0.1


def test_one_answer_for_all_images_has_the_majority_s_share():
    labels = np.repeat([0, 1], [97, 3])
    confusion = Confusion.of(labels, np.zeros(100, dtype=np.int64), 2)
    assert [confusion.score(name) for name in ORACLES] == [0.97, 0.5, pytest.approx(0.97 / 1.97)]
    assert confusion.majority == (0, 0.97)
    assert confusion.recall.tolist() == [1.0, 0.0]


def packed(*rows: list[int]) -> bytes:
    return zlib.compress(np.array(rows, dtype="<i8").tobytes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no matrix", "is damaged"),
        (zlib.compress(b"12345678"), "another size"),
        (zlib.compress(b""), "another size"),
        (zlib.compress(bytes(16))[:-4], "another size"),
        (packed([0, 4], [1, 1]), "cells that it cannot have"),
        (packed([0, 0], [1, 1]), "cells that it cannot have"),
        (packed([-1, 2], [1, 1]), "cells that it cannot have"),
        (packed([1, 2], [1, -1]), "cells that it cannot have"),
        (packed([1, 2], [1, 0]), "cells that it cannot have"),
        (packed([2**62, 2**62, 2**62, 2**62], [1, 1, 1, 1]), "cells that it cannot have"),
    ],
)
def test_bytes_that_are_no_matrix_are_refused(content, message):
    assert Confusion.from_bytes(2, packed([0, 3], [1, 1])) == Confusion.of(np.array([0, 1]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match=message):
        Confusion.from_bytes(2, content)


def test_bytes_that_grow_beyond_measure_are_refused(monkeypatch):
    monkeypatch.setattr("evomnas.results.answers.confusion.MAX_BYTES", 1600)
    with pytest.raises(ValueError, match="another size"):
        Confusion.from_bytes(1000, packed([1] * 101, [1] * 101))


def test_a_thousand_classes_take_little_room(rng):
    """As in the docstring of `evomnas.results.answers.mistakes`: a tenth of what all answers would take."""
    labels = np.arange(50_000) % 1000
    answers = np.where(rng.random(50_000) < 0.7, labels, (labels + rng.zipf(1.5, 50_000)) % 1000)
    confusion = Confusion.of(labels, answers, 1000)
    assert len(confusion.to_bytes()) < 20_000
    assert Confusion.from_bytes(1000, confusion.to_bytes()) == confusion
