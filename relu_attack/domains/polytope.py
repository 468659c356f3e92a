"""Polytopes: linear inequalities, equations and bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, first_index
from relu_attack.domains import _polytope_form as forms
from relu_attack.domains import _polytope_input as reading
from relu_attack.domains import _whole
from relu_attack.domains._polytope_projection import Projector
from relu_attack.domains._polytope_whole import repair
from relu_attack.domains.base import Domain, Inequalities, normal, uniform
from relu_attack.domains.box import Box, steps_to_bounds
from relu_attack.errors import DomainError

SAMPLE_STEPS = 10
# Parts with given whole numbers that are kept: making one takes several linear programs, and points of a search round
# to the same few.
_MOST_PARTS = 256


class Polytope(Domain):
    """The inputs x with ``A x <= b``, ``A_eq x = b_eq`` and ``lower <= x <= upper``.

    Parameters
    ----------
    A, b
        Inequalities: shapes (rows, inputs) and (rows,).
    A_eq, b_eq
        Equations: shapes (equations, inputs) and (equations,).
    lower, upper
        Bounds, numbers or one for each input; infinite where there is none.
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
    A polytope is made in float64; ``.to(dtype=torch.float32)`` is a rounded copy for walking. `violation` of
    a row of norm 1 is in units of the larger of \\|b\\| and 1; projected, sampled and supporting points violate
    no row by more than 1e-9 of it: they are pulled toward a point in the relative interior. How `project`
    finds the nearest point is told in `Projector`. `round` goes to the nearest whole numbers; where no point has
    these, to those nearest in the L1 norm that one has, by a mixed-integer program whose search is cut off after 1000
    nodes. The other inputs are projected with the whole numbers held.

    Examples
    --------
    >>> import torch
    >>> simplex = Polytope(A_eq=torch.ones(1, 3), b_eq=[1.0], lower=0.0)
    >>> simplex.project(torch.tensor([[2.0, 0.0, 0.0], [0.5, 0.5, 0.3]])).round(decimals=4)
    tensor([[1.0000, 0.0000, 0.0000],
            [0.4000, 0.4000, 0.2000]], dtype=torch.float64)
    >>> screws = Polytope([[2.0, 3.0]], [7.9], lower=0.0, upper=9.0, integer=[0, 1])
    >>> screws.round(torch.tensor([0.6, 2.2]))
    tensor([0., 2.], dtype=torch.float64)
    """

    _identity = ("_given", "shape", "integer", "one_hot")

    def __init__(
        self,
        A: ArrayLike | None = None,
        b: ArrayLike | None = None,
        A_eq: ArrayLike | None = None,
        b_eq: ArrayLike | None = None,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        *,
        shape: tuple[int, ...] | None = None,
        integer: _whole.Indices = (),
        one_hot: _whole.Groups = (),
    ) -> None:
        inputs = reading.count_inputs(A, A_eq, lower, upper, shape)
        self.shape, self.batch = (inputs,) if shape is None else tuple(shape), None
        self.integer, self.one_hot = _whole.read_integrality("Polytope", integer, one_hot, self.shape)
        self._given, form, names = reading.read_polytope(
            A, b, A_eq, b_eq, lower, upper, self.integer, self.one_hot, inputs
        )
        point = forms.feasible_point(form, names)
        forms.require_bounded(form)
        self._rows, (self._form, interior) = form, forms.reduce_form(form, point)
        reduced = [torch.as_tensor(part) for part in (self._form.A, self._form.b, self._form.E, self._form.e)]
        size = max(1.0, float(np.abs(interior).max()))
        self._projector = Projector(
            rows=torch.cat([reduced[2], reduced[0]]), values=torch.cat([reduced[3], reduced[1]]),
            equalities=len(reduced[3]), low=torch.as_tensor(self._form.low), high=torch.as_tensor(self._form.high),
            size=size,
        )  # fmt: skip
        rows, values = np.concatenate([form.A, form.E]), np.concatenate([form.b, form.e])
        bounds = (self._given.lower_bounds, self._given.upper_bounds)
        self._checks = (torch.as_tensor(rows), torch.as_tensor(values), len(form.A), *bounds)
        self._interior = torch.as_tensor(interior)
        self._box: Box | None = None
        self._exact: Polytope = self
        self._known: np.ndarray | None = None
        self._parts: dict[tuple[float, ...], Polytope] = {}
        if (form.low < form.high)[list(self.integer)].any():
            self._known = self.round(self._interior).numpy()

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

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Polytope:
        dtype = dtype or self.dtype
        exact = self._exact
        copy = object.__new__(Polytope)
        copy._given, copy._form, copy._box, copy._exact = exact._given, exact._form, exact._box, exact
        copy._projector = exact._projector.to(device=device, dtype=dtype)
        copy._interior = exact._interior.to(device=device, dtype=dtype)
        rows, values, count, low, high = exact._checks
        rows, values, low, high = (t.to(device=device, dtype=dtype) for t in (rows, values, low, high))
        copy._checks = (rows, values, count, low, high)
        copy.shape, copy.batch, copy.integer, copy.one_hot = self.shape, None, self.integer, self.one_hot
        return copy

    def with_fixed(self, index: _whole.Indices, values: ArrayLike) -> Polytope:
        """Return the part of the set in which some inputs have given values, as `Domain.with_fixed` says.

        Values of a point that counts as inside are never refused: rows that no point with these values can meet give
        way, by at most the violation that a point of the set may have.
        """
        exact, given = self._exact, self._exact._given
        low, high = given.lower_bounds.clone(), given.upper_bounds.clone()
        indices, numbers = _whole.read_fixed("Polytope", index, values, low, self.shape)
        reading.require_within(low[indices], high[indices], indices, numbers, self.tolerance)
        low[indices] = high[indices] = numbers
        form = replace(exact._rows, low=low.numpy(), high=high.numpy())
        nearest, excess = forms.least_broken_point(form, exact._interior.numpy())
        if excess > self.tolerance + forms.PRECISION:
            raise DomainError(
                f"Polytope has no point with the given values of the fixed inputs {indices[:5]}: "
                f"a row is broken by {excess:.2g} of its size at least"
            )
        point = torch.as_tensor(nearest)
        upper = torch.maximum(given.upper, given.matrix @ point)
        fixed = Polytope(
            given.matrix, upper, given.equality_matrix, given.equality_matrix @ point, low, high,
            shape=self.shape, integer=self.integer,
        )  # fmt: skip
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
        low, high = self._checks[3:]
        flat = points.to(self.device, self.dtype).reshape(-1, self.inputs)
        if not torch.isfinite(flat).all():
            raise DomainError(f"Polytope cannot round points that are not finite, at {first_index(~flat.isfinite())}")
        whole = _whole.nearest_whole(flat, low, high, self.integer, self.one_hot)
        broken = torch.nonzero(~self.contains(whole)).squeeze(-1)
        if len(broken):
            near, around = (part[broken].to("cpu", torch.float64) for part in (flat, whole))
            exact = self._exact
            repaired = repair(exact._rows, near, around, integer=self.integer, known=exact._known, hold=exact._part)
            whole = whole.index_copy(0, broken, repaired.to(whole))
        return whole.reshape(points.shape)

    def project(self, points: Tensor) -> Tensor:
        flat = self._check_points(points).to(self.dtype).reshape(-1, self.inputs)
        onto = self._onto_equations(flat)
        outside = self._outside(onto)
        if bool(outside.any()):
            index = torch.nonzero(outside).squeeze(-1)
            onto = onto.index_copy(0, index, self._pull_inside(self._projector.nearest(onto[index])))
        return onto.reshape(points.shape)

    def _onto_equations(self, points: Tensor) -> Tensor:
        """Return the nearest points of the affine hull; points that meet the equations already stay."""
        projector = self._projector
        fixed = projector.low == projector.high
        points = torch.where(fixed, projector.low, points)
        if projector.equalities == 0:
            return points
        rows = projector.rows[: projector.equalities]
        rounding = 8 * torch.finfo(self.dtype).eps * projector.size
        # The second pass takes out the rounding of the first, which is that of a point far away.
        for _ in range(2):
            error = points @ rows.T - projector.values[: projector.equalities]
            points = points - torch.where(error.abs() > rounding, error, 0.0) @ rows
        return points

    def _outside(self, points: Tensor) -> Tensor:
        """Return which points (count, inputs) of the affine hull break a row or a bound."""
        projector = self._projector
        rows, values = projector.rows[projector.equalities :], projector.values[projector.equalities :]
        outside = ((points < projector.low) | (points > projector.high)).any(-1)
        return outside if len(rows) == 0 else outside | ((points @ rows.T) > values).any(-1)

    def _pull_inside(self, points: Tensor) -> Tensor:
        """Move points that leave the set by roundings toward the interior point, until they are inside."""
        projector, interior = self._projector, self._interior
        points = self._onto_equations(points)
        offset = points - interior
        margin = 8 * torch.finfo(self.dtype).eps * projector.size
        rows, values = projector.rows[projector.equalities :], projector.values[projector.equalities :]
        room = values - rows @ interior
        room = torch.maximum(room - margin, room / 2).clamp_min(0)
        share = _largest_share(offset @ rows.T, room)
        if projector.equalities:
            share = torch.minimum(share, _largest_share(offset, projector.high - interior))
            share = torch.minimum(share, _largest_share(-offset, interior - projector.low))
        pulled = torch.where((share < 1).unsqueeze(-1), interior + share.unsqueeze(-1) * offset, points)
        return torch.clamp(pulled, projector.low, projector.high)

    def violation(self, points: Tensor) -> Tensor:
        rows, values, count, low, high = self._checks
        points = self._check_points(points).to(torch.promote_types(points.dtype, self.dtype))
        rows, values, low, high = (tensor.to(points.dtype) for tensor in (rows, values, low, high))
        beyond = torch.maximum(low - points, points - high).clamp_min(0) / reading.larger_size(low, high)
        excess = (points @ rows.T - values) / values.abs().clamp_min(1)
        worst = torch.cat([beyond, excess[..., :count], excess[..., count:].abs()], -1).amax(-1)
        return worst.clamp_min(0)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return random points of the set, shape (count, inputs).

        Uniform points of the bounding box are projected, drawn toward the interior by a random share, and
        then moved by a few steps of hit-and-run, along directions scaled by the widths of the set.
        """
        box = self.bounding_box()
        widths = box.upper - box.lower

        def draw(*size: int) -> Tensor:
            return uniform(*size, generator=generator).to(self.device, self.dtype)

        start = self.project(box.lower + draw(count, self.inputs) * widths)
        points = torch.lerp(self._interior, start, draw(count, 1))
        equations = self._projector.rows[: self._projector.equalities]
        for _ in range(SAMPLE_STEPS):
            direction = normal(count, self.inputs, generator=generator)
            direction = direction.to(self.device, self.dtype) * widths
            direction = direction - (direction @ equations.T) @ equations
            ahead, behind = self.max_step(points, direction), self.max_step(points, -direction)
            ahead, behind = (torch.where(torch.isfinite(step), step, 0.0) for step in (ahead, behind))
            step = torch.lerp(-behind, ahead, draw(count))
            points = points + step.unsqueeze(-1) * direction
        return self._pull_inside(points)

    def support(self, direction: Tensor) -> Tensor:
        flat = self._check_points(direction).detach().to("cpu", torch.float64).reshape(-1, self.inputs)
        interior = self._exact._interior.cpu().numpy()
        best = [forms.maximize(self._form, interior, row)[0] for row in flat.numpy()]
        points = torch.as_tensor(np.stack(best)) if best else flat
        return self._pull_inside(points.to(self.device, self.dtype)).reshape(direction.shape)

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        projector, count = self._projector, self._projector.equalities
        points = self._check_points(points).to(self.dtype)
        direction = self._check_points(direction).to(self.dtype)
        inside = self.contains(points)
        # Roundings of a direction along a face must not count as a step through it.
        flat = 64 * torch.finfo(self.dtype).eps * direction.abs().amax(-1, keepdim=True)
        direction = torch.where(direction.abs() > flat, direction, 0.0)
        rate, slack = direction @ projector.rows.T, projector.values - points @ projector.rows.T
        rate = torch.where(rate.abs() > flat * math.sqrt(self.inputs), rate, 0.0)
        leaves = (rate[..., :count] != 0).any(-1)
        rate, slack = rate[..., count:], slack[..., count:].clamp_min(0)
        through = torch.where(rate > 0, slack / rate, torch.inf)
        bounded = torch.clamp(points, projector.low, projector.high)
        step = steps_to_bounds(bounded, direction, projector.low, projector.high)
        step = torch.cat([step.unsqueeze(-1), through], -1).amin(-1)
        return torch.where(inside & ~leaves, step, 0.0)

    def inequalities(self) -> Inequalities:
        given = self._given
        parts = (given.matrix, given.upper, given.equality_matrix, given.equality_value)
        matrix, upper, equality_matrix, equality_value = (part.to(self.device, self.dtype) for part in parts)
        return Inequalities(
            matrix=matrix, upper=upper, equality_matrix=equality_matrix, equality_value=equality_value,
            lower_bounds=given.lower_bounds.to(self.device, self.dtype),
            upper_bounds=given.upper_bounds.to(self.device, self.dtype),
        )  # fmt: skip

    def bounding_box(self) -> Box:
        """Return the smallest box that holds the set, up to what safe dual bounds of its programs lose."""
        exact = self._exact
        if exact._box is None:
            lower, upper = forms.bounding_box(exact._form, exact._interior.cpu().numpy())
            exact._box = Box(torch.as_tensor(lower), torch.as_tensor(upper), shape=self.shape)
        return exact._box.to(device=self.device, dtype=self.dtype)

    def normalized(self) -> tuple[Polytope, Tensor, Tensor]:
        box, given = self._exact.bounding_box(), self._given
        width = box.upper - box.lower
        # A width of this size is only what the bounds of the box lose: the input is fixed.
        narrow = width <= self._exact.tolerance * box.lower.abs().clamp_min(1)
        scale, shift = torch.where(narrow, 1.0, width), box.lower
        scaled = Polytope(
            given.matrix * scale,
            given.upper - given.matrix @ shift,
            given.equality_matrix * scale,
            given.equality_value - given.equality_matrix @ shift,
            (given.lower_bounds - shift) / scale,
            (given.upper_bounds - shift) / scale,
            shape=self.shape,
        )
        scaled = scaled.to(device=self.device, dtype=self.dtype)
        return scaled, scale.to(self.device, self.dtype), shift.to(self.device, self.dtype)


def _largest_share(offset: Tensor, room: Tensor) -> Tensor:
    """Return the largest share <= 1 of offsets (count, rows) that stays within the room (rows,), shape (count,)."""
    share = torch.where(offset > room, room / offset, 1.0)
    return torch.cat([share, share.new_ones(len(share), 1)], -1).amin(-1)
