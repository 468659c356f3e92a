"""Convolutions."""

from __future__ import annotations

from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._node import Node
from relu_attack.io.onnx._windows import windows
from relu_attack.network import Convolution, pad


def lower_convolution(node: Node, chain: Chain) -> None:
    """Lower ``Conv`` over one or two spatial dimensions."""
    weight, groups = node.tensor(1), int(node.number("group", 1))
    with chain.without_batch(node, dimensions=range(1, 3)):
        channels, kernel = chain.shape[0], tuple(weight.shape[2:])
        fits = weight.dim() == len(chain.shape) + 1 and groups > 0 and weight.shape[0] % groups == 0
        if not fits or weight.shape[1] * groups != channels or node.integers("kernel_shape") not in (None, kernel):
            raise node.wrong(
                f"has weights of shape {tuple(weight.shape)} in {groups} groups but gets a value of shape "
                f"{(1, *chain.shape)}"
            )
        bias = node.tensor(2) if 2 in node.constants else None
        if bias is not None and bias.shape != weight.shape[:1]:
            raise node.wrong(f"has a bias of shape {tuple(bias.shape)}; it must be {tuple(weight.shape[:1])}")
        found = windows(node, chain.shape, kernel)
        # The symmetric part belongs to the convolution; the rest is a map of its own.
        common = tuple(min(both) for both in zip(found.begin, found.end, strict=True))
        if not found.is_symmetric:
            widths = [
                width - shared
                for begin, end, shared in reversed([*zip(found.begin, found.end, common, strict=True)])
                for width in (begin, end)
            ]
            operator, _, shape = pad(chain.shape, widths)
            chain.affine(operator, None, shape)
        convolution = Convolution(weight, chain.shape, found.strides, common, found.dilations, groups)
        positions = convolution.outputs // weight.shape[0]
        shift = None if bias is None else bias.repeat_interleave(positions)
        chain.affine(convolution, shift, convolution.output_shape)
    chain.note(f"-> {chain.shape}")


RULES = {"Conv": lower_convolution}
