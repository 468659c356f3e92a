"""Hidden layer: an affine map and the activations of its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.network._affine import Affine, convert, narrow

_threshold_backward = torch.ops.aten.threshold_backward.grad_input


@dataclass(frozen=True, eq=False)
class Layer:
    """An affine map and the activation ``z -> max(z, slope z)`` of its units.

    Attributes
    ----------
    affine
        The map from the layer before.
    slopes
        Slopes for negative preactivations, in [0, 1]: 0 is ReLU, 1 the identity. In the order of the units, of any
        shape, as the constants of an affine map.
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
        """Whether every unit is a ReLU; kernels have a faster path for these layers."""
        return not bool(narrow(self.slopes).any())

    @cached_property
    def passes(self) -> Tensor | None:
        """Mask of the units of slope 1, which have no breakpoint, shaped as `slopes`; None without such units."""
        mask = narrow(self.slopes) == 1
        return mask.expand(self.slopes.shape) if bool(mask.any()) else None

    @cached_property
    def _floor(self) -> Tensor | None:
        """Lower bound of each unit's value if every slope is 0 or 1, shaped as `slopes`; else None.

        The activation and its derivative then need no product and no buffer for one.
        """
        slopes = narrow(self.slopes)
        if not bool(((slopes == 0) | (slopes == 1)).all()):
            return None
        return torch.zeros_like(slopes).masked_fill_(slopes == 1, -torch.inf).expand(self.slopes.shape)

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
        """Return `rows` times a smoothed derivative, linear over a range of preactivations around 0.

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
        return Layer(self.affine.to(device=device, dtype=dtype), convert(self.slopes, device, dtype))
