"""Every method on every problem whose maximum is known."""

import pytest
import torch

from relu_attack import ReLUOptimizer
from relu_attack.solvers import METHODS
from tests.problems import PROBLEMS, KnownProblem

every_method = pytest.mark.parametrize("method", METHODS)
every_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


@every_method
@every_problem
def test_the_maximum_lies_between_value_and_bound_and_is_reached(method: str, problem: KnownProblem) -> None:
    optimizer = ReLUOptimizer(problem.model, problem.domain, problem.objective)
    result = optimizer.maximize(method, iterations=200, seed=0)
    size = abs(problem.maximum)
    # The known number is rounded, and a polytope is met to 1e-9.
    assert result.value <= problem.maximum + 1e-9 * size
    assert problem.maximum <= result.bound + 1e-12 * size
    assert problem.maximum - result.value <= problem.swing * size
    assert problem.domain.contains(result.x)


@every_problem
def test_ppga_lr_settles_where_steps_of_a_fixed_length_swing(problem: KnownProblem) -> None:
    optimizer = ReLUOptimizer(problem.model, problem.domain, problem.objective)
    result = optimizer.maximize("ppga_lr", iterations=400, seed=0)
    assert problem.maximum - result.value <= min(problem.swing, 1e-2) * abs(problem.maximum)


@every_method
@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.name.startswith("linear over")], ids=str)
def test_all_points_of_the_walk_stay_in_the_set(method: str, problem: KnownProblem) -> None:
    optimizer = ReLUOptimizer(problem.model, problem.domain, problem.objective, dtype=torch.float64)
    result = optimizer.maximize(method, iterations=25, restarts=4, seed=0, record_path=True)
    assert result.path is not None
    assert float(problem.domain.violation(result.path.reshape(-1, problem.domain.inputs)).max()) <= 1e-9
