"""Output constraints, whole inputs and choices: every method, on problems whose constrained optimum is known."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relu_attack import Box, Linear, Output, OutputConstraints, Polytope, ReLUOptimizer, Result, Status
from relu_attack.domains import Domain
from relu_attack.solvers import METHODS
from tests.problems import GRADIENT_WALKS, box, network, random_network

every_method = pytest.mark.parametrize("method", METHODS)
few = settings(max_examples=3, deadline=None, derandomize=True)
# How near a method gets to a known optimum: gradient walks end near a wall, programs at it.
NEAR = dict.fromkeys(GRADIENT_WALKS, 2e-2) | {"auto": 1e-5}


def search(method: str, model: nn.Module, domain: Domain, rows: Any = None, *, objective: Any = None) -> Result:
    """Maximize with a budget of steps that is about as long for each method."""
    iterations = 200 if method in NEAR else 15
    optimizer = ReLUOptimizer(model, domain, objective, output_constraints=rows, dtype=torch.float64)
    return optimizer.maximize(method, iterations=iterations, restarts=16, seed=0)


def ridge() -> nn.Sequential:
    """Two outputs of two inputs: ``x + y`` and ``|x - y|``."""
    return network(
        ([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]], [0.0, 0.0, 0.0]), ([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [0.0, 0.0])
    )


UNIT = box([0.0, 0.0], [1.0, 1.0])
TALL = box([0.0, 0.0], [1.0, 3.0])


def check(model: nn.Module, domain: Domain, result: Result, maximum: float, *, near: float) -> None:
    """What holds of a feasible answer: forward pass, set, value <= optimum <= bound, and the value is near."""
    with torch.no_grad():
        own = float(model(result.x.double()[None])[0, 0])
    assert float(result.value) == pytest.approx(own, rel=1e-12)
    assert float(result.violation) <= domain.tolerance
    assert float(result.output_violation) <= 1e-6
    # Feasible to 1e-6 may be better by about that, and an uncertified bound is a solver's word.
    size = max(abs(maximum), 1.0)
    assert float(result.value) <= maximum + 1e-5 * size
    assert float(result.bound) >= maximum - (1e-12 if bool(result.certified) else 1e-6) * size
    assert float(result.value) >= maximum - near * size


@every_method
@pytest.mark.parametrize(
    ("row", "limit", "domain", "maximum"),
    [
        # |x - y| <= 1/2 keeps y to 3/2 beside x = 1.
        ([0.0, 1.0], 0.5, TALL, 2.5),
        # The objective itself is limited.
        ([1.0, 0.0], 1.25, TALL, 1.25),
        # x + y + 2 |x - y| <= 4 is an equation of y at x = 1: 1 + y + 2 (y - 1) = 4.
        ([1.0, 2.0], 4.0, TALL, 1.0 + 5.0 / 3.0),
        # |x - y| >= 3/4 leaves two corners, which are not connected.
        ([0.0, -1.0], -0.75, UNIT, 1.25),
        # A constraint that does not bind.
        ([0.0, 1.0], 5.0, UNIT, 2.0),
    ],
    ids=["strip", "objective", "sum", "two parts", "slack"],
)
def test_the_constrained_maximum_is_reached(
    method: str, row: list[float], limit: float, domain: Box, maximum: float
) -> None:
    result = search(method, ridge(), domain, OutputConstraints(row, limit))
    check(ridge(), domain, result, maximum, near=NEAR.get(method, 1e-5))
    assert result.status not in (Status.INFEASIBLE, Status.NOT_FOUND)


@every_method
def test_a_minimum_has_its_constraints_too(method: str) -> None:
    """The smallest x + y with |x - y| >= 3/4 is 3/4, at two corners."""
    optimizer = ReLUOptimizer(
        ridge(), UNIT, output_constraints=OutputConstraints([0.0, -1.0], -0.75), dtype=torch.float64
    )
    result = optimizer.minimize(method, iterations=200 if method in NEAR else 15, restarts=16, seed=0)
    assert float(result.output_violation) <= 1e-6
    assert float(result.bound) <= 0.75 + 1e-6
    assert 0.75 - 1e-5 <= float(result.value) <= 0.75 + NEAR.get(method, 1e-5)


@every_method
def test_each_problem_of_a_batch_keeps_the_constraints(method: str) -> None:
    rows = OutputConstraints([0.0, 1.0], 0.5)
    boxes = Box(torch.zeros(2, 2).double(), torch.tensor([[1.0, 3.0], [0.5, 3.0]]).double())
    result = search(method, ridge(), boxes, rows)
    assert result.output_violation.shape == (2,)
    for index, maximum in enumerate((2.5, 1.5)):
        assert float(result.output_violation[index]) <= 1e-6
        assert float(result.value[index]) == pytest.approx(maximum, abs=NEAR.get(method, 1e-5))
        assert float(result.bound[index]) >= maximum - 1e-6


@every_method
def test_objectives_of_a_batch_share_the_constraints(method: str) -> None:
    """x + y and -x - y within |x - y| <= 1/2, the one 5/2 and the other 0."""
    objective = Linear(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    result = search(method, ridge(), TALL, OutputConstraints([0.0, 1.0], 0.5), objective=objective)
    assert result.value.tolist() == pytest.approx([2.5, 0.0], abs=NEAR.get(method, 1e-5))


@every_method
def test_constraints_that_no_input_satisfies_are_no_poor_value(method: str) -> None:
    """|x - y| <= 1 on the unit square; only methods that bound can prove that it is never 2."""
    result = search(method, ridge(), UNIT, OutputConstraints([0.0, -1.0], -2.0))
    assert float(result.value) == -math.inf
    # The nearest points to |x - y| = 2 are the two corners, at 1 of it; the row's scale is 2.
    assert float(result.output_violation) == pytest.approx(0.5, abs=NEAR.get(method, 0.25))
    assert result.status in (Status.INFEASIBLE, Status.NOT_FOUND)
    if method in ("milp", "branch_and_bound"):
        assert result.status is Status.INFEASIBLE
    assert (result.status is Status.INFEASIBLE) == (float(result.bound) == -math.inf)


def corners_and_grid(count: int) -> Tensor:
    """Return a grid of the unit square."""
    ticks = torch.linspace(0, 1, count, dtype=torch.float64)
    return torch.cartesian_prod(ticks, ticks)


@every_method
@few
@given(seed=st.integers(0, 10**6))
def test_no_feasible_point_of_a_grid_is_above_the_bound_and_few_above_the_value(method: str, seed: int) -> None:
    model = random_network(2, 5, 4, 2, seed=seed)
    grid = corners_and_grid(101)
    with torch.no_grad():
        outputs = model(grid)
    # Output 1 is limited to what half of the grid satisfies.
    limit = float(outputs[:, 1].median())
    result = search(method, model, UNIT, OutputConstraints([0.0, 1.0], limit))
    best = float(outputs[outputs[:, 1] <= limit][:, 0].max())
    spread = float(outputs[:, 0].max() - outputs[:, 0].min())
    assert float(result.output_violation) <= 1e-6
    assert best <= float(result.bound) + 1e-6 * max(1.0, abs(best))
    # A walk may end at a local maximum, but these are small networks.
    assert float(result.value) >= best - 0.05 * spread


def enumerate_whole(model: nn.Module, choices: Sequence[Sequence[float]]) -> float:
    """Return the largest output 0 over a list of inputs."""
    with torch.no_grad():
        return float(model(torch.tensor(choices, dtype=torch.float64))[:, 0].max())


@every_method
@pytest.mark.parametrize(("kind", "seed"), [("box", 0), ("polytope", 1)])
def test_whole_inputs_and_choices_are_exactly_so(method: str, kind: str, seed: int) -> None:
    """Two whole inputs and a choice of three, all enumerated."""
    model = random_network(5, 8, 1, seed=seed)
    lower, upper = [-2.5, 0.0, 0.0, 0.0, 0.0], [2.5, 3.0, 1.0, 1.0, 1.0]
    if kind == "box":
        domain: Domain = Box(
            torch.tensor(lower, dtype=torch.float64),
            torch.tensor(upper, dtype=torch.float64),
            integer=[0, 1],
            one_hot=[[2, 3, 4]],
        )
    else:
        rows = {"A": [[1.0, 1.0, 0.0, 0.0, 0.0]], "b": [3.5]}
        domain = Polytope(**rows, lower=lower, upper=upper, integer=[0, 1], one_hot=[[2, 3, 4]])  # type: ignore[arg-type]
    one_hot = torch.eye(3).tolist()
    whole = [
        [first, second, *choice]
        for first, second, choice in itertools.product(range(-2, 3), range(4), one_hot)
        if kind == "box" or first + second <= 3.5
    ]
    result = search(method, model, domain)
    assert float(result.integrality) == 0.0
    assert result.x.tolist() in [[float(entry) for entry in point] for point in whole]
    # Walks that see one region at a time may miss the best choice; eight units are all free in the others.
    whole_view = method in ("auto", "milp_walk", "milp")
    check(model, domain, result, enumerate_whole(model, whole), near=1e-5 if whole_view else math.inf)


@every_method
def test_whole_inputs_beside_others_and_output_constraints(method: str) -> None:
    """x whole in {0, 1}, |x - y| <= 1/2 and x + y <= 9/4: y = 5/4 beside x = 1."""
    domain = Box(torch.zeros(2, dtype=torch.float64), torch.tensor([1.9, 3.0], dtype=torch.float64), integer=[0])
    rows = OutputConstraints([[0.0, 1.0], [1.0, 0.0]], [0.5, 2.25])
    result = search(method, ridge(), domain, rows)
    assert float(result.x[0]) in (0.0, 1.0)
    assert float(result.integrality) == 0.0
    # Gradient walks round what they find.
    check(ridge(), domain, result, 2.25, near=0.1 if method in GRADIENT_WALKS else 1e-5)


def test_constraints_in_single_precision_are_kept_to_a_millionth() -> None:
    """The walk is in float32 by default, the answer is judged in float64."""
    optimizer = ReLUOptimizer(ridge(), TALL, Output(0), output_constraints=OutputConstraints([0.0, 1.0], 0.5))
    for method in GRADIENT_WALKS:
        result = optimizer.maximize(method, iterations=200, restarts=16, seed=0)
        assert float(result.output_violation) <= 1e-6
        assert float(result.value) == pytest.approx(2.5, abs=2e-2)


@pytest.mark.parametrize("method", ["auto", "milp", "branch_and_bound", "milp_walk", "lp_walk"])
@pytest.mark.parametrize(("layer", "size"), [(0, 1e16), (2, 1e21)])
def test_numbers_that_a_solver_refuses_cost_no_answer(layer: int, size: float, method: str) -> None:
    model = random_network(3, 6, 2, seed=1)
    with torch.no_grad():
        for parameter in model[layer].parameters():
            parameter.mul_(size)
        middle = float(model(torch.zeros(1, 3, dtype=model[0].weight.dtype))[0, 1])
    rows = OutputConstraints([0.0, 1.0], middle + 0.1 * abs(middle))
    result = search(method, model, box([-1.0] * 3, [1.0] * 3), rows)
    assert result.status not in (Status.NOT_FOUND, Status.INFEASIBLE)
    assert bool(result.certified) or method == "milp"
    assert float(result.output_violation) <= 1e-6
    assert float(result.value) <= float(result.bound)
