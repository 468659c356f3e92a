"""Sets of inputs: one file a set, one set of laws for all of them."""

from relu_attack.domains.base import Domain, Inequalities
from relu_attack.domains.box import Box
from relu_attack.domains.l1_ball import L1Ball
from relu_attack.domains.l2_ball import L2Ball
from relu_attack.domains.linf_ball import LInfBall
from relu_attack.domains.polytope import Polytope

__all__ = ["Box", "Domain", "Inequalities", "L1Ball", "L2Ball", "LInfBall", "Polytope"]
