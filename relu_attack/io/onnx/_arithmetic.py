"""Sums, differences, products and quotients with broadcasting constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._node import Node
from relu_attack.network import Diagonal, LiveValue


def broadcast(node: Node, chain: Chain, constant: Tensor) -> Tensor:
    """Broadcast the value and a constant, and return the constant flat, shape (entries,)."""
    try:
        # torch.broadcast_shapes imports sympy, which takes most of a second.
        shape = np.broadcast_shapes(chain.shape, constant.shape)
    except ValueError:
        raise node.wrong(
            f"has a constant of shape {tuple(constant.shape)}, which does not fit a value of shape {chain.shape}"
        ) from None
    chain.select(chain.offsets.expand(shape))
    return constant.expand(shape).flatten()


def lower_arithmetic(node: Node, chain: Chain) -> None:
    """Lower ``Add``, ``Sub``, ``Mul`` and ``Div``."""
    constant = broadcast(node, chain, node.tensor(1 - node.place))
    ones = torch.ones_like(constant)
    if node.kind == "Mul":
        chain.affine(Diagonal(constant), None)
    elif node.kind == "Div":
        if not bool(constant.all()):
            raise node.wrong("divides by zero")
        chain.divide(constant)
    elif node.kind == "Sub" and node.place == 1:
        chain.affine(Diagonal(-ones), constant)
    else:
        chain.affine(Diagonal(ones), -constant if node.kind == "Sub" else constant)
    chain.note(f"{chain.size} entries")


def lower_sum(node: Node, chain: Chain, values: Sequence[LiveValue]) -> None:
    """Lower ``Add`` and ``Sub`` of two values, of shapes that broadcast."""
    try:
        shape = np.broadcast_shapes(*(value.shape for value in values))
    except ValueError:
        raise node.wrong(f"adds values of shapes {values[0].shape} and {values[1].shape}, which do not fit") from None
    first, second = (_expanded(chain, value, shape) for value in values)
    chain.switch_to(second)
    if node.kind == "Sub":
        chain.scale(-1.0)
    chain.add(first)
    chain.note(f"two values, {chain.size} entries")


def _expanded(chain: Chain, value: LiveValue, shape: tuple[int, ...]) -> LiveValue:
    chain.switch_to(value)
    chain.select(chain.offsets.expand(shape))
    return chain.current()


SEVERAL = {"Add": lower_sum, "Sub": lower_sum}
RULES = dict.fromkeys(("Add", "Sub", "Mul", "Div"), lower_arithmetic)
