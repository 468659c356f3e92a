"""Cuts of the ideal formulation of a single unit, separated in linear time at a fractional point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from relu_attack.encodings._assembly import Array, Block, Indices, stack
from relu_attack.encodings._coefficients import folding_error
from relu_attack.encodings._encoding import Encoding


@dataclass(frozen=True, kw_only=True, eq=False)
class Cuts:
    """Rows ``matrix @ point <= upper`` that every forward pass satisfies, the most violated first.

    Attributes
    ----------
    matrix
        CSR array, shape (cuts, columns).
    upper
        Shape (cuts,).
    violation
        Violation of each row by the separated point, relative to the row's norm; shape (cuts,).
    """

    matrix: Any
    upper: Array
    violation: Array


def separate(encoding: Encoding, point: Array, *, tolerance: float = 1e-6, limit: int | None = None) -> Cuts:
    """Return for each unstable unit the cut that `point` violates most, if any.

    Parameters
    ----------
    encoding
        An exact model.
    point
        A point of its linear relaxation, shape (columns,).
    tolerance
        Smallest violation of a cut, relative to the row's norm.
    limit
        Largest number of cuts, the most violated ones; no limit by default.

    Returns
    -------
    Cuts
        At most one for each unit.

    Notes
    -----
    With z = w . h' + b and h' in the box [l, u], every subset I of the inputs gives the valid row

        relu(z) <= sum over I of w_i (h'_i - low_i (1 - s)) + (b + sum over the others of w_i high_i) s

    where (low_i, high_i) is (l_i, u_i) for w_i >= 0 and (u_i, l_i) otherwise; together with the big-M model they
    describe the convex hull of the unit (Anderson et al., Strong mixed-integer programming formulations for trained
    neural networks, 1811.01988, proposition 12). The right side is smallest for
    ``I = {i : w_i (h'_i - low_i (1 - s)) < w_i high_i s}``. For a slope a above 0, (1 - a) relu(z) is h - a z.

    Examples
    --------
    >>> from relu_attack import Box, Linear
    >>> from relu_attack.encodings import encode
    >>> from relu_attack.network import dense_chain
    >>> from relu_attack.problem import Problem
    >>> row = torch.ones(1, 2, dtype=torch.float64)
    >>> chain = dense_chain([row, row[:, :1]], [-1.5 * row[0, :1], 0 * row[0, :1]])
    >>> problem = Problem.create(chain, Box(0.0, 1.0, shape=(2,)), Linear(row[0, :1]))
    >>> encoding = encode(problem, [(-1.5 * row[0, :1], 0.5 * row[0, :1])])

    At x = (1, 0) the unit is relu(1 + 0 - 1.5) = 0, but the big-M model allows 0.25 with s = 0.5. The cut
    ``h <= x_1 - 0.5 s`` does not.

    >>> cuts = separate(encoding, np.array([1.0, 0.0, 0.25, -0.5, 0.5]))
    >>> (cuts.matrix.toarray() + 0.0).tolist(), cuts.upper.round(9).tolist()
    ([[0.0, -1.0, 1.0, 0.0, 0.5]], [0.0])
    """
    parts = [_separate_layer(encoding, index, point, tolerance) for index in range(len(encoding.matrices))]
    columns = encoding.program.columns
    upper = np.concatenate([np.zeros(0), *(part[1] for part in parts)])
    violation = np.concatenate([np.zeros(0), *(part[2] for part in parts)])
    order = np.argsort(-violation, kind="stable")[:limit]
    blocks, count = [], 0
    for (rows, place, values), sides, _ in parts:
        blocks.append((rows + count, place, values))
        count += len(sides)
    matrix = scipy.sparse.csr_array(stack(blocks, (count, columns))[order])
    return Cuts(matrix=matrix, upper=upper[order], violation=violation[order])


def _separate_layer(encoding: Encoding, index: int, point: Array, tolerance: float) -> tuple[Block, Array, Array]:
    """Return the entries, right sides and violations of the violated cuts of one layer."""
    layer, program = encoding.problem.network.layers[index], encoding.program
    unstable = np.flatnonzero(encoding.binary_columns[index] >= 0)
    activation, preactivation, binary = (
        columns[index][unstable]
        for columns in (encoding.activation_columns, encoding.preactivation_columns, encoding.binary_columns)
    )
    before = encoding.activation_columns[index - 1] if index else np.arange(encoding.inputs)
    value, low, high = (np.where(before >= 0, vector[before], 0.0) for vector in (point, program.lower, program.upper))
    rows, entry, weight = _entries(encoding.matrices[index][unstable])
    slope, bias, s = layer.slope.numpy()[unstable], layer.affine.bias.numpy()[unstable], point[binary]
    least = weight * np.where(weight > 0, low[entry], high[entry])
    most = weight * np.where(weight > 0, high[entry], low[entry])
    inside, outside = weight * value[entry] - least * (1 - s[rows]), most * s[rows]
    chosen = inside < outside

    def total(terms: Array) -> Array:
        sums: Array = np.bincount(rows, weights=terms, minlength=len(unstable)).astype(np.float64)
        return sums

    share = 1 - slope
    right = bias * s + total(np.where(chosen, inside, outside))
    excess = point[activation] - slope * point[preactivation] - share * right
    at_s = share * (total(np.where(chosen, least, most)) + bias)
    norm = np.sqrt(1 + slope**2 + at_s**2 + share**2 * total(np.where(chosen, weight, 0.0) ** 2))
    violation = excess / norm
    violated = violation > tolerance
    # The right side is relaxed by the rounding error of the sums.
    size = torch.as_tensor(np.maximum(np.abs(low), np.abs(high)))
    error = 4 * folding_error(layer.affine, size).numpy()[unstable]
    upper = (error - share * total(np.where(chosen, least, 0.0)))[violated]
    position, count = np.cumsum(violated) - 1, np.arange(int(violated.sum()))
    mine = chosen & violated[rows] & (before[entry] >= 0)
    leaky = slope[violated] > 0
    block = (
        np.concatenate([count, count, count[leaky], position[rows[mine]]]),
        np.concatenate([activation[violated], binary[violated], preactivation[violated][leaky], before[entry[mine]]]),
        np.concatenate([np.ones(len(count)), -at_s[violated], -slope[violated][leaky], -(share[rows] * weight)[mine]]),
    )
    return block, upper, violation[violated]


def _entries(matrix: Any) -> tuple[Indices, NDArray[np.int32], Array]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices, matrix.data
