"""Laws of rounding errors, in exact fractions: any order of summation, fused multiply-adds, flushed subnormals."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from relu_attack.rounding import (
    ball_ends,
    box_of,
    compound,
    dot_error,
    down,
    enclose_affine,
    fraction_down,
    fraction_up,
    gamma,
    inner_ball_ends,
    inner_box_of,
    midpoint_radius,
    neighbors,
    outward,
    sum_above,
    tiny,
    to_double,
    up,
)

DTYPES = (torch.float32, torch.float64)
seeds = st.integers(0, 2**31 - 1)
some = settings(max_examples=60, deadline=None, derandomize=True)


@contextmanager
def flushing(flushed: bool) -> Iterator[None]:
    """Compute with numbers below the smallest normal one flushed to zero, or not."""
    if flushed and not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormal numbers")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


with_flushing = pytest.mark.parametrize("flushed", [False, True], ids=["subnormal", "flushed"])


def numbers(seed: int, count: int, dtype: torch.dtype) -> Tensor:
    """Return numbers of every size, of which some nearly cancel and some are subnormal or zero."""
    source, number = random.Random(seed), torch.finfo(dtype)
    low = math.log10(number.tiny)
    scales = source.choice([(-1, 1), (low / 2 - 4, low / 2 + 4), (low - 6, low + 6), (-8, 8), (low, 9)])
    values = [source.gauss(0, 1) * 10 ** source.uniform(*scales) for _ in range(count)]
    values = [source.choice([value, value, -values[0], 0.0, number.tiny]) for value in values]
    return torch.tensor(values, dtype=torch.float64).to(dtype)


def fraction(x: float | Tensor) -> Fraction:
    return Fraction(float(x))


def fractions(x: Tensor) -> list[Fraction]:
    return [Fraction(value) for value in x.tolist()]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("terms", [0, 1, 3, 1000, 2**22 - 1, 2**23 - 1, 2**23, 2**30, 2**52, 2**60])
def test_gamma_is_rounded_up_by_little_and_infinite_where_it_must_be(terms: int, dtype: torch.dtype) -> None:
    unit = fraction(torch.finfo(dtype).eps) / 2
    loss, found = terms * unit, gamma(terms, dtype)
    if loss >= Fraction(1, 2):
        assert found == math.inf
        return
    assert float(torch.tensor(found, dtype=dtype)) == found
    assert loss / (1 - loss) <= fraction(found) <= loss / (1 - loss) * (1 + 4 * unit) + Fraction(5e-324) * 2**200


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "divide"])
@with_flushing
@some
@given(seed=seeds)
def test_one_operation_is_between_down_and_up(flushed: bool, operation: str, dtype: torch.dtype, seed: int) -> None:
    x, y = numbers(seed, 8, dtype), numbers(seed + 1, 8, dtype)
    # Operands that are read as zero are another matter.
    x, y = (torch.where(part.abs() < tiny(dtype), 1.0, part) for part in (x, y))
    with flushing(flushed):
        found = getattr(torch, operation)(x, y)
        below, above = outward(found, found)
    for a, b, low, high in zip(fractions(x), fractions(y), below.tolist(), above.tolist(), strict=True):
        exact = {"add": a + b, "subtract": a - b, "multiply": a * b, "divide": a / b}[operation]
        assert low == -math.inf or Fraction(low) <= exact
        assert high == math.inf or exact <= Fraction(high)


@pytest.mark.parametrize("dtype", DTYPES)
@with_flushing
def test_of_what_is_no_number_nothing_is_known(flushed: bool, dtype: torch.dtype) -> None:
    wild = torch.tensor([math.nan, math.inf, -math.inf], dtype=dtype)
    with flushing(flushed):
        assert up(wild).tolist() == [math.inf] * 3
        assert down(wild).tolist() == [-math.inf] * 3


@pytest.mark.parametrize("dtype", DTYPES)
@with_flushing
def test_flushing_cannot_undo_a_bound(flushed: bool, dtype: torch.dtype) -> None:
    least = tiny(dtype)
    near_zero = torch.tensor([0.0, -0.0, least / 2, -least / 2], dtype=dtype)
    with flushing(flushed):
        assert (up(near_zero) + 0).tolist() == [least] * 4
        assert (down(near_zero) + 0).tolist() == [-least] * 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
@with_flushing
def test_numbers_of_every_dtype_are_read_exactly(flushed: bool, dtype: torch.dtype) -> None:
    if dtype == torch.int64:
        x = torch.tensor([0, -3, 2**53])
    else:
        number = torch.finfo(dtype)
        x = torch.tensor([0.0, -0.0, 1 / 3, number.max, number.tiny], dtype=dtype)
        x = torch.cat([x, x[-1:] / 2, -x[-1:] / 4, x[-1:] * number.eps])
    with flushing(flushed):
        found = to_double(x)
    assert found.dtype == torch.float64
    assert fractions(found) == fractions(x)


def sums(x: Tensor, y: Tensor, seed: int) -> Iterator[float]:
    """Return the sum of products in several orders, by torch's kernels and with fused multiply-adds."""
    yield float(torch.dot(x, y))
    yield float((x[None] @ y[:, None]).sum())
    yield float((x * y).sum())
    yield float((x.flip(0) * y.flip(0)).cumsum(0)[-1])
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    total = x.new_zeros(())
    for index in order:
        total = total + x[index] * y[index]
    yield float(total)


def fused_sum(x: Tensor, y: Tensor) -> Tensor:
    """Return the sum of products by fused multiply-adds: each is exact and rounded once."""
    total = x.new_zeros(())
    for a, b in zip(fractions(x), fractions(y), strict=True):
        total = torch.tensor(float(a * b + fraction(total)), dtype=torch.float64).to(x.dtype)
    return total


@pytest.mark.parametrize("dtype", DTYPES)
@with_flushing
@some
@given(seed=seeds, count=st.integers(1, 40))
def test_error_of_a_sum_of_products(flushed: bool, dtype: torch.dtype, seed: int, count: int) -> None:
    x, y = numbers(seed, count, dtype), numbers(seed + 1, count, dtype)
    exact = sum((a * b for a, b in zip(fractions(x), fractions(y), strict=True)), Fraction(0))
    with flushing(flushed):
        magnitude = torch.dot(x.abs(), y.abs())
        error = float(dot_error(magnitude, count, (x.abs() + y.abs()).sum()))
        computed = list(sums(x, y, seed))
    size = sum((abs(a * b) for a, b in zip(fractions(x), fractions(y), strict=True)), Fraction(0))
    for found in [*computed, float(fused_sum(x, y))]:
        assert not math.isfinite(error) or abs(Fraction(found) - exact) <= Fraction(error)
    if math.isfinite(error):
        unit, least = fraction(torch.finfo(dtype).eps) / 2, Fraction(tiny(dtype))
        operands = sum(map(abs, fractions(x) + fractions(y)), Fraction(0))
        assert Fraction(error) <= (3 * (count + 3)) * unit * size + 100 * least * (count + 3 + operands)


@pytest.mark.parametrize("dtype", DTYPES)
@with_flushing
@some
@given(seed=seeds, count=st.integers(1, 40))
def test_a_sum_of_magnitudes_times_a_number_is_below_its_bound(
    flushed: bool, dtype: torch.dtype, seed: int, count: int
) -> None:
    x, y = numbers(seed, count, dtype).abs(), numbers(seed + 1, count, dtype).abs()
    share = random.Random(seed).random()
    exact = sum((a * b for a, b in zip(fractions(x), fractions(y), strict=True)), Fraction(0))
    with flushing(flushed):
        above = sum_above(torch.dot(x, y), count, (x + y).sum())
        part = float(up(share * above))
        above = float(above)
    assert above == math.inf or exact <= Fraction(above)
    assert part == math.inf or Fraction(share) * exact <= Fraction(part)


@with_flushing
@some
@given(errors=st.lists(st.one_of(st.just(0.0), st.floats(2.0**-53, 0.4)), max_size=6))
def test_relative_errors_compound(flushed: bool, errors: list[float]) -> None:
    exact = math.prod((1 + Fraction(error) for error in errors), start=Fraction(1)) - 1
    with flushing(flushed):
        found = compound(*errors)
    assert exact <= Fraction(found) <= exact * (1 + Fraction(1, 2**40))


@pytest.mark.parametrize("dtype", DTYPES)
@with_flushing
def test_sums_of_flushed_products_are_in_the_bound(flushed: bool, dtype: torch.dtype) -> None:
    """A thousand products of 2e-308 are 2e-305, and zero where each is flushed."""
    x = torch.full((1000,), (tiny(dtype) / 2) ** 0.5, dtype=dtype)
    with flushing(flushed):
        found = torch.dot(x, x)
        error = dot_error(found, 1000, 2 * x.sum())
    assert abs(1000 * fraction(x[0]) ** 2 - fraction(found)) <= fraction(error)


@pytest.mark.parametrize("dtype", DTYPES)
@with_flushing
@some
@given(seed=seeds)
def test_midpoint_and_radius_hold_the_box(flushed: bool, dtype: torch.dtype, seed: int) -> None:
    ends = torch.stack([numbers(seed, 6, dtype), numbers(seed + 1, 6, dtype)])
    lower, upper = ends.sort(0).values.unbind()
    with flushing(flushed):
        center, radius = midpoint_radius(lower, upper)
    unit, least = fraction(torch.finfo(dtype).eps) / 2, Fraction(tiny(dtype))
    for low, high, middle, room in zip(*map(fractions, (lower, upper, center, radius)), strict=True):
        for read in (middle, Fraction(0) if abs(middle) < least else middle):
            assert read - room <= low <= high <= read + room
        assert room <= (high - low) / 2 * (1 + 8 * unit) + 4 * unit * max(abs(low), abs(high)) + 12 * least


@pytest.mark.parametrize("dtype", DTYPES)
@with_flushing
@some
@given(seed=seeds, inputs=st.integers(1, 9))
def test_affine_maps_of_a_box_are_enclosed(flushed: bool, dtype: torch.dtype, seed: int, inputs: int) -> None:
    weight, bias = numbers(seed, 2 * inputs, dtype).view(2, inputs), numbers(seed + 1, 2, dtype)
    ends = torch.stack([numbers(seed + 2, inputs, dtype), numbers(seed + 3, inputs, dtype)])
    lower, upper = ends.sort(0).values.unbind()
    with flushing(flushed):
        center, radius = midpoint_radius(lower, upper)
        size = center.abs() + radius
        magnitude = weight.abs() @ size + bias.abs()
        low, high = enclose_affine(weight @ center + bias, weight.abs() @ radius, magnitude, inputs, size.sum())
    for row, added, least, most in zip(weight, fractions(bias), low.tolist(), high.tolist(), strict=True):
        products = [sorted((a * x, a * y)) for a, x, y in zip(*map(fractions, (row, lower, upper)), strict=True)]
        assert least == -math.inf or Fraction(least) <= added + sum(pair[0] for pair in products)
        assert most == math.inf or added + sum(pair[1] for pair in products) <= Fraction(most)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_box_beyond_all_numbers_has_every_value(dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max
    lower, upper = torch.tensor([-most, -math.inf, 0.0], dtype=dtype), torch.tensor([most, 0.0, 1.0], dtype=dtype)
    center, radius = midpoint_radius(lower, upper)
    size = center.abs() + radius
    low, high = enclose_affine(center * (most / 4), radius * (most / 4), size * (most / 4), 1, size)
    assert low[:2].tolist() == [-math.inf] * 2
    assert high[:2].tolist() == [math.inf] * 2
    assert math.isfinite(low[2])
    assert 0.999 * most / 4 < high[2]


@with_flushing
@given(seed=seeds)
@some
def test_boxes_around_and_inside_an_exact_box(flushed: bool, seed: int) -> None:
    ends = numbers(seed, 12, torch.float64).view(2, 6)
    lower, upper = ends.amin(0), ends.amax(0)
    with flushing(flushed):
        around, inside = box_of(lower, upper, torch.float32), inner_box_of(lower, upper, torch.float32)
    largest = fraction(torch.finfo(torch.float32).max)
    for index in range(6):
        low, high = fraction(lower[index]), fraction(upper[index])
        least, most = fraction(around[0][index]), fraction(around[1][index])
        assert least <= max(low, -largest)
        assert most >= min(high, largest)
        inner_low, inner_high = fraction(inside[0][index]), fraction(inside[1][index])
        assert inner_low >= min(low, largest)
        assert inner_high <= max(high, -largest)
        # The next number on the other side lies beyond, but for subnormal numbers.
        room = fraction(2 * tiny(torch.float32)) + max(abs(low), abs(high)) / 2**23
        assert max(low, -largest) - least <= room
        assert min(high, largest) - inner_high <= room


@with_flushing
@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=seeds)
@some
def test_ends_of_a_ball(flushed: bool, dtype: torch.dtype, seed: int) -> None:
    center, radius = numbers(seed, 8, dtype), numbers(seed + 1, 8, torch.float64).abs()
    with flushing(flushed):
        around, inside = ball_ends(center, radius, dtype), inner_ball_ends(center, radius, dtype)
    largest = fraction(torch.finfo(dtype).max)
    for index in range(8):
        middle, reach = fraction(center[index]), fraction(radius[index])
        assert fraction(around[0][index]) <= max(middle - reach, -largest)
        assert fraction(around[1][index]) >= min(middle + reach, largest)
        for end, sign in ((inside[0][index], -1), (inside[1][index], 1)):
            offset = sign * (fraction(end) - middle)
            assert 0 <= offset <= reach
            unit = (abs(middle) + reach) * fraction(torch.finfo(dtype).eps) + fraction(4 * tiny(dtype))
            assert offset >= min(reach, sign * (sign * largest - middle)) - 2 * unit


def test_ends_that_are_exact_stay() -> None:
    center, radius = torch.tensor([0.25, 1.0, 3.0]).double(), torch.tensor(1.0).double()
    for ends in (ball_ends, inner_ball_ends):
        lower, upper = ends(center, radius, torch.float32)
        assert (lower.tolist(), upper.tolist()) == ([-0.75, 0.0, 2.0], [1.25, 2.0, 4.0])


@given(st.fractions(), st.integers(-1100, 1100))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_fraction_is_enclosed_tightly(number: Fraction, exponent: int) -> None:
    number *= Fraction(2) ** exponent
    low, high = fraction_down(number), fraction_up(number)
    if math.isinf(low) or math.isinf(high):
        assert abs(number) > Fraction(math.nextafter(math.inf, 0))
    else:
        assert Fraction(low) <= number <= Fraction(high)
        assert high == low or (high == math.nextafter(low, math.inf) and Fraction(low) < number < Fraction(high))


@some
@given(seed=seeds)
@pytest.mark.parametrize("dtype", DTYPES)
def test_neighbors_enclose_a_number_tightly(seed: int, dtype: torch.dtype) -> None:
    values = numbers(seed, 8, torch.float64).clamp(-1e38, 1e38)
    below, above = neighbors(values, dtype)
    assert bool((below <= values).all())
    assert bool((values <= above).all())
    assert torch.equal(below.to(dtype).double(), below)
    assert torch.equal(above.to(dtype).double(), above)
    following = torch.nextafter(below.to(dtype), torch.full_like(below, torch.inf).to(dtype)).double()
    assert torch.equal(above, torch.where(below == values, below, following))
