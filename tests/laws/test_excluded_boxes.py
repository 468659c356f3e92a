"""Laws of branch and bound: a box that holds an exact point of the set is not ruled out."""

import math
from fractions import Fraction

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import relu_attack as ra
from relu_attack.domains import Domain

some = settings(max_examples=60, deadline=None, derandomize=True)
seeds, scales = st.integers(0, 2**31 - 1), st.integers(-160, 160)


def is_excluded(domain: Domain, x: Tensor) -> bool:
    return bool(domain.excludes(x[None], x[None]))


def rounded_up(value: Fraction) -> float:
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)


@some
@given(seed=seeds, scale=st.integers(-8, 8))
def test_a_point_on_a_row_of_a_polytope(seed: int, scale: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    row, x = torch.randn(2, 6, generator=generator, dtype=torch.float64) * 10.0**scale
    row[3:] = -row[:3] * (1 + 1e-15 * torch.randn(3, generator=generator, dtype=torch.float64))
    x[3:] = x[:3]
    limit = rounded_up(
        sum((Fraction(a) * Fraction(b) for a, b in zip(row.tolist(), x.tolist(), strict=True)), Fraction(0))
    )
    room = 2 * float(x.abs().max())
    domain = ra.Polytope(row[None], [limit], lower=-room * torch.ones(6), upper=room * torch.ones(6))
    assert not is_excluded(domain, x)
    assert is_excluded(domain, x + row.sign() * 1e-6 * x.abs().max())


@some
@given(seed=seeds, scale=scales, norm=st.sampled_from([1, 2]))
def test_a_point_on_the_surface_of_a_ball(seed: int, scale: int, norm: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    offset = torch.randn(5, generator=generator, dtype=torch.float64) * 10.0**scale
    powers = [abs(Fraction(value)) ** norm for value in offset.tolist()]
    total = sum(powers, Fraction(0))
    radius = torch.tensor(rounded_up(total) if norm == 1 else _root_above(total), dtype=torch.float64)
    center = torch.zeros(5, dtype=torch.float64)
    domain = ra.L1Ball(center, radius) if norm == 1 else ra.L2Ball(center, radius)
    assert not is_excluded(domain, offset)
    assert is_excluded(domain, 1.001 * offset)


def _root_above(square: Fraction) -> float:
    exponent = math.floor(math.log10(square.numerator) - math.log10(square.denominator)) // 2
    root = math.sqrt(float(square / Fraction(10) ** (2 * exponent))) * 10.0**exponent
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    return root
