"""Optimize over trained piecewise-linear networks: the best input of a set, its value, a bound and the gap."""

import logging
from typing import TYPE_CHECKING

from relu_attack._loading import ended_by_interrupts, without_collection
from relu_attack._names import renamed_attributes
from relu_attack._version import __version__

with ended_by_interrupts(), without_collection():
    from relu_attack.api import ReLUOptimizer, maximize, minimize, output_bounds
    from relu_attack.bounds import register_bound
    from relu_attack.domains import Box, Domain, L1Ball, L2Ball, LinearConstraints, LInfBall, Polytope
    from relu_attack.errors import (
        ArgumentError,
        DomainError,
        FileFormatError,
        MemoryLimitError,
        ModelError,
        ObjectiveError,
        OptionError,
        ReLUAttackError,
        ReLUAttackWarning,
        RenamedWarning,
        SolverError,
        TimeLimitError,
        UnsupportedModuleError,
    )
    from relu_attack.io import (
        load_accuracies,
        load_model,
        load_result,
        load_worst_case,
        save_accuracies,
        save_model,
        save_result,
        save_worst_case,
        verify_files,
    )
    from relu_attack.network import register_layer
    from relu_attack.objectives import Linear, Margin, Objective, Output
    from relu_attack.output_constraints import OutputConstraints
    from relu_attack.result import CheckedBounds, Result, Status, Trace, Verdict, Verification
    from relu_attack.robustness import (
        CriticalRadius,
        RobustAccuracy,
        WorstCase,
        WorstCaseWithScores,
        critical_radius,
        robust_accuracy,
        worst_case,
    )
    from relu_attack.solvers import (
        MILP,
        PPGA,
        PPGALR,
        Auto,
        BranchAndBound,
        GradientWalk,
        LPWalk,
        MILPWalk,
        register_method,
    )
    from relu_attack.specification import Specification
    from relu_attack.verification import check_bounds, verify

# Nothing is printed unless the user asks for it, by logging.basicConfig(level=logging.DEBUG) for example.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "MILP",
    "PPGA",
    "PPGALR",
    "ArgumentError",
    "Auto",
    "Box",
    "BranchAndBound",
    "CheckedBounds",
    "CriticalRadius",
    "Domain",
    "DomainError",
    "FileFormatError",
    "GradientWalk",
    "L1Ball",
    "L2Ball",
    "LInfBall",
    "LPWalk",
    "Linear",
    "LinearConstraints",
    "MILPWalk",
    "Margin",
    "MemoryLimitError",
    "ModelError",
    "Objective",
    "ObjectiveError",
    "OptionError",
    "Output",
    "OutputConstraints",
    "Polytope",
    "ReLUAttackError",
    "ReLUAttackWarning",
    "ReLUOptimizer",
    "RenamedWarning",
    "Result",
    "RobustAccuracy",
    "SolverError",
    "Specification",
    "Status",
    "TimeLimitError",
    "Trace",
    "UnsupportedModuleError",
    "Verdict",
    "Verification",
    "WorstCase",
    "WorstCaseWithScores",
    "__version__",
    "check_bounds",
    "critical_radius",
    "load_accuracies",
    "load_model",
    "load_result",
    "load_worst_case",
    "maximize",
    "minimize",
    "output_bounds",
    "register_bound",
    "register_layer",
    "register_method",
    "robust_accuracy",
    "save_accuracies",
    "save_model",
    "save_result",
    "save_worst_case",
    "verify",
    "verify_files",
    "worst_case",
]

if not TYPE_CHECKING:
    __getattr__ = renamed_attributes(__name__, {"ScoredWorstCase": "WorstCaseWithScores"})
