"""Sets of inputs: one file a set, one set of laws for all of them."""

from relu_attack.domains._box import Box
from relu_attack.domains._domain import Domain, Inequalities
from relu_attack.domains._l1_ball import L1Ball
from relu_attack.domains._l2_ball import L2Ball
from relu_attack.domains._linf_ball import LInfBall
from relu_attack.domains._polytope import Polytope

__all__ = ["Box", "Domain", "Inequalities", "L1Ball", "L2Ball", "LInfBall", "Polytope"]
