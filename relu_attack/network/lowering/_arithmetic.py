"""Sums of values (skip connections), sums and products with constants, concatenation."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relu_attack.network.lowering._builder import Builder, LiveValue, exact
from relu_attack.network.lowering._call import Call, CallRule
from relu_attack.network.operators import Diagonal

# Every integer up to this is a float64.
_LARGEST_EXACT_INTEGER = 2**53


def lower_sum(
    call: Call, builder: Builder, first: Any, second: Any, *, alpha: Any = 1, sign: int = 1, inplace: bool = False
) -> None:
    """Lower ``first + sign alpha second``."""
    if not isinstance(alpha, int | float):
        raise call.unsupported(f" with alpha={alpha!r}; supported: a number")
    factor = float(sign * alpha)
    if inplace:
        _check_in_place(call, builder, first)
    if isinstance(second, LiveValue):
        builder.switch_to(second)
        if factor != 1:
            builder.scale(factor)
        if isinstance(first, LiveValue):
            if first.shape != second.shape:
                raise call.unsupported(
                    f" on values of shapes {first.shape} and {second.shape}; supported: equal shapes"
                )
            builder.add(first)
        else:
            builder.shift(_constant(call, builder, first))
    else:
        builder.switch_to(call.live(first))
        builder.shift(_constant(call, builder, second), factor)
    name = "sum" if sign > 0 else "difference"
    what = "two values" if isinstance(first, LiveValue) and isinstance(second, LiveValue) else "a value and a constant"
    builder.note(f"{name} of {what}, {builder.shape}")


def lower_product(call: Call, builder: Builder, first: Any, second: Any, *, inplace: bool = False) -> None:
    """Lower the product of a value and a constant."""
    if isinstance(first, LiveValue) and isinstance(second, LiveValue):
        raise call.unsupported(" on two values that depend on the input; supported: a value and a constant")
    if inplace:
        _check_in_place(call, builder, first)
    value, other = (first, second) if isinstance(first, LiveValue) else (second, first)
    builder.switch_to(call.live(value))
    builder.affine(Diagonal(_constant(call, builder, other)), None)
    builder.note(f"product of a value and a constant, {builder.shape}")


def lower_quotient(call: Call, builder: Builder, first: Any, second: Any, *, inplace: bool = False) -> None:
    """Lower the quotient of a value and a constant."""
    if isinstance(second, LiveValue):
        raise call.unsupported(" by a value that depends on the input; supported: by a constant")
    if inplace:
        _check_in_place(call, builder, first)
    builder.switch_to(call.live(first))
    divisor = _constant(call, builder, second)
    if not bool(divisor.all()):
        raise call.wrong(" by zero")
    builder.divide(divisor)
    builder.note(f"quotient of a value and a constant, {builder.shape}")


def lower_negation(call: Call, builder: Builder, value: Any) -> None:
    """Lower the negation of a value."""
    builder.switch_to(call.live(value))
    builder.scale(-1.0)
    builder.note(f"negation, {builder.shape}")


def lower_concatenation(call: Call, builder: Builder, tensors: Any, dim: Any = 0) -> None:
    """Lower ``torch.cat`` along a dimension after the batch."""
    if not isinstance(tensors, list | tuple) or not all(isinstance(value, LiveValue) for value in tensors):
        raise call.unsupported(" on arguments that are not values of the input")
    shapes = [value.shape for value in tensors]
    place = call.place(dim, len(shapes[0]))
    if len({(len(shape), *shape[:place], *shape[place + 1 :]) for shape in shapes}) != 1:
        raise call.wrong(f" on values of shapes {', '.join(map(str, shapes))}, which do not fit")
    builder.join(tensors, place)
    builder.note(f"concatenation of {len(shapes)} values, {builder.shape}")


def _check_in_place(call: Call, builder: Builder, value: Any) -> None:
    builder.switch_to(call.live(value))
    builder.check_in_place()


def _constant(call: Call, builder: Builder, value: Any) -> Tensor:
    """Broadcast the current value and a constant, and return the constant flat, shape (entries,)."""
    if _is_large_integer(value):
        raise call.unsupported(" with an integer beyond 2**53, which float64 may not hold; supported: up to 2**53")
    if isinstance(value, Tensor) and not value.is_complex():
        constant = exact(value)
    elif isinstance(value, int | float):
        constant = torch.tensor(float(value), dtype=torch.float64)
    else:
        kind = "complex numbers" if isinstance(value, Tensor) else type(value).__name__
        raise call.unsupported(f" with {kind}; supported: numbers and real tensors")
    if constant.dim() == len(builder.shape) + 1 and constant.shape[0] == 1:
        constant = constant[0]
    try:
        # torch.broadcast_shapes imports sympy, which takes most of a second.
        shape = np.broadcast_shapes(builder.shape, constant.shape)
    except ValueError:
        shape = ()
    if len(shape) != len(builder.shape):
        raise call.wrong(
            f" with a constant of shape {tuple(value.shape)}, which does not fit a value of shape (batch, "
            f"*{builder.shape})"
        )
    builder.select(builder.offsets.expand(shape))
    return constant.expand(shape).flatten()


def _is_large_integer(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) > _LARGEST_EXACT_INTEGER
    integral = isinstance(value, Tensor) and value.dtype in (torch.int64, torch.uint64)
    return integral and bool(((value > _LARGEST_EXACT_INTEGER) | (value < -_LARGEST_EXACT_INTEGER)).any())


_difference = partial(lower_sum, sign=-1)
RULES: dict[object, CallRule] = {
    **dict.fromkeys((operator.add, torch.add, "add"), lower_sum),
    **dict.fromkeys((operator.iadd, "add_"), partial(lower_sum, inplace=True)),
    **dict.fromkeys((operator.sub, torch.sub, "sub"), _difference),
    **dict.fromkeys((operator.isub, "sub_"), partial(_difference, inplace=True)),
    **dict.fromkeys((operator.mul, torch.mul, "mul"), lower_product),
    **dict.fromkeys((operator.imul, "mul_"), partial(lower_product, inplace=True)),
    **dict.fromkeys((operator.truediv, torch.div, "div"), lower_quotient),
    **dict.fromkeys((operator.itruediv, "div_"), partial(lower_quotient, inplace=True)),
    **dict.fromkeys((operator.neg, torch.neg, "neg"), lower_negation),
    **dict.fromkeys((torch.cat, torch.concat), lower_concatenation),
}
