"""Feasible first: the order of points, the best point of each problem, and what an answer concludes to."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack import Box, Output, OutputConstraints, Result, SolverError, Status, Trace
from relu_attack.network import lower
from relu_attack.problem import Problem
from relu_attack.solvers.core._budget import Budget
from relu_attack.solvers.core._check import check_result
from relu_attack.solvers.core._incumbents import Incumbents, gains, rank
from relu_attack.solvers.core._settings import Answer, Settings
from tests.problems import network

few = settings(max_examples=60, deadline=None, derandomize=True)
INFINITY = torch.inf
# f(x) = x in one dimension, with x <= 2 on [0, 4].
IDENTITY = network(([[1.0]], [0.0]))
AT_MOST_2 = OutputConstraints([1.0], 2.0)


def problem(*, problems: int = 1, constraints: OutputConstraints | None = AT_MOST_2) -> Problem:
    domain = Box(torch.zeros(1, dtype=torch.float64), torch.full((1,), 4.0, dtype=torch.float64))
    return Problem.create(lower(IDENTITY, (1,)).network, domain, Output([0] * problems), constraints)


def settings_of(sign: float = 1.0) -> Settings:
    return Settings(
        budget=Budget(iterations=10),
        restarts=1,
        seed=0,
        x0=None,
        starts="mixed",
        bound="interval",
        progress=False,
        record_path=False,
        device=torch.device("cpu"),
        dtype=torch.float64,
        sign=sign,
    )


def incumbents(upper: float = 4.0, **arguments: int) -> Incumbents:
    asked = problem(**arguments)  # type: ignore[arg-type]
    return Incumbents(asked, settings_of(), torch.full((asked.problems,), upper, dtype=torch.float64), unit="steps")


def points(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_the_feasible_come_before_the_rest_and_the_nearly_feasible_are_feasible() -> None:
    values = torch.tensor([5.0, 1.0, 2.0, 9.0, 9.0])
    violations = torch.tensor([1e-7, 0.0, 5e-7, 0.2, 0.1])
    assert rank(values, violations).tolist() == [4, 2, 3, 0, 1]


NUMBERS = st.sampled_from([-2.0, 0.0, 1.0, 3.5])


@few
@given(st.lists(st.tuples(NUMBERS, st.sampled_from([0.0, 1e-7, 0.1, 0.5])), min_size=1, max_size=6))
def test_the_order_is_that_of_pairs_of_violation_and_value(pairs: list[tuple[float, float]]) -> None:
    def key(pair: tuple[float, float]) -> tuple[float, float]:
        value, violation = pair
        return (-violation if violation > 1e-6 else 0.0, value)

    values, violations = (torch.tensor(entry) for entry in zip(*pairs, strict=True))
    expected = [sum(key(other) < key(one) for other in pairs) for one in pairs]
    assert rank(values, violations).tolist() == expected


def test_each_row_of_a_batch_has_an_order_of_its_own() -> None:
    values, violations = torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert rank(values, violations).tolist() == [[0, 1], [1, 0]]


def test_a_gain_is_feasibility_or_more_than_the_tolerance() -> None:
    assert gains(problem(), points(1.0)[0], points(3.0)[0], 0.0)
    assert not gains(problem(), points(3.0)[0], points(1.0)[0], 0.0)
    assert gains(problem(), points(1.2)[0], points(1.0)[0], 0.1)
    assert not gains(problem(), points(1.05)[0], points(1.0)[0], 0.1)


def test_offers_are_taken_over_where_they_are_better_feasible_first() -> None:
    best = incumbents()
    assert best.offer(0, points(3.0, 4.0), "first")
    assert (best.x.tolist(), best.is_feasible(0), best.found_by) == ([[3.0]], False, ["first"])
    assert best.offer(0, points(1.0), "second")
    assert not best.offer(0, points(3.5, 0.5, 1.0), "third")
    assert (best.x.tolist(), best.is_feasible(0), best.found_by) == ([[1.0]], True, ["second"])
    assert (float(best.value), float(best.violation)) == (1.0, 0.0)


def test_offers_are_brought_into_the_set() -> None:
    best = incumbents()
    best.offer(0, points(-7.0), "outside")
    assert best.x.tolist() == [[0.0]]


def test_bounds_only_fall_and_carry_their_certificate() -> None:
    best = incumbents()
    best.bound(0, 5.0, certified=False)
    assert (float(best.upper), bool(best.certified)) == (4.0, True)
    best.bound(0, 3.0, certified=False)
    assert (float(best.upper), bool(best.certified)) == (3.0, False)
    best.bound(0, 2.5, certified=True)
    assert (float(best.upper), bool(best.certified)) == (2.5, True)


def test_a_problem_is_closed_where_the_bound_meets_a_feasible_value_or_nothing_is_feasible() -> None:
    best = incumbents(problems=3)
    best.offer(0, points(2.0), "a")
    best.offer(1, points(4.0), "a")
    for index in range(2):
        best.bound(index, 2.0, certified=True)
    best.bound(2, -INFINITY, certified=True)
    assert [best.is_closed(index, 0.0) for index in range(3)] == [True, False, True]
    best.bound(1, 1.5, certified=True)
    best.offer(1, points(1.4), "b")
    assert not best.is_closed(1, 0.05)
    assert best.is_closed(1, 0.1)


def test_turns_are_taken_while_a_problem_is_open_and_the_budget_lasts() -> None:
    best, turns = incumbents(problems=2), [0, 0]

    def walk(index: int, closed_after: int) -> Iterator[None]:
        while True:
            turns[index] += 1
            best.offer(index, points(2.0), "walk")
            best.step()
            if turns[index] == closed_after:
                best.bound(index, 2.0, certified=True)
            yield

    answer = best.run_round_robin([walk(0, 3), walk(1, 1000)], Budget(iterations=10))
    assert turns == [3, 7]
    assert (answer.status, answer.iterations) == (Status.ITERATION_LIMIT, 10)
    best = incumbents()
    assert best.run_round_robin([walk(0, turns[0] + 1)], Budget(iterations=10)).status is Status.FEASIBLE


def test_a_problem_without_an_offer_has_the_center_of_its_set() -> None:
    answer = incumbents(problems=2).answer(Status.TIME_LIMIT, 0)
    assert answer.candidates.tolist() == [[[2.0]], [[2.0]]]
    assert answer.found_by == ("center", "center")


def concluded(
    candidates: list[list[float]],
    upper: list[float],
    *,
    stopped: Status = Status.TIME_LIMIT,
    certified: bool = True,
    sign: float = 1.0,
) -> Result:
    asked = problem(problems=len(candidates))
    answer = Answer(
        candidates=torch.tensor(candidates, dtype=torch.float64)[:, :, None],
        upper=torch.tensor(upper, dtype=torch.float64),
        certified=torch.full((len(upper),), certified),
        status=stopped,
        iterations=1,
        evaluations=1,
        trace=Trace(torch.zeros(1), torch.zeros(1), torch.zeros(1, len(candidates))),
    )
    return check_result(asked, "name", settings_of(sign), answer)


def test_the_best_feasible_candidate_is_the_answer() -> None:
    result = concluded([[3.0, 1.0, 1.5]], [4.0])
    assert (result.x.tolist(), result.value.tolist(), result.bound.tolist()) == ([[1.5]], [1.5], [4.0])
    assert (result.status, result.output_violation.tolist()) == (Status.TIME_LIMIT, [0.0])
    assert (result.method, result.found_by) == ("name", ("name",))


def test_a_bound_that_meets_the_value_is_optimal_whatever_stopped_the_search() -> None:
    for stopped in (Status.FEASIBLE, Status.TIME_LIMIT, Status.INTERRUPTED):
        assert concluded([[2.0]], [2.0 + 1e-7], stopped=stopped).status is Status.OPTIMAL
    assert concluded([[2.0], [1.0]], [2.0, 2.0]).status is Status.TIME_LIMIT


def test_a_bound_below_the_value_is_raised_to_it() -> None:
    assert concluded([[2.0]], [1.5]).bound.tolist() == [2.0]


def test_no_feasible_point_is_a_proof_of_infeasibility_only_with_a_bound_of_minus_infinity() -> None:
    for sign in (1.0, -1.0):
        proven = concluded([[3.0]], [-INFINITY], sign=sign)
        assert (proven.status, proven.value.tolist()) == (Status.INFEASIBLE, [-sign * INFINITY])
        assert proven.bound.tolist() == [-sign * INFINITY]
        open_ = concluded([[3.0]], [4.0], sign=sign)
        assert (open_.status, open_.value.tolist()) == (Status.NOT_FOUND, [-sign * INFINITY])
        assert open_.bound.tolist() == [sign * 4.0]
        assert open_.output_violation.tolist() == [0.5]


def test_a_batch_is_not_found_where_one_problem_is_and_optimal_where_each_is_solved_or_infeasible() -> None:
    assert concluded([[3.0], [1.0]], [4.0, 4.0]).status is Status.NOT_FOUND
    assert concluded([[3.0], [1.0]], [4.0, 4.0], stopped=Status.INTERRUPTED).status is Status.INTERRUPTED
    assert concluded([[3.0], [2.0]], [-INFINITY, 2.0]).status is Status.OPTIMAL
    assert concluded([[3.0], [3.0]], [-INFINITY, -INFINITY]).status is Status.INFEASIBLE
    assert concluded([[3.0], [1.0]], [-INFINITY, 2.0]).status is Status.TIME_LIMIT


def test_a_feasible_point_refutes_a_bound_of_minus_infinity() -> None:
    result = concluded([[1.0]], [-INFINITY])
    assert (result.value.tolist(), result.bound.tolist()) == ([1.0], [1.0])


@pytest.mark.parametrize("certified", [True, False])
def test_the_certificate_is_that_of_the_answer(certified: bool) -> None:
    assert concluded([[1.0], [1.0]], [2.0, 2.0], certified=certified).certified.tolist() == [certified] * 2


@pytest.mark.parametrize("value", [float("nan"), INFINITY, -INFINITY])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(SolverError, match="no finite value"):
        concluded([[value]], [2.0])


def test_that_nothing_is_feasible_is_not_believed_beside_a_point_that_is_to_the_tolerance() -> None:
    """Else the bound of minus infinity would make any such point an optimum."""
    kept = incumbents(upper=4.0)
    kept.offer(0, points(2.0 + 5e-7), "walk")
    kept.bound(0, -INFINITY, certified=True)
    assert kept.upper.tolist() == [4.0]
    assert not kept.is_closed(0, 1e-6)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_certified_bound_that_closes_the_gap_is_kept_beside_a_lower_one_that_is_a_word(
    order: tuple[int, int],
) -> None:
    kept = incumbents(4.0)
    kept.offer(0, points(2.0), "walk")
    bounds = [(2.0 + 1e-6, True), (2.0 + 1e-9, False)]
    for place in order:
        kept.bound(0, bounds[place][0], certified=bounds[place][1])
    assert float(kept.upper[0]) == bounds[0][0]
    assert bool(kept.certified[0])


def test_a_word_is_taken_over_while_no_certified_bound_closes_the_gap() -> None:
    kept = incumbents(4.0)
    kept.offer(0, points(2.0), "walk")
    kept.bound(0, 2.5, certified=False)
    kept.bound(0, 3.0, certified=True)
    assert float(kept.upper[0]) == 2.5
    assert not bool(kept.certified[0])
