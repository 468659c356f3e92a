"""The deadline of a call, and what Ctrl-C and SIGTERM do to it while the call runs."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack._deadline import NEVER, Deadline, interruptible
from relu_attack.api import _reading
from relu_attack.result import Status
from relu_attack.solvers.core._budget import Budget
from tests.problems import random_network
from tests.solvers.test_loop import interrupt_when_in


def press(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_deadline_passes_and_parts_of_it_are_never_later() -> None:
    assert Deadline.after(-1.0).passed
    assert Deadline.after(-1.0).left == 0.0
    assert not NEVER.passed
    assert math.isinf(NEVER.share(0.1).at)
    whole = Deadline.after(100.0)
    assert whole.share(0.5).at < whole.at
    assert whole.within(1000.0).at == whole.at


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_part_of_the_call_and_handlers_come_back(number: int) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible() as interruption:
        budget = Budget(time_limit=100.0, interruption=interruption)
        parts = budget.deadline, budget.deadline.share(0.1), budget.part(seconds=1.0).deadline
        assert not any(part.passed for part in parts)
        press(number)
        assert all(part.passed and part.left == 0.0 for part in parts)
        assert budget.spent(0) is Status.INTERRUPTED
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_is_a_keyboard_interrupt() -> None:
    with interruptible():
        press(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            press(signal.SIGINT)


def test_a_call_within_a_call_shares_the_interruption() -> None:
    with interruptible() as outer, interruptible() as inner:
        press(signal.SIGINT)
        assert outer is inner


def test_a_handler_of_the_application_stays() -> None:
    calls = list[int]()

    def handler(number: int, _frame: FrameType | None) -> None:
        calls.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with interruptible() as interruption:
            press(signal.SIGTERM)
        assert (calls, interruption.happened) == ([signal.SIGTERM], False)
    finally:
        signal.signal(signal.SIGTERM, before)


def in_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_another_thread_touches_no_handler() -> None:
    def work() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen = list[object]()
    in_a_thread(work)
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_calls_leave_no_thread_behind() -> None:
    model, box = nn.Sequential(nn.Linear(2, 2)), ra.Box(-1.0, 1.0, shape=(2,))
    before = set(threading.enumerate())
    ra.verify(model, box, ra.Specification.require([1.0, 0.0], 100.0))
    ra.maximize(model, box, method="ppga", iterations=2, progress=True)
    x = torch.zeros(1, 2)
    ra.robust_accuracy(model, [(x, model(x).argmax(1))], 0.1, progress=True)
    assert set(threading.enumerate()) == before


def test_runtime_counts_from_the_first_line_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the model takes an hour here, by the clock that the call reads."""
    clock, lower, hour = time.perf_counter, _reading.lower, [0.0]

    def slowly(*arguments: Any, **options: Any) -> Any:
        hour[0] = 3600.0
        return lower(*arguments, **options)

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + hour[0])
    monkeypatch.setattr(_reading, "lower", slowly)
    model, box = nn.Sequential(nn.Linear(2, 2)), ra.Box(-1.0, 1.0, shape=(2,))
    result = ra.maximize(model, box, method="ppga", time_limit=10.0)
    assert 3600.0 <= result.runtime < 3610.0
    assert result.status is Status.OPTIMAL or result.status is Status.TIME_LIMIT


@pytest.mark.parametrize("method", ["auto", "ppga", "lp_walk", "milp_walk", "milp", "branch_and_bound"])
def test_a_call_that_is_interrupted_before_it_searches_has_a_point_and_a_bound(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower = _reading.lower

    def interrupted(*arguments: Any, **options: Any) -> Any:
        press(signal.SIGTERM)
        return lower(*arguments, **options)

    monkeypatch.setattr(_reading, "lower", interrupted)
    model, box = random_network(3, 8, 6, 1, seed=3), ra.Box(-1.0, 1.0, shape=(3,))
    result = ra.maximize(model, box, method=method, time_limit=100.0, bound="alpha_crown")
    assert result.status is Status.INTERRUPTED
    assert float(result.violation) == 0.0
    assert result.value <= result.bound
    assert result.runtime < 50.0


def test_ctrl_c_in_the_bound_returns_a_point_and_the_bound_that_holds_without_it() -> None:
    model, box = random_network(20, 60, 60, 60, 1, seed=3), ra.Box(-1.0, 1.0, shape=(20,))
    with interrupt_when_in("optimize_slopes"):
        result = ra.maximize(model, box, method="ppga", iterations=3, bound="alpha_crown")
    assert result.status is Status.INTERRUPTED
    assert float(result.violation) == 0.0
    assert result.value <= result.bound < torch.inf


def test_ctrl_c_in_a_certificate_returns_the_worst_and_what_is_certified_by_then() -> None:
    model, x = random_network(20, 60, 60, 60, 3, seed=3), torch.rand(40, 20).double()
    with interrupt_when_in("certified_margins"):
        worst = ra.worst_case(model, x, model(x).argmax(1), 0.2, certify=True)
    assert worst.status is Status.INTERRUPTED
    assert worst.certified_margin is not None
    assert bool((worst.margin <= worst.certified_margin).all())


def test_ctrl_c_in_the_set_up_of_a_polytope_returns_a_point_of_it_and_a_bound() -> None:
    rows = torch.randn(30, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    polytope = ra.Polytope(rows, rows.sum(1) / 2 + 0.3, lower=0.0, upper=1.0)
    with interrupt_when_in("enclosing_box"):
        result = ra.maximize(random_network(60, 20, 1, seed=3), polytope, method="ppga", iterations=3)
    assert result.status is Status.INTERRUPTED
    assert float(result.violation) <= polytope.tolerance
    assert result.value <= result.bound < torch.inf


def test_sigterm_between_the_batches_of_a_loader_ends_the_measurement_with_those_done() -> None:
    model, x = nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield x, model(x).argmax(1)
        press(signal.SIGTERM)
        yield x, model(x).argmax(1)

    found = ra.robust_accuracy(model, batches(), 0.1, progress=False)
    assert (found.complete, found.samples) == (False, 1)
