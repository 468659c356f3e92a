"""Laws of every method: what holds for any network, set and seed."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relu_attack import Box, Domain, L2Ball, Linear, LInfBall, Output, Polytope, ReLUOptimizer, Result
from relu_attack.solvers import METHODS
from tests import exact
from tests.laws.nests import Nest, nests
from tests.problems import GRADIENT_WALKS, PROGRAMS, random_network

every_method = pytest.mark.parametrize("method", METHODS)
METHODS_ON = [
    (method, kind)
    for method in METHODS
    for kind in ("box", "linf ball", "l2 ball", "polytope")
    if not (kind == "l2 ball" and method in PROGRAMS)
]
few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@dataclass(frozen=True)
class Case:
    """A random network and a random box for it."""

    model: nn.Sequential
    domain: Domain


def random_box(seed: int, *, sets: int | None = None, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Box:
    generator = torch.Generator().manual_seed(seed)
    size = (3,) if sets is None else (sets, 3)
    low = torch.randn(size, generator=generator, dtype=torch.float64) * scale
    width = torch.rand(size, generator=generator, dtype=torch.float64) * scale
    width[..., int(torch.randint(3, (), generator=generator))] *= 1e-3
    return Box(low.to(dtype), (low + width).to(dtype))


def random_polytope(seed: int) -> Polytope:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    inside = torch.rand(3, generator=generator, dtype=torch.float64)
    equation = torch.randn(1, 3, generator=generator, dtype=torch.float64)
    return Polytope(rows, rows @ inside + 0.2, equation, equation @ inside, 0.0, 1.0)


def random_set(kind: str, seed: int) -> Domain:
    if kind == "polytope":
        return random_polytope(seed)
    if kind == "box":
        return random_box(seed)
    center = torch.rand(3, generator=torch.Generator().manual_seed(seed))
    return L2Ball(center, 0.7) if kind == "l2 ball" else LInfBall(center, 0.3, clip=(0.1, 10.0))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    seed = draw(seeds)
    model = random_network(3, draw(st.integers(1, 8)), draw(st.integers(1, 8)), 2, seed=seed)
    return Case(model, random_box(seed))


def steps(method: str, most: int) -> int:
    """Return a budget for a law: a step of a walk over programs is a whole program."""
    return most if method in GRADIENT_WALKS else 8


def walkers(method: str) -> int:
    """Return the walkers of a law on polytopes: branch and bound starts with 200 steps that project each of them."""
    return 1 if method == "branch_and_bound" else 3


def same(first: Result, second: Result) -> bool:
    return all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in ("x", "value", "bound", "violation")
    )


@pytest.mark.slow
@every_method
@few
@given(case=cases(), seed=seeds)
def test_the_best_so_far_never_falls(method: str, case: Case, seed: int) -> None:
    optimizer = ReLUOptimizer(case.model, case.domain, Output([0, 1]))
    # Each review of a window is recorded, unless the last record is too recent.
    options: dict[str, Any] = {"iterations": 60, "window": 3} if method in GRADIENT_WALKS else {"iterations": 10}
    up = optimizer.maximize(method, restarts=4, seed=seed, **options).trace.values
    assert bool((up[1:] >= up[:-1]).all())  # also where both are infinite: nothing found yet
    down = optimizer.minimize(method, restarts=4, seed=seed, **options).trace.values
    assert bool((down[1:] <= down[:-1]).all())


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kind"), METHODS_ON)
@settings(few, max_examples=2)
@given(seed=seeds)
def test_the_same_seed_gives_the_same_result(method: str, kind: str, seed: int) -> None:
    optimizer = ReLUOptimizer(random_network(3, 6, 2, seed=seed), random_set(kind, seed), Output([0, 1]))
    first, second = (
        optimizer.maximize(method, iterations=steps(method, 35), restarts=walkers(method), seed=seed) for _ in range(2)
    )
    assert same(first, second)


@pytest.mark.slow
@every_method
@few
@given(case=cases(), seed=seeds)
def test_minimizing_is_maximizing_the_opposite(method: str, case: Case, seed: int) -> None:
    row, budget = torch.tensor([1.5, -2.0]), {"iterations": steps(method, 30), "restarts": 3}
    low = ReLUOptimizer(case.model, case.domain, Linear(row)).minimize(method, **budget, seed=seed)
    high = ReLUOptimizer(case.model, case.domain, Linear(-row)).maximize(method, **budget, seed=seed)
    assert torch.equal(low.x, high.x)
    assert torch.equal(low.value, -high.value)
    assert torch.equal(low.bound, -high.bound)
    assert torch.equal(low.trace.values[-1], -high.trace.values[-1])


@few
@given(seed=seeds, raw=st.booleans())
def test_a_batch_of_objectives_gives_what_each_gives_alone(seed: int, raw: bool) -> None:
    model, box = random_network(3, 6, 4, seed=seed), random_box(seed, dtype=torch.float64)
    x0 = box.sample(2, generator=torch.Generator().manual_seed(seed))
    rate = 0.01 if raw else None

    def run(index: int | list[int]) -> Result:
        return ReLUOptimizer(model, box, Output(index), dtype=torch.float64).maximize(
            "gradient_walk", x0=x0, restarts=2, iterations=8, learning_rate=rate, record_path=True
        )

    together = run([2, 0, 3])
    for row, index in enumerate((2, 0, 3)):
        alone = run(index)
        assert together.path is not None
        assert alone.path is not None
        torch.testing.assert_close(together.path[:, row], alone.path[:, 0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together.value[row], alone.value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together.bound[row], alone.bound, rtol=1e-12, atol=1e-12)


@few
@given(seed=seeds)
def test_a_batch_of_sets_gives_what_each_gives_alone(seed: int) -> None:
    """With raw steps, which do not depend on the scale that a batch shares."""
    model, boxes = random_network(3, 6, 1, seed=seed), random_box(seed, sets=4, dtype=torch.float64)
    x0 = boxes.sample(2, generator=torch.Generator().manual_seed(seed))

    def run(domain: Box, points: Tensor) -> Result:
        return ReLUOptimizer(model, domain, dtype=torch.float64).maximize(
            "gradient_walk", x0=points, restarts=2, iterations=8, learning_rate=0.01, record_path=True
        )

    together = run(boxes, x0)
    for row in range(4):
        alone = run(Box(boxes.lower[row, 0], boxes.upper[row, 0]), x0[row])
        assert together.path is not None
        assert alone.path is not None
        torch.testing.assert_close(together.path[:, row], alone.path[:, 0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together.value[row], alone.value, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together.bound[row], alone.bound, rtol=1e-12, atol=1e-12)


@every_method
@few
@given(nest=nests(longest=5), seed=seeds)
def test_the_value_is_the_models_own_forward_pass(method: str, nest: Nest, seed: int) -> None:
    box = Box(-2.0, 2.0, shape=nest.shape)
    with torch.no_grad():
        outputs = nest.model(box.center().double().view(1, *nest.shape)).numel()
    row = torch.randn(outputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    result = ReLUOptimizer(nest.model, box, Linear(row)).maximize(method, iterations=12, restarts=2, seed=seed)
    assert result.x.shape == nest.shape
    with torch.no_grad():
        own = nest.model(result.x.double()[None]).flatten()
    size = float(row.abs() @ own.abs()) + 1e-6
    assert abs(float(row @ own - result.value)) <= 1e-12 * size


@pytest.mark.slow
@every_method
@few
@given(seed=seeds, scale=st.sampled_from([1e-6, 1.0, 1e6]), sets=st.sampled_from([None, 1, 3]))
def test_an_answer_lies_in_its_box_exactly(method: str, seed: int, scale: float, sets: int | None) -> None:
    for dtype in (torch.float32, torch.float64):
        box = random_box(seed, sets=sets, dtype=dtype, scale=scale)
        result = ReLUOptimizer(random_network(3, 6, 1, seed=seed), box).maximize(
            method, iterations=steps(method, 25), restarts=3, seed=seed
        )
        assert result.x.dtype == dtype
        assert result.x.shape == ((3,) if sets is None else (sets, 3))
        low, high = (bound.reshape(result.x.shape) for bound in (box.lower, box.upper))
        assert bool(((low <= result.x) & (result.x <= high)).all())
        assert bool((result.violation == 0.0).all())


@pytest.mark.slow
@every_method
@settings(few, max_examples=4)
@given(seed=seeds)
def test_an_answer_lies_in_its_polytope_to_a_billionth(method: str, seed: int) -> None:
    polytope = random_polytope(seed)
    result = ReLUOptimizer(random_network(3, 6, 1, seed=seed), polytope).maximize(
        method, iterations=steps(method, 25), restarts=walkers(method), seed=seed
    )
    assert float(result.violation) <= 1e-9
    rows = polytope.linear_rows()
    sides = rows.A @ result.x
    assert bool((sides - rows.ub <= 1e-8).all())
    assert bool((rows.lb - sides <= 1e-8).all())


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kind"), METHODS_ON)
@settings(few, max_examples=3)
@given(seed=seeds)
def test_no_sample_and_no_answer_is_above_the_bound(method: str, kind: str, seed: int) -> None:
    model, domain = random_network(3, 6, 4, 1, seed=seed), random_set(kind, seed)
    result = ReLUOptimizer(model, domain).maximize(
        method, iterations=steps(method, 25), restarts=walkers(method), seed=seed
    )
    lowest = ReLUOptimizer(model, domain).minimize(
        method, iterations=steps(method, 25), restarts=walkers(method), seed=seed
    )
    assert lowest.bound <= lowest.value <= result.value <= result.bound
    generator = torch.Generator().manual_seed(seed)
    points = torch.cat([domain.sample(64, generator=generator), domain.corners(16, generator=generator)])
    with torch.no_grad():
        values = model(points.double())
    assert lowest.bound <= values.min()
    assert values.max() <= result.bound


@pytest.mark.slow
@settings(few, max_examples=15)
@given(seed=seeds)
def test_the_bound_holds_in_exact_arithmetic(seed: int) -> None:
    """The largest value of a random network of two inputs, in fractions, lies between value and bound."""
    model = random_network(2, 4, 3, 1, seed=seed)
    box = Box(torch.tensor([-1.0, -0.5]), torch.tensor([0.3, 2.0]))
    result = ReLUOptimizer(model, box, dtype=torch.float64).maximize(iterations=60, restarts=8, seed=seed)
    maximum = exact.maximum(exact.layers_of(model), box.lower, box.upper)
    assert maximum <= Fraction(float(result.bound))
    (at_x,) = exact.forward(exact.layers_of(model), result.x)
    assert at_x <= maximum
    assert abs(float(at_x) - float(result.value)) <= 1e-12 * (1 + abs(float(at_x)))


def usable(result: Result, model: nn.Module) -> None:
    """Use every tensor of a result in an autograd graph and in place, which an inference tensor refuses."""
    tensors = [result.x, result.value, result.bound, result.violation, result.gap, *vars(result.trace).values()]
    for tensor in (*tensors, *([] if result.path is None else [result.path])):
        assert not tensor.is_inference()
        assert not tensor.requires_grad
        tensor.add_(0)
    weight = next(model.parameters())
    (gradient,) = torch.autograd.grad(model(result.x.to(weight.dtype)).sum() * result.value.float(), weight)
    assert torch.isfinite(gradient).all()
    assert torch.autograd.grad(model(result.x.to(weight.dtype).requires_grad_()).sum(), weight)


@pytest.mark.slow
@every_method
@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_callers_in_inference_mode_or_without_gradients_are_served(method: str, context: type) -> None:
    model = random_network(3, 5, 1, seed=0, dtype=torch.float32)
    budget: dict[str, Any] = {"iterations": 15, "restarts": 3, "record_path": method in GRADIENT_WALKS}
    plain = ReLUOptimizer(model, Box(0.0, 1.0, shape=(3,))).maximize(method, **budget)
    with context():
        optimizer = ReLUOptimizer(model, Box(0.0, 1.0, shape=(3,)))
        inside = optimizer.maximize(method, **budget)
        lower, upper = optimizer.bounds()
    outside = optimizer.maximize(method, **budget)
    for made_inside in (lower, upper, optimizer.problem.objective, optimizer.problem.network.output.bias):
        assert not made_inside.is_inference()
    for result in (inside, outside):
        assert same(result, plain)
        usable(result, model)


def test_a_model_and_a_set_made_in_inference_mode_are_served() -> None:
    with torch.inference_mode():
        model = random_network(3, 5, 1, seed=0)
        domains = [random_set(kind, 0) for kind in ("box", "l2 ball", "linf ball", "polytope")]
        domains.append(Box(torch.zeros(2, 3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64)))
    for domain in domains:
        result = ReLUOptimizer(model, domain).maximize(iterations=15, restarts=3)
        assert not result.x.is_inference()
        assert torch.isfinite(result.value).all()


def test_weights_that_want_gradients_get_none_from_a_search() -> None:
    model = random_network(3, 5, 1, seed=0)
    ReLUOptimizer(model, Box(0.0, 1.0, shape=(3,))).maximize(iterations=15, restarts=3)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


@every_method
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_of_every_float_dtype_are_solved_for_their_stored_weights(method: str, dtype: torch.dtype) -> None:
    model = random_network(3, 5, 4, 1, seed=0, dtype=dtype)
    result = ReLUOptimizer(model, Box(0.0, 1.0, shape=(3,))).maximize(method, iterations=15, restarts=3)
    with torch.no_grad():
        own = model(result.x.to(dtype)[None])[0, 0].double()
        stored = model.double()(result.x[None])[0, 0]
    assert result.value == own <= result.bound
    # What the model rounds in its own dtype is all that is between its number and that of its weights.
    torch.testing.assert_close(own, stored, rtol=0, atol=16 * torch.finfo(dtype).eps)
