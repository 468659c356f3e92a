"""Rounding error of folded maps: the distance of an affine map from the maps of the user's model that it replaces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.network.operators import LinearOperator
from relu_attack.rounding import sum_above, tiny, up


@dataclass(frozen=True, eq=False)
class Loss:
    """Upper bound of the distance between an affine map ``A h + b`` and the exact one that it replaces.

    At every h of the layer before, the exact map is within ``relative |F| |h| + constants`` of ``A h + b``.

    Attributes
    ----------
    relative
        The largest relative error of a product of coefficients that was folded into one of A.
    factors
        Operator F with the magnitudes of the products before they are summed; A itself without sums. None if `relative`
        is 0.
    constants
        Upper bounds of the error of the bias, shape (outputs,); None for an exact bias.
    """

    relative: float = 0.0
    factors: LinearOperator | None = None
    constants: Tensor | None = None

    def over(self, largest: Tensor) -> Tensor:
        """Return an upper bound of the distance for ``|h| <= largest``.

        Parameters
        ----------
        largest
            Not negative, shape (boxes, inputs).

        Returns
        -------
        Tensor
            Shape (boxes, outputs).
        """
        lost = largest.new_zeros(len(largest), 1)
        if self.factors is not None:
            # A subnormal number may be read as zero.
            size = largest.clamp_min(tiny(largest.dtype))
            magnitude = self.factors.absolute().apply(size)
            operands = self.factors.gain * size.sum(1, keepdim=True)
            lost = up(self.relative * sum_above(magnitude, self.factors.row_nnz, operands))
        return lost if self.constants is None else up(lost + self.constants)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Loss:
        """Return the loss on another device or in another dtype, rounded upward."""
        factors = None if self.factors is None else self.factors.to(device=device, dtype=dtype)
        constants = None if self.constants is None else up(self.constants.to(device=device, dtype=dtype))
        return Loss(self.relative, factors, constants)
