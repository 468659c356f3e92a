"""Operators that the lowering rule of a torch layer serves, as the table of layers declares them."""

from __future__ import annotations

from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._node import Node
from relu_attack.network import find_rule, onnx_operators


def lower_as_layer(node: Node, chain: Chain) -> None:
    """Lower a node by the rule of the layer that computes the same; the attributes of the node are numbers."""
    make = onnx_operators()[node.kind]
    attributes = {name: node.number(name, 0.0) for name in node.attributes}
    try:
        module = make(**attributes).eval()
    except (TypeError, ValueError) as reason:
        raise node.wrong(f"has attributes that do not fit: {reason}") from None
    rule = find_rule(module)
    if rule is None:
        raise node.unsupported(f"stands for {type(module).__name__}, which has no lowering rule")
    rule(module, chain)
