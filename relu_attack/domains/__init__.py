"""Sets of inputs: one file a set, one set of laws for all of them."""

from typing import Any

from relu_attack.domains import _deprecated
from relu_attack.domains._box import Box
from relu_attack.domains._check import check_domain
from relu_attack.domains._domain import Domain
from relu_attack.domains._halfspaces import Halfspaces
from relu_attack.domains._l1_ball import L1Ball
from relu_attack.domains._l2_ball import L2Ball
from relu_attack.domains._linear_constraints import LinearConstraints
from relu_attack.domains._linf_ball import LInfBall
from relu_attack.domains._norms import BALLS, MOVES, Ball, find_ball
from relu_attack.domains._support import BoxSupport, Support, box_support
from relu_attack.domains._walked import WalkedSet
from relu_attack.domains.polytope import Polytope

__all__ = [
    "BALLS",
    "MOVES",
    "Ball",
    "Box",
    "BoxSupport",
    "Domain",
    "Halfspaces",
    "L1Ball",
    "L2Ball",
    "LInfBall",
    "LinearConstraints",
    "Polytope",
    "Support",
    "WalkedSet",
    "box_support",
    "check_domain",
    "find_ball",
]


def __getattr__(name: str) -> Any:
    if name == "Inequalities":
        _deprecated.warn_renamed("relu_attack.domains.Inequalities", "LinearConstraints")
        return _deprecated.Inequalities
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
