"""How tensors of sets are shaped, random numbers for them, and steps between bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from relu_attack.errors import DomainError


def read_shape(shape: Sequence[int], *, name: str) -> tuple[int, ...]:
    """Return the shape of one input; raise `DomainError` unless it is a sequence of whole numbers from 0."""
    known = isinstance(shape, tuple | list) and all(isinstance(size, int) and size >= 0 for size in shape)
    if not known:
        raise DomainError(f"{name} shape must be whole numbers, such as (3,) or (1, 28, 28), got {shape!r}")
    return tuple(shape)


def resolve_shape(tensor: Tensor, shape: tuple[int, ...] | None, *, name: str) -> tuple[tuple[int, ...], int | None]:
    """Separate the shape of one input from the number of sets of a batch.

    Without `shape`, the last dimension of a 1-D or 2-D tensor, and the last three of a 3-D or 4-D one, are one input; a
    dimension before them counts the sets. The number of sets is None without such a dimension.
    """
    dimensions = tuple(tensor.shape)
    if shape is None:
        if not 1 <= len(dimensions) <= 4:
            raise DomainError(f"{name} has shape {dimensions}; give numbers per input, or shape=(...) of one input")
        shape = dimensions[-1:] if len(dimensions) <= 2 else dimensions[-3:]
    shape = read_shape(shape, name=name)
    if math.prod(shape) == 0:
        raise DomainError(f"{name} has shape {dimensions}: there are no inputs; at least one is needed")
    if dimensions == shape or dimensions == (math.prod(shape),):
        return shape, None
    if dimensions[1:] in (shape, (math.prod(shape),)):
        if dimensions[0] == 0:
            raise DomainError(f"{name} is a batch of 0 sets; at least one is needed")
        return shape, dimensions[0]
    raise DomainError(f"{name} has shape {dimensions}, which is neither one input {shape} nor a batch of them")


def uniform(*size: int, generator: torch.Generator | None) -> Tensor:
    """Draw float64 numbers in [0, 1), on the device of the generator."""
    _check_sizes(size)
    return torch.rand(*size, generator=generator, dtype=torch.float64, device=generator.device if generator else None)


def normal(*size: int, generator: torch.Generator | None) -> Tensor:
    """Draw float64 standard normal numbers, on the device of the generator."""
    _check_sizes(size)
    return torch.randn(*size, generator=generator, dtype=torch.float64, device=generator.device if generator else None)


def _check_sizes(size: tuple[int, ...]) -> None:
    wrong = [count for count in size if not isinstance(count, int) or count < 0]
    if wrong:
        raise DomainError(f"the number of points must be a whole number from 0, got {wrong[0]!r}")


def flatten(tensor: Tensor, shape: tuple[int, ...], batch: int | None) -> Tensor:
    """Bring a tensor of sets to (inputs,) or (batch, 1, inputs)."""
    inputs = math.prod(shape)
    return tensor.reshape(inputs) if batch is None else tensor.reshape(batch, 1, inputs)


def products(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the products of rows (sets, rows, inputs) with a vector of each set, (inputs,) or (sets, 1, inputs)."""
    return (rows @ vector.reshape(-1, vector.shape[-1], 1))[..., 0]


def steps_to_bounds(points: Tensor, direction: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return how far `points` (..., inputs) can go along `direction` between the bounds, shape (...)."""
    wall = torch.where(direction > 0, upper, lower)
    step = torch.where(direction == 0, torch.inf, (wall - points) / direction).amin(-1)
    inside = ((points >= lower) & (points <= upper)).all(-1)
    return torch.where(inside, step, 0.0)
