"""Every method on every problem whose maximum is known."""

import pytest
import torch

from relu_attack import DomainError, L2Ball, ReLUOptimizer
from tests.problems import GRADIENT_WALKS, PROBLEMS, PROGRAMS, KnownProblem

every_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


def assert_reached(method: str, problem: KnownProblem, *, iterations: int, swing: float, slack: float) -> None:
    """Search, and check the answer: the maximum is between value and bound, and near the value."""
    optimizer = ReLUOptimizer(problem.model, problem.domain, problem.objective)
    result = optimizer.maximize(method, iterations=iterations, seed=0)
    size = abs(problem.maximum)
    # The known number is rounded, and a polytope is met to 1e-9.
    assert result.value <= problem.maximum + 1e-9 * size
    assert problem.maximum <= result.bound + (1e-12 if bool(result.certified) else slack) * size
    assert problem.maximum - result.value <= swing * size
    assert problem.domain.contains(result.x)


@pytest.mark.parametrize("method", GRADIENT_WALKS)
@every_problem
def test_the_maximum_lies_between_value_and_bound_and_is_reached(method: str, problem: KnownProblem) -> None:
    assert_reached(method, problem, iterations=200, swing=problem.swing, slack=0.0)


@pytest.mark.parametrize("method", PROGRAMS)
@pytest.mark.parametrize("problem", [p for p in PROBLEMS if not isinstance(p.domain, L2Ball)], ids=str)
def test_methods_over_programs_reach_the_maximum_itself(method: str, problem: KnownProblem) -> None:
    # Programs end in corners of regions, where gradient walks swing. A bound by branch and bound is a solver's word, to
    # its tolerance.
    assert_reached(method, problem, iterations=25, swing=1e-6, slack=1e-6)


@pytest.mark.parametrize("method", PROGRAMS)
def test_methods_over_programs_refuse_a_set_without_rows(method: str) -> None:
    (ball,) = (problem for problem in PROBLEMS if isinstance(problem.domain, L2Ball))
    with pytest.raises(DomainError, match="L2Ball"):
        ReLUOptimizer(ball.model, ball.domain, ball.objective).maximize(method)


@every_problem
def test_auto_reaches_the_maximum_of_every_problem(problem: KnownProblem) -> None:
    assert_reached("auto", problem, iterations=400, swing=1e-5, slack=0.0)


@every_problem
def test_ppga_lr_settles_where_steps_of_a_fixed_length_swing(problem: KnownProblem) -> None:
    optimizer = ReLUOptimizer(problem.model, problem.domain, problem.objective)
    result = optimizer.maximize("ppga_lr", iterations=400, seed=0)
    assert problem.maximum - result.value <= min(problem.swing, 1e-2) * abs(problem.maximum)


@pytest.mark.parametrize("method", GRADIENT_WALKS)
@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.name.startswith("linear over")], ids=str)
def test_all_points_of_the_walk_stay_in_the_set(method: str, problem: KnownProblem) -> None:
    optimizer = ReLUOptimizer(problem.model, problem.domain, problem.objective, dtype=torch.float64)
    result = optimizer.maximize(method, iterations=25, restarts=4, seed=0, record_path=True)
    assert result.path is not None
    assert float(problem.domain.violation(result.path.reshape(-1, problem.domain.inputs)).max()) <= 1e-9
