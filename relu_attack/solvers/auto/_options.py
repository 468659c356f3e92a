"""Options of `auto`."""

from __future__ import annotations

from dataclasses import dataclass

from relu_attack.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Options of auto.

    Attributes
    ----------
    rounds
        Minimum number of rounds of ascent within the time limit.
    program_share
        Maximum share of the ascent's time for linear programs.
    exact_units, exact_dimension
        The exact program is tried with at most `exact_units` unstable units, if that number or the number of inputs,
        which together limit the number of linear regions, is at most `exact_dimension`. With few inputs branch and
        bound is tried for any number of units, unless `exact_units` is 0.
    bound_share
        Maximum estimated share of the time limit for CROWN, and for alpha-CROWN.
    program_inputs, program_units
        Largest numbers of inputs and of units at which linear programs over regions are solved.
    """

    rounds: int = 20
    program_share: float = 0.2
    exact_units: int = 120
    exact_dimension: int = 30
    bound_share: float = 0.05
    program_inputs: int = 5000
    program_units: int = 20000

    def __post_init__(self) -> None:
        for name in ("rounds", "exact_units", "exact_dimension", "program_inputs", "program_units"):
            value = getattr(self, name)
            least = 1 if name == "rounds" else 0
            if not isinstance(value, int) or value < least:
                raise OptionError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name in ("program_share", "bound_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} must be in [0, 1], got {getattr(self, name)}")
