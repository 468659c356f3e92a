"""Max pooling as rounds of pairwise maxima ``max(a, b) = b + relu(a - b)``; a unit of slope 1 carries b."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from relu_attack.errors import UnsupportedModuleError
from relu_attack.network.lowering._builder import Builder
from relu_attack.network.lowering._layer_spec import FLAG, OPTIONAL_SIZE, PADDING_WIDTHS, SIZE, Factory, LayerSpec
from relu_attack.network.lowering._windows import pooling_windows
from relu_attack.network.operators import AxisOperator

Windows = list[list[int]]
"""The indices along one dimension that each window covers."""


def lower_max_pool(module: nn.MaxPool1d | nn.MaxPool2d, builder: Builder) -> None:
    """Lower ``nn.MaxPool1d`` and ``nn.MaxPool2d``, one dimension after the other: the maximum of maxima.

    Padding is minus infinity and is left out.
    """
    name = type(module).__name__
    if module.return_indices:
        raise UnsupportedModuleError(f"{builder.path} is {name} with return_indices=True; supported: False")
    tables, _ = pooling_windows(
        module, builder, dimensions=2 if isinstance(module, nn.MaxPool2d) else 1, dilation=module.dilation
    )
    seen = [[[place for place in row if place >= 0] for row in table.tolist()] for table in tables]
    first = len(builder.shape) - len(seen)
    # Entries that no window covers along later dimensions are left out along earlier ones.
    for axis, windows in enumerate(seen[1:], first + 1):
        kept = sorted({place for window in windows for place in window})
        _select(kept, builder, axis)
        seen[axis - first] = [[kept.index(place) for place in window] for window in windows]
    rounds = passed = 0
    for axis, windows in enumerate(seen, first):
        while max(map(len, windows)) > 1:
            windows, passing = _append_round(windows, builder, axis)
            rounds, passed = rounds + 1, passed + passing
        _select([entry for (entry,) in windows], builder, axis)
    builder.note(f"{name}: {rounds} rounds of pairwise maxima, {passed} pass-through units")


def _append_round(windows: Windows, builder: Builder, axis: int) -> tuple[Windows, int]:
    """Append one round of pairwise maxima along a dimension; return the windows over its results and the carried units.

    A pair that several windows share is computed once.
    """
    pairs = list(dict.fromkeys((one[0], one[1]) for one in _in_pairs(windows) if len(one) == 2))
    alone = list(dict.fromkeys(one[0] for one in _in_pairs(windows) if len(one) == 1))
    passing = list(dict.fromkeys([*(right for _, right in pairs), *alone]))
    games, unit = range(len(pairs)), {place: len(pairs) + index for index, place in enumerate(passing)}
    before, _, after = _around(builder, axis)

    differences = [(game, pairs[game][0], 1.0) for game in games]
    differences += [(game, pairs[game][1], -1.0) for game in games]
    differences += [(unit[place], place, 1.0) for place in passing]
    _along(differences, len(pairs) + len(passing), builder, axis)
    slopes = torch.tensor([0.0] * len(pairs) + [1.0] * len(passing), dtype=torch.float64)
    builder.activate(slopes[:, None].expand(before, -1, after))

    sums = [(game, game, 1.0) for game in games] + [(game, unit[pairs[game][1]], 1.0) for game in games]
    sums += [(winner, unit[place], 1.0) for winner, place in enumerate(alone, len(pairs))]
    _along(sums, len(pairs) + len(alone), builder, axis)

    winner: dict[tuple[int, ...], int] = {pair: game for game, pair in enumerate(pairs)}
    winner |= {(place,): index for index, place in enumerate(alone, len(pairs))}
    following = [[winner[tuple(window[i : i + 2])] for i in range(0, len(window), 2)] for window in windows]
    return following, before * len(passing) * after


def _in_pairs(windows: Windows) -> Iterator[list[int]]:
    """Yield the first pair of every window, then the second, ...; an odd last entry is yielded alone.

    In this order, the entries of equal rank in all windows are evenly spaced.
    """
    for place in range(0, max(map(len, windows)), 2):
        yield from (window[place : place + 2] for window in windows if len(window) > place)


def _select(places: list[int], builder: Builder, axis: int) -> None:
    """Select entries along a dimension, in this order."""
    if places != list(range(builder.shape[axis])):
        _along([(row, place, 1.0) for row, place in enumerate(places)], len(places), builder, axis)


def _along(entries: list[tuple[int, int, float]], rows: int, builder: Builder, axis: int) -> None:
    """Append a small matrix along a dimension."""
    before, size, after = _around(builder, axis)
    operator = AxisOperator.from_entries(entries, (rows, size), before=before, after=after)
    builder.affine(operator, None, (*builder.shape[:axis], rows, *builder.shape[axis + 1 :]))


def _around(builder: Builder, axis: int) -> tuple[int, int, int]:
    """Return the number of entries before a dimension, its size, and the number of entries after it."""
    return math.prod(builder.shape[:axis]), builder.shape[axis], math.prod(builder.shape[axis + 1 :])


def _from_function(module: type[nn.MaxPool1d] | type[nn.MaxPool2d]) -> Factory:
    def make(
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> nn.Module:
        return module(kernel_size, stride or kernel_size, padding, dilation, return_indices, ceil_mode)

    return make


LAYERS = (
    LayerSpec(
        (nn.MaxPool1d, nn.MaxPool2d),
        lower_max_pool,
        functions={
            functional.max_pool1d: _from_function(nn.MaxPool1d),
            functional.max_pool2d: _from_function(nn.MaxPool2d),
        },
        # return_indices is left out: it gives a pair.
        arguments={
            "kernel_size": SIZE,
            "stride": OPTIONAL_SIZE,
            "padding": PADDING_WIDTHS,
            "dilation": SIZE,
            "ceil_mode": FLAG,
        },
        words="MaxPool1d/2d",
    ),
)
