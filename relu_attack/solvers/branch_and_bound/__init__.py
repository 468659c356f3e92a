"""Branch and bound: nodes that are boxes of inputs or sides of units, and their bounds."""

from relu_attack.solvers.branch_and_bound._decide import Decision, decide
from relu_attack.solvers.branch_and_bound._method import BranchAndBound, Branching, branch_and_bound
from relu_attack.solvers.branch_and_bound._search import MAX_SPLIT_INPUTS, branching_inputs

__all__ = [
    "MAX_SPLIT_INPUTS",
    "BranchAndBound",
    "Branching",
    "Decision",
    "branch_and_bound",
    "branching_inputs",
    "decide",
]
