"""Average and maximum pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._node import Node
from relu_attack.io.onnx._windows import Windows, windows
from relu_attack.network import PADDING, average, product
from relu_attack.network import lower_max_pool as lower_module


def lower_average_pool(node: Node, chain: Chain) -> None:
    """Lower ``AveragePool`` over one or two spatial dimensions."""
    counts_padding = bool(node.number("count_include_pad", 0))
    if counts_padding and node.number("ceil_mode", 0):
        # Opsets and runtimes differ in the number of positions that the last window counts.
        raise node.unsupported("has both ceil_mode=1 and count_include_pad=1; supported: one of them")
    with chain.without_batch(node, dimensions=range(1, 3)):
        table, shape = _table(node, chain, _windows(node, chain))
        counted = table >= (PADDING if counts_padding else 0)
        average(chain, table, counted.sum(1), shape)
    chain.note(f"-> {chain.shape}")


def lower_global_average_pool(node: Node, chain: Chain) -> None:
    """Lower ``GlobalAveragePool`` over any number of spatial dimensions."""
    with chain.without_batch(node, dimensions=range(1, 7)):
        channels = chain.shape[0]
        table = chain.offsets.reshape(channels, -1)
        divisor = torch.full((channels,), table.shape[1])
        average(chain, table, divisor, (channels, *[1] * (len(chain.shape) - 1)))
    chain.note(f"-> {chain.shape}")


def lower_max_pool(node: Node, chain: Chain) -> None:
    """Lower ``MaxPool`` over one or two spatial dimensions; padding is minus infinity."""
    with chain.without_batch(node, dimensions=range(1, 3)):
        found = _windows(node, chain)
        reach = [dilate * (width - 1) + 1 for dilate, width in zip(found.dilations, found.kernel, strict=True)]
        module = nn.MaxPool1d if len(found.sizes) == 1 else nn.MaxPool2d
        if found.is_symmetric and all(2 * pad <= size for pad, size in zip(found.begin, reach, strict=True)):
            lower_module(
                module(found.kernel, found.strides, found.begin, found.dilations, ceil_mode=found.ceil_mode), chain
            )
        else:
            # Windows are unfolded, with padding replaced by one of their own entries, and pooled separately.
            table, shape = _table(node, chain, found)
            chain.select(torch.where(table >= 0, table, table.amax(1, keepdim=True)))
            lower_module(nn.MaxPool1d(table.shape[1]), chain)
            chain.reshape(shape)
    chain.note(f"-> {chain.shape}")


def _windows(node: Node, chain: Chain) -> Windows:
    kernel = node.integers("kernel_shape")
    if kernel is None:
        raise node.wrong("has no kernel_shape")
    return windows(node, chain.shape, kernel)


def _table(node: Node, chain: Chain, found: Windows) -> tuple[Tensor, tuple[int, ...]]:
    """Return the entries under each window, one row for each window, and the shape of the result."""
    tables = found.tables()
    table = product(tables, chain.shape)
    if bool((table < 0).all(1).any()):
        raise node.wrong(f"has a window that sees padding only, on a value of shape {(1, *chain.shape)}")
    return table, (chain.shape[0], *(each.shape[0] for each in tables))


RULES = {
    "AveragePool": lower_average_pool,
    "GlobalAveragePool": lower_global_average_pool,
    "MaxPool": lower_max_pool,
}
