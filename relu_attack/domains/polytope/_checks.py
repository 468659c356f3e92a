"""By how much points leave a polytope, each row and each input in units of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from relu_attack.domains.polytope._form import Array, PolytopeForm
from relu_attack.domains.polytope._input import larger_size

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
"""The violation up to which a point counts as inside; what a rounding breaks of a row is no more."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checks:
    """Rows of norm 1 and bounds with their scales.

    The scale of a row is what its terms range over in the set, at most the larger of \\|b\\| and 1; that of a bound is
    the width of the input, at most the larger of the bounds and 1. Both are at least so large that a rounding of the
    terms is within the tolerance.

    Attributes
    ----------
    rows, values
        Shapes (rows, inputs) and (rows,): inequalities first, then equations.
    inequalities
        How many of the rows are inequalities.
    low, high
        Shape (inputs,).
    largest
        About the largest \\|x\\| in the set, (inputs,).
    widths
        About the widths of the inputs, (inputs,).
    scale, bound_scale
        Shapes (rows,) and (inputs,).
    """

    rows: Tensor
    values: Tensor
    inequalities: int
    low: Tensor
    high: Tensor
    largest: Tensor
    widths: Tensor
    scale: Tensor
    bound_scale: Tensor

    @staticmethod
    def of(form: PolytopeForm, interior: Array, widths: Array) -> Checks:
        """Return the checks of a form; `interior` is a point of it, `widths` are about the widths of its inputs."""
        rows, values = torch.as_tensor(np.vstack([form.A, form.E])), torch.as_tensor(np.concatenate([form.b, form.e]))
        low, high, width = torch.as_tensor(form.low), torch.as_tensor(form.high), torch.as_tensor(widths)
        bounds = torch.maximum(*(torch.where(torch.isfinite(end), end.abs(), 0.0) for end in (low, high)))
        middle = torch.as_tensor(interior).abs() + width
        largest = torch.where(torch.isfinite(low) & torch.isfinite(high), torch.minimum(bounds, middle), middle)
        none = torch.empty(0, dtype=torch.float64)
        checks = Checks(
            rows=rows, values=values, inequalities=len(form.A), low=low, high=high, largest=largest, widths=width,
            scale=none, bound_scale=none,
        )  # fmt: skip
        return checks._with_scales(torch.float64)

    def _with_scales(self, dtype: torch.dtype) -> Checks:
        rounding = 8 * torch.finfo(dtype).eps / TOLERANCE[dtype]
        ranges, sizes = self.rows.abs() @ self.widths, self.rows.abs() @ self.largest + self.values.abs()
        scale = torch.maximum(torch.minimum(ranges, self.values.abs().clamp_min(1)), rounding * sizes)
        bound = torch.maximum(torch.minimum(self.widths, larger_size(self.low, self.high)), rounding * self.largest)
        scale, bound = (torch.where(part > 0, part, 1.0) for part in (scale, bound))
        return replace(self, scale=scale, bound_scale=bound)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Checks:
        """Return the checks of a copy in another dtype, from those in float64."""
        return self._with_scales(dtype)._changed(lambda part: part.to(device, dtype))

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Checks:
        parts = (self.rows, self.values, self.low, self.high, self.largest, self.widths, self.scale, self.bound_scale)
        rows, values, low, high, largest, widths, scale, bound_scale = map(change, parts)
        return Checks(
            rows=rows, values=values, inequalities=self.inequalities, low=low, high=high, largest=largest,
            widths=widths, scale=scale, bound_scale=bound_scale,
        )  # fmt: skip

    def violation(self, points: Tensor) -> Tensor:
        """Return by how much points (..., inputs) leave the set at most, (...), relative to the scales."""
        points = points.to(torch.promote_types(points.dtype, self.rows.dtype))
        checks = self if self.rows.dtype == points.dtype else self._changed(lambda part: part.to(points.dtype))
        beyond = torch.maximum(checks.low - points, points - checks.high).clamp_min(0) / checks.bound_scale
        excess = (points @ checks.rows.T - checks.values) / checks.scale
        count = checks.inequalities
        worst = torch.cat([beyond, excess[..., :count], excess[..., count:].abs()], -1).amax(-1)
        return worst.clamp_min(0)
