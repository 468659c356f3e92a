"""Interface of a method: its settings, its unchecked answer, and its description in the registry."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, is_whole, whole_number
from relu_attack._deadline import Interruption
from relu_attack._memory import memory_limit_of
from relu_attack.bounds import upper_bound
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import Status, Trace
from relu_attack.solvers.core._budget import Budget

# Maximum share of the time limit for the initial bound.
_BOUND_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings common to all methods; `ReLUOptimizer.maximize` documents each of them.

    A problem counts as solved once its value reaches `goal`.
    """

    budget: Budget
    restarts: int
    seed: int
    x0: ArrayLike | None = None
    starts: str = "mixed"
    bound: str = "interval"
    progress: bool = False
    record_path: bool = False
    device: torch.device
    dtype: torch.dtype
    sign: float = 1.0
    goal: float = math.inf

    def __post_init__(self) -> None:
        whole_number(self.restarts, name="restarts", least=1)
        if not is_whole(self.seed) or not 0 <= self.seed < 2**63:
            raise OptionError(f"seed must be a whole number of at least 0 and below 2**63, got {self.seed!r}")

    def upper_bound(self, problem: Problem) -> Tensor:
        """Return certified upper bounds (problems,) by the method `bound`, within half of the time limit."""
        return upper_bound(problem, self.bound, deadline=self.budget.deadline.share(_BOUND_SHARE))


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """Output of a method, not yet validated.

    Attributes
    ----------
    candidates
        Points of the user's set, in its coordinates and dtype, shape (problems, candidates, inputs); a float64
        forward pass chooses the best.
    upper
        Upper bounds, float64, shape (problems,); minus infinity where no input is feasible.
    certified
        Where `upper` holds in real arithmetic, boolean, shape (problems,); elsewhere a solver reported it.
    status
        Why the search ended.
    iterations, evaluations
        Number of steps, and of evaluations of the network.
    trace
        Best value over time.
    path
        Shape (steps, problems, walkers, inputs), if recorded.
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
    """Ctrl-C in a part of a search on a single problem, with its best input (inputs,) so far."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x


class MethodOptions(Protocol):
    """Options of a method: an instance of a frozen dataclass with a default for each, such as ``PPGALR(step=0.05)``."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Option: TypeAlias = "float | str | None"
"""What an option of a method may be."""

Solve = Callable[[Problem, Any, Settings], Answer]
Starts = Callable[[Problem, Settings], Iterator[Tensor]]
"""Generator of initial points (inputs,) of a single problem, float64, without end."""


@dataclass(frozen=True)
class Method:
    """A method of the registry.

    Attributes
    ----------
    solve
        The search.
    options
        The class of its options, a frozen dataclass with a default for each.
    iterations, time_limit
        Default budget.
    counts
        Whether `iterations` limits the method; if not, the default time limit applies as well.
    restarts
        Default number of walkers.
    paths
        Which problems path recording supports: ``"all"``, ``"single"`` or ``"none"``.
    batches
        Whether several problems may be searched in one call.
    needs_linear_rows
        Whether only sets with linear rows are supported, such as a `Box` or a `Polytope`.
    certifies
        Whether the gap is closed by bounds that hold in real arithmetic.
    """

    solve: Solve
    options: type[Any]
    iterations: int | None = None
    time_limit: float | None = None
    counts: bool = True
    restarts: int = 64
    paths: Literal["all", "single", "none"] = "all"
    batches: bool = True
    needs_linear_rows: bool = False
    certifies: bool = False

    def budget(
        self,
        *,
        iterations: int | None,
        time_limit: float | None,
        began: float | None = None,
        interruption: Interruption | None = None,
        memory_limit: float | None = None,
    ) -> Budget:
        """Return the budget of a call that `began` at that time (default: now), with defaults filled in."""
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
