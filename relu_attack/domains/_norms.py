"""The ball of each norm, by its name."""

from __future__ import annotations

from typing import TypeAlias

from relu_attack.domains._l1_ball import L1Ball
from relu_attack.domains._l2_ball import L2Ball
from relu_attack.domains._linf_ball import LInfBall
from relu_attack.errors import OptionError

Ball: TypeAlias = LInfBall | L2Ball | L1Ball

BALLS: dict[str, type[Ball]] = {"linf": LInfBall, "l2": L2Ball, "l1": L1Ball}


def find_ball(norm: str) -> type[Ball]:
    """Return the ball of a norm; raise `OptionError` with the list of norms if there is none."""
    if not isinstance(norm, str) or norm not in BALLS:
        raise OptionError(f"norm is {norm!r}; it must be one of {', '.join(BALLS)}")
    return BALLS[norm]
