"""Rounding errors: upper bounds of the errors of floating-point arithmetic, on which all certified results rest.

Arithmetic is that of IEEE 754, rounded to nearest, with unit roundoff u and the smallest normal number t ("tiny"). Sums
may be taken in any order, with or without fused multiply-adds. Subnormal numbers may be flushed: a result below t may
become zero, and an operand below t may be read as zero (``torch.set_flush_denormal``). So for an operation or a fused
multiply-add whose operands are x, y, z

    fl(x y + z) = (x y + z) (1 + d) + e,    |d| <= u,    |e| <= 4 t (1 + |x| + |y|):

a result that is flushed loses less than t, x or y read as zero less than t |y| or t |x|, z less than t.

`_numbers` has single roundings, `_sums` sums of products, `_ends` the ends of sets in machine numbers, `_fractions`
rational numbers in float64, `_duality` weak duality.
"""

from relu_attack.rounding._duality import MatrixProducts, weak_duality
from relu_attack.rounding._ends import ball_ends, box_of, exact_sum_above, inner_ball_ends, inner_box_of
from relu_attack.rounding._fractions import fraction_down, fraction_near, fraction_up
from relu_attack.rounding._numbers import compound, down, gamma, neighbors, outward, tiny, to_double, up
from relu_attack.rounding._sums import dot_error, enclose_affine, midpoint_radius, sum_above

__all__ = [
    "MatrixProducts",
    "ball_ends",
    "box_of",
    "compound",
    "dot_error",
    "down",
    "enclose_affine",
    "exact_sum_above",
    "fraction_down",
    "fraction_near",
    "fraction_up",
    "gamma",
    "inner_ball_ends",
    "inner_box_of",
    "midpoint_radius",
    "neighbors",
    "outward",
    "sum_above",
    "tiny",
    "to_double",
    "up",
    "weak_duality",
]
