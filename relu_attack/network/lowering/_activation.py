"""Activations: each becomes ``max(z, slope z)``, one or two units for each entry."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from relu_attack.errors import ModelError
from relu_attack.network.lowering._builder import Builder, Rule, exact
from relu_attack.network.operators import Diagonal, Sparse


def lower_relu(module: nn.ReLU, builder: Builder) -> None:
    """Lower ``nn.ReLU``."""
    if module.inplace:
        builder.overwrite()
    builder.activate(torch.zeros((), dtype=torch.float64).expand(builder.size))
    builder.note(f"ReLU, {builder.size} units")


def lower_leaky_relu(module: nn.LeakyReLU, builder: Builder) -> None:
    """Lower ``nn.LeakyReLU``."""
    if not math.isfinite(module.negative_slope):
        raise builder.refuse(module, f"has a negative_slope of {module.negative_slope}; it must be a finite number")
    if module.inplace:
        builder.overwrite()
    slope = torch.full((builder.size,), float(module.negative_slope), dtype=torch.float64)
    builder.note(f"LeakyReLU, {_leak(slope, builder)} units of slope {module.negative_slope:g}")


def lower_prelu(module: nn.PReLU, builder: Builder) -> None:
    """Lower ``nn.PReLU`` with one slope, or one for each channel."""
    channels = builder.shape[0]
    if module.num_parameters not in (1, channels):
        raise builder.refuse(
            module, f"has {module.num_parameters} slopes but gets a value of shape {builder.shape}, {channels} channels"
        )
    slope = exact(module.weight).expand(channels).repeat_interleave(builder.size // channels)
    builder.note(f"PReLU, {_leak(slope, builder)} units with {module.num_parameters} slopes")


def lower_hardtanh(module: nn.Hardtanh, builder: Builder) -> None:
    """Lower ``nn.Hardtanh`` and ``nn.ReLU6``.

    The form ``high - relu((high - low) - relu(z - low))`` keeps interval bounds within [low, high] and loses
    no digits to a large z, which the sum of two units side by side would.
    """
    if module.inplace:
        builder.overwrite()
    low, high = float(module.min_val), float(module.max_val)
    ones = torch.ones(builder.size, dtype=torch.float64)
    builder.affine(Diagonal(ones), -low * ones)
    builder.activate(torch.zeros_like(ones))
    builder.affine(Diagonal(-ones), high * ones)
    builder.shift(-low * ones)
    builder.activate(torch.zeros_like(ones))
    builder.affine(Diagonal(-ones), high * ones)
    builder.note(f"{type(module).__name__} [{low:g}, {high:g}], {2 * builder.size} units in two layers")


# The reciprocal of a slope is no subnormal number.
_STEEPEST = 1e300


def _leak(slope: Tensor, builder: Builder) -> int:
    """Append ``z if z > 0 else slope z`` for slopes of any size, shape (units,), and return the units it takes.

    - 0 <= a <= 1: one unit.
    - a > 1: ``-a max(w, w / a)`` with ``w = -z``.
    - a < 0: ``(1 - a) relu(z) + a z``, with a unit that passes z.

    The slope 1 / a of a unit is rounded once, or the number 1 - a; so is then, in effect, its coefficient in what comes
    after.
    """
    steep, turning = slope > 1, torch.nonzero(slope < 0).flatten()
    entries, ones = slope.shape[0], torch.ones_like(slope)
    if bool(steep.any()):
        builder.affine(Diagonal(torch.where(steep, -1.0, ones)), None)
    if turning.numel():
        rows, columns = torch.arange(entries + turning.numel()), torch.cat([torch.arange(entries), turning])
        copies = torch.ones(columns.shape[0], dtype=torch.float64)
        builder.affine(Sparse.from_triplets(rows, columns, copies, outputs=rows.shape[0], inputs=entries), None)
    if bool((slope > _STEEPEST).any()):
        raise ModelError(f"{builder.path} has a slope of {float(slope.max()):g}; supported: slopes up to {_STEEPEST:g}")
    unit = torch.where(steep, 1 / slope, slope.clamp_min(0))
    builder.activate(torch.cat([unit, ones[turning]]))
    after = torch.where(steep, -slope, torch.where(slope < 0, 1 - slope, ones))
    if turning.numel():
        weights = torch.cat([after, slope[turning]])
        builder.affine(
            Sparse.from_triplets(columns, rows, weights, outputs=entries, inputs=rows.shape[0]),
            None,
            builder.shape,
            roundings=2,
        )
    elif bool(steep.any()):
        builder.affine(Diagonal(after), None, roundings=2)
    return entries + turning.numel()


RULES: dict[type[nn.Module], Rule] = {
    nn.ReLU: lower_relu,
    nn.LeakyReLU: lower_leaky_relu,
    nn.PReLU: lower_prelu,
    nn.Hardtanh: lower_hardtanh,
    nn.ReLU6: lower_hardtanh,
}
