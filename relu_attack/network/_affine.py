"""Affine maps and their composition, with bounds of the rounding error of folded coefficients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.network._loss import Loss
from relu_attack.network.operators import (
    Composition,
    Convolution,
    Diagonal,
    LinearOperator,
    Selection,
    add,
    chain,
    fold,
    has_subnormal,
    stack,
    steps_of,
)
from relu_attack.rounding import compound, dot_error, gamma, sum_above, tiny, up


@dataclass(frozen=True, eq=False)
class Affine:
    """An affine map ``x -> A x + bias``.

    Attributes
    ----------
    operator
        The linear map A.
    constants
        The bias in the order of the outputs, of any shape. A number that several outputs share, such as the bias of a
        channel, may be an expanded view, which takes no memory.
    loss
        Bound of the distance from the user's model for a map that was folded from several; None for an exact map.
        Certified bounds are widened by it; walks ignore it.
    """

    operator: LinearOperator
    constants: Tensor
    loss: Loss | None = None

    @property
    def bias(self) -> Tensor:
        """The bias as a vector, shape (outputs,)."""
        return self.constants.reshape(-1)

    @cached_property
    def _added(self) -> Tensor | None:
        """The bias in the form that the operator adds: None, one number for each channel, or a vector."""
        shared = narrow(self.constants)
        if shared.numel() == 1 and not bool(shared.any()):
            return None
        last = self.operator.operators[-1] if isinstance(self.operator, Composition) else self.operator
        if isinstance(last, Convolution) and shared.shape == (last.output_shape[0], 1):
            return shared[:, 0]
        with torch.inference_mode(False):  # the cached tensor may be used with autograd later
            return self.bias

    def apply(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return the map's value for each row of `x` (batch, inputs)."""
        return self.operator.apply(x, bias=self._added, out=out)

    def lost(self, largest: Tensor) -> Tensor:
        """Return an upper bound of the distance from the user's model for ``|x| <= largest``.

        Parameters
        ----------
        largest
            Not negative, shape (boxes, inputs).

        Returns
        -------
        Tensor
            Shape (boxes, outputs); zeros where the map is exact.
        """
        return largest.new_zeros(len(largest), self.operator.outputs) if self.loss is None else self.loss.over(largest)

    def after(self, first: Affine, *, matrices: bool = True) -> Affine:
        """Return the composition of this map after `first`; with `matrices`, products of dense matrices are formed.

        Notes
        -----
        Let the exact maps be within E_1 and E_2 of the coefficients and within e_1 and e_2 of the biases. Relative
        errors of the coefficients and of the fold compound, as each product goes through all their roundings. The error
        of the bias ``A_2 b_1 + b_2`` is ``|A_2| e_1 + E_2 (|b_1| + e_1) + e_2`` and its own rounding.
        """
        folded = fold(first.operator, self.operator, matrices=matrices)
        lost = [each.loss for each in (first, self) if each.loss is not None]
        relative = compound(*(each.relative for each in lost), gamma(folded.roundings, self.constants.dtype))
        factors = None
        if relative:
            # Without sums, the magnitude of a product is that of the coefficient.
            apart = folded.sums or any(each._products is not each.operator for each in (first, self))
            factors = chain(first._products, self._products) if apart else folded.operator
        constants, error = self._shifted(first)
        loss = Loss(relative, factors, error) if relative or error is not None else None
        return Affine(folded.operator, constants, loss)

    @property
    def _products(self) -> LinearOperator:
        """Operator with the magnitudes of the products whose sums are the coefficients."""
        return self.operator if self.loss is None or self.loss.factors is None else self.loss.factors

    def _shifted(self, first: Affine) -> tuple[Tensor, Tensor | None]:
        """Return the bias of this map after `first` and an upper bound of its error; None for an exact bias."""
        own = None if self.loss is None else self.loss.constants
        before = None if first.loss is None else first.loss.constants
        if first._added is None and before is None:
            return self.constants, own
        bias, operator = first.bias, self.operator
        constants = operator.apply(bias[None], bias=self.bias)[0]
        absolute = operator.absolute()
        lost = [part for part in (own,) if part is not None]
        if before is not None:
            moved = absolute.apply(before[None])[0]
            lost.append(sum_above(moved, operator.row_nnz, operator.gain * before.sum() + _rows(absolute, before)))
        if self.loss is not None and self.loss.factors is not None:
            size = bias.abs() if before is None else up(bias.abs() + before)
            lost.append(Loss(self.loss.relative, self.loss.factors).over(size[None])[0])
        residual = _residual(operator.apply(bias[None])[0], self.bias) if operator.copies else None
        if residual is None:
            magnitude = absolute.apply(bias.abs()[None], bias=self.bias.abs())[0]
            residual = dot_error(
                magnitude, operator.row_nnz + 1, operator.gain * bias.abs().sum() + _rows(absolute, bias)
            )
        if bool(residual.any()):
            lost.append(residual)
        return constants, _total(lost)

    def plus(self, other: Affine) -> Affine:
        """Return the sum of this map and another of the same inputs and outputs; coefficients are not added."""
        operator = add(self.operator, other.operator)
        losses = [each.loss for each in (self, other) if each.loss is not None]
        parts = [each.constants for each in losses if each.constants is not None]
        residual = _residual(self.bias, other.bias)
        if residual is None:
            residual = dot_error(self.bias.abs() + other.bias.abs(), 2, 4.0)
        if bool(residual.any()):
            parts.append(residual)
        loss = _joint(losses, [self, other], operator, add, _total(parts))
        return Affine(operator, self.bias + other.bias, loss)

    def repeated(self, count: int) -> Affine:
        """Return the map that applies this one, of diagonal factors, to each of `count` entries of a channel."""

        def repeat(operator: LinearOperator) -> LinearOperator:
            steps = [step for step in steps_of(operator) if isinstance(step, Diagonal)]
            if len(steps) < len(steps_of(operator)):
                raise TypeError("only maps of diagonal factors can be repeated")
            return chain(*(Diagonal(step.weight.repeat_interleave(count)) for step in steps))

        operator, loss = repeat(self.operator), self.loss
        if loss is not None:
            factors = loss.factors
            if factors is not None:
                factors = operator if factors is self.operator else repeat(factors)
            error = None if loss.constants is None else loss.constants.repeat_interleave(count)
            loss = Loss(loss.relative, factors, error)
        return Affine(operator, self.bias[:, None].expand(-1, count), loss)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Affine:
        """Return the map on another device or in another dtype."""
        operator, loss = self.operator.to(device=device, dtype=dtype), self.loss
        if loss is not None:
            own = loss.factors is self.operator
            loss = (replace(loss, factors=None) if own else loss).to(device=device, dtype=dtype)
            loss = replace(loss, factors=operator) if own else loss
        return Affine(operator, convert(self.constants, device, dtype), loss)


def side_by_side(maps: Sequence[Affine]) -> Affine:
    """Return the concatenation of maps of the same input."""
    if len(maps) == 1:
        return maps[0]
    operator = stack([each.operator for each in maps])
    losses = [each.loss for each in maps if each.loss is not None]
    error = None
    if any(loss.constants is not None for loss in losses):
        none = [torch.zeros_like(each.bias) for each in maps]
        parts = [None if each.loss is None else each.loss.constants for each in maps]
        error = torch.cat([zero if part is None else part for zero, part in zip(none, parts, strict=True)])
    loss = _joint(losses, maps, operator, lambda *parts: stack(parts), error)
    return Affine(operator, torch.cat([each.bias for each in maps]), loss)


def _joint(
    losses: Sequence[Loss],
    maps: Sequence[Affine],
    operator: LinearOperator,
    join: Callable[..., LinearOperator],
    constants: Tensor | None,
) -> Loss | None:
    """Return the loss of a joint map with this operator."""
    relative = max((loss.relative for loss in losses), default=0.0)
    if not relative:
        return None if constants is None else Loss(constants=constants)
    apart = any(each._products is not each.operator for each in maps)
    factors = join(*(each._products for each in maps)) if apart else operator
    return Loss(relative, factors, constants)


def _rows(absolute: LinearOperator, like: Tensor) -> Tensor:
    """Return the row sums of an operator of magnitudes, shape (outputs,)."""
    return absolute.apply(torch.ones_like(like)[None])[0]


def _total(parts: Sequence[Tensor]) -> Tensor | None:
    """Return an upper bound of the sum of errors; None without errors."""
    return sum_above(torch.stack(list(parts)).sum(0), len(parts), 0.0) if parts else None


def _residual(first: Tensor, second: Tensor) -> Tensor | None:
    """Return the exact rounding error of the sum of two vectors; None where it is unknown.

    The algorithm is TwoSum of Knuth (Higham, Accuracy and Stability of Numerical Algorithms, section 4.3), exact unless
    something overflows. Numbers that are not very small have normal residuals.
    """
    least = tiny(first.dtype) * 2.0**64
    if any(bool(((part != 0) & (part.abs() < least)).any()) or has_subnormal(part) for part in (first, second)):
        return None
    total = first + second
    part = total - first
    residual = ((first - (total - part)) + (second - part)).abs()
    return residual if bool(torch.isfinite(residual).all()) else None


def identity(size: int, *, dtype: torch.dtype = torch.float64) -> Affine:
    """Return the identity map."""
    return Affine(Selection(0, size, size), torch.zeros((), dtype=dtype).expand(size))


def narrow(shared: Tensor) -> Tensor:
    """Return a view without repetition: expanded dimensions have size 1."""
    return shared[tuple(slice(0, 1 if stride == 0 else None) for stride in shared.stride())]


def convert(shared: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor:
    """Convert a tensor; expanded dimensions stay expanded."""
    return narrow(shared).to(device=device, dtype=dtype).expand(shared.shape)
