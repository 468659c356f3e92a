"""Turns of exact methods: they grow, each method gets its share, and none begins what it cannot end."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count, pairwise

import pytest

from relu_attack.solvers.auto._exact_turns import ExactMethod, Turn, next_turn
from relu_attack.solvers.core._budget import Budget


@dataclass
class Clock:
    """A clock that stands still while nobody moves it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


@dataclass
class Spending:
    """An exact method that takes all of its time, and notes how much that was."""

    clock: Clock
    turns: list[float] = field(default_factory=list)

    def advance(self, budget: Budget) -> bool:
        self.turns.append(budget.left())
        self.clock.now += budget.left()
        return False


def _made(method: Spending, *_: object) -> Spending:
    return method


def halving() -> Callable[[], float]:
    """A gap that halves each time that it is read."""
    gaps = (2.0**-number for number in count())
    return lambda: next(gaps)


def turn_of(method: Spending, *, resumes: bool, index: int = 0, first: float = 0.25) -> Turn:
    made = partial(_made, method)
    return Turn(ExactMethod(make=made, resumes=resumes, first=first), index, made, halving())


def test_what_begins_again_gets_four_times_as_much_and_all_of_its_share_at_the_end(clock: Clock) -> None:
    method, budget = Spending(clock), Budget(time_limit=10.0, began=0.0)
    turn = turn_of(method, resumes=False)
    while not turn.ended and budget.left() > 0:
        turn.take(budget, share=1.0, longest=0.1)
    # A turn of 4 s and one of 16 s would not fit into the 8.75 s that are left after the second.
    assert method.turns == pytest.approx([0.25, 1.0, 8.75])


def test_what_begins_again_ends_where_no_longer_turn_is_left(clock: Clock) -> None:
    method, budget = Spending(clock), Budget(time_limit=10.0, began=0.0)
    turn = turn_of(method, resumes=False)
    turn.take(budget, share=1.0, longest=0.1)
    clock.now = 9.8
    turn.take(budget, share=1.0, longest=0.1)
    assert turn.ended
    assert len(method.turns) == 1


def test_what_goes_on_gets_as_much_as_before_up_to_a_limit(clock: Clock) -> None:
    method, budget = Spending(clock), Budget(time_limit=10.0, began=0.0)
    turn = turn_of(method, resumes=True)
    for _ in range(5):
        turn.take(budget, share=0.1, longest=1.5)
    assert method.turns == pytest.approx([0.25, 0.25, 0.5, 1.0, 1.5])


def test_the_time_is_shared_between_walks_and_methods(clock: Clock) -> None:
    budget = Budget(time_limit=1000.0, began=0.0)
    one, other = (turn_of(Spending(clock), resumes=True) for _ in range(2))
    walked = 0.1
    while clock.now < 100.0:
        following = next_turn([one, other], walked=walked, walk_share=0.2)
        if following is None:
            walked, clock.now = walked + 0.1, clock.now + 0.1
        else:
            following[0].take(budget, share=following[1], longest=0.1)
    assert walked == pytest.approx(20.0, abs=0.5)
    assert one.spent == pytest.approx(40.0, abs=0.5)
    assert other.spent == pytest.approx(40.0, abs=0.5)


def test_problems_share_alike_and_those_that_ended_take_no_part(clock: Clock) -> None:
    methods, budget = [Spending(clock) for _ in range(3)], Budget(time_limit=1000.0, began=0.0)
    turns = [turn_of(method, resumes=True, index=index) for index, method in enumerate(methods)]
    turns[0].ended = True
    for _ in range(40):
        following = next_turn(turns, walked=math.inf, walk_share=0.5)
        assert following is not None
        following[0].take(budget, share=following[1], longest=0.25)
    assert [turn.spent for turn in turns] == pytest.approx([0.0, 5.0, 5.0], abs=0.5)
    assert next_turn(turns[:1], walked=math.inf, walk_share=0.5) is None


def test_a_turn_that_cannot_be_cut_waits_until_its_share_covers_it(clock: Clock) -> None:
    turn = turn_of(Spending(clock), resumes=False, first=1.0)
    assert next_turn([turn], walked=0.9, walk_share=0.5) is None
    assert next_turn([turn], walked=1.1, walk_share=0.5) is not None


def test_a_method_that_resumes_and_closes_little_leaves_its_time_to_the_walks(clock: Clock) -> None:
    budget, turn = Budget(time_limit=1000.0, began=0.0), turn_of(Spending(clock), resumes=True)
    weights = []
    for before, after in pairwise((16.0, 15.0, 14.0, 13.0, 12.0, 8.0)):
        turn.gap = partial(next, iter((before, after)))
        turn.take(budget, share=1.0, longest=1.0)
        weights.append(turn.weight)
    assert weights == [0.5, 0.25, 0.125, 0.125, 1.0]
    turn.weight = 0.125
    following = next_turn([turn], walked=math.inf, walk_share=0.2)
    assert following is not None
    assert following[1] == pytest.approx(0.1)


def test_a_method_that_restarts_keeps_its_weight(clock: Clock) -> None:
    turn = turn_of(Spending(clock), resumes=False)
    turn.take(Budget(time_limit=1000.0, began=0.0), share=1.0, longest=1.0)
    assert turn.weight == 1.0
