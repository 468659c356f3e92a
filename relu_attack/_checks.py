"""Checks of values and shapes, shared by the rooms above."""

import functools
import logging
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from relu_attack.errors import ModelError, OptionError, ReLUAttackError, ReLUAttackWarning

_PACKAGE = str(Path(__file__).parent)
LOGGER = logging.getLogger("relu_attack")
"""The logger of the package: an info record for each answer, debug records for the stages of a search."""
ArrayLike: TypeAlias = "Tensor | np.ndarray | Sequence[float] | Sequence[Sequence[float]] | float | int"


def as_tensor(value: ArrayLike, *, name: str, error: type[ReLUAttackError]) -> Tensor:
    """Turn numbers, sequences and arrays into a floating tensor of their own precision.

    A tensor or an array keeps float32 or float64; half precisions become float32 and integers float64. Numbers and
    nested sequences become float64, whatever the default dtype of torch is. Sparse matrices of scipy become dense. An
    `error` that calls the value `name` is raised when it is no array of real numbers.
    """
    try:
        if hasattr(value, "toarray"):
            value = value.toarray()
        if hasattr(value, "__array__") and not isinstance(value, Tensor | np.ndarray):
            value = np.array(value)  # such as a DataFrame of pandas
        if isinstance(value, np.ndarray) and (0 in value.strides or not value.flags.writeable):
            value = value.copy()  # read-only or broadcast: torch and numpy warn of tensors that share such memory
        if isinstance(value, Tensor):
            tensor = value.detach()
        else:
            known = isinstance(value, np.ndarray | np.generic)
            tensor = torch.as_tensor(value, dtype=None if known else torch.float64)
    except (TypeError, ValueError, RuntimeError) as reason:
        line = " ".join(str(reason).split())
        if "complex" in line:
            raise error(f"{name} must be real, got {type(value).__name__} of complex numbers") from None
        raise error(f"{name} must be a tensor, an array or numbers, got {type(value).__name__} ({line})") from None
    if tensor.layout != torch.strided:
        raise error(f"{name} is a sparse tensor; give to_dense() of it")
    if tensor.is_complex():
        raise error(f"{name} must be real, got {tensor.dtype}")
    if tensor.dtype in (torch.float32, torch.float64):
        return tensor
    return tensor.to(torch.float32 if tensor.is_floating_point() else torch.float64)


def common_dtype(*values: ArrayLike) -> torch.dtype:
    """Return the dtype that tensors and arrays among the values have together; float64 where none has a precision.

    Numbers, sequences and integers have none: beside a float32 tensor they do not make the whole float64.
    """
    dtypes = [as_tensor(value, name="value", error=ReLUAttackError).dtype for value in values if _has_precision(value)]
    return functools.reduce(torch.promote_types, dtypes) if dtypes else torch.float64


def _has_precision(value: ArrayLike) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    return isinstance(value, np.ndarray | np.generic) and np.issubdtype(value.dtype, np.floating)


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is an int; False and True are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is an int or a float; False and True are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole_number(value: object, *, name: str, least: int) -> None:
    """Raise `OptionError` unless a value is a whole number of at least `least` that fits into 63 bits."""
    if not is_whole(value) or not least <= value < 2**63:
        raise OptionError(f"{name} must be a whole number of at least {least}, got {value!r}")


def read_device(device: torch.device | str) -> torch.device:
    """Return a device that holds numbers here; raise `OptionError` for any other."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except Exception:  # torch raises what its build for the device does: RuntimeError, AssertionError, ...
        known = ", ".join(["'cpu'", *(f"'cuda:{number}'" for number in range(torch.cuda.device_count()))])
        raise OptionError(f"device is {device!r}; it must be a device of torch that is here: {known}") from None
    if found.type == "meta":
        raise OptionError("device is 'meta', which holds no numbers; use 'cpu' or another one")
    return found


def check_is(
    value: object, kinds: type | tuple[type, ...], *, name: str, wanted: str, error: type[ReLUAttackError]
) -> None:
    """Raise `error` unless a value is of one of the classes; the message calls it `name` and says what is `wanted`."""
    if not isinstance(value, kinds):
        raise error(f"{name} must be {wanted}, got {type(value).__name__}")


def check_model(model: object) -> None:
    """Raise `ModelError` for what is no torch module."""
    check_is(model, nn.Module, name="model", wanted="an nn.Module", error=ModelError)


def all_finite(numbers: Tensor) -> bool:
    """Return whether all numbers are finite; their sum decides in one pass unless it overflows."""
    return math.isfinite(numbers.sum().item()) or bool(torch.isfinite(numbers).all())


def first_index(mask: Tensor) -> str:
    """Name the first true entry of a mask for a message: ``"3"`` or ``"(0, 3)"``."""
    index = [int(i) for i in torch.nonzero(mask)[0]]
    return str(index[0]) if len(index) == 1 else str(tuple(index))


def in_one_line(reason: BaseException) -> str:
    """Return the class of an exception with its message, in one line."""
    text = " ".join(str(reason).split())
    return f"{type(reason).__name__}: {text}" if text else type(reason).__name__


def warn(message: str, category: type[ReLUAttackWarning] = ReLUAttackWarning) -> None:
    """Warn the user at the line of their own code that called the package, however deep inside it is noticed."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, "<frozen abc>")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
