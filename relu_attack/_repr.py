"""Representations of one short line: ``Name(entry=value, ...)``, with ranges in place of the numbers of tensors."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

_SHOWN_NUMBERS = 6
"""Numbers of a vector that are written out."""


def one_line(name: object, **entries: object) -> str:
    """Return the representation of an object in one line.

    The class of the object names it; an entry that is None is left out.

    >>> one_line(torch.nn.ReLU(), values=torch.arange(10.0), rows=torch.tensor([1.0, 2.5]), seed=None, gap=0.1234567)
    'ReLU(values=0 to 9, rows=[1, 2.5], gap=0.123457)'
    """
    shown = ", ".join(f"{key}={_shown(value)}" for key, value in entries.items() if value is not None)
    return f"{type(name).__name__}({shown})"


def _shown(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, torch.device):
        return repr(str(value))
    return _shown_numbers(value) if isinstance(value, Tensor) else repr(value)


def _shown_numbers(values: Tensor) -> str:
    numbers = values.detach().to("cpu", torch.float64)
    if numbers.dim() == 0:
        return f"{float(numbers):.6g}"
    if numbers.dim() == 1 and len(numbers) <= _SHOWN_NUMBERS:
        return f"[{', '.join(f'{number:.6g}' for number in numbers.tolist())}]"
    return f"{float(numbers.amin()):.6g} to {float(numbers.amax()):.6g}"
