"""Linear operators: the affine part of the sequential piecewise-linear form.

An operator maps flat rows ``(batch, inputs)`` to flat rows ``(batch, outputs)``. Engines use the interface of
`LinearOperator` only, so a new kind of layer needs one new operator at most.
"""

from relu_attack.network.operators._axis_operator import AxisOperator
from relu_attack.network.operators._base import Combined, LinearOperator
from relu_attack.network.operators._composition import Composition, chain, steps_of
from relu_attack.network.operators._convolution import Convolution
from relu_attack.network.operators._dense import Dense, Diagonal, PerProblem
from relu_attack.network.operators._folding import Fold, compose, fold, has_subnormal, powers_of_two
from relu_attack.network.operators._kronecker import Kronecker
from relu_attack.network.operators._selection import Selection
from relu_attack.network.operators._sparse import Sparse
from relu_attack.network.operators._stacked import Stacked, stack
from relu_attack.network.operators._summed import Summed, add
from relu_attack.network.operators._upcast_dense import UpcastDense

__all__ = [
    "AxisOperator",
    "Combined",
    "Composition",
    "Convolution",
    "Dense",
    "Diagonal",
    "Fold",
    "Kronecker",
    "LinearOperator",
    "PerProblem",
    "Selection",
    "Sparse",
    "Stacked",
    "Summed",
    "UpcastDense",
    "add",
    "chain",
    "compose",
    "fold",
    "has_subnormal",
    "powers_of_two",
    "stack",
    "steps_of",
]
