"""Reshaping modules: rows are flat, only the shape of the value changes."""

from __future__ import annotations

import math

import torch
from torch import nn

from relu_attack.network.lowering._builder import Builder
from relu_attack.network.lowering._layer_spec import INTEGER, INTEGERS, LayerSpec


def lower_identity(module: nn.Identity, builder: Builder) -> None:
    """Lower ``nn.Identity``."""
    builder.note("Identity vanishes")


def lower_flatten(module: nn.Flatten, builder: Builder) -> None:
    """Lower ``nn.Flatten`` that preserves the batch dimension."""
    before, rank = builder.shape, len(builder.shape) + 1
    start, end = (dimension + rank if dimension < 0 else dimension for dimension in (module.start_dim, module.end_dim))
    arguments = f"start_dim={module.start_dim}, end_dim={module.end_dim}"
    if not (0 <= start <= end < rank):
        raise builder.refuse(module, f"has {arguments}, which does not fit a value of shape (batch, *{before})")
    if start == 0 and end > 0:
        raise builder.refuse(module, f"has {arguments}, which merges the batch dimension; start at dimension 1")
    if start > 0:
        builder.reshape((*before[: start - 1], math.prod(before[start - 1 : end]), *before[end:]))
    builder.note(f"Flatten {before} -> {builder.shape}")


def lower_unflatten(module: nn.Unflatten, builder: Builder) -> None:
    """Lower ``nn.Unflatten`` that preserves the batch dimension."""
    before, rank = builder.shape, len(builder.shape) + 1
    if not isinstance(module.dim, int):
        raise builder.refuse(module, f"names its dimension {module.dim!r}; give its number")
    dimension = module.dim + rank if module.dim < 0 else module.dim
    if not 1 <= dimension < rank:
        raise builder.refuse(module, f"has dim={module.dim}; with a value of shape {before} it must be 1 to {rank - 1}")
    sizes = tuple(int(size) for size in module.unflattened_size)
    known = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known > 0:
        sizes = tuple(before[dimension - 1] // known if size == -1 else size for size in sizes)
    if math.prod(sizes) != before[dimension - 1] or min(sizes) < 1:
        raise builder.refuse(
            module,
            f"splits dimension {dimension} of (batch, *{before}) into {tuple(module.unflattened_size)}, "
            "which does not come out even",
        )
    builder.reshape((*before[: dimension - 1], *sizes, *before[dimension:]))
    builder.note(f"Unflatten {before} -> {builder.shape}")


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    # The default of the function includes the batch, unlike that of the module.
    return nn.Flatten(start_dim, end_dim)


LAYERS = (
    LayerSpec(
        (nn.Flatten,),
        lower_flatten,
        functions=dict.fromkeys((torch.flatten, "flatten"), _flatten),
        arguments={"start_dim": INTEGER, "end_dim": INTEGER},
        words="Flatten",
    ),
    LayerSpec(
        (nn.Unflatten,),
        lower_unflatten,
        arguments={"dim": INTEGER, "unflattened_size": INTEGERS},
        words="Unflatten",
    ),
    LayerSpec(
        (nn.Identity,),
        lower_identity,
        functions=dict.fromkeys(("contiguous", "detach"), nn.Identity),
        onnx={"Identity": nn.Identity},
        words="Identity",
    ),
)
