"""Affine maps of a network as sparse arrays, and what their coefficients lost when they were folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from relu_attack.network import Affine
from relu_attack.network.operators import LinearOperator

_UNIT_ROUNDOFF = torch.finfo(torch.float64).eps / 2


def sparse_matrix(operator: LinearOperator) -> Any:
    """Return the operator as a CSR array in float64, shape (outputs, inputs); a convolution stays sparse."""
    rows, columns, values = (part.cpu().numpy() for part in operator.entries())
    shape = (operator.outputs, operator.inputs)
    return scipy.sparse.csr_array(scipy.sparse.coo_array((values.astype(np.float64), (rows, columns)), shape=shape))


def folding_error(affine: Affine, size: Tensor) -> Tensor:
    """Bound what rounding of coefficients changes in ``A x + b`` where |x| <= `size` (inputs,); shape (outputs,).

    A coefficient that is a sum of n products is off by ``gamma_n`` times the sum of magnitudes at most (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1); the factor 2 and the 8 hold the roundings around it.
    """
    magnitude = affine.operator.absolute().apply(size[None], bias=affine.bias.abs())[0]
    return magnitude * (2 * (affine.operator.terms + 8) * _UNIT_ROUNDOFF) + torch.finfo(torch.float64).tiny


def row_error(affine: Affine, size: Tensor, scaled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the folding error of each row, shape (outputs,); 0 where its coefficients are those of the network.

    They are not where operators are folded into one matrix, and in the rows that are `scaled` (outputs,).
    """
    folded = affine.operator.rounds_entries
    if not folded and not scaled.any():
        return np.zeros(len(scaled))
    return np.where(scaled | folded, folding_error(affine, size).numpy(), 0.0)
