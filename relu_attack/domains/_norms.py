"""The ball of each norm and its steepest move, by its name."""

from __future__ import annotations

from typing import TypeAlias

from relu_attack._names import one_of
from relu_attack.domains._l1_ball import L1Ball
from relu_attack.domains._l2_ball import L2Ball
from relu_attack.domains._linf_ball import LInfBall
from relu_attack.domains._steepest import BallMove, L1Move, L2Move, LInfMove

Ball: TypeAlias = LInfBall | L2Ball | L1Ball

BALLS: dict[str, type[Ball]] = {"linf": LInfBall, "l2": L2Ball, "l1": L1Ball}
MOVES: dict[str, type[BallMove]] = {"linf": LInfMove, "l2": L2Move, "l1": L1Move}


def find_ball(norm: str) -> type[Ball]:
    """Return the ball of a norm; raise `OptionError` with the list of norms if there is none."""
    one_of(norm, BALLS, name="norm")
    return BALLS[norm]
