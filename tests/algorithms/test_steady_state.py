"""What all algorithms promise that breed while networks are still being evaluated."""

from __future__ import annotations

import numpy as np
import pytest
from playing import SPACE, losses_of, make

from evomnas.algorithms.base import SteadyState
from evomnas.core import registry
from evomnas.loop.asking import is_steady
from evomnas.problem.search_space import SearchSpace

ABLE = [name for name in sorted(registry.available("algorithms")) if is_steady(name)]


@pytest.fixture(params=ABLE)
def name(request):
    return request.param


class Game:
    """Some networks at a time are evaluated, and end in an order that `rng` decides; every event is kept."""

    def __init__(self, searcher: SteadyState, rng: np.random.Generator, room: int = 5) -> None:
        self.searcher, self.rng, self.room = searcher, rng, room
        self.asked: list[np.ndarray] = []
        self.queue: list[np.ndarray] = []
        self.running: list[int] = []
        self.events: list[int] = []  # -1 for an ask, else the number of what was told

    def play(self, networks: int) -> Game:
        while True:
            while len(self.running) < self.room and len(self.asked) < networks and self.ask():
                pass
            if not self.running:
                return self
            self.tell(self.running[int(self.rng.integers(len(self.running)))])

    def ask(self) -> bool:
        if not self.queue:
            self.queue.extend(self.searcher.ask_more())
        if not self.queue:
            return False
        self.events.append(-1)
        self.running.append(len(self.asked))
        self.asked.append(self.queue.pop(0))
        return True

    def tell(self, number: int) -> None:
        self.events.append(number)
        self.running.remove(number)
        genomes = self.asked[number][None]
        self.searcher.tell_some(genomes, losses_of(genomes), np.zeros(1))


def test_no_network_is_asked_for_twice_whatever_is_still_under_way(name):
    game = Game(make(name, SPACE, 1), np.random.default_rng(2)).play(60)
    assert len(game.asked) == 60
    assert len({SPACE.decode(genome) for genome in game.asked}) == 60


def test_the_events_decide_what_is_asked(name):
    game = Game(make(name, SPACE, 4), np.random.default_rng(1)).play(50)
    again = Game(make(name, SPACE, 4), np.random.default_rng(99))
    for event in game.events:
        assert again.ask() if event < 0 else again.tell(event) is None
    assert np.array_equal(game.asked, again.asked)
    other = Game(make(name, SPACE, 4), np.random.default_rng(5)).play(50)
    assert not np.array_equal(game.asked, other.asked) or name == "random"


def test_asking_in_vain_changes_nothing(name):
    patient, eager = (Game(make(name, SPACE, 6), np.random.default_rng(1), room=3) for _ in range(2))
    original = eager.searcher.ask_more

    def insistent() -> np.ndarray:
        genomes = original()
        return genomes if len(genomes) else original()

    eager.searcher.ask_more = insistent
    assert np.array_equal(patient.play(50).asked, eager.play(50).asked)


def test_a_small_space_is_searched_through_and_then_there_is_nothing_more(name):
    tiny = SearchSpace(filters=(8,), layers=(1,), strides=(1,), stem=8, head=16)
    searcher = make(name, tiny, 1)
    seen = set()
    while len(genomes := searcher.ask_more()):
        seen.update(map(tiny.decode, genomes))
        searcher.tell_some(
            genomes, np.column_stack([genomes.sum(axis=1), np.ones(len(genomes))]), np.zeros(len(genomes))
        )
    assert len(seen) == tiny.networks or (
        name in ("nsga2", "nsga3") and len(seen) > tiny.networks / 2
    )  # whose parents are alike
    assert len(searcher.ask_more()) == 0


def test_a_wrong_tell_is_refused_and_changes_nothing(name):
    searcher, twin = make(name, SPACE, 4), make(name, SPACE, 4)
    genomes, _ = searcher.ask_more(), twin.ask_more()
    other = np.zeros((1, len(SPACE.gene_sizes)), dtype=np.int64) + SPACE.gene_sizes - 1
    with pytest.raises(ValueError, match="asked for and not told yet"):
        searcher.tell_some(other, np.ones((1, 2)), np.zeros(1))
    with pytest.raises(ValueError, match="not told yet"):
        searcher.tell_some(genomes[[0, 0]], np.ones((2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="must not be NaN"):
        searcher.tell_some(genomes[:1], np.full((1, 2), np.nan), np.zeros(1))
    for one in (searcher, twin):
        one.tell_some(genomes, losses_of(genomes), np.zeros(len(genomes)))
    assert np.array_equal(searcher.ask_more(), twin.ask_more())


def test_failures_and_networks_beyond_limits_are_survived(name):
    searcher = make(name, SPACE, 3)
    for violation in (np.inf, 0.5):
        genomes = searcher.ask_more()
        for genome in genomes:
            searcher.tell_some(genome[None], np.full((1, 2), np.inf), np.full(1, violation))
    assert len(searcher.ask_more())
