"""Constant padding: a selection of the entries, with the constant as bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from relu_attack.network.lowering._builder import Builder
from relu_attack.network.lowering._layer_spec import NUMBER, PADDING_WIDTHS, Factory, LayerSpec
from relu_attack.network.operators import Sparse


def pad(shape: tuple[int, ...], widths: Sequence[int]) -> tuple[Sparse, Tensor, tuple[int, ...]]:
    """Return constant padding as a matrix.

    `widths` are left and right, last dimension first, as in ``torch.nn.functional.pad``; negative ones crop. Returned
    are the matrix, a mask of the padded entries, (outputs,), and the shape of one row of the result.
    """
    positions = torch.arange(torch.Size(shape).numel()).reshape(shape)
    padded = functional.pad(positions, list(widths), value=-1)
    source = padded.flatten()
    rows = torch.nonzero(source >= 0).flatten()
    operator = Sparse.from_triplets(
        rows,
        source[rows],
        torch.ones(rows.shape[0], dtype=torch.float64),
        outputs=source.shape[0],
        inputs=positions.numel(),
    )
    return operator, source < 0, tuple(padded.shape)


def lower_padding(module: nn.ConstantPad1d | nn.ConstantPad2d | nn.ConstantPad3d, builder: Builder) -> None:
    """Lower ``nn.ConstantPad1d``, ``nn.ConstantPad2d``, ``nn.ConstantPad3d`` and their zero forms."""
    widths = module.padding
    before = builder.shape
    if len(before) < len(widths) // 2:
        raise builder.refuse(module, f"pads {len(widths) // 2} dimensions but gets a value of shape {before}")
    sizes = [before[-1 - index] + widths[2 * index] + widths[2 * index + 1] for index in range(len(widths) // 2)]
    if min(sizes) < 1:
        raise builder.refuse(module, f"crops a value of shape {before} by {tuple(widths)}, which leaves no entry")
    operator, added, shape = pad(before, widths)
    builder.affine(operator, added.double() * float(module.value) if bool(added.any()) else None, shape)
    builder.note(f"{type(module).__name__} {before} -> {shape}")


def _from_function(pad: Any, mode: str = "constant", value: float | None = None) -> nn.Module:
    kinds: dict[int, Factory] = {2: nn.ConstantPad1d, 4: nn.ConstantPad2d, 6: nn.ConstantPad3d}
    if mode != "constant" or len(pad) not in kinds:
        raise ValueError(f"pad={pad}, mode={mode!r}; supported: 2, 4 or 6 widths, mode='constant'")
    return kinds[len(pad)](tuple(pad), 0.0 if value is None else value)


LAYERS = (
    LayerSpec(
        (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d),
        lower_padding,
        functions={functional.pad: _from_function},
        arguments={"padding": PADDING_WIDTHS, "value": NUMBER},
        words="ZeroPad and ConstantPad1d/2d/3d",
    ),
)
