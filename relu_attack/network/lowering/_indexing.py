"""Shapes, views and slices of a value in a traced forward."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch

from relu_attack.network.lowering._builder import Builder
from relu_attack.network.lowering._call import BATCH, Call, CallRule

QUERIES = ("size", "dim", "shape", "ndim")
"""Methods and attributes that read the shape of a value."""


def answer_query(call: Call) -> object:
    """Return a size, the sizes or the number of dimensions of a value."""
    value, *places = call.arguments
    sizes = (BATCH, *call.live(value).shape)
    if call.name in ("dim", "ndim"):
        return len(sizes)
    places += call.options.values()
    if not places:
        return sizes
    if not isinstance(places[0], int) or not -len(sizes) <= places[0] < len(sizes):
        raise call.wrong(f"({places[0]}) on a value of shape {sizes}")
    return sizes[places[0]]


def lower_view(call: Call, builder: Builder, value: Any, *sizes: Any) -> None:
    """Lower ``view`` and ``reshape`` that preserve the batch dimension."""
    before = call.live(value).shape
    flat = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    batch, *others = flat or (None,)
    known = [size for size in others if isinstance(size, int) and size > 0]
    shape = [math.prod(before) // math.prod(known) if size == -1 else size for size in others]
    even = len(known) + others.count(-1) == len(others) and math.prod(shape) == math.prod(before)
    # The inferred size may be the batch, if the sizes after it are those of a row.
    if not even or flat.count(-1) > 1 or (batch is not BATCH and batch != -1):
        raise call.unsupported(f"{flat} on a value of shape (batch, *{before}); supported: (batch, ...)")
    builder.switch_to(value)
    builder.reshape(tuple(shape))
    builder.note(f"{call.name} {before} -> {builder.shape}")


def lower_squeeze(call: Call, builder: Builder, value: Any, dim: Any) -> None:
    """Lower ``squeeze`` of one dimension after the batch."""
    shape = call.live(value).shape
    place = call.place(dim, len(shape))
    builder.switch_to(value)
    if shape[place] == 1:
        builder.reshape((*shape[:place], *shape[place + 1 :]))
    builder.note(f"{call.name} {shape} -> {builder.shape}")


def lower_unsqueeze(call: Call, builder: Builder, value: Any, dim: Any) -> None:
    """Lower ``unsqueeze`` after the batch."""
    shape = call.live(value).shape
    place = call.place(dim, len(shape) + 1)
    builder.switch_to(value)
    builder.reshape((*shape[:place], 1, *shape[place:]))
    builder.note(f"{call.name} {shape} -> {builder.shape}")


def lower_index(call: Call, builder: Builder, value: Any, index: Any) -> None:
    """Lower ``value[:, ...]`` with slices and numbers after the batch dimension."""
    first, *others = index if isinstance(index, tuple) else (index,)
    if first != slice(None) or not all(isinstance(part, slice | int) for part in others):
        raise call.unsupported(f" with {index}; supported: slices and numbers after a full slice of the batch")
    builder.switch_to(call.live(value))
    try:
        places = builder.offsets[tuple(others)]
    except (IndexError, TypeError, ValueError) as reason:
        raise call.wrong(f" with {index} on a value of shape (batch, *{value.shape}): {reason}") from None
    if not places.numel():
        raise call.wrong(f" with {index} on a value of shape (batch, *{value.shape}), which leaves no entry")
    builder.select(places)
    builder.note(f"slice {value.shape} -> {builder.shape}")


KEEP_BATCH = ("view", "reshape", torch.reshape)
"""Functions that change the sizes after the batch."""

RULES: dict[object, CallRule] = {
    **dict.fromkeys(KEEP_BATCH, lower_view),
    **dict.fromkeys((torch.squeeze, "squeeze"), lower_squeeze),
    **dict.fromkeys((torch.unsqueeze, "unsqueeze"), lower_unsqueeze),
    operator.getitem: lower_index,
}
