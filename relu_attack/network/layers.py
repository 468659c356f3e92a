"""Affine maps and the activations of their outputs, of which a chain is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.network.operators import Composition, Convolution, LinearOperator, Selection, compose

_threshold_backward = torch.ops.aten.threshold_backward.grad_input


@dataclass(frozen=True, eq=False)
class Affine:
    """An affine map ``x -> A x + bias``.

    Attributes
    ----------
    operator
        The linear map A.
    constants
        The bias, its entries in the order of the outputs, of any shape. A number that many outputs share, such as those
        of a channel, may be an expanded view, which takes no memory.
    """

    operator: LinearOperator
    constants: Tensor

    @property
    def bias(self) -> Tensor:
        """The bias as a vector, shape (outputs,)."""
        return self.constants.reshape(-1)

    @cached_property
    def _added(self) -> Tensor | None:
        """The bias as the operator is to add it: not at all, one number a channel, or a vector."""
        shared = _narrow(self.constants)
        if shared.numel() == 1 and not bool(shared.any()):
            return None
        last = self.operator.operators[-1] if isinstance(self.operator, Composition) else self.operator
        if isinstance(last, Convolution) and shared.shape == (last.output_shape[0], 1):
            return shared[:, 0]
        with torch.inference_mode(False):  # it outlives the call, and may have to meet autograd
            return self.bias

    def apply(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return the map's value for each row of `x` (batch, inputs)."""
        return self.operator.apply(x, bias=self._added, out=out)

    def after(self, first: Affine) -> Affine:
        """Return this map after `first`, as one map."""
        unchanged = first._added is None
        constants = self.constants if unchanged else self.operator.apply(first.bias[None], bias=self.bias)[0]
        return Affine(compose(first.operator, self.operator), constants)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Affine:
        """Return the map on another device or in another dtype."""
        return Affine(self.operator.to(device=device, dtype=dtype), _to(self.constants, device, dtype))


def _narrow(shared: Tensor) -> Tensor:
    """Return one number for all places that share it: a view whose dimensions that were expanded have size 1."""
    return shared[tuple(slice(0, 1 if stride == 0 else None) for stride in shared.stride())]


def _to(shared: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor:
    """Convert a tensor; what was expanded stays so."""
    return _narrow(shared).to(device=device, dtype=dtype).expand(shared.shape)


@dataclass(frozen=True, eq=False)
class Layer:
    """An affine map and the activation ``z -> max(z, slope z)`` of its units.

    Attributes
    ----------
    affine
        The map from the layer before.
    slopes
        Each in [0, 1]: 0 is ReLU, 1 passes the value through. In the order of the units, of any shape, as the constants
        of an affine map.
    """

    affine: Affine
    slopes: Tensor

    @property
    def slope(self) -> Tensor:
        """The slopes as a vector, shape (units,)."""
        return self.slopes.reshape(-1)

    @property
    def units(self) -> int:
        """Number of units of the layer."""
        return self.slopes.numel()

    @cached_property
    def is_relu(self) -> bool:
        """Whether every unit is a plain ReLU, for which the kernels have a shorter way."""
        return not bool(_narrow(self.slopes).any())

    @cached_property
    def passes(self) -> Tensor | None:
        """Which units pass their value through and so have no breakpoint, shaped as `slopes`; None if none does."""
        mask = _narrow(self.slopes) == 1
        return mask.expand(self.slopes.shape) if bool(mask.any()) else None

    @cached_property
    def _floor(self) -> Tensor | None:
        """The least value of each unit where no slope is between 0 and 1, shaped as `slopes`; else None.

        With it the activation and its derivative need no product and no memory for one.
        """
        slopes = _narrow(self.slopes)
        if not bool(((slopes == 0) | (slopes == 1)).all()):
            return None
        return torch.where(slopes == 1, -torch.inf, 0.0).to(slopes.dtype).expand(self.slopes.shape)

    def activate(self, preactivation: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return ``max(z, slope z)``."""
        if self.is_relu:
            return preactivation.relu_() if out is preactivation else torch.clamp_min(preactivation, 0.0, out=out)
        shaped = self._shape(preactivation)
        other = shaped * self.slopes if self._floor is None else self._floor
        return torch.maximum(shaped, other, out=None if out is None else self._shape(out)).flatten(1)

    def rescale(self, rows: Tensor, pattern: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return `rows` times the derivative of the activation, where `pattern` > 0 marks active units."""
        out = torch.empty_like(rows, memory_format=torch.contiguous_format) if out is None else out
        if self.is_relu:
            _threshold_backward(rows, pattern, 0.0, grad_input=out)
            return out
        shaped, signs = self._shape(rows), self._shape(pattern)
        if self._floor is None:
            torch.where(signs > 0, shaped, shaped * self.slopes, out=self._shape(out))
        else:
            torch.where(signs > self._floor, shaped, shaped.new_zeros(()), out=self._shape(out))
        return out

    def blend(self, rows: Tensor, preactivation: Tensor, width: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return `rows` times a derivative that goes from one side to the other over a range of preactivations.

        It is the mean of the derivative under uniform noise on the preactivation (Duchi, Bartlett and Wainwright,
        Randomized smoothing for stochastic optimization, SIAM Journal on Optimization 22, 2012).

        Parameters
        ----------
        rows, preactivation
            Shape (batch, units).
        width
            Width of the range, centred on 0, shape (batch, 1), in root mean squares of the preactivations of the row.
        """
        spread = torch.linalg.vector_norm(preactivation, dim=1, keepdim=True).mul_(width / self.units**0.5)
        slope = spread.clamp_min_(torch.finfo(spread.dtype).tiny ** 0.5).reciprocal_()
        share = torch.addcmul(slope.new_full((), 0.5), preactivation, slope).clamp_(0.0, 1.0)
        if not self.is_relu:
            share = torch.lerp(self._shape(share), share.new_ones(()), self.slopes).flatten(1)
        return torch.mul(rows, share, out=out)

    def _shape(self, rows: Tensor) -> Tensor:
        """Give rows (batch, units) the shape of the slopes."""
        return rows.view(-1, *self.slopes.shape)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Layer:
        """Return the layer on another device or in another dtype."""
        return Layer(self.affine.to(device=device, dtype=dtype), _to(self.slopes, device, dtype))


def identity(size: int, *, dtype: torch.dtype = torch.float64) -> Affine:
    """Return the affine map that changes nothing."""
    return Affine(Selection(0, size, size), torch.zeros((), dtype=dtype).expand(size))
