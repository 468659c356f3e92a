"""A solve that is watched: progress, Ctrl-C, and a caller who stops it. Signals are raised from inside the solve."""

import itertools
import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from relu_attack.errors import OptionError
from relu_attack.programs import PreparedProgram, Program, Solution, SolutionStatus, SolverProgress, solve
from tests.programs.examples import assert_checked, dense_program, diet, hard, knapsack


def press_ctrl_c(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def start() -> np.ndarray:
    point = np.zeros(60)
    point[3] = 1
    return point


def test_progress_tells_points_and_bounds_in_the_sense_of_the_program() -> None:
    program, seen = knapsack(), list[SolverProgress]()
    solution = solve(program, on_progress=seen.append)
    points = [entry for entry in seen if entry.x is not None]
    assert points[-1].value == solution.value == 18
    for entry in points:
        assert program.value(entry.x) == entry.value
        assert program.violation(entry.x) == program.integrality(entry.x) == 0
    # The bound has the constant, and is that of a maximization: no point is above it.
    assert all(entry.bound >= 18 - 1e-6 for entry in seen)


def test_progress_never_gets_worse() -> None:
    seen = list[SolverProgress]()
    solution = solve(hard(feasible_at_once=True), time_limit=0.3, gap=0, on_progress=seen.append)
    for before, after in itertools.pairwise(seen):
        assert before.value <= after.value
        assert before.bound >= after.bound
        assert before.seconds <= after.seconds
    assert solution.value == seen[-1].value
    assert solution.value <= solution.bound <= seen[-1].bound + 1e-6
    assert len({entry.bound for entry in seen if math.isfinite(entry.bound)}) >= 1


def test_ctrl_c_stops_a_mixed_integer_program_with_its_incumbent() -> None:
    program, values = hard(feasible_at_once=True), list[float]()

    def interrupt(progress: SolverProgress) -> None:
        values.append(progress.value)
        press_ctrl_c()

    # There is no time limit: without the interrupt this would not end.
    solution = solve(program, gap=0, on_progress=interrupt, warm_start=start())
    assert (solution.status, solution.interrupted) == (SolutionStatus.TIME_LIMIT, True)
    assert_checked(program, solution)
    assert program.value(start()) <= values[0] <= solution.value <= solution.bound < math.inf


def test_a_caller_stops_a_linear_program() -> None:
    program = dense_program(rows=60)
    solution = solve(program, stop=lambda: True)
    assert solution.interrupted
    assert solution.status in (SolutionStatus.TIME_LIMIT, SolutionStatus.TIME_LIMIT_EMPTY)
    assert solution.bound >= solve(program).value


def test_ctrl_c_in_a_linear_program_is_a_keyboard_interrupt_and_the_next_solve_goes_on() -> None:
    program, calls = dense_program(rows=60), list[int]()
    prepared = PreparedProgram(program)

    def stop() -> None:
        calls.append(1)
        press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        prepared.solve(stop=stop)
    assert len(calls) < 5  # it did not run to its end first
    solution = prepared.solve()
    assert (solution.status, solution.interrupted) == (SolutionStatus.OPTIMAL, False)
    assert solution.value == pytest.approx(solve(program).value)


def test_ctrl_c_is_pythons_own_again_after_a_solve() -> None:
    solve(diet())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_a_handler_of_the_application_is_called_after_the_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, inside = list[bool](), [False]

    def handler(_number: int, _frame: FrameType | None) -> None:
        calls.append(inside[0])

    def stop() -> None:
        inside[0] = True
        press_ctrl_c()
        inside[0] = False

    before = signal.signal(signal.SIGINT, handler)
    try:
        solution = solve(dense_program(), stop=stop)
    finally:
        signal.signal(signal.SIGINT, before)
    assert solution.interrupted
    assert calls == [False]


def test_what_the_caller_raises_comes_out_of_the_solve() -> None:
    def fail(_: SolverProgress) -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        solve(hard(feasible_at_once=True), gap=0, on_progress=fail, warm_start=start())


def in_a_thread(question: Callable[[], Solution]) -> Solution:
    answers = list[Solution]()
    thread = threading.Thread(target=lambda: answers.append(question()))
    thread.start()
    thread.join()
    return answers[0]


def test_a_solve_in_another_thread_is_stopped_by_its_caller() -> None:
    program, wish = hard(feasible_at_once=True), threading.Event()
    solution = in_a_thread(
        lambda: solve(program, gap=0, on_progress=lambda _: wish.set(), stop=wish.is_set, warm_start=start())
    )
    assert solution.interrupted
    assert_checked(program, solution)
    assert solution.value >= program.value(start())


def test_a_solve_in_another_thread_leaves_ctrl_c_to_the_main_thread() -> None:
    main = threading.Event()

    def question() -> Solution:
        return solve(hard(feasible_at_once=True), gap=0, stop=main.is_set, on_progress=lambda _: pressed.set())

    pressed, answers = threading.Event(), list[Solution]()
    thread = threading.Thread(target=lambda: answers.append(question()))
    thread.start()
    pressed.wait()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    main.set()
    thread.join()
    assert answers[0].interrupted


def test_solvers_that_do_not_listen_say_so() -> None:
    for listeners in ({"on_progress": print}, {"stop": press_ctrl_c}):
        with pytest.raises(OptionError, match="solver CLARABEL supports neither on_progress nor stop; HIGHS does"):
            solve(diet(), "CLARABEL", **listeners)


def log_of(warm_start: np.ndarray, path: Path) -> str:
    log = path / "highs.log"
    to_file = {"output_flag": True, "log_to_console": False, "log_file": str(log)}
    solve(hard(feasible_at_once=True), time_limit=0.1, warm_start=warm_start, options=to_file)
    return log.read_text()


def test_the_warm_start_is_used(tmp_path: Path) -> None:
    log = log_of(start(), tmp_path)
    (line,) = (line for line in log.splitlines() if "MIP start solution is feasible" in line)
    program = hard(feasible_at_once=True)
    # HiGHS sees the minimization without the constant, divided by a power of two.
    unit = (program.constant - program.value(start())) / float(line.split()[-1])
    assert math.log2(unit) == pytest.approx(round(math.log2(unit)), abs=1e-6)


def test_an_infeasible_warm_start_is_not_used(tmp_path: Path) -> None:
    assert "MIP start solution is feasible" not in log_of(np.ones(60), tmp_path)


def test_the_number_of_threads_may_change_from_solve_to_solve() -> None:
    # HiGHS refuses to run with another number of threads than before.
    for threads in (1, 2, 1):
        assert solve(knapsack(), options={"threads": threads}).value == 18


def test_names_of_columns_are_those_in_files(tmp_path: Path) -> None:
    program, file = Program(**{**vars(diet()), "names": ["doors", "windows"]}), tmp_path / "diet.lp"
    solve(program, options={"write_model_to_file": True, "write_model_file": str(file)})
    assert "doors" in file.read_text()
