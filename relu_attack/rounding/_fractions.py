"""Rational numbers in float64, rounded to nearest, down or up."""

from __future__ import annotations

import math
from fractions import Fraction


def fraction_near(number: Fraction) -> float:
    """Return the nearest float64; infinite beyond the range of float64."""
    try:
        return number.numerator / number.denominator  # Python divides integers with one rounding
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def fraction_down(number: Fraction) -> float:
    """Return the largest float64 that is at most the number."""
    rounded = fraction_near(number)
    return math.nextafter(rounded, -math.inf) if _excess(rounded, number) > 0 else rounded


def fraction_up(number: Fraction) -> float:
    """Return the smallest float64 that is at least the number.

    The quotient of two integers is the nearest float64, so it or its neighbor is the result; the comparison of the two
    is one of integers and exact.

    >>> fraction_down(Fraction("0.1")), fraction_up(Fraction("0.1"))
    (0.09999999999999999, 0.1)
    """
    rounded = fraction_near(number)
    return math.nextafter(rounded, math.inf) if _excess(rounded, number) < 0 else rounded


def _excess(rounded: float, number: Fraction) -> float:
    """Return a number of the sign of ``rounded - number``."""
    if math.isinf(rounded):
        return rounded
    numerator, denominator = rounded.as_integer_ratio()
    return numerator * number.denominator - number.numerator * denominator
