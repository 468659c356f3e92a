"""Affine maps of a network as sparse arrays, and what their coefficients lost when they were folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from relu_attack.network import Affine, LinearOperator
from relu_attack.rounding import dot_error, up

# Roundings around the sums: a scale, and what is added up after it.
_AROUND = 6


def sparse_matrix(operator: LinearOperator) -> Any:
    """Return the operator as a CSR array in float64, shape (outputs, inputs); a convolution stays sparse."""
    rows, columns, values = (part.cpu().numpy() for part in operator.triplets())
    shape = (operator.outputs, operator.inputs)
    return scipy.sparse.csr_array(scipy.sparse.coo_array((values.astype(np.float64), (rows, columns)), shape=shape))


def folding_error(affine: Affine, size: Tensor) -> Tensor:
    """Bound what rounding of coefficients changes in ``A x + b`` where |x| <= `size` (inputs,); shape (outputs,).

    It is that of a coefficient that is a sum of products, scaled and added up with the others, and what the map lost
    when it was folded.
    """
    operator = affine.operator
    magnitude = operator.absolute().apply(size[None], bias=affine.bias.abs())
    rounded = dot_error(magnitude, operator.row_nnz + _AROUND, operator.gain * size.sum())
    return up(rounded + affine.lost(size[None]))[0]


def combination_error(affine: Affine, weight: Tensor, size: Tensor) -> Tensor:
    """Bound what rounding takes from rows ``weight (A x + b)`` multiplied out, where |x| <= `size`; shape (rows,).

    Parameters
    ----------
    affine
        The map; what its own coefficients are off by is included.
    weight
        Shape (rows, outputs).
    size
        Shape (inputs,).

    Notes
    -----
    Each coefficient is a sum of products over the outputs, and so is the constant. Underflow of one of them counts with
    the size of its input.
    """
    operator, weight = affine.operator, weight.abs()
    own = torch.as_tensor(row_error(affine, size, np.zeros(operator.outputs, dtype=bool)))
    magnitude = operator.absolute().apply(size[None], bias=affine.bias.abs())[0]
    terms = operator.outputs + operator.row_nnz + _AROUND
    operands = (weight.sum(1) + operator.outputs + 1) * (size.sum() + 1) + magnitude.sum()
    folded = dot_error(weight @ magnitude, terms, operands)
    passed = weight @ own
    return up(up(passed + dot_error(passed, operator.outputs, weight.sum(1) + own.sum())) + folded)


def row_error(affine: Affine, size: Tensor, scaled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the folding error of each row, shape (outputs,); 0 where its coefficients are those of the model.

    They are not where operators are folded into one matrix, and in the rows that are `scaled` (outputs,). Elsewhere the
    error is what the network lost when it was lowered.
    """
    lost = affine.lost(size[None])[0].numpy()
    folded = affine.operator.rounds_triplets
    if not folded and not scaled.any():
        return lost
    return np.where(scaled | folded, folding_error(affine, size).numpy(), lost)
