"""Windows of convolutions and pooling in ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from relu_attack.io.onnx._node import Node
from relu_attack.network import sliding


@dataclass(frozen=True)
class Windows:
    """A sliding window over the last dimensions of a value, with one number for each in every attribute.

    It moves over a value of sizes `sizes`, with `begin` and `end` entries of padding; with `ceil_mode` the last window
    may extend beyond the padding.
    """

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    ceil_mode: bool

    @property
    def is_symmetric(self) -> bool:
        """Whether the padding is symmetric."""
        return self.begin == self.end

    def tables(self) -> list[Tensor]:
        """Return the index table of each dimension, (windows, kernel), see `relu_attack.network.lowering`."""
        paddings = zip(self.begin, self.end, strict=True)
        each = zip(self.sizes, self.kernel, self.strides, paddings, self.dilations, strict=True)
        return [
            sliding(size, kernel=width, stride=stride, padding=padding, dilation=dilate, ceil_mode=self.ceil_mode)
            for size, width, stride, padding, dilate in each
        ]


def windows(node: Node, shape: Sequence[int], kernel: Sequence[int]) -> Windows:
    """Read the window of a node for a value of shape (channels, \\*sizes)."""
    sizes, count = tuple(shape[1:]), len(shape) - 1
    strides = node.integers("strides") or (1,) * count
    dilations = node.integers("dilations") or (1,) * count
    pads = node.integers("pads") or (0,) * (2 * count)
    lengths = (len(kernel), len(strides), len(dilations), len(pads))
    if lengths != (count, count, count, 2 * count) or min(*kernel, *strides, *dilations) < 1 or min(pads) < 0:
        raise node.wrong(
            f"has kernel {tuple(kernel)}, strides {strides}, dilations {dilations} and pads {pads}, which do not fit "
            f"a value of shape {(1, *shape)}"
        )
    begin, end = pads[:count], pads[count:]
    automatic = node.attributes.get("auto_pad", b"NOTSET")
    if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
        totals = [
            max((-(-size // stride) - 1) * stride + dilate * (width - 1) + 1 - size, 0)
            for size, width, stride, dilate in zip(sizes, kernel, strides, dilations, strict=True)
        ]
        halves = tuple(total // 2 for total in totals)
        others = tuple(total - half for total, half in zip(totals, halves, strict=True))
        begin, end = (halves, others) if automatic == b"SAME_UPPER" else (others, halves)
    elif automatic == b"VALID":
        begin = end = (0,) * count
    elif automatic != b"NOTSET":
        raise node.wrong(f"has auto_pad={automatic!r}; it must be NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    found = Windows(sizes, tuple(kernel), strides, dilations, begin, end, bool(node.number("ceil_mode", 0)))
    if any(table.shape[0] < 1 for table in found.tables()):
        raise node.wrong(f"has a window {tuple(kernel)} that is larger than a value of shape {(1, *shape)}")
    return found
