"""Arguments of an attack on samples; this is where their defaults are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from relu_attack._checks import ArrayLike, whole_number
from relu_attack._names import one_of
from relu_attack.robustness._compositions import ASCENTS
from relu_attack.robustness._samples import Classes, Clip
from relu_attack.solvers import Budget, SearchArguments


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackArguments:
    """Keywords of `worst_case`, which describes them, as far as `robust_accuracy` and the callbacks have them too."""

    norm: str = "linf"
    clip: Clip | None = (0.0, 1.0)
    targets: Classes | str = "all"
    method: str = "auto"
    restarts: int | None = None
    iterations: int = 40
    time_limit: float | None = None
    seed: int = SearchArguments.seed
    x0: ArrayLike | None = None
    stop_at_success: bool = True
    normalize: tuple[ArrayLike, ArrayLike] | None = None

    OLD_NAMES: ClassVar[dict[str, str]] = {"steps": "iterations", "until_broken": "stop_at_success"}
    """Names of the release before, and what they are called now."""


def read_options(method: str, restarts: int | None, iterations: int, time_limit: float | None, seed: int) -> Budget:
    """Check options of `worst_case`, and return what it may spend; raise `OptionError` for one that cannot be used."""
    one_of(method, ("auto", *ASCENTS), name="method")
    for name, value, least in (("restarts", restarts, 1), ("iterations", iterations, 1), ("seed", seed, 0)):
        if value is not None or name != "restarts":
            whole_number(value, name=name, least=least)
    return Budget(iterations=1, time_limit=time_limit)
