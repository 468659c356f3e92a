"""How far a forward pass in float64 may be from the user's model, for all points of a box."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.network import Affine, Network
from relu_attack.rounding import dot_error, enclose_affine, sum_above, up


def evaluation_error(network: Network, lower: Tensor, upper: Tensor, objective: Tensor) -> Tensor:
    """Return an upper bound of the error of ``network.values(x) @ objective.T`` for all x of a box.

    Parameters
    ----------
    network
        The chain in float64.
    lower, upper
        The box, float64, shape (inputs,).
    objective
        Rows over the outputs, float64, shape (rows, outputs).

    Returns
    -------
    Tensor
        Shape (rows,): what is computed, in any order of summation, is within it of the user's model in real arithmetic.

    Notes
    -----
    Running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, section 3.3) with magnitudes over
    the box. Let computed activations be below `size` in magnitude and within `error` of the exact ones. Then what an
    affine map A, b makes of them is within ``|A| error`` of the exact one, the rounding error of a sum of products with
    magnitudes ``|A| size + |b|``, and the loss of folded maps. Activations do not increase an error but for a rounding.

    Examples
    --------
    >>> import torch
    >>> from relu_attack.network import dense_chain
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> network = dense_chain([one, one], [torch.zeros(1, dtype=torch.float64)] * 2)
    >>> 0 < float(evaluation_error(network, -one[0], one[0], one)) < 1e-13
    True
    """
    size = torch.maximum(lower.abs(), upper.abs())[None]
    error = torch.zeros_like(size)
    for layer in network.layers:
        size, error = _after(layer.affine, size, error)
        # Slopes are at most 1; the product with one is rounded.
        error = up(error + dot_error(size, 1, 1 + size))
    size, error = _after(network.output, size, error)
    rows = objective.abs()
    operands = (1 + size.sum()) * (1 + rows.sum(1))
    _, error = enclose_affine(
        torch.zeros_like(operands), (error @ rows.T)[0], (size @ rows.T)[0], network.outputs, operands
    )
    return error


def _after(affine: Affine, size: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Return magnitude and error, each (1, outputs), of what a map makes of inputs with these, (1, inputs)."""
    operator = affine.operator
    spread, magnitude = operator.absolute().apply(torch.cat([error, size])).chunk(2)
    magnitude = magnitude + affine.bias.abs()
    operands = operator.gain * size.sum(1, keepdim=True)
    lost = None if affine.loss is None else affine.loss.over(size)
    # The centre of a box of radius `error` is what was computed, which is left out of its range here.
    _, found = enclose_affine(torch.zeros_like(spread), spread, magnitude, operator.row_nnz, operands, lost=lost)
    return up(sum_above(magnitude, operator.row_nnz + 1, operands) + found), found
