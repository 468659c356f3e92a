"""Rational numbers as float64, rounded to a chosen side."""

from __future__ import annotations

import math
from fractions import Fraction


def nearest(number: Fraction) -> float:
    """Return the nearest float64; infinite where none is near."""
    try:
        return number.numerator / number.denominator  # integers are divided with one rounding
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def round_down(number: Fraction) -> float:
    """Return the largest float64 that is at most the number."""
    rounded = nearest(number)
    return math.nextafter(rounded, -math.inf) if _excess(rounded, number) > 0 else rounded


def round_up(number: Fraction) -> float:
    """Return the smallest float64 that is at least the number.

    Examples
    --------
    >>> round_down(Fraction("0.1")), round_up(Fraction("0.1"))
    (0.09999999999999999, 0.1)
    """
    rounded = nearest(number)
    return math.nextafter(rounded, math.inf) if _excess(rounded, number) < 0 else rounded


def _excess(rounded: float, number: Fraction) -> float:
    """Return a number of the sign of ``rounded - number``."""
    if math.isinf(rounded):
        return rounded
    numerator, denominator = rounded.as_integer_ratio()
    return numerator * number.denominator - number.numerator * denominator
