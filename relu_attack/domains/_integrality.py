"""Inputs that must be whole numbers, alone or as one-hot groups: how they are read, and the nearest whole values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, as_tensor
from relu_attack.errors import DomainError

if TYPE_CHECKING:
    import numpy as np

Indices: TypeAlias = "Tensor | np.ndarray | Sequence[int] | Sequence[bool]"
Groups: TypeAlias = Sequence[Indices]


def read_integrality(
    kind: str, integer: Indices, one_hot: Groups, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Check both arguments of a set; return `integer`, in order and with the members of all groups, and the groups."""
    try:
        given = list(one_hot)
    except TypeError:
        raise DomainError(f"{kind} one_hot must be a list of groups, such as [[0, 1, 2]], got {one_hot!r}") from None
    groups = []
    group_of: dict[int, int] = {}
    for number, value in enumerate(given):
        group = read_indices(value, name=f"{kind} one_hot group {number}", shape=shape)
        if len(group) < 2:
            raise DomainError(f"{kind} one_hot group {number} has {len(group)} inputs; a choice needs at least 2")
        for index in group:
            if index in group_of:
                raise DomainError(
                    f"{kind} input {index} is in the one_hot groups {group_of[index]} and {number}; "
                    "an input belongs to one group"
                )
            group_of[index] = number
        groups.append(group)
    alone = read_indices(integer, name=f"{kind} integer", shape=shape)
    return tuple(sorted({*alone, *group_of})), tuple(groups)


def read_indices(value: Indices, *, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return flat indices as they were given, or those of the true entries of a mask."""
    inputs = math.prod(shape)
    wanted = f"give a list of flat indices from 0 to {inputs - 1}, or a boolean mask of shape {shape}"
    try:
        # Of nothing torch would make numbers of its default dtype.
        none = isinstance(value, Sequence) and len(value) == 0
        tensor = torch.zeros(0, dtype=torch.long) if none else torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise DomainError(f"{name} is {value!r}; {wanted}") from None
    if tensor.dtype == torch.bool:
        if tuple(tensor.shape) not in (shape, (inputs,)):
            raise DomainError(f"{name} is a mask of shape {tuple(tensor.shape)}; {wanted}")
        return tuple(torch.nonzero(tensor.reshape(-1)).squeeze(-1).tolist())
    if tensor.dim() != 1:
        raise DomainError(f"{name} has shape {tuple(tensor.shape)}; {wanted}")
    if tensor.numel() and (tensor.is_floating_point() or tensor.is_complex()):
        raise DomainError(f"{name} holds numbers that are no indices; {wanted}")
    indices = tuple(int(index) for index in tensor.tolist())
    for place, index in enumerate(indices):
        if not 0 <= index < inputs:
            raise DomainError(f"{name} has the index {index}; {wanted}")
        if index in indices[:place]:
            raise DomainError(f"{name} has the index {index} twice")
    return indices


def read_fixed(
    kind: str, index: Indices, values: ArrayLike, like: Tensor, shape: tuple[int, ...]
) -> tuple[list[int], Tensor]:
    """Check which inputs are fixed and to what; return `values` shaped as the entries of `like` (..., inputs)."""
    indices = list(read_indices(index, name=f"the fixed inputs of a {kind}", shape=shape))
    numbers = as_tensor(values, name="values of the fixed inputs", error=DomainError).to(like.device, like.dtype)
    try:
        numbers = numbers.expand_as(like[..., indices])
    except RuntimeError:
        raise DomainError(
            f"values of the fixed inputs have shape {tuple(numbers.shape)}; give {tuple(like[..., indices].shape)}, "
            "one for each input"
        ) from None
    if not torch.isfinite(numbers).all():
        place = int(torch.nonzero(~torch.isfinite(numbers))[0, -1])
        raise DomainError(f"the value of the fixed input {indices[place]} is not finite")
    return indices, numbers


def whole_bounds(kind: str, low: Tensor, high: Tensor, integer: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Round the bounds (..., inputs) of integer inputs inward; raise `DomainError` where nothing whole is between."""
    if not integer:
        return low.clone(), high.clone()
    index = list(integer)
    # Adding 0 turns -0 into 0.
    inner_low, inner_high = torch.ceil(low[..., index]) + 0.0, torch.floor(high[..., index]) + 0.0
    empty = inner_low > inner_high
    if empty.any():
        place = torch.nonzero(empty)[0]
        number = index[int(place[-1])]
        below, above = (float(bound[..., index][empty][0]) for bound in (low, high))
        raise DomainError(
            f"{kind} is empty: input {number}{_of_set(low, place)} must be a whole number, "
            f"but there is none between {below:g} and {above:g}"
        )
    low, high = low.clone(), high.clone()
    low[..., index], high[..., index] = inner_low, inner_high
    return low, high


def check_groups(kind: str, low: Tensor, high: Tensor, one_hot: tuple[tuple[int, ...], ...]) -> None:
    """Refuse bounds (..., inputs), whole already, that leave [0, 1] or leave a group no choice of one 1."""
    for number, group in enumerate(one_hot):
        below, above = low[..., list(group)], high[..., list(group)]
        wrong = (below < 0) | (above > 1)
        if wrong.any():
            place = torch.nonzero(wrong)[0]
            raise DomainError(
                f"{kind} input {group[int(place[-1])]}{_of_set(low, place)} is in one_hot group {number}, but its "
                f"bounds are {float(below[wrong][0]):g} and {float(above[wrong][0]):g}; they must lie within 0 and 1"
            )
        for wrong, words in (
            ((above < 1).all(-1), "no input may be 1; one upper bound must be 1"),
            ((below > 0).sum(-1) > 1, "several inputs must be 1; at most one lower bound may be above 0"),
        ):
            if wrong.any():
                where = _of_set(low, torch.nonzero(wrong.unsqueeze(-1))[0])
                raise DomainError(f"{kind} is empty: in one_hot group {number}{where} {words}")


def nearest_whole(
    points: Tensor, low: Tensor, high: Tensor, integer: tuple[int, ...], one_hot: tuple[tuple[int, ...], ...]
) -> Tensor:
    """Return `points` (..., inputs) with whole numbers where they must be, within whole bounds; the others stay.

    An input alone goes to its nearest whole number, the largest of a group to 1 and the others of it to 0.
    """
    whole, index = points.clone(), list(integer)
    whole[..., index] = torch.clamp(torch.round(points[..., index]) + 0.0, low[..., index], high[..., index])
    for group in one_hot:
        members = list(group)
        score = torch.where(high[..., members] < 1, -torch.inf, points[..., members])
        score = torch.where(low[..., members] > 0, torch.inf, score)
        whole[..., members] = _unit(score)
    return whole


def integrality(points: Tensor, integer: tuple[int, ...], one_hot: tuple[tuple[int, ...], ...]) -> Tensor:
    """Return the largest distance of `points` (..., inputs) from what `nearest_whole` makes of them without bounds."""
    if not integer:
        return points.new_zeros(points.shape[:-1])
    everywhere = torch.full_like(points[..., :1], torch.inf).expand_as(points)
    return (points - nearest_whole(points, -everywhere, everywhere, integer, one_hot)).abs().amax(-1)


def _of_set(bound: Tensor, place: Tensor) -> str:
    return f" of set {int(place[0])}" if bound.dim() > 1 else ""


def _unit(score: Tensor) -> Tensor:
    return torch.zeros_like(score).scatter(-1, score.argmax(-1, keepdim=True), 1.0)
