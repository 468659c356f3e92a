"""Batches of polytopes: one matrix, with sides and bounds for each set."""

import inspect
import time

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack._deadline import Deadline
from relu_attack.domains.polytope._batch import PolytopeBatch
from relu_attack.domains.polytope._walked_batch import WalkedPolytopes
from relu_attack.errors import DomainError

INPUTS, ROWS, SETS = 6, 5, 3


def arguments(equations: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    """Rows and bounds around a random point of the unit box for each set."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(ROWS + equations, INPUTS, generator=generator, dtype=torch.float64)
    inside = 0.2 + 0.6 * torch.rand(SETS, INPUTS, generator=generator, dtype=torch.float64)
    room = 0.3 * torch.rand(SETS, ROWS, generator=generator, dtype=torch.float64) * matrix[:ROWS].norm(dim=1)
    products = inside @ matrix.T
    return {
        "A": matrix[:ROWS], "b": products[:, :ROWS] + room, "A_eq": matrix[ROWS:], "b_eq": products[:, ROWS:],
        "lower": inside - 0.3, "upper": inside + 0.5,
    }  # fmt: skip


def alone(given: dict[str, torch.Tensor], index: int) -> ra.Polytope:
    return ra.Polytope(**{name: part if name.startswith("A") else part[index] for name, part in given.items()})


def network(width: int = 20) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    return nn.Sequential(*layers).double()


def implied_equation_of_one_set() -> dict[str, torch.Tensor]:
    """Opposed rows with room in one set, and none in another; an input that is fixed in one set, and in all."""
    given = arguments(equations=0)
    row = torch.ones(1, INPUTS, dtype=torch.float64)
    middle = (given["lower"] + 0.3) @ row.T
    room = torch.tensor([[0.0], [0.2], [0.1]], dtype=torch.float64)
    given["A"] = torch.cat([given["A"], row, -row])
    given["b"] = torch.cat([given["b"], middle + room, room - middle], 1)
    given["upper"][1, 0] = given["lower"][1, 0] = given["lower"][1, 0] + 0.3
    given["upper"][:, 1] = given["lower"][:, 1] = given["lower"][:, 1] + 0.3
    return given


def test_sides_or_bounds_of_several_sets_make_a_batch() -> None:
    given = arguments()
    every = ra.Polytope(**given)
    assert isinstance(every, ra.Polytope)
    assert every.batch == SETS
    assert repr(every) == "PolytopeBatch(batch=3, inputs=6, inequalities=5, equations=1, shape=(6,), dtype=float64)"
    assert ra.Polytope(given["A"], given["b"][:1], lower=0.0, upper=1.0).batch == 1
    assert ra.Polytope(given["A"], given["b"][0], lower=given["lower"], upper=9.0).batch == SETS
    shaped = ra.Polytope(lower=torch.zeros(2, 1, 2, 3), upper=1.0, shape=(1, 2, 3))
    assert (shaped.batch, shaped.shape, shaped.single(1).shape) == (2, (1, 2, 3), (1, 2, 3))
    assert ra.Polytope(lower=torch.zeros(1, 2, 3), upper=1.0, shape=(1, 2, 3)).batch is None
    assert alone(given, 0).batch is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"b": torch.zeros(2, ROWS)}, "Polytope b is for 2 sets, but b_eq for 3"),
        ({"b": torch.zeros(3, 2)}, "set 0 of the batch: Polytope b has shape .2,., but A has 5 rows"),
        ({"b": torch.zeros(3, 2, ROWS)}, "b has shape .3, 2, 5., but A has 5 rows"),
        ({"A": torch.zeros(3, ROWS, INPUTS)}, "has one matrix, and a right side for each set"),
        ({"b": torch.zeros(0, ROWS)}, "b is for 0 sets, but b_eq for 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_set(changed: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        ra.Polytope(**{**arguments(), **changed})


def test_an_empty_batch_or_an_infeasible_set_is_refused() -> None:
    with pytest.raises(DomainError, match="set 1 of the batch: Polytope is empty: lower is above upper at index 0"):
        ra.Polytope(lower=1.0, upper=[[1.0, 1.0], [0.0, 1.0]])
    with pytest.raises(DomainError, match="b is for a batch of 0 sets"):
        ra.Polytope(torch.ones(1, 2), torch.zeros(0, 1), lower=0.0, upper=1.0)
    with pytest.raises(DomainError, match="set 1 of the batch: Polytope is infeasible: A row 0"):
        ra.Polytope(torch.ones(1, 2), torch.tensor([[1.0], [-1.0]]), lower=0.0, upper=1.0)


def test_nothing_of_one_polytope_is_inherited_that_a_batch_does_otherwise() -> None:
    shared = {"approximate_maximizer", "tolerance"}  # these only ask the outer box, and the dtype
    public = {name for name in vars(ra.Polytope) if not name.startswith("_")}
    assert public - set(vars(PolytopeBatch)) == shared
    assert list(inspect.signature(ra.Polytope).parameters)[:6] == ["A", "b", "A_eq", "b_eq", "lower", "upper"]


@pytest.mark.parametrize("make", [arguments, implied_equation_of_one_set])
def test_walkers_of_all_sets_step_together_and_close_in_on_their_own(make: object) -> None:
    given = make()  # type: ignore[operator]
    scaled, scale, shift = ra.Polytope(**given).normalized()
    walkers = 8
    walked = scaled.walked(walkers, products=10**6)
    assert isinstance(walked, WalkedPolytopes)
    generator = torch.Generator().manual_seed(0)
    x = walked.begin(walked.sample(generator))
    for _ in range(30):
        x = x + 0.3 * walked.tangent(torch.randn(x.shape, generator=generator, dtype=torch.float64))
        walked.project_(x)
    everyone = torch.ones(len(x), dtype=torch.bool)
    for _ in range(60):
        x = walked.settle(everyone, x)
    points = x.view(SETS, walkers, INPUTS)
    assert walked.violation is not None
    assert float(walked.violation.max()) < 1e-4
    assert bool(scaled.contains(points, tolerance=1e-3).all())
    for index in range(SETS):
        assert bool(alone(given, index).contains(shift + scale * points[index], tolerance=1e-3).all())
    corners, center = walked.corners(4, torch.Generator().manual_seed(0)), walked.center()
    assert (corners.shape, center.shape) == ((SETS, 4, INPUTS), (SETS, 1, INPUTS))
    assert bool(scaled.contains(center).all())


def test_rounds_of_a_batch_lead_to_the_nearest_points_of_each_set() -> None:
    scaled, _, _ = ra.Polytope(**arguments()).normalized()
    walked = scaled.walked(4, products=10**6)
    points = 2 * torch.randn(4 * SETS, INPUTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, everyone = walked.begin(points), torch.ones(4 * SETS, dtype=torch.bool)
    for _ in range(100):
        x = walked.settle(everyone, x)
    exact = scaled.project(points.view(SETS, 4, INPUTS))
    assert torch.allclose(x.view(SETS, 4, INPUTS), exact, atol=1e-6)


@pytest.mark.parametrize("method", ["gradient_walk", "ppga", "ppga_lr"])
@pytest.mark.parametrize("make", [arguments, implied_equation_of_one_set])
def test_a_batch_finds_what_its_sets_find_alone(method: str, make: object) -> None:
    given, model = make(), network()  # type: ignore[operator]
    every = ra.Polytope(**given)
    together = ra.maximize(model, every, method=method, iterations=200, restarts=16, seed=0)
    for index in range(SETS):
        one = alone(given, index)
        found = ra.maximize(model, one, method=method, iterations=200, restarts=16, seed=0)
        assert together.value[index] >= found.value - 0.01 * found.value.abs()
        assert bool(one.contains(together.x[index][None]).all())
        assert together.bound[index] >= together.value[index]


@pytest.mark.slow
def test_auto_finds_in_a_batch_what_it_finds_alone() -> None:
    given, model = arguments(), network(6)
    together = ra.maximize(model, ra.Polytope(**given), iterations=100, restarts=16, seed=0)
    for index in range(SETS):
        found = ra.maximize(model, alone(given, index), iterations=100, restarts=16, seed=0)
        assert float(together.value[index]) >= float(found.value) - 1e-3 * float(found.value.abs())
        assert bool(alone(given, index).contains(together.x[index][None]).all())


def test_a_minimum_and_float32_and_an_optimizer() -> None:
    given, model = arguments(), network().float()
    every = ra.Polytope(**given)
    least = ra.minimize(model, every, method="ppga_lr", iterations=100, restarts=16)
    again = ra.ReLUOptimizer(model, every.to(dtype=torch.float32)).minimize(
        method="ppga_lr", iterations=100, restarts=16
    )
    assert torch.allclose(least.value, again.value, atol=1e-3)
    for index in range(SETS):
        assert bool(alone(given, index).to(dtype=torch.float32).contains(again.x[index][None]).all())


@pytest.mark.parametrize("method", ["interval", "crown"])
def test_bounds_of_a_batch_are_those_of_its_sets(method: str) -> None:
    given, model = arguments(), network()
    lower, upper = ra.output_bounds(model, ra.Polytope(**given), method=method)
    for index in range(SETS):
        low, high = ra.output_bounds(model, alone(given, index), method=method)
        assert torch.allclose(lower[index], low, rtol=1e-9)
        assert torch.allclose(upper[index], high, rtol=1e-9)


def test_whole_inputs_are_whole_in_each_set() -> None:
    every = ra.Polytope(
        [[1.0, 2.0, 0.0, 0.0]], [[3.5], [7.2]], lower=0.0, upper=[9.0, 9.0, 1.0, 1.0], integer=[0], one_hot=[[2, 3]]
    )
    rounded = every.round(every.sample(5, generator=torch.Generator().manual_seed(0)))
    assert bool(every.contains(rounded).all())
    assert float(every.integrality(rounded).max()) == 0
    held = every.with_fixed([0], torch.tensor([[[1.0]], [[6.0]]]))
    assert held.center()[:, 0, 0].tolist() == [1, 6]
    with pytest.raises(DomainError, match="set 0 of the batch: Polytope has no point"):
        every.with_fixed([0], 6.0)


def test_parts_of_a_batch_and_its_copies_are_batches_of_their_own() -> None:
    scaled, _, _ = ra.Polytope(**arguments()).to(dtype=torch.float32).normalized()
    part = scaled.take(torch.tensor([2, 0]))
    assert (part.batch, part.dtype) == (2, torch.float32)
    assert torch.equal(part.single(0).center(), scaled.single(2).center())
    assert part.widths().shape == (2, 1, INPUTS)
    with pytest.raises(DomainError, match="there is no set 3"):
        scaled.single(3)


def test_points_with_more_dimensions_are_those_of_each_set() -> None:
    every = ra.Polytope(**arguments())
    points = torch.randn(2, SETS, 4, INPUTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    projected = every.project(points)
    assert projected.shape == points.shape
    assert torch.allclose(projected[1, 2], every.single(2).project(points[1, 2]), atol=1e-12)
    assert every.violation(points).shape == points.shape[:-1]
    assert every.project(points[0, 0, 0]).shape == (SETS, 1, INPUTS)
    assert every.single(0).project(points).shape == points.shape
    one = every.take(slice(0, 1))
    assert one.project(points[0, :1]).shape == (1, 4, INPUTS)


def test_a_batch_after_its_deadline_answers_with_what_holds() -> None:
    given = arguments()
    late = ra.Polytope(**given).within(Deadline(at=time.perf_counter() - 1))
    box, exact = late.bounding_box(), ra.Polytope(**given).bounding_box()
    assert bool((box.lower <= exact.lower + 1e-9).all())
    assert bool((box.upper >= exact.upper - 1e-9).all())
    assert bool(late.contains(late.center()).all())
    assert late.widths().shape == (SETS, 1, INPUTS)
