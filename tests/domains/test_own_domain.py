"""A set of a user's own, outside the package: it works with every method and bound that needs no linear rows."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.bounds import BOUNDS
from relu_attack.domains import Domain, LinearConstraints
from relu_attack.errors import DomainError


class Ellipsoid(Domain):
    """An axis-aligned ellipsoid; only what is abstract in `Domain` is here."""

    def __init__(self, center: Tensor, axes: Tensor) -> None:
        self.middle, self.axes, self.shape = center, axes, tuple(center.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.middle.dtype

    @property
    def device(self) -> torch.device:
        return self.middle.device

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Ellipsoid:
        return type(self)(self.middle.to(device, dtype), self.axes.to(device, dtype))

    def size(self, points: Tensor) -> Tensor:
        length: Tensor = torch.linalg.vector_norm((points.to(self.dtype) - self.middle) / self.axes, dim=-1)
        return length

    def project(self, points: Tensor) -> Tensor:
        """Pull points straight to the middle: not the nearest point, but one of the set."""
        points, size = points.to(self.dtype), self.size(points).unsqueeze(-1)
        return torch.where(size > 1, self.middle + (points - self.middle) / (size * (1 + 1e-6)), points)

    def violation(self, points: Tensor) -> Tensor:
        return (self.size(points) - 1).clamp_min(0)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        direction = torch.randn(count, self.inputs, generator=generator, dtype=torch.float64).to(self.dtype)
        share = torch.rand(count, 1, generator=generator, dtype=torch.float64).to(self.dtype) ** (1 / self.inputs)
        return self.project(self.middle + share * self.axes * direction / direction.norm(dim=-1, keepdim=True))

    def maximizer(self, direction: Tensor) -> Tensor:
        slope = self.axes * direction.to(self.dtype)
        return self.project(self.middle + self.axes * slope / slope.norm(dim=-1, keepdim=True).clamp_min(1e-30))

    def bounding_box(self) -> ra.Box:
        room = 1e-6 * self.axes
        return ra.Box(self.middle - self.axes - room, self.middle + self.axes + room, shape=self.shape)

    def normalized(self) -> tuple[Ellipsoid, Tensor, Tensor]:
        scale = 2 * float(self.axes.max())
        scaled = type(self)(0 * self.middle, self.axes / scale)
        return scaled, torch.full_like(self.middle, scale), self.middle.clone()


class BoundedEllipsoid(Ellipsoid):
    """The same, with a bound of linear functions better than that of its box."""

    def upper_bound(self, coefficients: Tensor) -> Tensor:
        reach = torch.linalg.vector_norm(coefficients * self.axes, dim=-1)
        value = coefficients @ self.middle + reach
        return value + 1e-9 * (coefficients.abs() @ (self.middle.abs() + self.axes))


class RoundEllipsoid(BoundedEllipsoid):
    """The same, which knows what boxes it does not meet, too."""

    def excludes(self, lower: Tensor, upper: Tensor) -> Tensor:
        return self.size(torch.clamp(self.middle, lower, upper)) > 1 + 1e-9


class Simplex(Domain):
    """A set of a user's own that has linear rows; by an inner Polytope, as a user might do it."""

    def __init__(self, inner: ra.Polytope) -> None:
        self.inner, self.shape = inner, inner.shape

    dtype = property(lambda self: self.inner.dtype)  # type: ignore[assignment]
    device = property(lambda self: self.inner.device)  # type: ignore[assignment]

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Simplex:
        return Simplex(self.inner.to(device=device, dtype=dtype))

    def project(self, points: Tensor) -> Tensor:
        return self.inner.project(points)

    def violation(self, points: Tensor) -> Tensor:
        return self.inner.violation(points)

    @property
    def tolerance(self) -> float:
        return self.inner.tolerance

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample(count, generator=generator)

    def maximizer(self, direction: Tensor) -> Tensor:
        return self.inner.maximizer(direction)

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        return self.inner.max_step(points, direction)

    def bounding_box(self) -> ra.Box:
        return self.inner.bounding_box()

    def normalized(self) -> tuple[Domain, Tensor, Tensor]:
        return self.inner.normalized()

    def linear_rows(self) -> LinearConstraints:
        return LinearConstraints(torch.ones(1, self.inputs), 1.0, 1.0, lower=0.0, upper=1.0)


def network() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def ellipsoid(kind: type[Ellipsoid] = Ellipsoid) -> Ellipsoid:
    return kind(torch.tensor([0.1, 0.0, -0.2, 0.0]).double(), torch.tensor([1.0, 0.5, 0.3, 0.2]).double())


KINDS = [Ellipsoid, RoundEllipsoid]
WITHOUT_ROWS = ["gradient_walk", "ppga", "ppga_lr", "auto", "branch_and_bound"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", WITHOUT_ROWS)
def test_every_method_without_programs_answers_within_the_set_and_its_bound(kind: type[Ellipsoid], method: str) -> None:
    model, domain = network(), ellipsoid(kind)
    result = ra.maximize(model, domain, method=method, iterations=30, seed=0)
    assert bool(domain.contains(result.x))
    assert float(result.value) == pytest.approx(float(model(result.x)[0].detach()), abs=1e-12)
    with torch.no_grad():
        best = float(model(domain.sample(2000, generator=torch.Generator().manual_seed(1)))[:, 0].max())
        middle = float(model(domain.middle)[0])
    assert best <= float(result.bound)
    assert middle <= float(result.value) <= float(result.bound)
    if method in ("ppga_lr", "auto"):
        assert float(result.value) >= best - 0.02


def test_boxes_that_the_set_excludes_leave_a_better_bound() -> None:
    plain, bounded, round_ = (
        float(ra.maximize(network(), ellipsoid(kind), method="branch_and_bound", iterations=30).bound)
        for kind in (Ellipsoid, BoundedEllipsoid, RoundEllipsoid)
    )
    # The separating halfspaces of the default come from its bounds; they exclude about as much as the set itself does.
    assert round_ < plain - 0.05
    assert bounded < plain - 0.05


def test_no_box_with_a_point_of_the_set_is_excluded_by_its_halfspaces() -> None:
    domain, generator = ellipsoid(BoundedEllipsoid), torch.Generator().manual_seed(0)
    points = domain.sample(400, generator=generator)
    width = 0.2 * torch.rand(400, 4, generator=generator, dtype=torch.float64)
    assert not bool(domain.excludes(points - width, points + 3 * width).any())
    corner = domain.bounding_box().upper
    assert bool(domain.excludes(corner[None] - 0.02, corner[None]).all())


def test_the_default_step_ends_on_the_boundary() -> None:
    domain, generator = ellipsoid(), torch.Generator().manual_seed(0)
    points, direction = domain.sample(50, generator=generator), domain.sample(50, generator=generator)
    step = domain.max_step(points, direction).unsqueeze(-1)
    assert bool(domain.contains(points + step * direction).all())
    assert not bool(domain.contains(points + (1 + 1e-9) * step * direction).any())
    assert bool(domain.max_step(points, 0 * direction).isinf().all())
    assert float(domain.max_step(domain.bounding_box().upper, direction[0])) == 0


@pytest.mark.parametrize("method", ["lp_walk", "milp_walk", "milp"])
def test_a_method_by_programs_names_what_the_set_lacks(method: str) -> None:
    with pytest.raises(DomainError, match=rf"^{method} needs a set with linear rows, which Ellipsoid has not"):
        ra.maximize(network(), ellipsoid(), method=method, iterations=5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", BOUNDS)
def test_every_bound_holds_on_samples(kind: type[Ellipsoid], method: str) -> None:
    model, domain = network(), ellipsoid(kind)
    lower, upper = ra.output_bounds(model, domain, method)
    with torch.no_grad():
        values = model(domain.sample(3000, generator=torch.Generator().manual_seed(2)))
    assert bool((values.amin(0) >= lower).all())
    assert bool((values.amax(0) <= upper).all())
    if method in ("crown", "lp"):
        box_lower, box_upper = ra.output_bounds(model, domain.bounding_box(), method)
        assert bool((lower >= box_lower - 1e-9).all())
        assert bool((upper <= box_upper + 1e-9).all())


@pytest.mark.parametrize("kind", KINDS)
def test_a_claim_is_verified_or_falsified_by_a_witness_of_the_set(kind: type[Ellipsoid]) -> None:
    model, domain = network(), ellipsoid(kind)
    _, upper = ra.output_bounds(model, domain, "crown")
    assert (
        ra.verify(model, domain, ra.Specification.require([1.0, 0.0], float(upper[0]) + 0.1)).verdict
        is ra.Verdict.VERIFIED
    )
    with torch.no_grad():
        middle = float(model(domain.middle)[0])
    broken = ra.verify(model, domain, ra.Specification.require([1.0, 0.0], middle - 0.01))
    assert broken.verdict is ra.Verdict.FALSIFIED
    assert broken.witness is not None
    assert bool(domain.contains(broken.witness))


@pytest.mark.parametrize("method", ["ppga_lr", "auto", "lp_walk", "milp_walk", "milp", "branch_and_bound"])
def test_a_set_that_has_rows_works_with_every_method(method: str) -> None:
    model, domain = network(), Simplex(ra.Polytope(A_eq=torch.ones(1, 4), b_eq=[1.0], lower=0.0, upper=1.0))
    result = ra.maximize(model, domain, method=method, iterations=20, seed=0)
    assert bool(domain.contains(result.x))
    with torch.no_grad():
        best = float(model(domain.sample(2000, generator=torch.Generator().manual_seed(1)))[:, 0].max())
    assert best - 0.05 <= float(result.value) <= float(result.bound)
    assert best <= float(result.bound)


def test_the_defaults_are_those_of_the_bounding_box() -> None:
    domain, box = ellipsoid(), ellipsoid().bounding_box()
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert bool((domain.upper_bound(rows) >= (rows * box.maximizer(rows)).sum(-1)).all())
    assert bool(domain.excludes(box.upper[None] + 1, box.upper[None] + 2).all())
    assert not bool(domain.excludes(box.upper[None] - 0.01, box.upper[None]).any())
    with pytest.raises(DomainError, match=r"^Ellipsoid is not polyhedral: it has no linear rows; .*$"):
        domain.require_linear_rows()
    assert domain.linear_rows() is None
    assert not domain.is_polyhedral
    assert not domain.is_box
    points = domain.sample(6, generator=torch.Generator().manual_seed(0))
    assert bool(domain.contains(domain.ascend(points, rows[:1], 3.0)).all())


def test_a_set_says_what_it_is_in_one_line_and_survives_pickling() -> None:
    assert repr(ellipsoid()) == "Ellipsoid(inputs=4, shape=(4,), dtype=float64)"
    again = pickle.loads(pickle.dumps(ellipsoid()))
    assert torch.equal(again.axes, ellipsoid().axes)


def test_old_names_work_for_one_release() -> None:
    with pytest.warns(DeprecationWarning, match="Old.support is deprecated: it is called maximizer now"):

        class Old(Ellipsoid):
            def support(self, direction: Tensor) -> Tensor:
                return Ellipsoid.maximizer(self, -direction)

    with pytest.warns(DeprecationWarning, match="maximizer"):
        assert torch.equal(ellipsoid().support(torch.ones(4)), ellipsoid().maximizer(torch.ones(4)))
    old = Old(ellipsoid().middle, ellipsoid().axes)
    assert torch.equal(old.maximizer(torch.ones(4)), ellipsoid().maximizer(-torch.ones(4)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        rows = ra.Polytope([[1.0, 2.0]], [3.0], [[1.0, -1.0]], [0.0], lower=0.0, upper=1.0).inequalities()

        class OldRows(Ellipsoid):
            is_polyhedral = True  # type: ignore[assignment]

            def inequalities(self):  # type: ignore[no-untyped-def, override]
                return rows

        class OldRound(Ellipsoid):
            def inequalities(self):  # type: ignore[no-untyped-def, override]
                raise DomainError("no linear rows")

    again = OldRows(ellipsoid().middle, ellipsoid().axes).linear_rows()
    assert again is not None
    assert again.A.tolist() == [[1, 2], [1, -1]]
    assert again.lb.tolist() == [-math.inf, 0]
    assert OldRound(ellipsoid().middle, ellipsoid().axes).linear_rows() is None
    assert copy.copy(old).inputs == 4
