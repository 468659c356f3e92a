"""Affine maps of a network as sparse arrays, with bounds of the rounding error of their coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from relu_attack.network import Affine, LinearOperator
from relu_attack.rounding import dot_error, up

# Roundings besides those of the sum: scaling, and additions after it.
_EXTRA_ROUNDINGS = 6


def sparse_matrix(operator: LinearOperator) -> Any:
    """Return the operator as a CSR array in float64, shape (outputs, inputs); a convolution stays sparse."""
    rows, columns, values = (part.cpu().numpy() for part in operator.triplets())
    shape = (operator.outputs, operator.inputs)
    return scipy.sparse.csr_array(scipy.sparse.coo_array((values.astype(np.float64), (rows, columns)), shape=shape))


def folding_error(affine: Affine, size: Tensor) -> Tensor:
    """Bound the effect of rounded coefficients on ``A x + b`` for |x| <= `size` (inputs,); shape (outputs,).

    A coefficient may be a sum of products that is scaled and added to others. The loss of the map from folding is
    included.
    """
    operator = affine.operator
    magnitude = operator.absolute().apply(size[None], bias=affine.bias.abs())
    rounded = dot_error(magnitude, operator.row_nnz + _EXTRA_ROUNDINGS, operator.gain * size.sum())
    return up(rounded + affine.lost(size[None]))[0]


def combination_error(affine: Affine, weight: Tensor, size: Tensor) -> Tensor:
    """Bound the rounding error of rows ``weight (A x + b)`` multiplied out, for |x| <= `size`; shape (rows,).

    The error of the map's own coefficients is included.

    Each coefficient and the constant is a sum of products over the outputs. Underflow of a product counts with the size
    of its input.
    """
    operator, weight = affine.operator, weight.abs()
    own = torch.as_tensor(row_error(affine, size, np.zeros(operator.outputs, dtype=bool)))
    magnitude = operator.absolute().apply(size[None], bias=affine.bias.abs())[0]
    terms = operator.outputs + operator.row_nnz + _EXTRA_ROUNDINGS
    operands = (weight.sum(1) + operator.outputs + 1) * (size.sum() + 1) + magnitude.sum()
    folded = dot_error(weight @ magnitude, terms, operands)
    passed = weight @ own
    return up(up(passed + dot_error(passed, operator.outputs, weight.sum(1) + own.sum())) + folded)


def row_error(affine: Affine, size: Tensor, scaled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the folding error of each row, shape (outputs,); 0 for rows with the coefficients of the model.

    Rows of operators that are folded into one matrix, and `scaled` rows (outputs,), have rounded coefficients. The
    error of other rows is the loss of lowering.
    """
    lost = affine.lost(size[None])[0].numpy()
    folded = affine.operator.rounds_triplets
    if not folded and not scaled.any():
        return lost
    return np.where(scaled | folded, folding_error(affine, size).numpy(), lost)
