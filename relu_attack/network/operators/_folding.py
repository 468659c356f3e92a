"""Folding of two operators into one where that takes no more work, with the rounding of the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.network.operators._base import LinearOperator
from relu_attack.network.operators._composition import Composition, chain
from relu_attack.network.operators._convolution import Convolution
from relu_attack.network.operators._dense import Dense, Diagonal
from relu_attack.network.operators._selection import Selection
from relu_attack.network.operators._sparse import Sparse
from relu_attack.rounding import tiny

# Smallest ratio of a folded row to the magnitudes of its products: half of the digits of float64.
_LEFT = 1e-8

# Numbers that are checked before the others.
_FIRST = 64

# Range of products of coefficients in which neither they nor sums of 2**40 of them underflow or overflow.
_SMALLEST = {torch.float32: 2.0**-100, torch.float64: 2.0**-960}
_LARGEST = {torch.float32: 2.0**80, torch.float64: 2.0**980}


@dataclass(frozen=True, eq=False)
class Fold:
    """One operator that replaces two.

    Each coefficient of `operator` is a sum of products of coefficients of the two, which goes through at most
    `roundings` roundings, 0 if it is exact. If there are `sums` of several products, they may be far smaller than the
    products.
    """

    operator: LinearOperator
    roundings: int = 0
    sums: bool = False


def compose(first: LinearOperator, second: LinearOperator) -> LinearOperator:
    """Return `second` after `first`, folded into one operator where that takes no more work."""
    return fold(first, second).operator


def fold(first: LinearOperator, second: LinearOperator, *, matrices: bool = True) -> Fold:
    """Fold `second` after `first` into one operator where that takes no more work.

    They are not folded if a product of coefficients would underflow or overflow, so that all errors are relative to the
    products. `matrices` is whether to form products of dense matrices, which are sums of many terms.
    """
    if isinstance(first, Selection) and first.is_identity:
        return Fold(second)
    if isinstance(second, Selection) and second.is_identity:
        return Fold(first)
    if isinstance(first, Composition):
        tail = fold(first.operators[-1], second, matrices=matrices)
        return Fold(chain(*first.operators[:-1], tail.operator), tail.roundings, tail.sums)
    if isinstance(second, Composition):
        head = fold(first, second.operators[0], matrices=matrices)
        return Fold(chain(head.operator, *second.operators[1:]), head.roundings, head.sums)
    found = None
    if isinstance(first, Diagonal):
        found = _scale_before(first.weight, second)
    if found is None and isinstance(second, Diagonal):
        found = _scale_after(first, second.weight)
    if found is None and isinstance(first, Dense) and isinstance(second, Dense) and matrices:
        found = _matrix_product(first, second)
    if found is None and isinstance(first, Sparse) and isinstance(second, Sparse):
        found = _sparse_product(first, second)
    if found is None and {type(first), type(second)} == {Dense, Sparse}:
        found = _permuted(first, second)
    return Fold(chain(first, second)) if found is None else found


def powers_of_two(values: Tensor) -> bool:
    """Return whether all numbers are zero or plus or minus a power of two."""
    flat = values.reshape(-1)
    for part in (flat[:_FIRST], flat[_FIRST:]):  # most often the first numbers decide
        mantissa = torch.frexp(part).mantissa
        if not bool(((mantissa == 0) | (mantissa.abs() == 0.5)).all()):
            return False
    return True


def _rounds_products(first: Tensor, second: Tensor) -> bool:
    """Return whether a product of two of the numbers may be inexact, given that none underflows."""
    if powers_of_two(first) or powers_of_two(second):
        return False
    # The product of two float32 numbers is a float64 number.
    return first.dtype != torch.float64 or not all(bool((part.float() == part).all()) for part in (first, second))


def _multiplies(first: Tensor, second: Tensor) -> bool:
    """Return whether no product of two of the numbers underflows or overflows, and none of them is subnormal."""
    (low, high), (other_low, other_high) = _magnitudes(first), _magnitudes(second)
    number = first.dtype
    return _SMALLEST[number] <= low * other_low and high * other_high <= _LARGEST[number]


def has_subnormal(values: Tensor) -> bool:
    """Return whether a number is subnormal, so that arithmetic may read it as zero."""
    return _magnitudes(values)[0] == 0


def _magnitudes(values: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest nonzero magnitude; 1 without one, and 0 for a subnormal number."""
    # Bits are compared: a subnormal number equals zero when flushed.
    integer = torch.int64 if values.dtype == torch.float64 else torch.int32
    bits = values.detach().abs().contiguous().view(integer)
    if not bits.numel() or not bool(bits.any()):
        return 1.0, 1.0
    used = torch.where(bits > 0, bits, torch.iinfo(integer).max)
    low, high = torch.stack([used.amin(), bits.amax()]).view(values.dtype).tolist()
    return (low if low >= tiny(values.dtype) else 0.0), high


def _scaled(first: Tensor, second: Tensor, operator: LinearOperator) -> Fold:
    return Fold(operator, int(_rounds_products(first, second)))


def _scale_before(scale: Tensor, operator: LinearOperator) -> Fold | None:
    if bool((scale == 1).all()):
        return Fold(operator)
    weight = _weight(operator)
    channels = _one_each(scale, operator.input_shape[0]) if isinstance(operator, Convolution) else scale
    if weight is None or channels is None or not _multiplies(channels, weight):
        return None
    if isinstance(operator, Diagonal):
        return _scaled(scale, weight, Diagonal(scale * weight))
    if isinstance(operator, Dense):
        return _scaled(scale, weight, Dense(weight * scale))
    if isinstance(operator, Sparse):
        return _scaled(scale, weight, operator.scale_columns(scale))
    if isinstance(operator, Convolution):
        return _scaled(channels, weight, operator.scale_inputs(channels))
    return None


def _scale_after(operator: LinearOperator, scale: Tensor) -> Fold | None:
    if bool((scale == 1).all()):
        return Fold(operator)
    weight = _weight(operator)
    channels = _one_each(scale, operator.output_shape[0]) if isinstance(operator, Convolution) else scale
    if weight is None or channels is None or not _multiplies(channels, weight):
        return None
    if isinstance(operator, Dense):
        return _scaled(scale, weight, Dense(weight * scale[:, None]))
    if isinstance(operator, Sparse):
        return _scaled(scale, weight, operator.scale_rows(scale))
    if isinstance(operator, Convolution):
        return _scaled(channels, weight, operator.scale_outputs(channels))
    return None


def _weight(operator: LinearOperator) -> Tensor | None:
    """Return the coefficients of an operator that a scale folds into."""
    if isinstance(operator, Sparse):
        return operator.values
    return operator.weight if isinstance(operator, Diagonal | Dense | Convolution) else None


def _matrix_product(first: Dense, second: Dense) -> Fold | None:
    separate = first.outputs * (first.inputs + second.outputs)
    if first.inputs * second.outputs > separate or not _multiplies(first.weight, second.weight):
        return None
    product = second.weight @ first.weight
    if first.outputs == 1:
        return Fold(Dense(product), 1)
    # With strong cancellation in a row, the two matrices are more accurate than their product.
    magnitude = second.weight.abs() @ first.weight.abs()
    if bool((product.abs().sum(1) < _LEFT * magnitude.sum(1)).any()):
        return None
    return Fold(Dense(product), first.outputs, True)


def _sparse_product(first: Sparse, second: Sparse) -> Fold | None:
    product = second.after(first)
    if product.stored > first.stored + second.stored or not _multiplies(first.values, second.values):
        return None
    sums = second.products_after(first) > product.stored
    roundings = int(_rounds_products(first.values, second.values)) + (second.row_nnz - 1) * sums
    return Fold(product, roundings, sums)


def _permuted(first: LinearOperator, second: LinearOperator) -> Fold | None:
    """Fold a scaled permutation into a dense matrix on either side."""
    if isinstance(first, Sparse) and isinstance(second, Dense) and first.is_permutation:
        weight = torch.empty_like(second.weight)
        weight[:, first.columns] = second.weight * first.values
        scales, numbers = first.values, second.weight
    elif isinstance(first, Dense) and isinstance(second, Sparse) and second.is_permutation:
        weight = first.weight[second.columns] * second.values[:, None]
        scales, numbers = second.values, first.weight
    else:
        return None
    return _scaled(scales, numbers, Dense(weight)) if _multiplies(scales, numbers) else None


def _one_each(scale: Tensor, channels: int) -> Tensor | None:
    """Return the scale of each channel, or None if it is not constant within one."""
    scale = scale.reshape(channels, -1)
    return scale[:, 0] if bool((scale == scale[:, :1]).all()) else None
