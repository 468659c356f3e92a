"""What a method is: a function from a problem to an unchecked answer, the class of its options, its usual budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike
from relu_attack._deadline import Interruption
from relu_attack._memory import memory_limit_of
from relu_attack.bounds import upper_bound
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import Status, Trace
from relu_attack.solvers.core._budget import Budget

# Share of the time that the bound of a call may take.
_BOUND_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every method is told, beside its own options; `ReLUOptimizer.maximize` says what each means."""

    budget: Budget
    restarts: int
    seed: int
    x0: ArrayLike | None
    starts: str
    bound: str
    progress: bool
    record_path: bool
    device: torch.device
    dtype: torch.dtype
    sign: float = field(default=1.0)

    def __post_init__(self) -> None:
        if isinstance(self.restarts, bool) or not isinstance(self.restarts, int) or self.restarts < 1:
            raise OptionError(f"restarts must be a whole number of at least 1, got {self.restarts!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise OptionError(f"seed must be a whole number of at least 0 and below 2**63, got {self.seed!r}")

    def upper_bound(self, problem: Problem) -> Tensor:
        """Return certified upper bounds (problems,) by the method asked for, in half of the time at most."""
        return upper_bound(problem, self.bound, deadline=self.budget.deadline.share(_BOUND_SHARE))


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a method hands back, before it is checked.

    Attributes
    ----------
    candidates
        Points of the user's set, in its coordinates and dtype, shape (problems, candidates, inputs); the best is
        taken by a float64 forward pass.
    upper
        No input is better, float64, shape (problems,); minus infinity where none is feasible.
    certified
        Where `upper` holds in real arithmetic, boolean, shape (problems,); elsewhere it is a solver's word.
    status
        Why the search ended.
    iterations, evaluations
        Steps done, and points at which the network was evaluated.
    trace
        Best value against time.
    path
        Shape (steps, problems, walkers, inputs), when it was asked for.
    found_by
        Which part of the method found the best point, one entry a problem.
    """

    candidates: Tensor
    upper: Tensor
    certified: Tensor
    status: Status
    iterations: int
    evaluations: int
    trace: Trace
    path: Tensor | None = None
    found_by: tuple[str, ...] = ()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a part of a search on a single problem, with the best input (inputs,) that it had found.

    Parameters
    ----------
    x
        That input.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x


Solve = Callable[[Problem, Any, Settings], Answer]
Starts = Callable[[Problem, Settings], Iterator[Tensor]]
"""Yields inputs (inputs,) of a single problem to begin from, float64, without end."""


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes
    ----------
    solve
        Searches.
    options
        The class of its options, a frozen dataclass with a default for each.
    iterations, time_limit
        The budget of a call that gives none.
    counts
        Whether iterations limit the method; where they do not, its time limit stands unless the call gives one.
    restarts
        Walkers of a call that gives no number.
    paths
        Of which problems it can record the path: ``"all"``, ``"single"`` or ``"none"``.
    """

    solve: Solve
    options: type[Any]
    iterations: int | None = None
    time_limit: float | None = None
    counts: bool = True
    restarts: int = 64
    paths: str = "all"

    def budget(
        self,
        *,
        iterations: int | None,
        time_limit: float | None,
        began: float | None = None,
        interruption: Interruption | None = None,
        memory_limit: float | None = None,
    ) -> Budget:
        """Return the budget of a call that `began`, by default now, and that an interruption ends."""
        if iterations is None and time_limit is None:
            iterations, time_limit = self.iterations, self.time_limit
        elif time_limit is None and not self.counts:
            time_limit = self.time_limit
        return Budget(
            iterations=iterations,
            time_limit=time_limit,
            began=time.perf_counter() if began is None else began,
            interruption=interruption or Interruption(),
            memory_limit=memory_limit_of(memory_limit),
        )
