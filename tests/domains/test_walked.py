"""Sets as walkers meet them: projections that close in on the set, starts and widths without linear programs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.domains.polytope import _form, _splitting
from relu_attack.programs import LinearProgramSequence


def random_polytope(inputs: int, rows: int, equations: int, seed: int) -> ra.Polytope:
    """A polytope around a random point of the unit box."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows + equations, inputs, generator=generator, dtype=torch.float64)
    inside = 0.2 + 0.6 * torch.rand(inputs, generator=generator, dtype=torch.float64)
    room = 0.3 * torch.rand(rows, generator=generator, dtype=torch.float64) * matrix[:rows].norm(dim=1)
    return ra.Polytope(
        matrix[:rows], matrix[:rows] @ inside + room, matrix[rows:], matrix[rows:] @ inside, lower=0.0, upper=1.0
    )


def sparse_polytope(inputs: int, rows: int, equations: int) -> ra.Polytope:
    """A polytope with one in twenty entries of its rows filled."""
    generator = torch.Generator().manual_seed(inputs + rows)
    matrix = torch.randn(rows + equations, inputs, generator=generator, dtype=torch.float64)
    matrix[:rows] *= torch.rand(rows, inputs, generator=generator) < 0.05
    matrix[:rows, 0] = 1.0
    sides = matrix.sum(1) / 2
    return ra.Polytope(matrix[:rows], sides[:rows] + 0.2, matrix[rows:], sides[rows:], lower=0.0, upper=1.0)


def slab(inputs: int = 10, width: float = 1e-5) -> ra.Polytope:
    """The unit box between two parallel planes."""
    row = torch.randn(1, inputs, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    middle = row.sum(1) / 2
    return ra.Polytope(torch.cat([row, -row]), torch.cat([middle + width, width - middle]), lower=0.0, upper=1.0)


SHAPES = ((4, 3, 0), (4, 3, 1), (3, 12, 0), (5, 12, 2), (6, 0, 2), (5, 5, 1))


def every(points: Tensor) -> Tensor:
    return torch.ones(len(points), dtype=torch.bool)


@given(st.sampled_from(SHAPES), st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_rounds_lead_to_the_nearest_point(shape: tuple[int, int, int], seed: int) -> None:
    scaled, _, _ = random_polytope(*shape, seed).normalized()
    points = 2 * torch.randn(8, shape[0], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found, exact = scaled._walked.splitting.nearest(points, rounds=1000), scaled.project(points)
    assert bool(scaled.contains(found, tolerance=2e-3).all())
    assert torch.allclose((found - points).norm(dim=1), (exact - points).norm(dim=1), rtol=2e-3)


@given(st.sampled_from(SHAPES), st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_a_violation_is_that_of_the_points_and_closes_where_they_stand(shape: tuple[int, int, int], seed: int) -> None:
    scaled, _, _ = random_polytope(*shape, seed).normalized()
    walked = scaled.walked(8, products=10**6)
    generator = torch.Generator().manual_seed(seed)
    x = walked.begin(walked.sample(generator))
    for _ in range(30):
        x = x + 0.3 * walked.tangent(torch.randn(x.shape, generator=generator, dtype=torch.float64))
        walked.project_(x)
    form = scaled._walked.splitting
    beyond = torch.linalg.vector_norm(x - x.clamp(form.low, form.high), dim=1, keepdim=True)
    excess = (x @ form.rows.T - form.values[: form.count]) / form.rows.norm(dim=1)
    rows = excess.clamp_min(0).amax(1, keepdim=True) if form.count else 0.0
    assert walked.violation is not None
    # A violation is of the rows and bounds; the set may be farther away.
    assert bool((walked.violation >= (beyond + rows) * (1 - 1e-9)).all())
    assert bool((walked.violation <= 100 * (beyond + rows) + 1e-12).all())
    for _ in range(5):
        x = walked.settle(every(x), x)
    assert walked.violation is not None
    assert float(walked.violation.max()) < 1e-4


def test_steps_stay_on_the_equations() -> None:
    scaled, _, _ = random_polytope(8, 3, 3, 0).normalized()
    walked, equations = scaled.walked(5, products=10**6), scaled._walked.splitting.equations
    generator = torch.Generator().manual_seed(0)
    x = walked.begin(walked.sample(generator))
    gradient = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    assert float((walked.tangent(gradient) @ equations.T).abs().max()) < 1e-12
    x += gradient
    walked.project_(x)
    assert float((x @ equations.T).abs().max()) < 1e-12


def test_only_the_chosen_walkers_move() -> None:
    scaled, _, _ = random_polytope(6, 5, 0, 1).normalized()
    walked = scaled.walked(4, products=10**6)
    x = walked.begin(walked.sample(torch.Generator().manual_seed(0)))
    chosen = torch.tensor([True, False, False, True])
    walked.project_(x + 1.0)
    for moved in (walked.settle(chosen, x + 1.0), walked.restart(chosen, x + 1.0)):
        assert torch.equal(moved[~chosen], (x + 1.0)[~chosen])
        assert not torch.equal(moved[chosen], (x + 1.0)[chosen])


@pytest.mark.parametrize("inputs", [6, 150])
def test_a_single_walker_that_is_not_chosen_stays(inputs: int) -> None:
    scaled, _, _ = sparse_polytope(inputs, 160, 0).normalized()
    walked = scaled.walked(1, products=10**6)
    x = walked.begin(walked.sample(torch.Generator().manual_seed(0)))
    walked.project_(x)
    before, violation = x + 1.0, walked.violation
    none = torch.tensor([False])
    for moved in (walked.settle(none, before), walked.restart(none, before)):
        assert torch.equal(moved, before)
        assert torch.equal(walked.violation, violation)
    assert not torch.equal(walked.settle(~none, before), before)


def some_steps(polytope: ra.Polytope, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Points and violations of six walkers after each of some steps, of which some are taken back or begun anew."""
    scaled = polytope.normalized()[0].to(dtype=dtype)
    walked = scaled.walked(6, products=10**6)
    generator = torch.Generator().manual_seed(0)
    x = walked.begin(walked.sample(generator))
    points, violations = [], []
    for number in range(12):
        x = x + 0.2 * walked.tangent(torch.randn(x.shape, generator=generator, dtype=dtype))
        walked.project_(x)
        if number % 3 == 0:
            chosen = torch.arange(6) % 3 == number % 4
            walked.place(chosen, x)
            x = walked.restart(~chosen, walked.settle(~chosen, x))
        violation = walked.violation
        assert violation is not None
        points.append(x.clone())
        violations.append(violation)
    return torch.stack(points), torch.stack(violations)


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="compressed rows need MKL")
@pytest.mark.parametrize(("inputs", "rows", "equations"), [(140, 160, 0), (150, 180, 3), (200, 130, 0), (200, 130, 4)])
def test_steps_with_compressed_rows_are_those_with_dense_ones(
    inputs: int, rows: int, equations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    polytope = sparse_polytope(inputs, rows, equations)
    scaled = polytope.normalized()[0]
    assert scaled._walked.splitting._sparse
    for dtype, error in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
        compressed = some_steps(polytope, dtype)
        with monkeypatch.context() as patch:
            patch.setattr(_splitting, "_SPARSE_FILL", 0.0)
            dense = some_steps(polytope, dtype)
        for one, other in zip(compressed, dense, strict=True):
            assert torch.allclose(one, other, rtol=error, atol=error)


@given(st.sampled_from(SHAPES), st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_one_product_does_what_those_of_a_round_do(shape: tuple[int, int, int], seed: int) -> None:
    polytope = random_polytope(*shape, seed)
    together = some_steps(polytope, torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_splitting, "_FEW", -1)
        apart = some_steps(polytope, torch.float64)
    for one, other in zip(together, apart, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def test_starts_and_widths_need_no_linear_program(monkeypatch: pytest.MonkeyPatch) -> None:
    polytope = random_polytope(12, 30, 1, 2)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a linear program")

    monkeypatch.setattr(_form, "minimize_linear", refuse)
    monkeypatch.setattr(LinearProgramSequence, "minimize", refuse)
    scaled, scale, shift = polytope.normalized()
    walked = scaled.walked(10, products=10**6)
    generator = torch.Generator().manual_seed(0)
    starts = torch.cat([walked.sample(generator), walked.corners(5, generator), walked.center()[None]])
    assert bool(polytope.contains(shift + scale * starts, tolerance=3e-2).all())
    box = polytope.outer_box()
    assert bool((polytope.center() >= box.lower).all() and (polytope.center() <= box.upper).all())


def test_widths_are_about_those_of_the_set() -> None:
    box = ra.Polytope(torch.ones(1, 8), [100.0], lower=-2.0, upper=[2.0] * 4 + [6.0] * 4)
    widths = torch.tensor([4.0] * 4 + [8.0] * 4, dtype=torch.float64)
    assert torch.allclose(box.widths(), widths, rtol=0.1)
    simplex = ra.Polytope(A_eq=torch.ones(1, 100), b_eq=[1.0], lower=0.0)
    assert 1.0 < float(torch.linalg.vector_norm(simplex.widths())) < 2.5  # two corners are the root of 2 apart


def test_a_box_of_single_rows_holds_the_set_and_knows_what_they_limit() -> None:
    matrix = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]], dtype=torch.float64)
    polytope = ra.Polytope(matrix, [3.0, 0.5], lower=[0.0, 0.0, 0.0], upper=[float("inf"), 10.0, 1.0])
    box = polytope.outer_box()
    assert torch.allclose(box.upper, torch.tensor([3.0, 1.5, 1.0], dtype=torch.float64), atol=1e-9)
    assert bool((box.upper >= torch.tensor([3.0, 1.5, 1.0], dtype=torch.float64)).all())


@given(st.sampled_from(SHAPES), st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_no_vertex_lies_outside_of_an_outer_box(shape: tuple[int, int, int], seed: int) -> None:
    polytope = random_polytope(*shape, seed)
    box, smallest = polytope.outer_box(), polytope.bounding_box()
    assert bool((box.lower <= smallest.lower + 1e-12).all() and (box.upper >= smallest.upper - 1e-12).all())


@pytest.mark.parametrize("method", ["gradient_walk", "ppga", "ppga_lr", "auto"])
@pytest.mark.parametrize("polytope", [random_polytope(12, 40, 1, 4), random_polytope(20, 5, 8, 5), slab()])
def test_walks_find_the_maximum_of_a_linear_function(method: str, polytope: ra.Polytope) -> None:
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(polytope.inputs, 1, bias=False).double()
    nn.init.normal_(model.weight, generator=generator)
    best = model(polytope.maximizer(model.weight.detach())).item()
    least = model(polytope.maximizer(-model.weight.detach())).item()
    result = ra.maximize(model, polytope, method=method, restarts=8, iterations=600, time_limit=60.0, seed=0)
    share = 0.99 if method == "gradient_walk" else 0.999
    assert result.value >= least + share * (best - least)
    assert bool(polytope.contains(torch.as_tensor(result.x)).all())


def test_a_walk_along_a_thin_slab_is_not_pulled_to_its_interior_point() -> None:
    polytope = slab(30)
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 1))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    results = [
        ra.maximize(model, polytope, method="ppga_lr", restarts=16, iterations=800, seed=0, dtype=dtype).value
        for dtype in (torch.float32, torch.float64)
    ]
    assert np.isclose(*results, rtol=2e-2)


@pytest.mark.parametrize("equations", [0, 7])
def test_a_large_polytope_is_made_without_a_linear_program(equations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a linear program")

    monkeypatch.setattr(_form, "minimize_linear", refuse)
    polytope = random_polytope(120, 200, equations, 6)
    assert bool(polytope.contains(polytope.center()))


def test_a_large_polytope_without_room_is_made_by_linear_programs() -> None:
    row = torch.randn(1, 200, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    rows = torch.cat([row, -row, torch.eye(200, dtype=torch.float64)])
    sides = torch.cat([row.sum(1) / 2, -row.sum(1) / 2, torch.ones(200, dtype=torch.float64)])
    flat = ra.Polytope(rows, sides, lower=0.0, upper=1.0)
    assert flat._form.E.shape == (1, 200)
    with pytest.raises(ra.DomainError, match="infeasible"):
        ra.Polytope(rows, sides - torch.tensor([1.0, 1.0, *[0.0] * 200], dtype=torch.float64), lower=0.0, upper=1.0)
