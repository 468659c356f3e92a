"""The exact mixed-integer program of a single problem: tight ranges, cuts, a warm start, and bounds at any time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from relu_attack.bounds import lp_tightened
from relu_attack.bounds.milp_tightened import milp_tightened
from relu_attack.encodings import Ranges, encode, tighten_root
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.programs import Progress, SolutionStatus, solve
from relu_attack.programs.claim import FEASIBILITY

# Of the time, kept back for what comes after the solver: at least this many seconds.
_RESERVE = 0.2
# Seconds a coefficient in which HiGHS sets up a mixed-integer program and looks at no clock: 5 for a million, doubled.
_SETUP = 1e-5


@dataclass(frozen=True, kw_only=True)
class MILPOptions:
    """Options of the exact program.

    Attributes
    ----------
    gap
        Relative gap between bound and value at which the solver stops.
    tightening_share
        Share of the time limit for the ranges of units: linear programs first, then mixed-integer ones.
    unit_time_limit
        Most seconds for one end of the range of one unit.
    cut_rounds
        Most rounds of cuts at the root; 0 for none.
    cut_share
        Share of the time limit for them.
    solver
        As `programs.solve` takes it. Only ``"HIGHS"`` reports incumbents while it runs.
    """

    gap: float = 1e-6
    tightening_share: float = 0.7
    unit_time_limit: float = 1.0
    cut_rounds: int = 20
    cut_share: float = 0.05
    solver: str = "HIGHS"

    def __post_init__(self) -> None:
        if not 0 <= self.gap < math.inf:
            raise OptionError(f"gap must be at least 0, got {self.gap}")
        for name, share in (("tightening_share", self.tightening_share), ("cut_share", self.cut_share)):
            if not 0 <= share < 1:
                raise OptionError(f"{name} must be in [0, 1), got {share}")
        if not 0 < self.unit_time_limit < math.inf:
            raise OptionError(f"unit_time_limit must be above 0 seconds, got {self.unit_time_limit}")
        if isinstance(self.cut_rounds, bool) or not isinstance(self.cut_rounds, int) or self.cut_rounds < 0:
            raise OptionError(f"cut_rounds must be a whole number of at least 0, got {self.cut_rounds!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class MILPAnswer:
    """What `solve_milp` returns.

    Attributes
    ----------
    x
        The best input, shape (inputs,), in the user's set and its dtype, whole where it must be; None without one.
    value
        The objective at `x` by a float64 forward pass; minus infinity without one.
    bound
        No input is better; minus infinity where there is none at all.
    certified
        Whether `bound`, or that no input is feasible, holds in real arithmetic; False where it is the solver's word.
    certified_bound
        The best bound that does.
    infeasible
        Whether no input satisfies the output constraints.
    interrupted
        Whether Ctrl-C, or the caller's `stop`, ended it.
    """

    x: Tensor | None
    value: float
    bound: float
    certified: bool
    certified_bound: float
    infeasible: bool = False
    interrupted: bool = False

    @property
    def gap(self) -> float:
        """The distance from value to bound."""
        return 0.0 if self.infeasible else self.bound - self.value


Polish = Callable[[Tensor, float], Tensor]
"""Takes an input (inputs,), float64, and seconds; returns one that is no worse, as the best of its linear region."""
Listener = Callable[[Tensor, float], object]
"""Takes a new best input and its value."""


def solve_milp(
    problem: Problem,
    options: MILPOptions,
    *,
    start: Tensor | None = None,
    time_limit: float | None = None,
    polish: Polish | None = None,
    on_incumbent: Listener | None = None,
    stop: Callable[[], object] | None = None,
) -> MILPAnswer:
    """Maximize a single problem by the exact mixed-integer program.

    Parameters
    ----------
    problem
        A single problem over a polyhedral set.
    options
        Shares of the time, gap and solver.
    start
        A good input, shape (inputs,), as the best of a walk: the warm start. The answer is never worse. By default the
        middle of the set, since solvers may look long for any point.
    time_limit
        Seconds; none by default.
    polish
        Applied to the best input at the end.
    on_incumbent
        Called with each new best input.
    stop
        Called often while the solver runs; it stops once the answer is true.

    Returns
    -------
    MILPAnswer
        The best input and bounds, also when the time ran out or Ctrl-C was pressed.

    Raises
    ------
    DomainError
        For a set without linear rows, such as an `L2Ball`.
    OptionError
        For a batch of problems.

    Notes
    -----
    The model is that of `encodings.encode`. Its big-M are the ranges of the preactivations, tightened in three steps
    (Tjeng, Xiao, Tedrake, 1711.07356): intervals, linear programs, and for layers after the first mixed-integer
    programs, each stopped after its part of the time. Cuts of the ideal formulation of single units (Anderson et al.,
    1811.01988) are added where they lower the root's bound.

    Examples
    --------
    >>> from relu_attack import Box, Linear
    >>> from relu_attack.network import dense_chain
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> chain = dense_chain([one, -one], [torch.zeros(1, dtype=torch.float64)] * 2)
    >>> problem = Problem.create(chain, Box(-one[0], 2 * one[0]), Linear(one[0]))
    >>> answer = solve_milp(problem, MILPOptions())
    >>> answer.value + 0.0, round(answer.bound, 9) + 0.0
    (0.0, 0.0)
    """
    clock = _Clock(time_limit)
    best = _Incumbent(problem, on_incumbent)
    proved, interrupted = math.inf, False
    answer: MILPAnswer | None = None
    try:
        best.offer(problem.domain.center() if start is None else start)
        bounds = lp_tightened(problem, deadline=clock.share(options.tightening_share))
        proved = float(bounds.upper)
        ranges: Ranges = [(lower[0], upper[0]) for lower, upper in bounds.layers]
        if not best.is_within(proved, options.gap):
            wide = ranges
            deadline = clock.share(options.tightening_share)
            ranges = milp_tightened(
                problem, ranges, deadline=deadline, unit_time_limit=options.unit_time_limit, stop=stop
            )
            answer, proved = _solve(problem, ranges, options, clock, best, proved, stop, sound=ranges is wide)
    except KeyboardInterrupt:
        interrupted = True
    if polish is not None and best.x is not None and not interrupted:
        best.offer(polish(best.x.to("cpu", torch.float64), clock.left()))
    if answer is None:
        bound = max(proved, best.value)
        return MILPAnswer(
            x=best.x, value=best.value, bound=bound, certified=True, certified_bound=bound, interrupted=interrupted
        )
    # A bound that an input beats by more than the solver's tolerances is no bound.
    refuted = answer.bound < best.value - FEASIBILITY * max(1.0, abs(best.value))
    bound = proved if refuted else answer.bound
    return replace(
        answer,
        x=best.x,
        value=best.value,
        bound=max(bound, best.value),
        certified=answer.certified or bound >= proved,
        certified_bound=max(proved, best.value),
        infeasible=answer.infeasible and best.x is None,
        interrupted=interrupted or answer.interrupted,
    )


def _solve(
    problem: Problem,
    ranges: Ranges,
    options: MILPOptions,
    clock: _Clock,
    best: _Incumbent,
    proved: float,
    stop: Callable[[], object] | None,
    *,
    sound: bool,
) -> tuple[MILPAnswer, float]:
    """Solve the exact program, and return what it says and the best bound that is proved."""
    encoding = encode(problem, ranges)
    if options.cut_rounds and encoding.program.is_mixed_integer:
        limit = None if clock.total is None else clock.total * options.cut_share
        root = tighten_root(encoding, rounds=options.cut_rounds, time_limit=limit)
        if root.after < root.before:
            encoding = root.encoding
        proved = min(proved, root.after) if sound else proved

    if clock.left() < _SETUP * encoding.program.matrix.nnz:
        nothing = MILPAnswer(x=None, value=-math.inf, bound=proved, certified=True, certified_bound=proved)
        return nothing, proved

    def report(progress: Progress) -> None:
        if progress.x is not None:
            best.offer(encoding.input(progress.x))

    listens = options.solver == "HIGHS"
    solution = solve(
        encoding.program,
        options.solver,
        time_limit=clock.left() if clock.total is not None else None,
        warm_start=None if best.x is None else encoding.start(best.x),
        gap=options.gap,
        on_progress=report if listens else None,
        stop=stop if listens else None,
    )
    if solution.x is not None:
        best.offer(encoding.input(solution.x))
    certified = sound and solution.certified
    if certified:
        proved = min(proved, solution.bound)
    answer = MILPAnswer(
        x=None,
        value=-math.inf,
        bound=min(solution.bound, proved),
        certified=certified or solution.bound >= proved,
        certified_bound=proved,
        infeasible=solution.status is SolutionStatus.INFEASIBLE,
        interrupted=solution.interrupted,
    )
    return answer, proved


@dataclass(frozen=True)
class _Clock:
    total: float | None
    began: float = field(default_factory=time.perf_counter)

    def left(self) -> float:
        """Return the seconds that are left, less what is kept back; always a little."""
        if self.total is None:
            return math.inf
        return max(self.began + self.total - _RESERVE - time.perf_counter(), 1e-3)

    def share(self, share: float) -> float:
        """Return the reading of the clock at which a share of the whole time is spent."""
        return math.inf if self.total is None else self.began + share * self.total


class _Incumbent:
    """The best input so far, in the user's set."""

    def __init__(self, problem: Problem, listener: Listener | None) -> None:
        self._problem, self._listener = problem, listener
        self.x: Tensor | None = None
        self.value = -math.inf

    def offer(self, x: Tensor) -> None:
        """Take an input (inputs,), brought into the set, if it satisfies the output constraints and is better."""
        domain, constraints = self._problem.domain, self._problem.constraints
        flat = x.detach().reshape(1, -1).to(domain.device, domain.dtype)
        point = domain.round(domain.project(flat))
        value = float(self._problem.value(point[None]))
        outputs = self._problem.network.forward(point.to("cpu", torch.float64)).outputs
        feasible = constraints is None or float(constraints.violation(outputs)) <= FEASIBILITY
        if feasible and value > self.value:
            self.x, self.value = point[0].clone(), value
            if self._listener is not None:
                self._listener(self.x, value)

    def is_within(self, bound: float, gap: float) -> bool:
        """Tell whether the value meets the bound to the relative gap."""
        return self.x is not None and bound - self.value <= gap * max(abs(self.value), float(np.finfo(np.float64).tiny))
