"""The loop: why it ends, what it records, what it shows."""

import gc
import itertools
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import torch

from relu_attack import Box, OptionError, Output, ReLUOptimizer, Result, Status
from relu_attack.solvers import METHODS
from relu_attack.solvers.core._budget import Budget
from tests.problems import GRADIENT_WALKS, absolute_value, random_network

every_method = pytest.mark.parametrize("method", METHODS)
every_walk = pytest.mark.parametrize("method", [method for method in METHODS if method != "milp"])
every_gradient_walk = pytest.mark.parametrize("method", GRADIENT_WALKS)


def hard() -> ReLUOptimizer:
    """A network that no method proves optimal in seconds; its box does not hold zero."""
    return ReLUOptimizer(random_network(12, 60, 60, 1, seed=1), Box(0.1, 4.0, shape=(12,)))


def optimizer(*, problems: int | None = None) -> ReLUOptimizer:
    objective = Output(0) if problems is None else Output([0] * problems)
    return ReLUOptimizer(random_network(4, 16, 1, seed=3), Box(-1.0, 1.0, shape=(4,)), objective)


def test_the_budget_is_iterations_or_seconds_or_a_default() -> None:
    with pytest.raises(OptionError, match="a budget needs iterations, a time_limit or both"):
        Budget()
    assert Budget(time_limit=5.0).iterations is None
    assert Budget(iterations=7).spent(6) is None
    assert Budget(iterations=7).spent(7) is Status.ITERATION_LIMIT
    assert Budget(time_limit=1e-9).spent(1) is Status.TIME_LIMIT
    assert Budget(iterations=7, time_limit=math.inf).spent(6) is None


def test_the_share_that_is_left_of_a_budget_is_that_of_the_limit_that_is_nearer() -> None:
    assert Budget(iterations=8).share_left(2) == 0.75
    assert Budget(iterations=8).share_left(9) == 0.0
    assert Budget(iterations=8, time_limit=1e9).share_left(2) == 0.75
    assert Budget(time_limit=1e9).share_left(1000) == pytest.approx(1.0)
    assert Budget(iterations=8, time_limit=1e-9).share_left(2) == 0.0


@every_walk
def test_a_run_ends_at_its_iterations(method: str) -> None:
    result = optimizer(problems=3).maximize(method, iterations=11, restarts=5)
    assert (result.status, result.method, result.iterations) == (Status.ITERATION_LIMIT, method, 11)
    walkers = 5 * 3 if method in (*GRADIENT_WALKS, "auto") else 1
    assert result.evaluations == 11 * walkers


def test_the_iterations_of_milp_are_those_of_its_walk_and_it_ends_with_a_proof() -> None:
    result = optimizer().maximize("milp", iterations=3)
    assert result.status is Status.OPTIMAL
    assert result.relative_gap <= 1e-6


def test_without_a_budget_there_are_the_default_iterations() -> None:
    assert optimizer().maximize("gradient_walk", restarts=1).iterations == METHODS["gradient_walk"].iterations


@every_method
def test_a_run_ends_at_its_time_limit(method: str) -> None:
    result = hard().maximize(method, time_limit=0.3)
    assert result.status is Status.TIME_LIMIT
    assert float(result.violation) == 0.0
    assert -math.inf < result.value <= result.bound < math.inf


@every_method
def test_a_time_limit_of_almost_nothing_still_gives_an_answer(method: str) -> None:
    result = hard().maximize(method, time_limit=1e-9)
    assert result.status is Status.TIME_LIMIT
    assert result.iterations <= 2
    assert float(result.violation) == 0.0
    assert -math.inf < result.value <= result.bound < math.inf


def test_of_a_linear_model_only_rounding_is_left_of_the_gap() -> None:
    model = random_network(3, 2, seed=0)
    result = ReLUOptimizer(model, Box(-1.0, 2.0, shape=(3,)), Output([0, 1])).maximize(iterations=50)
    assert bool((result.relative_gap < 1e-12).all())


def _stack(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_code.co_name
        frame = frame.f_back


@contextmanager
def interrupt_when_in(function: str) -> Iterator[None]:
    """Send this process a real SIGINT, as Ctrl-C does, as soon as its main thread is inside that function.

    Python swallows what is raised while the garbage collector calls back, as it does for hypothesis; so it waits.
    """
    main, ended = threading.main_thread().ident, threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if function in _stack(sys._current_frames().get(main)):
                signal.raise_signal(signal.SIGINT)
                return
            time.sleep(1e-3)

    thread = threading.Thread(target=watch)
    gc.disable()
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        gc.enable()


# What the methods spend their time in that are not walks alone.
_BUSY = {"lp_walk": "solve_neighborhood", "milp_walk": "solve_neighborhood", "milp": "lp_tightened"}
_BUSY["branch_and_bound"] = "bound_nodes"


@every_method
def test_an_interrupt_returns_the_best_so_far(method: str) -> None:
    with interrupt_when_in(_BUSY.get(method, "step")):
        result = hard().maximize(method, time_limit=60.0, seed=0)
    assert result.status is Status.INTERRUPTED
    assert result.runtime < 60.0
    assert result.message == Status.INTERRUPTED.value
    assert float(result.violation) == 0.0
    assert torch.isfinite(result.value)
    assert result.value <= result.bound
    assert len(result.trace.values) >= 1


@pytest.mark.parametrize(
    ("method", "options"),
    [("milp", {}), ("branch_and_bound", {}), ("lp_walk", {"source": "gradient_walk"})],
)
def test_an_interrupt_in_the_walk_before_keeps_what_it_found(method: str, options: dict[str, Any]) -> None:
    problem = hard()
    with interrupt_when_in("review"):
        result = problem.maximize(method, time_limit=60.0, seed=0, **options)
    assert result.status is Status.INTERRUPTED
    assert result.runtime < 30.0
    assert result.found_by[0] in ("walk", "gradient_walk")
    center = problem.problem.value(problem.problem.domain.center().reshape(1, 1, -1))
    assert float(result.value) > float(center)


def test_progress_writes_a_bar_with_the_best_value_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    result = optimizer().maximize("ppga_lr", iterations=30, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"best {float(result.value):.4g}"[:9] in err
    assert "30/30" in err
    assert "steps/s" in err


@every_method
def test_every_method_shows_its_best_value(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = optimizer().maximize(method, time_limit=0.3, progress=True)
    shown = float(capsys.readouterr().err.rsplit("best ", 1)[1].split(",")[0])
    assert shown == pytest.approx(float(result.value), rel=1e-4)


def test_progress_of_a_minimization_shows_its_own_sign(capsys: pytest.CaptureFixture[str]) -> None:
    problem = absolute_value()
    ReLUOptimizer(problem.model, problem.domain).minimize(iterations=30, starts="center", progress=True)
    best = float(capsys.readouterr().err.rsplit("best ", 1)[1].split(",")[0])
    assert 0.0 <= best <= 0.5


def test_progress_counts_seconds_where_they_are_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    optimizer().maximize(time_limit=0.05, progress=True)
    assert "0.1/0.1 s, best" in capsys.readouterr().err


def test_without_progress_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    optimizer().maximize(iterations=30)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("iterations", [1, 12])
@every_walk
def test_the_trace_ends_with_the_answer(method: str, iterations: int) -> None:
    result = optimizer(problems=2).maximize(method, iterations=iterations)
    trace = result.trace
    assert trace.values.shape == (len(trace.seconds), 2)
    assert trace.values.dtype == trace.seconds.dtype == torch.float64
    assert int(trace.iterations[-1]) == iterations
    assert bool((trace.seconds.diff() >= 0).all())
    assert bool((trace.values[1:] >= trace.values[:-1]).all())
    torch.testing.assert_close(trace.values[-1], result.value, rtol=1e-4, atol=1e-4)  # the walk is in float32


def test_the_path_holds_each_step_of_each_walker_in_the_users_coordinates() -> None:
    box = Box(torch.tensor([10.0, -5.0]), torch.tensor([30.0, -1.0]))
    model = random_network(2, 6, 1, seed=0)
    result = ReLUOptimizer(model, box, Output([0, 0, 0])).maximize(
        "ppga_lr", iterations=12, restarts=4, starts="center", record_path=True
    )
    assert result.path is not None
    assert result.path.shape == (12, 3, 4, 2)
    assert torch.equal(result.path[0], torch.tensor([20.0, -3.0], dtype=torch.float64).expand(3, 4, 2))
    assert float(box.violation(result.path).max()) < 1e-6  # the walk is in float32
    assert ReLUOptimizer(model, box).maximize("ppga_lr", iterations=2).path is None


@every_gradient_walk
def test_the_answer_is_the_best_point_of_the_path(method: str) -> None:
    model = random_network(3, 8, 8, 1, seed=2)
    box = Box(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    for iterations, restarts in itertools.product((1, 9, 10, 35, 300), (1, 6)):
        result: Result = ReLUOptimizer(model, box, dtype=torch.float64).maximize(
            method, iterations=iterations, restarts=restarts, record_path=True
        )
        assert result.path is not None
        with torch.no_grad():
            best = float(model(result.path).max())
        assert float(result.value) == pytest.approx(best, rel=1e-9)
