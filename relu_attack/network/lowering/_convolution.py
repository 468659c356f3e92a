"""Convolutions with zero padding."""

from __future__ import annotations

from torch import nn

from relu_attack.errors import UnsupportedModuleError
from relu_attack.network.lowering._builder import Builder, exact
from relu_attack.network.lowering._layer_spec import COUNT, FLAG, OPTIONAL_SIZE, PADDING_WIDTHS, SIZE, WORD, LayerSpec
from relu_attack.network.lowering._padding import pad
from relu_attack.network.operators import Convolution


def lower_convolution(module: nn.Conv1d | nn.Conv2d, builder: Builder) -> None:
    """Lower ``nn.Conv1d`` and ``nn.Conv2d``."""
    name, dimensions = type(module).__name__, len(module.kernel_size)
    if module.padding_mode != "zeros":
        raise UnsupportedModuleError(
            f"{builder.path} is {name} with padding_mode={module.padding_mode!r}; supported: padding_mode='zeros'"
        )
    if len(builder.shape) != dimensions + 1 or builder.shape[0] != module.in_channels:
        places = "length" if dimensions == 1 else "height, width"
        raise builder.refuse(
            module, f"takes a value of shape ({module.in_channels}, {places}) but gets one of shape {builder.shape}"
        )
    if min(*module.stride, *module.dilation) < 1:
        raise builder.refuse(module, f"has stride {module.stride} and dilation {module.dilation}; they start at 1")
    before = builder.shape
    padding = _padding(module, builder)
    operator = Convolution(
        exact(module.weight), builder.shape, tuple(module.stride), padding, tuple(module.dilation), module.groups
    )
    if min(operator.output_shape[1:]) < 1:
        raise builder.refuse(
            module, f"has a kernel that is larger than its padded input, which comes from a value of shape {before}"
        )
    bias = None if module.bias is None else exact(module.bias)[:, None].expand(-1, operator.outputs // len(module.bias))
    builder.affine(operator, bias, operator.output_shape)
    builder.note(f"{name} {before} -> {builder.shape}")


def _padding(module: nn.Conv1d | nn.Conv2d, builder: Builder) -> tuple[int, ...]:
    """Return the symmetric part of the padding; the rest of the right side is appended as a map of its own."""
    if not isinstance(module.padding, str):
        return tuple(module.padding)
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    totals = [dilate * (kernel - 1) for kernel, dilate in zip(module.kernel_size, module.dilation, strict=True)]
    if any(total % 2 for total in totals):
        operator, _, shape = pad(builder.shape, [side for total in reversed(totals) for side in (0, total % 2)])
        builder.affine(operator, None, shape)
    return tuple(total // 2 for total in totals)


LAYERS = (
    LayerSpec(
        (nn.Conv1d, nn.Conv2d),
        lower_convolution,
        arguments={
            **dict.fromkeys(("in_channels", "out_channels", "groups"), COUNT),
            **dict.fromkeys(("kernel_size", "dilation"), SIZE),
            "stride": OPTIONAL_SIZE,
            "padding": PADDING_WIDTHS,
            "bias": FLAG,
            "padding_mode": WORD,
        },
        words="Conv1d/2d",
    ),
)
