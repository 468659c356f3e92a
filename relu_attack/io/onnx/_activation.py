"""Activations, by the rules of the torch modules that compute the same."""

from __future__ import annotations

from torch import nn

from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._node import Node
from relu_attack.network import lower_leaky_relu as lower_module
from relu_attack.network import lower_relu as lower_relu_module


def lower_relu(node: Node, chain: Chain) -> None:
    """Lower ``Relu``."""
    lower_relu_module(nn.ReLU(), chain)


def lower_leaky_relu(node: Node, chain: Chain) -> None:
    """Lower ``LeakyRelu`` of any slope, taken as the single-precision number that the file holds."""
    lower_module(nn.LeakyReLU(node.number("alpha", DEFAULT_ALPHA)), chain)


DEFAULT_ALPHA = 0.009999999776482582  # 0.01 in single precision, as the file would hold it
RULES = {"Relu": lower_relu, "LeakyRelu": lower_leaky_relu}
