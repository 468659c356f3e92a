"""Products with a constant matrix, on either side."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from relu_attack._memory import require_memory
from relu_attack.io.onnx._arithmetic import broadcast
from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._node import Node
from relu_attack.network import Dense, Kronecker, Sparse

# Memory of an entry while the triplets of a matrix are sorted.
_BYTES_AN_ENTRY = 80


def lower_matmul(node: Node, chain: Chain) -> None:
    """Lower ``MatMul``; values of more than two dimensions are batches of matrices, of one dimension vectors."""
    _multiply(node, chain, node.tensor(1 - node.place))
    chain.note(f"-> {chain.shape}")


def lower_gemm(node: Node, chain: Chain) -> None:
    """Lower ``Gemm``: ``alpha A B + beta C`` with A and B optionally transposed."""
    flips = [bool(node.number(name, 0)) for name in ("transA", "transB")]
    constant = node.tensor(1 - node.place)
    if len(chain.shape) != 2 or constant.dim() != 2:
        raise node.wrong(f"takes two matrices but gets shapes {chain.shape} and {tuple(constant.shape)}")
    if flips[node.place]:
        chain.select(chain.offsets.T)
    constant = constant.T if flips[1 - node.place] else constant
    _multiply(node, chain, constant)
    if node.number("alpha", 1.0) != 1:
        chain.scale(node.number("alpha", 1.0))
    if 2 in node.constants:
        shape = chain.shape
        shift = broadcast(node, chain, node.tensor(2))
        if chain.shape != shape:
            raise node.wrong(f"has a C of shape {tuple(node.tensor(2).shape)}, which does not broadcast to {shape}")
        chain.shift(shift, node.number("beta", 1.0))
    chain.note(f"-> {chain.shape}")


def _multiply(node: Node, chain: Chain, constant: Tensor) -> None:
    """Append the product of the value, at `node.place`, and a constant."""
    before, places, right = chain.shape, chain.offsets, node.place == 0
    sides = (places, constant) if right else (constant, places)
    if not (places.dim() and constant.dim()) or sides[0].shape[-1] != sides[1].shape[-min(2, sides[1].dim())]:
        raise node.wrong(f"cannot multiply shapes {tuple(sides[0].shape)} and {tuple(sides[1].shape)}")
    if constant.dim() == 2:  # one matrix for all rows of the value, or for all of its columns
        weight = constant.T.contiguous() if right else constant.contiguous()
        leading, last = (before[:-1], ()) if right else (before[:-2], before[1:][-1:])
        shape = (*leading, weight.shape[0], *last)
        copies = math.prod(leading), math.prod(last)
        chain.affine(Dense(weight) if copies == (1, 1) else Kronecker(weight, *copies), None, shape)
        return
    # Entry (m, n) of the product is the sum over k of left (m, k) times right (k, n); one side holds offsets.
    left = (sides[0] if sides[0].dim() > 1 else sides[0][None])[..., :, None, :]
    across = (sides[1] if sides[1].dim() > 1 else sides[1][:, None]).transpose(-1, -2)[..., None, :, :]
    try:
        table = np.broadcast_shapes(left.shape, across.shape)
    except ValueError:
        raise node.wrong(f"cannot multiply shapes {tuple(sides[0].shape)} and {tuple(sides[1].shape)}") from None
    require_memory(_BYTES_AN_ENTRY * math.prod(table), f"{node.where} as a matrix over all entries")
    columns, values = (left, across) if right else (across, left)
    outputs = math.prod(table[:-1])
    rows = torch.arange(outputs).reshape(*table[:-1], 1)
    entries = (part.expand(table).flatten() for part in (rows, columns, values))
    chain.affine(Sparse.from_triplets(*entries, outputs=outputs, inputs=chain.size), None)
    shape = (*table[:-3], *(table[-3:-2] if sides[0].dim() > 1 else ()), *(table[-2:-1] if sides[1].dim() > 1 else ()))
    chain.reshape(tuple(shape))


RULES = {"MatMul": lower_matmul, "Gemm": lower_gemm}
