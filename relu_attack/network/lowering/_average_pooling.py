"""Average pooling as a sparse matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from relu_attack.network.lowering._builder import Builder
from relu_attack.network.lowering._layer_spec import FLAG, OPTIONAL_SIZE, PADDING_WIDTHS, SIZE, LayerSpec
from relu_attack.network.lowering._windows import (
    PADDING,
    adaptive,
    check_rank,
    per_dimension,
    pooling_windows,
    product,
)
from relu_attack.network.operators import Sparse


def lower_average_pool(module: nn.AvgPool1d | nn.AvgPool2d, builder: Builder) -> None:
    """Lower ``nn.AvgPool1d`` and ``nn.AvgPool2d``."""
    tables, shape = pooling_windows(module, builder, dimensions=2 if isinstance(module, nn.AvgPool2d) else 1)
    table = product(tables, builder.shape)
    counted = table >= (PADDING if module.count_include_pad else 0)
    divisor = counted.sum(1)
    if isinstance(module, nn.AvgPool2d) and module.divisor_override is not None:
        divisor = torch.full_like(divisor, module.divisor_override)
    before = builder.shape
    average(builder, table, divisor, shape)
    builder.note(f"{type(module).__name__} {before} -> {shape}")


def lower_adaptive_average_pool(module: nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d, builder: Builder) -> None:
    """Lower ``nn.AdaptiveAvgPool1d`` and ``nn.AdaptiveAvgPool2d``."""
    dimensions = 2 if isinstance(module, nn.AdaptiveAvgPool2d) else 1
    check_rank(module, builder, dimensions=dimensions)
    target = module.output_size
    requested: tuple[int | None, ...] = per_dimension(target, dimensions)
    sizes = builder.shape[-dimensions:]
    windows = [size if number is None else number for number, size in zip(requested, sizes, strict=True)]
    if min(windows) < 1:
        raise builder.refuse(module, f"has output_size={target}; every size must be at least 1")
    if windows == list(sizes):
        builder.note(f"{type(module).__name__} vanishes, its windows see one entry each")
        return
    tables = [adaptive(size, number) for size, number in zip(sizes, windows, strict=True)]
    before, table = builder.shape, product(tables, builder.shape)
    average(builder, table, (table >= 0).sum(1), (*before[:-dimensions], *windows))
    builder.note(f"{type(module).__name__} {before} -> {builder.shape}")


def average(builder: Builder, table: Tensor, divisor: Tensor, shape: tuple[int, ...]) -> None:
    """Append the sum of the entries in each window of a table, divided by a number for each window."""
    rows, places = torch.nonzero(table >= 0, as_tuple=True)
    ones = torch.ones(len(rows), dtype=torch.float64)
    operator = Sparse.from_triplets(rows, table[rows, places], ones, outputs=table.shape[0], inputs=builder.size)
    builder.affine(operator, None, shape)
    builder.divide(divisor.double())


LAYERS = (
    LayerSpec(
        (nn.AvgPool1d, nn.AvgPool2d),
        lower_average_pool,
        functions={functional.avg_pool1d: nn.AvgPool1d, functional.avg_pool2d: nn.AvgPool2d},
        arguments={
            "kernel_size": SIZE,
            "stride": OPTIONAL_SIZE,
            "padding": PADDING_WIDTHS,
            "ceil_mode": FLAG,
            "count_include_pad": FLAG,
            "divisor_override": OPTIONAL_SIZE,
        },
        words="AvgPool1d/2d",
    ),
    LayerSpec(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
        lower_adaptive_average_pool,
        functions={
            functional.adaptive_avg_pool1d: nn.AdaptiveAvgPool1d,
            functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
        },
        arguments={"output_size": OPTIONAL_SIZE},
        words="AdaptiveAvgPool1d/2d",
    ),
)
