"""Rounding errors: upper bounds of what floating-point arithmetic loses. All that is certified rests on this room.

`_errors` has the errors of sums and products, `_ends` the ends of sets in machine numbers.
"""

from relu_attack.rounding._ends import ball_ends, box_of, exact_sum_above, inner_ball_ends, inner_box_of
from relu_attack.rounding._errors import (
    MatrixProducts,
    compound,
    dot_error,
    down,
    enclose_affine,
    gamma,
    midpoint_radius,
    outward,
    sum_above,
    tiny,
    to_double,
    up,
    weak_duality,
)

__all__ = [
    "MatrixProducts",
    "ball_ends",
    "box_of",
    "compound",
    "dot_error",
    "down",
    "enclose_affine",
    "exact_sum_above",
    "gamma",
    "inner_ball_ends",
    "inner_box_of",
    "midpoint_radius",
    "outward",
    "sum_above",
    "tiny",
    "to_double",
    "up",
    "weak_duality",
]
