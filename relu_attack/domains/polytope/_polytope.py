"""Polytopes: linear inequalities, equations and bounds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, first_index
from relu_attack._deadline import Deadline
from relu_attack.domains import _integrality
from relu_attack.domains._arrangement import normal, uniform
from relu_attack.domains._box import Box
from relu_attack.domains._domain import Domain
from relu_attack.domains._linear_constraints import LinearConstraints
from relu_attack.domains._walked import WalkedSet
from relu_attack.domains.polytope import _form as forms
from relu_attack.domains.polytope import _input as reading
from relu_attack.domains.polytope._box import enclosing_box, limited_by_single_rows
from relu_attack.domains.polytope._checks import Checks
from relu_attack.domains.polytope._form import Array
from relu_attack.domains.polytope._integer_points import repair
from relu_attack.domains.polytope._reduced import ReducedPolytope
from relu_attack.domains.polytope._roomy import roomy_point
from relu_attack.domains.polytope._walked import FAR_SHARE, WalkedForm, WalkedPolytope
from relu_attack.errors import DomainError

SAMPLE_STEPS = 10
# Parts with given whole numbers that are kept: making one takes several linear programs, and points of a search round
# to the same few.
_MOST_PARTS = 256
# Shares of the time of a call that the programs of its bounding box may take, those for extreme points, and the
# projections of random points.
_BOX_SHARE, _MAXIMIZER_SHARE, _SAMPLE_SHARE = 0.05, 0.1, 0.1


class Polytope(Domain):
    """The inputs x with ``A x <= b``, ``A_eq x = b_eq`` and ``lower <= x <= upper``.

    Parameters
    ----------
    A, b
        Inequalities: shapes (rows, inputs) and (rows,), or (batch, rows) for a batch of polytopes that share A. Or
        instead of all rows one of `LinearConstraints`, scipy's ``LinearConstraint`` and ``Bounds``, or a list of these,
        which bring their sides. Rows may be a sparse matrix of scipy, also those of A_eq.
    A_eq, b_eq
        Equations: shapes (equations, inputs) and (equations,), or (batch, equations).
    lower, upper
        Bounds, numbers or one for each input, or (batch, \\*shape); infinite where there is none.
    shape
        Shape of one input; (inputs,) by default.
    integer, one_hot
        Inputs that must be whole numbers in an answer, and groups of which one is 1 and the others are 0, as in `Box`.
        That a group sums to 1 is an equation of the set itself, the relaxation.

    Raises
    ------
    DomainError
        When a number is NaN, shapes do not fit, the set is empty or unbounded, or no point of it is whole where it must
        be; it names the row or input.
    SolverError
        When the search for a point with whole numbers is not decided in a minute.

    Notes
    -----
    A polytope is made in float64; ``.to(dtype=torch.float32)`` is a rounded copy for walking. `violation` of a row is
    in units of what its terms range over in the set, at most the larger of \\|b\\| and 1 for a row of norm 1;
    what `project`, `sample` and `maximizer` return violates no row by more than 1e-9 of it: it is pulled toward a point
    in the relative interior. Bounds and proofs are made from the rows and bounds as they were given, never from what
    walks use: a row with hardly any room, 5e-10 of its range, is an equation for walks only. How `project` finds the
    nearest point is described in `Projector`. `round` goes to the nearest whole numbers; where no point has these, to
    those nearest in the L1 norm that one has, by a mixed-integer program whose search is cut off after 1000 nodes. The
    other inputs are projected with the whole numbers held.

    A batch has one matrix, and right sides or bounds for each set; what has no batch dimension holds for all sets. Each
    set is projected on, rounded and bounded as by itself; the walkers of all move in one batch, with one factorization.

    Examples
    --------
    >>> import torch
    >>> simplex = Polytope(A_eq=torch.ones(1, 3), b_eq=[1.0], lower=0.0)
    >>> simplex.project(torch.tensor([[2.0, 0.0, 0.0], [0.5, 0.5, 0.3]])).round(decimals=4)
    tensor([[1.0000, 0.0000, 0.0000],
            [0.4000, 0.4000, 0.2000]], dtype=torch.float64)
    >>> budgets = Polytope([[1.0, 2.0]], [[1.0], [2.0], [3.0]], lower=0.0)
    >>> budgets.batch, budgets.maximizer(torch.tensor([1.0, 0.0])).round(decimals=4)[:, 0, 0].tolist()
    (3, [1.0, 2.0, 3.0])
    >>> screws = Polytope([[2.0, 3.0]], [7.9], lower=0.0, upper=9.0, integer=[0, 1])
    >>> screws.round(torch.tensor([0.6, 2.2]))
    tensor([0., 2.], dtype=torch.float64)
    """

    _identity = ("_given", "shape", "integer", "one_hot")
    _source: Polytope | None = None

    def __new__(
        cls,
        A: reading.Rows = None,
        b: reading.Rows = None,
        A_eq: ArrayLike | None = None,
        b_eq: ArrayLike | None = None,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        *,
        shape: tuple[int, ...] | None = None,
        integer: _integrality.Indices = (),
        one_hot: _integrality.Groups = (),
    ) -> Polytope:
        """Return one polytope, or a batch where sides or bounds are for several."""
        given = reading.Given.of(A, b, A_eq, b_eq, lower, upper)
        if cls is not Polytope or given.is_empty or reading.count_sets(given, shape) is None:
            return object.__new__(cls)
        from relu_attack.domains.polytope._batch import PolytopeBatch  # a batch consists of polytopes

        return object.__new__(PolytopeBatch)

    def __init__(
        self,
        A: reading.Rows = None,
        b: reading.Rows = None,
        A_eq: ArrayLike | None = None,
        b_eq: ArrayLike | None = None,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        *,
        shape: tuple[int, ...] | None = None,
        integer: _integrality.Indices = (),
        one_hot: _integrality.Groups = (),
    ) -> None:
        self._read(reading.Given.of(A, b, A_eq, b_eq, lower, upper), shape, integer, one_hot)

    def _read(
        self,
        given: reading.Given,
        shape: tuple[int, ...] | None,
        integer: _integrality.Indices,
        one_hot: _integrality.Groups,
    ) -> None:
        """Make the set from its arguments."""
        inputs = reading.count_inputs(given, shape)
        self.shape, self.batch = (inputs,) if shape is None else tuple(shape), None
        self.integer, self.one_hot = _integrality.read_integrality("Polytope", integer, one_hot, self.shape)
        self._given, form, names = reading.read_polytope(given, self.integer, self.one_hot, inputs)
        point = roomy_point(form)
        if point is None:
            point = forms.feasible_point(form, names)
        forms.require_bounded(form)
        self._known: np.ndarray | None = None
        self._settle(form, *forms.reduce_form(form, point))
        if (form.low < form.high)[list(self.integer)].any():
            self._known = self.round(self._interior).numpy()

    def _settle(self, form: forms.PolytopeForm, reduced: forms.PolytopeForm, interior: Array, scale: Array) -> None:
        """Keep the rows of norm 1, the form that walks use, a point inside of it, and rough widths of the inputs."""
        self._rows, self._form, self._scale = form, reduced, scale
        self._checks = Checks.of(form, interior, scale)
        self._reduced = ReducedPolytope.of(reduced, interior, self._checks.largest, self._deadline)
        self._box: Box | None = None
        self._walks: WalkedForm | None = None
        self._normal = False
        self._exact: Polytope = self
        self._parts: dict[tuple[float, ...], Polytope] = {}

    @property
    def _interior(self) -> Tensor:
        return self._reduced.interior

    @property
    def dtype(self) -> torch.dtype:
        return self._interior.dtype

    @property
    def device(self) -> torch.device:
        return self._interior.device

    @property
    def tolerance(self) -> float:
        """Relative violation up to which a point counts as inside: 1e-9, or 1e-5 for a float32 copy."""
        return 1e-9 if self.dtype == torch.float64 else 1e-5

    def _facts(self) -> Iterator[str]:
        first, *rest = super()._facts()
        equations = int(self._given.equation.sum())
        yield from (first, f"inequalities={len(self._given) - equations}", f"equations={equations}", *rest)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Polytope:
        dtype, device, exact = dtype or self.dtype, device or self.device, self._exact
        copy = object.__new__(Polytope)
        vars(copy).update(vars(exact))
        copy.integer, copy.one_hot = self.integer, self.one_hot
        copy._reduced = exact._reduced.to(device, dtype)
        copy._checks = exact._checks.to(device, dtype)
        return copy

    def within(self, deadline: Deadline) -> Polytope:
        exact = copy.copy(self._exact)
        exact._exact, exact._source, exact._deadline = exact, self._exact, deadline
        exact._reduced = replace(exact._reduced, projector=exact._reduced.projector.within(deadline))
        exact.integer, exact.one_hot = self.integer, self.one_hot
        return exact.to(device=self.device, dtype=self.dtype)

    def with_fixed(self, index: _integrality.Indices, values: ArrayLike) -> Polytope:
        """Return the part of the set in which some inputs have given values, as `Domain.with_fixed` says.

        Values of a point that counts as inside are never refused: rows that no point with these values can meet give
        way, by at most the violation that a point of the set may have.
        """
        exact, given = self._exact, self._exact._given
        low, high = given.lower.clone(), given.upper.clone()
        indices, numbers = _integrality.read_fixed("Polytope", index, values, low, self.shape)
        reading.require_within(low[indices], high[indices], indices, numbers, self.tolerance)
        low[indices] = high[indices] = numbers
        form = replace(exact._rows, low=low.numpy(), high=high.numpy())
        sizes = exact._checks.scale.numpy()
        nearest, excess = forms.least_broken_point(form, exact._interior.numpy(), sizes)
        if excess > self.tolerance + forms.PRECISION:
            raise DomainError(
                f"Polytope has no point with the given values of the fixed inputs {indices[:5]}: "
                f"a row is broken by {excess:.2g} of its size at least"
            )
        point = torch.as_tensor(nearest)
        sides = given.A @ point
        loosened = LinearConstraints(
            given.A, torch.where(given.equation, sides, given.lb),
            torch.where(given.equation, sides, torch.maximum(given.ub, sides)), lower=low, upper=high,
        )  # fmt: skip
        fixed = Polytope(loosened, shape=self.shape, integer=self.integer)
        fixed.one_hot = self.one_hot
        return fixed.to(device=self.device, dtype=self.dtype)

    def _part(self, index: tuple[int, ...], values: Tensor) -> Polytope:
        """Return `with_fixed`, kept for the next points that round to the same whole numbers."""
        key = tuple(values.tolist())
        part = self._parts.pop(key, None)
        self._parts[key] = part = self.with_fixed(index, values) if part is None else part
        if len(self._parts) > _MOST_PARTS:
            del self._parts[next(iter(self._parts))]
        return part

    def _round(self, points: Tensor) -> Tensor:
        low, high = self._checks.low, self._checks.high
        flat = points.to(self.device, self.dtype).reshape(-1, self.inputs)
        if not torch.isfinite(flat).all():
            raise DomainError(f"Polytope cannot round points that are not finite, at {first_index(~flat.isfinite())}")
        whole = _integrality.nearest_whole(flat, low, high, self.integer, self.one_hot)
        broken = torch.nonzero(~self.contains(whole)).squeeze(-1)
        if len(broken):
            near, around = (part[broken].to("cpu", torch.float64) for part in (flat, whole))
            exact = self._exact
            repaired = repair(
                exact._rows,
                near,
                around,
                integer=self.integer,
                known=exact._known,
                hold=exact._part,
                deadline=self._deadline,
            )
            whole = whole.index_copy(0, broken, repaired.to(whole))
        return whole.reshape(points.shape)

    def project(self, points: Tensor) -> Tensor:
        flat = self._check_points(points).to(self.dtype).reshape(-1, self.inputs)
        onto = self._reduced.onto_equations(flat)
        outside = self._reduced.outside(onto)
        if bool(outside.any()):
            index = torch.nonzero(outside).squeeze(-1)
            # Nearest points are found in float64: in float32 the errors of a thin set are as large as its room.
            if self.dtype == torch.float64:
                nearest = self._reduced.nearest(onto[index])
            else:
                nearest = self._exact.to(device=self.device).project(onto[index].double()).to(self.dtype)
            onto = onto.index_copy(0, index, nearest)
        return onto.reshape(points.shape)

    def violation(self, points: Tensor) -> Tensor:
        return self._checks.violation(self._check_points(points))

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return random points of the set, shape (count, inputs).

        Uniform points of a box around the set are projected, drawn toward the interior by a random share, and
        then moved by a few steps of hit-and-run, along directions scaled by the widths of the set.
        """
        box, widths = self.outer_box(), self.widths()

        def draw(*size: int) -> Tensor:
            return uniform(*size, generator=generator).to(self.device, self.dtype)

        part = self.within(self._deadline.share(_SAMPLE_SHARE))
        start = part.project(box.lower + draw(count, self.inputs) * (box.upper - box.lower))
        points = torch.lerp(self._interior, start, draw(count, 1))
        equations = self._reduced.equations
        for _ in range(SAMPLE_STEPS):
            direction = normal(count, self.inputs, generator=generator)
            direction = direction.to(self.device, self.dtype) * widths
            direction = direction - (direction @ equations.T) @ equations
            ahead, behind = self.max_step(points, direction), self.max_step(points, -direction)
            ahead, behind = (torch.where(torch.isfinite(step), step, 0.0) for step in (ahead, behind))
            step = torch.lerp(-behind, ahead, draw(count))
            points = points + step.unsqueeze(-1) * direction
        return self._reduced.pulled_inside(points)

    def maximizer(self, direction: Tensor) -> Tensor:
        flat = self._check_points(direction).detach().to("cpu", torch.float64).reshape(-1, self.inputs)
        near = forms.Scaled.around(self._form, self._exact._interior.cpu().numpy(), self._scale)
        deadline = self._deadline.share(_MAXIMIZER_SHARE)
        points = torch.as_tensor(forms.maximizers(near, flat.numpy(), deadline))
        return self._reduced.pulled_inside(points.to(self.device, self.dtype)).reshape(direction.shape)

    def center(self) -> Tensor:
        return self._interior.clone()

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        points = self._check_points(points).to(self.dtype)
        step = self._reduced.max_step(points, self._check_points(direction).to(self.dtype))
        return torch.where(self.contains(points), step, 0.0)

    @property
    def is_polyhedral(self) -> bool:
        return True

    def linear_rows(self) -> LinearConstraints:
        return self._exact._given

    def approximate_maximizer(self, direction: Tensor) -> Tensor:
        # A linear program for each direction is too much for a hint.
        return self.outer_box().maximizer(direction)

    def outer_box(self) -> Box:
        exact = self._exact
        if exact._box is not None:
            return self.bounding_box()
        lower, upper = limited_by_single_rows(exact._given)
        if not bool((torch.isfinite(lower) & torch.isfinite(upper)).all()):
            return self.bounding_box()
        return Box(lower, upper, shape=self.shape).to(device=self.device, dtype=self.dtype).bounding_box()

    def bounding_box(self) -> Box:
        """Return a box that holds all exact points: the smallest, up to what dual bounds of the given rows lose."""
        exact = self._exact
        if exact._box is None:
            given = exact._given
            rows = reading.form_of(given)
            near = forms.Scaled.around(rows, exact._interior.cpu().numpy(), exact._scale)
            lower, upper, whole = enclosing_box(given, near, deadline=exact._deadline.share(_BOX_SHARE))
            exact._box = Box(lower, upper, shape=self.shape)
            source = exact._source if whole else None
            while source is not None:
                source._box, source = exact._box, source._source
        return exact._box.to(device=self.device, dtype=self.dtype).bounding_box()

    @property
    def _walked(self) -> WalkedForm:
        """The set in coordinates of walks; the scales of its inputs are `_scale`, or 1 for an input that is fixed."""
        exact = self._exact
        if exact._walks is None:
            deadline = exact._deadline.share(FAR_SHARE)
            exact._walks = WalkedForm.of(exact._form, exact._interior.numpy(), exact._divisor, deadline)
            source = None if deadline.passed else exact._source
            while source is not None:
                source._walks, source = exact._walks, source._source
        return exact._walks

    @property
    def _divisor(self) -> Array:
        fixed = (self._form.low == self._form.high) | (self._scale <= 0)
        scale: Array = np.where(fixed, 1.0, self._scale)
        return scale

    def widths(self) -> Tensor:
        exact = self._exact
        return (exact._walked.widths * torch.as_tensor(exact._divisor)).to(self.device, self.dtype)

    def walked(self, walkers: int, *, products: int) -> WalkedSet:
        # Where steps are raw gradients, nearest points are those in the user's own coordinates.
        if not self._normal:
            return super().walked(walkers, products=products)
        return WalkedPolytope(self._exact._walked.to(self.device, self.dtype), walkers, products)

    def normalized(self) -> tuple[Polytope, Tensor, Tensor]:
        exact = self._exact
        interior, scale = exact._interior.numpy(), exact._divisor
        scaled = exact._in_coordinates(interior, scale)
        scaled._walks, scaled._normal = exact._walked, True
        scaled = scaled.to(device=self.device, dtype=self.dtype)
        factor, offset = (torch.as_tensor(part).to(self.device, self.dtype) for part in (scale, interior))
        return scaled, factor, offset

    def _in_coordinates(self, shift: Array, scale: Array) -> Polytope:
        """Return the set of all u with ``x = shift + scale u`` in this set, in float64, without whole inputs."""
        interior = self._interior.numpy()
        moved, widths = (interior - shift) / scale, self._scale / scale
        scaled = object.__new__(Polytope)
        scaled.shape, scaled.batch, scaled._known, scaled._deadline = self.shape, None, None, self._deadline
        scaled._given = reading.in_coordinates(self._given, torch.as_tensor(shift), torch.as_tensor(scale))
        rows, reduced = (forms.rescale(part, interior, moved, shift, scale) for part in (self._rows, self._form))
        scaled._settle(rows, *forms.orthonormal_equalities(reduced, moved, widths), widths)
        return scaled
