"""Nodes that reshape or permute a value."""

from __future__ import annotations

import math
from collections.abc import Sequence

from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._node import Node
from relu_attack.network import LiveValue


def lower_dropout(node: Node, chain: Chain) -> None:
    """Lower ``Dropout``, the identity in inference."""
    if 2 in node.constants and bool(node.constants[2]):
        raise node.wrong("is in training mode, where its result is random; export the model for inference")
    chain.note("vanishes")


def lower_flatten(node: Node, chain: Chain) -> None:
    """Lower ``Flatten``, which always gives a matrix."""
    rank, axis = len(chain.shape), int(node.number("axis", 1))
    if not -rank <= axis <= rank:
        raise node.wrong(f"has axis={axis}, which does not fit a value of shape {chain.shape}")
    axis = axis + rank if axis < 0 else axis
    _reshape(node, chain, (math.prod(chain.shape[:axis]), math.prod(chain.shape[axis:])))


def lower_reshape(node: Node, chain: Chain) -> None:
    """Lower ``Reshape``: 0 preserves a dimension, -1 is inferred."""
    target = node.integers("shape", 1)
    if target is None:
        raise node.wrong("has no shape to give")
    keeps = not node.number("allowzero", 0)
    if keeps and any(size == 0 for size in target[len(chain.shape) :]):
        raise node.wrong(f"keeps a dimension that a value of shape {chain.shape} does not have: {target}")
    sizes = [chain.shape[index] if keeps and size == 0 else size for index, size in enumerate(target)]
    known = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known > 0:
        sizes = [chain.size // known if size == -1 else size for size in sizes]
    _reshape(node, chain, tuple(sizes))


def lower_squeeze(node: Node, chain: Chain) -> None:
    """Lower ``Squeeze``."""
    rank, axes = len(chain.shape), node.integers("axes", 1)
    if axes is None:
        axes = tuple(index for index, size in enumerate(chain.shape) if size == 1)
    gone = {axis % rank for axis in axes if -rank <= axis < rank and chain.shape[axis] == 1}
    if len(gone) != len(axes):
        raise node.wrong(f"has axes {axes}, which are not all of size 1 in a value of shape {chain.shape}")
    _reshape(node, chain, tuple(size for index, size in enumerate(chain.shape) if index not in gone))


def lower_unsqueeze(node: Node, chain: Chain) -> None:
    """Lower ``Unsqueeze``."""
    axes = node.integers("axes", 1) or ()
    rank = len(chain.shape) + len(axes)
    new = {axis % rank for axis in axes if -rank <= axis < rank}
    if len(new) != len(axes):
        raise node.wrong(f"has axes {axes}, which do not fit a value of shape {chain.shape}")
    sizes = iter(chain.shape)
    _reshape(node, chain, tuple(1 if index in new else next(sizes) for index in range(rank)))


def lower_transpose(node: Node, chain: Chain) -> None:
    """Lower ``Transpose``: without ``perm`` it reverses the dimensions."""
    before = chain.shape
    order = node.integers("perm") or tuple(reversed(range(len(before))))
    if sorted(order) != list(range(len(before))):
        raise node.wrong(f"has perm {order}, which does not fit a value of shape {before}")
    chain.select(chain.offsets.permute(order))
    chain.note(f"{before} -> {chain.shape}")


def lower_concatenation(node: Node, chain: Chain, values: Sequence[LiveValue]) -> None:
    """Lower ``Concat``."""
    shapes = [value.shape for value in values]
    rank, axis = len(shapes[0]), int(node.number("axis", 0))
    place = axis % rank if -rank <= axis < rank else rank
    if len({(len(shape), *shape[:place], *shape[place + 1 :]) for shape in shapes}) != 1 or place == rank:
        raise node.wrong(f"has axis={axis}, along which values of shapes {', '.join(map(str, shapes))} do not fit")
    chain.join(values, place)
    chain.note(f"{len(values)} values -> {chain.shape}")


def _reshape(node: Node, chain: Chain, shape: tuple[int, ...]) -> None:
    if min(shape, default=1) < 1 or math.prod(shape) != chain.size:
        raise node.wrong(f"gives a value of shape {chain.shape} the shape {shape}, which does not come out even")
    chain.note(f"{chain.shape} -> {shape}")
    chain.reshape(shape)


SEVERAL = {"Concat": lower_concatenation}
RULES = {
    "Dropout": lower_dropout,
    "Flatten": lower_flatten,
    "Reshape": lower_reshape,
    "Squeeze": lower_squeeze,
    "Unsqueeze": lower_unsqueeze,
    "Transpose": lower_transpose,
}
