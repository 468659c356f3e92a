"""Linear operators: the affine half of the intermediate form.

An operator maps flat rows ``(batch, inputs)`` to flat rows ``(batch, outputs)``. Engines use only what
`LinearOperator` declares, so a new kind of layer needs one new operator at most.
"""

from relu_attack.network.operators.along_axis import AlongAxis
from relu_attack.network.operators.base import Combined, LinearOperator
from relu_attack.network.operators.composition import Composition
from relu_attack.network.operators.convolution import Convolution
from relu_attack.network.operators.dense import Dense, Diagonal, PerProblem
from relu_attack.network.operators.folding import Fold, compose, fold, has_subnormal, powers_of_two
from relu_attack.network.operators.kronecker import Kronecker
from relu_attack.network.operators.selection import Selection
from relu_attack.network.operators.sparse import Sparse
from relu_attack.network.operators.stacked import Stacked, stack
from relu_attack.network.operators.summed import Summed, add
from relu_attack.network.operators.widened import Widened

__all__ = [
    "AlongAxis",
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
    "Widened",
    "add",
    "compose",
    "fold",
    "has_subnormal",
    "powers_of_two",
    "stack",
]
