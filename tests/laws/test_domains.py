"""Laws that hold for every set of inputs."""

import itertools
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack.domains import Box, Domain, L1Ball, L2Ball, LInfBall, Polytope
from relu_attack.errors import DomainError

Maker = Callable[[np.random.Generator, torch.dtype, int | None], Domain]


def _center_and_clip(
    rng: np.random.Generator, dtype: torch.dtype, batch: int | None
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    size = (int(rng.integers(1, 6)),) if batch is None else (batch, int(rng.integers(1, 6)))
    center = torch.tensor(rng.normal(size=size))
    low = center - torch.tensor(rng.choice([-0.05, 0.0, 0.2, 3.0], size=size))
    high = torch.maximum(low, center) + torch.tensor(rng.choice([0.0, 0.3, 3.0], size=size))
    return center.to(dtype), (low.to(dtype), high.to(dtype))


def _box(rng: np.random.Generator, dtype: torch.dtype, batch: int | None) -> Domain:
    return Box(*_center_and_clip(rng, dtype, batch)[1])


def _ball(kind: type) -> Maker:
    def make(rng: np.random.Generator, dtype: torch.dtype, batch: int | None) -> Domain:
        center, clip = _center_and_clip(rng, dtype, batch)
        radius = rng.uniform(0.3, 2.0) if batch is None else rng.uniform(0.3, 2.0, size=batch)
        return kind(center, radius, clip=clip if rng.random() < 0.8 else None)  # type: ignore[no-any-return]

    return make


def _polytope(rng: np.random.Generator, dtype: torch.dtype, batch: int | None) -> Domain:
    inputs, rows = int(rng.integers(2, 7)), int(rng.integers(0, 6))
    equations = int(rng.integers(0, 3)) if inputs > 2 else 0
    return Polytope(*_polytope_arguments(rng, inputs, rows, equations, batch)).to(dtype=dtype)


def _polytope_arguments(
    rng: np.random.Generator, inputs: int, rows: int, equations: int, batch: int | None
) -> tuple[np.ndarray, ...]:
    leading = () if batch is None else (batch,)
    inside = rng.normal(size=(*leading, inputs))
    A, A_eq = rng.normal(size=(rows, inputs)), rng.normal(size=(equations, inputs))
    b = inside @ A.T + rng.choice([0.0, 0.1, 1.0], size=(*leading, rows))
    low, high = (rng.choice([0, 0.2, 2], size=(*leading, inputs)) for _ in range(2))
    return A, b, A_eq, inside @ A_eq.T, inside - low, inside + high


MAKERS: dict[str, Maker] = {
    "box": _box, "linf": _ball(LInfBall), "l2": _ball(L2Ball), "l1": _ball(L1Ball), "polytope": _polytope,
}  # fmt: skip
seeds = st.integers(0, 2**32 - 1)
every_set = pytest.mark.parametrize("name", MAKERS)
both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
few = settings(max_examples=12, deadline=None, derandomize=True)


def _case(name: str, seed: int, dtype: torch.dtype) -> tuple[Domain, np.random.Generator]:
    rng = np.random.default_rng(seed)
    batch = int(rng.integers(1, 4)) if rng.random() < 0.5 else None
    return MAKERS[name](rng, dtype, batch), rng


def _points(domain: Domain, rng: np.random.Generator, count: int = 6, spread: float = 2.0) -> torch.Tensor:
    leading = (count,) if domain.batch is None else (domain.batch, count)
    return torch.tensor(spread * rng.normal(size=(*leading, domain.inputs)), dtype=domain.dtype)


def _precision(domain: Domain) -> float:
    return 1e-9 if domain.dtype == torch.float64 else 2e-3


@pytest.mark.slow
@every_set
@both_dtypes
@given(seed=seeds)
@few
def test_projection_is_inside_and_idempotent(name: str, dtype: torch.dtype, seed: int) -> None:
    domain, rng = _case(name, seed, dtype)
    for spread in (0.1, 2.0, 1e3):
        nearest = domain.project(_points(domain, rng, spread=spread))
        assert nearest.dtype == dtype
        assert (domain.violation(nearest) <= domain.tolerance).all()
        again = domain.project(nearest)
        assert torch.equal(domain.project_(nearest.clone()), again)
        if name == "polytope":
            assert torch.allclose(again, nearest, rtol=0, atol=_precision(domain) / 100)
        else:
            assert torch.equal(again, nearest)


@every_set
@given(seed=seeds)
@few
def test_no_point_of_the_set_is_ahead_of_the_projection(name: str, seed: int) -> None:
    domain, rng = _case(name, seed, torch.float64)
    points = _points(domain, rng)
    nearest = domain.project(points)
    away = points - nearest
    # x is nearest to p exactly if (p - x) . z <= (p - x) . x for all z in the set.
    farthest = domain.maximizer(away)
    assert (away * (farthest - nearest)).sum(-1).max() <= 1e-8


@pytest.mark.slow
@every_set
@given(seed=seeds)
@settings(max_examples=5, deadline=None, derandomize=True)
def test_projection_and_support_agree_with_cvxpy(name: str, seed: int) -> None:
    cvxpy = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(seed)
    domain = MAKERS[name](rng, torch.float64, None)
    point, direction = _points(domain, rng, 2)
    x = cvxpy.Variable(domain.inputs)
    if isinstance(domain, L2Ball):
        rows = [
            cvxpy.norm(x - domain.center_point.numpy(), 2) <= float(domain.radius),
            *(
                [x >= domain.clip_low.numpy(), x <= domain.clip_high.numpy()]
                if domain.clip_low.isfinite().all()
                else []
            ),
        ]
    else:
        given_rows = domain.require_linear_rows()
        s = cvxpy.hstack([x, cvxpy.Variable(given_rows.auxiliary)]) if given_rows.auxiliary else x
        low, high = given_rows.lower.numpy(), given_rows.upper.numpy()
        finite_low, finite_high = np.flatnonzero(np.isfinite(low)), np.flatnonzero(np.isfinite(high))
        rows = [s[finite_low] >= low[finite_low], s[finite_high] <= high[finite_high]]
        matrix, limit, equation = (part.numpy() for part in given_rows.one_sided)
        if (~equation).any():
            rows.append(matrix[~equation] @ s <= limit[~equation])
        if equation.any():
            rows.append(matrix[equation] @ s == limit[equation])
    tight = {"solver": "CLARABEL", "tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}
    distance = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(x - point.numpy())), rows).solve(**tight)
    nearest = domain.project(point)
    assert float((nearest - point).square().sum()) == pytest.approx(distance, abs=1e-6)
    best = cvxpy.Problem(cvxpy.Maximize(direction.numpy() @ x), rows).solve(**tight)
    assert float(direction @ domain.maximizer(direction)) == pytest.approx(best, abs=1e-6)


@every_set
@both_dtypes
@given(seed=seeds)
@few
def test_projection_is_one_lipschitz(name: str, dtype: torch.dtype, seed: int) -> None:
    domain, rng = _case(name, seed, dtype)
    first, second = _points(domain, rng), _points(domain, rng)
    moved = (domain.project(first) - domain.project(second)).double().norm(dim=-1)
    assert (moved <= (first - second).double().norm(dim=-1) + _precision(domain)).all()


@every_set
@both_dtypes
@given(seed=seeds)
@few
def test_support_is_a_maximizer_inside_the_set(name: str, dtype: torch.dtype, seed: int) -> None:
    domain, rng = _case(name, seed, dtype)
    direction = _points(domain, rng)
    best = domain.maximizer(direction)
    assert best.shape == direction.shape
    assert (domain.violation(best) <= domain.tolerance).all()
    value = (direction * best).sum(-1, keepdim=True)
    others = domain.sample(40, generator=torch.Generator().manual_seed(seed % 1000))
    assert (direction @ others.mT <= value + _precision(domain)).all()
    # moving on in the direction gains nothing that the projection can keep
    gain = (direction * (domain.project(best + 0.1 * direction) - best)).sum(-1)
    assert (gain <= _precision(domain)).all()


@every_set
@both_dtypes
@given(seed=seeds)
@few
def test_max_step_is_the_last_step_inside(name: str, dtype: torch.dtype, seed: int) -> None:
    domain, rng = _case(name, seed, dtype)
    points = domain.sample(6, generator=torch.Generator().manual_seed(seed % 1000))
    direction = domain.maximizer(_points(domain, rng)) - points
    step = domain.max_step(points, direction)
    moving = torch.isfinite(step)
    assert (step >= 0).all()
    step = torch.where(moving, step, 0.0).unsqueeze(-1)
    slack = 1e-9 if dtype == torch.float64 else 2e-5
    assert (domain.violation(points + step * direction) <= slack).all()
    long = direction.abs().amax(-1) > 0.1
    beyond = points + (step + 0.02) * direction
    assert (domain.violation(beyond) > 0)[long].all()
    assert (domain.max_step(points, torch.zeros_like(points)) == torch.inf).all()
    assert (domain.max_step(points + 1e3, direction) == 0).all()


@every_set
@both_dtypes
@given(seed=seeds)
@few
def test_samples_corners_and_center_are_inside(name: str, dtype: torch.dtype, seed: int) -> None:
    domain, _ = _case(name, seed, dtype)
    leading = () if domain.batch is None else (domain.batch,)
    draws = [domain.sample(8, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(draws[0], draws[1])
    assert draws[0].shape == (*leading, 8, domain.inputs)
    for points in (draws[0], domain.corners(3, generator=torch.Generator().manual_seed(1)), domain.center()):
        assert points.dtype == dtype
        assert (domain.violation(points) <= domain.tolerance).all()
        assert (domain.bounding_box().violation(points) <= domain.tolerance).all()


@every_set
@given(seed=seeds)
@few
def test_the_bounding_box_is_the_smallest(name: str, seed: int) -> None:
    domain, _ = _case(name, seed, torch.float64)
    box, axes = domain.bounding_box(), torch.eye(domain.inputs, dtype=torch.float64)
    axes = axes if domain.batch is None else axes.expand(domain.batch, -1, -1)
    for sign, bound in ((1, box.upper), (-1, box.lower)):
        end = domain.maximizer(sign * axes).diagonal(dim1=-2, dim2=-1)
        bound = bound if domain.batch is None else bound.squeeze(1)
        assert torch.allclose(end, bound, rtol=0, atol=1e-9)


@every_set
@given(seed=seeds)
@few
def test_normalized_coordinates_go_there_and_back(name: str, seed: int) -> None:
    domain, rng = _case(name, seed, torch.float64)
    scaled, scale, shift = domain.normalized()
    assert scale.shape == shift.shape == (domain.inputs,)
    assert (scale > 0).all()
    width = scaled.bounding_box().upper - scaled.bounding_box().lower
    assert width.max() <= 1 + 1e-6
    points = domain.sample(8)
    assert (scaled.violation((points - shift) / scale) <= 1e-9).all()
    there = scaled.project(_points(domain, rng))
    assert (domain.violation(shift + scale * there) <= 1e-9).all()
    outside = domain.project(points) + 10 * (1 + domain.bounding_box().upper.abs().max())
    assert (scaled.violation((outside - shift) / scale) > 0).all()


@every_set
@given(seed=seeds)
@few
def test_another_dtype_is_the_same_set_up_to_rounding(name: str, seed: int) -> None:
    domain, rng = _case(name, seed, torch.float64)
    copy = domain.to(dtype=torch.float32)
    assert copy.dtype == torch.float32
    assert (copy.shape, copy.batch, type(copy).__mro__[-3]) == (domain.shape, domain.batch, type(domain).__mro__[-3])
    points = _points(domain, rng)
    assert torch.allclose(copy.project(points).double(), domain.project(points), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["box", "linf", "l2", "l1"])
@given(seed=seeds)
@few
def test_a_batch_gives_what_its_sets_give_alone(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    center, clip = _center_and_clip(rng, torch.float64, 3)
    kind = {"linf": LInfBall, "l2": L2Ball, "l1": L1Ball}.get(name)
    sets = Box(*clip) if kind is None else kind(center, [0.3, 1.0, 2.0], clip=clip)
    points, direction = _points(sets, rng), _points(sets, rng)
    for i, radius in enumerate([0.3, 1.0, 2.0]):
        bounds = (clip[0][i], clip[1][i])
        alone = Box(*bounds) if kind is None else kind(center[i], radius, clip=bounds)
        assert torch.allclose(sets.project(points)[i], alone.project(points[i]), atol=1e-12)
        assert torch.allclose(sets.maximizer(direction)[i], alone.maximizer(direction[i]), atol=1e-12)
        inside = sets.project(points)
        assert torch.allclose(sets.max_step(inside, direction)[i], alone.max_step(inside[i], direction[i]), atol=1e-9)


@pytest.mark.slow
@given(seed=seeds)
@settings(max_examples=5, deadline=None, derandomize=True)
def test_a_batch_of_polytopes_gives_what_its_sets_give_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, b, A_eq, b_eq, lower, upper = _polytope_arguments(rng, 5, 4, int(rng.integers(0, 2)), 3)
    sets = Polytope(A, b, A_eq, b_eq, lower, upper)
    points, direction = _points(sets, rng), _points(sets, rng)
    inside, box = sets.project(points), sets.bounding_box()
    for i in range(3):
        alone = Polytope(A, b[i], A_eq, b_eq[i], lower[i], upper[i])
        assert torch.allclose(inside[i], alone.project(points[i]), rtol=0, atol=1e-11)
        assert torch.allclose(sets.project(points[0])[i], alone.project(points[0]), rtol=0, atol=1e-11)
        assert torch.allclose(sets.maximizer(direction)[i], alone.maximizer(direction[i]), rtol=0, atol=1e-11)
        assert torch.allclose(
            sets.max_step(inside, direction)[i], alone.max_step(inside[i], direction[i]), rtol=0, atol=1e-11
        )
        assert torch.allclose(sets.violation(points)[i], alone.violation(points[i]), rtol=0, atol=1e-11)
        assert torch.allclose(sets.upper_bound(direction)[i], alone.upper_bound(direction[i]), rtol=0, atol=1e-11)
        assert torch.allclose(box.lower[i, 0], alone.bounding_box().lower, rtol=0, atol=1e-11)
        assert torch.allclose(sets.single(i).linear_rows().ub, alone.linear_rows().ub, rtol=0, atol=1e-11)  # type: ignore[union-attr]
        assert torch.allclose(sets.take(torch.tensor([i])).project(points[i])[0], inside[i], rtol=0, atol=1e-11)
    assert torch.allclose(sets.take(slice(1, 3)).project(points[1:]), inside[1:], rtol=0, atol=1e-11)


def _with_whole_inputs(name: str, rng: np.random.Generator, dtype: torch.dtype) -> Domain:
    """Return a set with whole inputs 0 and 1, a group 2 to 4, and two more inputs."""
    middle = rng.normal(size=7) * 2
    low, high = middle - rng.choice([0.5, 1.5], size=7), middle + rng.choice([0.5, 1.5], size=7)
    low[2:5], high[2:5] = 0.0, 1.0
    if name == "box":
        batch = int(rng.integers(1, 3))
        low, high = (torch.tensor(np.tile(bound, (batch, 1))) for bound in (low, high))
        return Box(low, high, integer=[1, 0], one_hot=[[2, 4, 3]]).to(dtype=dtype)
    whole = np.concatenate([np.round(middle[:2]), np.eye(3)[rng.integers(3)], middle[5:]])
    A, A_eq = rng.normal(size=(3, 7)), rng.normal(size=(1, 7)) * rng.choice([0.0, 1.0])
    b = A @ whole + rng.choice([0.0, 0.1, 1.0], size=3)
    polytope = Polytope(A, b, A_eq, A_eq @ whole, low, high, integer=[1, 0], one_hot=[[2, 4, 3]])
    return polytope.to(dtype=dtype)


@pytest.mark.parametrize("name", ["box", "polytope"])
@both_dtypes
@given(seed=seeds)
@few
def test_rounded_points_are_inside_and_exactly_whole_and_stay(name: str, dtype: torch.dtype, seed: int) -> None:
    domain = _with_whole_inputs(name, np.random.default_rng(seed), dtype)
    points = domain.sample(6, generator=torch.Generator().manual_seed(seed % 1000))
    rounded = domain.round(points)
    assert rounded.shape == points.shape
    assert rounded.dtype == dtype
    assert (domain.violation(rounded) <= domain.tolerance).all()
    assert (domain.integrality(rounded) == 0).all()
    assert (rounded[..., :2] == rounded[..., :2].round()).all()
    assert (rounded[..., 2:5].sort().values == torch.tensor([0.0, 0.0, 1.0])).all()
    assert torch.equal(domain.round(rounded), rounded)


@pytest.mark.slow
@given(seed=seeds)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_polytope_has_the_integral_points_that_enumeration_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, thin = int(rng.integers(2, 4)), rng.random() < 0.5
    low, high = np.zeros(inputs), np.full(inputs, 3.0)
    direction, inside = rng.normal(size=(2, inputs)), rng.uniform(0, 3, size=inputs)
    width = rng.choice([0.02, 0.1]) if thin else 1.0
    A, b = np.concatenate([direction, -direction]), np.concatenate([direction @ inside, -direction @ inside]) + width
    every = np.array(list(itertools.product(range(4), repeat=inputs)))
    feasible = every[(every @ A.T <= b).all(1)]
    if len(feasible) == 0:
        with pytest.raises(DomainError, match="has points, but none with whole numbers"):
            Polytope(A, b, lower=low, upper=high, integer=range(inputs))
        return
    polytope = Polytope(A, b, lower=low, upper=high, integer=range(inputs))
    points = polytope.sample(4, generator=torch.Generator().manual_seed(seed % 1000))
    found, candidates = polytope.round(points), torch.tensor(feasible)
    assert (found[:, None] == candidates).all(-1).any(-1).all()
    distance = (points[:, None] - candidates).abs().sum(-1).amin(-1)
    assert torch.allclose((found - points).abs().sum(-1), distance, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["box", "polytope"])
@given(seed=seeds)
@few
def test_held_inputs_stay_and_the_rest_of_the_set_is_that_of_the_whole(name: str, seed: int) -> None:
    domain = _with_whole_inputs(name, np.random.default_rng(seed), torch.float64)
    point = domain.single(0).round(domain.single(0).sample(1))[0]
    index = list(domain.integer)
    held = domain.with_fixed(index, point[index])
    points = held.project(domain.sample(4) * 3)
    assert (points[..., index] == point[index]).all()
    assert domain.contains(points).all()
    assert held.contains(point).all()
    assert torch.equal(held.round(points), points)


@every_set
@both_dtypes
@given(seed=seeds)
@few
def test_upper_bounds_are_those_of_the_best_points(name: str, dtype: torch.dtype, seed: int) -> None:
    domain, rng = _case(name, seed, dtype)
    rows = _points(domain, rng).double()
    before = rows.clone()
    bound = domain.upper_bound(rows)
    assert torch.equal(rows, before)
    assert bound.shape == rows.shape[:-1]
    best = (rows * domain.to(dtype=torch.float64).maximizer(rows)).sum(-1)
    slack = 1e-7 * (1 + rows.abs().sum(-1)) if dtype == torch.float64 else 1e-4 * (1 + rows.abs().sum(-1))
    assert bool((best <= bound + 1e-12).all())
    if name != "l2":  # the smaller of ball and clip box, not that of both
        assert bool((bound <= best + slack).all())
    if domain.batch is not None:
        for index in range(domain.batch):
            assert torch.allclose(domain.single(index).upper_bound(rows[index]), bound[index], rtol=1e-12, atol=1e-12)


@every_set
@given(seed=seeds)
@few
def test_an_excluded_box_holds_no_point_and_a_far_one_is_excluded(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    domain = MAKERS[name](rng, torch.float64, None)
    points = domain.sample(8, generator=torch.Generator().manual_seed(seed % 1000))
    width = torch.tensor(rng.uniform(0, 0.5, size=points.shape))
    assert not bool(domain.excludes(points - width, points + width).any())
    if name != "polytope" or domain.linear_rows().A.shape[0]:  # type: ignore[union-attr]
        box = domain.bounding_box()
        far = box.upper + 1e3 * (1 + box.upper.abs())
        found = bool(domain.excludes(far[None], far[None] + 1).any())
        assert found or name == "polytope"


@every_set
@given(seed=seeds)
@few
def test_a_set_says_what_it_is_in_one_short_line_and_survives_pickling(name: str, seed: int) -> None:
    domain, rng = _case(name, seed, torch.float32)
    line = repr(domain)
    assert line.startswith(f"{type(domain).__name__}(")
    assert f"inputs={domain.inputs}" in line
    assert "dtype=float32" in line
    assert "\n" not in line
    assert len(line) < 120
    domain.upper_bound(_points(domain, rng))
    again = pickle.loads(pickle.dumps(domain))
    points = _points(domain, rng)
    assert torch.equal(again.project(points), domain.project(points))
    assert torch.equal(again.bounding_box().lower, domain.bounding_box().lower)
    assert repr(again) == line
