"""Exact mixed-integer program: big-M from tightened ranges, cuts at the root, warm start, bound at any time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack._checks import LOGGER, whole_number
from relu_attack._deadline import DoesNotFitError
from relu_attack.bounds import lp_tightened, milp_tightened
from relu_attack.encodings import Ranges, count_entries, encode, neighborhood, tighten_root
from relu_attack.errors import OptionError
from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem
from relu_attack.programs import SolutionStatus, SolverProgress, solve
from relu_attack.result import OPTIMALITY, Status, gap_unit
from relu_attack.solvers.ascent import first_point, settings_for_each
from relu_attack.solvers.core import Answer, Budget, FirstPoint, Incumbents, Polish, Settings
from relu_attack.solvers.region_search import climb, solve_neighborhood

# Time reserved for the steps after the solver: seconds, or a share of the remaining time if that is less.
_RESERVE_SECONDS, _RESERVE_SHARE = 0.2, 0.1
# HiGHS ignores the time limit while it sets up a mixed-integer program: 5 s for a million coefficients, doubled.
_SETUP_SECONDS_PER_ENTRY = 1e-5
# The same for a round of cuts at the root: 31 s for half a million. At most half of the time is reserved for one.
_CUT_ROUND_SECONDS_PER_ENTRY = 6e-5
# Iterations of the initial walk without a time limit.
_WALK_ITERATIONS = 1000


@dataclass(frozen=True, kw_only=True)
class MILP:
    """Options of the exact program.

    Attributes
    ----------
    gap
        Relative gap at which a problem is solved, as `Result.relative_gap` measures it. The solver stops at half of it;
        the rest is room for the tolerances of its value.
    walk_share
        Share of the time limit for the walk that finds the warm start.
    tightening_share
        Share of the time limit for tightening the ranges of units, by linear and then mixed-integer programs.
    unit_time_limit
        Time limit in seconds for one end of the range of one unit.
    cut_rounds
        Maximum number of rounds of cuts at the root.
    cut_share
        Share of the time limit for the cuts.
    solver
        As `programs.solve` takes it. Only ``"HIGHS"`` reports incumbents while it runs.
    """

    gap: float = OPTIMALITY
    walk_share: float = 0.05
    tightening_share: float = 0.25
    unit_time_limit: float = 1.0
    cut_rounds: int = 20
    cut_share: float = 0.05
    solver: str = "HIGHS"

    def __post_init__(self) -> None:
        if not 0 <= self.gap < math.inf:
            raise OptionError(f"gap must be at least 0, got {self.gap}")
        for name in ("walk_share", "tightening_share", "cut_share"):
            share = vars(self)[name]
            if not 0 <= share < 1:
                raise OptionError(f"{name} must be in [0, 1), got {share}")
        if not 0 < self.unit_time_limit < math.inf:
            raise OptionError(f"unit_time_limit must be above 0 seconds, got {self.unit_time_limit}")
        whole_number(self.cut_rounds, name="cut_rounds", least=0)


def milp(
    problem: Problem,
    options: MILP,
    settings: Settings,
    *,
    walk: FirstPoint | None = first_point,
    polish: Polish | None = climb,
    stop: Callable[[], object] | None = None,
) -> Answer:
    """Solve the exact mixed-integer program of each problem, one after the other.

    Sets are polyhedral, or DomainError is raised; each problem gets an equal share of the time. `walk` finds the warm
    start, None is the center of the set only; `polish` is applied to the best input at the end. The search ends, as by
    Ctrl-C, once `stop`, which is called often while a solver runs, returns true. Bounds of the solver's branch and
    bound are reported by the solver and not certified.

    The model is that of `encodings.encode`. Its big-M are the ranges of the preactivations, tightened in three steps
    (Tjeng, Xiao, Tedrake, 1711.07356): intervals, linear programs, and for layers after the first mixed-integer
    programs, each within its share of the time. Cuts of the ideal formulation of single units (Anderson et al.,
    1811.01988) are added where they lower the root's bound.
    """
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="incumbents")
    search = _MilpSearch(incumbents, options, settings_for_each(problem, settings), walk, polish, stop)
    status = Status.FEASIBLE
    try:
        for index in range(problem.problems):
            if settings.budget.deadline.passed:
                break
            left = settings.budget.left() / (problem.problems - index)
            seconds = left if math.isfinite(left) else None
            search.solve(index, settings.budget.part(seconds=seconds, iterations=settings.budget.iterations))
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    if settings.budget.interruption.happened:
        status = Status.INTERRUPTED
    closed = all(incumbents.is_closed(index, options.gap) for index in range(problem.problems))
    if status is Status.FEASIBLE and not closed and settings.budget.time_limit is not None:
        status = Status.TIME_LIMIT
    return incumbents.answer(status, incumbents.steps)


@dataclass(frozen=True, eq=False)
class _MilpSearch:
    incumbents: Incumbents
    options: MILP
    settings: Sequence[Settings]
    walk: FirstPoint | None
    polish: Polish | None
    stop: Callable[[], object] | None

    def solve(self, index: int, budget: Budget) -> None:
        """Solve problem `index` within its budget."""
        problem, options = self.incumbents.single(index), self.options
        problem.domain.require_linear_rows()  # before the walk, whose time would be lost
        seconds = budget.left()
        deadline = budget.deadline.share(options.walk_share + options.tightening_share)
        self._offer(index, problem.domain.center(), "center")
        if self.walk is not None:
            timed = math.isfinite(seconds)
            steps = budget.iterations or (None if timed else _WALK_ITERATIONS)
            part = budget.part(seconds=options.walk_share * seconds if timed else None, iterations=steps)
            with self.incumbents.keeping(index, "walk"):
                x = self.walk(problem, replace(self.settings[index], budget=part, progress=False))
            self._offer(index, x, "walk")
        bounds = lp_tightened(problem, deadline=deadline)
        self._bound(index, float(bounds.upper), certified=True)
        if self.incumbents.is_closed(index, options.gap):
            return
        wide: Ranges = [(lower[0], upper[0]) for lower, upper in bounds.layers]
        if not all(bool(torch.isfinite(end).all()) for layer in wide for end in layer):
            return  # the time was too short for any range, or a number overflows: there is no program
        limit = options.unit_time_limit
        tight = milp_tightened(problem, wide, deadline=deadline, unit_time_limit=limit, stop=self.stop)
        self._solve_exact(index, tight, budget, options.cut_share * seconds, sound=tight is wide)
        if self.polish is not None and self.incumbents.is_feasible(index) and budget.left() > 0:
            best = self.incumbents.x[index].double().cpu()
            self._offer(index, self.polish(problem, best, budget.left()), "polish")

    def _solve_exact(self, index: int, ranges: Ranges, budget: Budget, cut_time: float, *, sound: bool) -> None:
        """Solve the exact program with these ranges, which are certified if `sound`."""
        options, problem = self.options, self.incumbents.single(index)
        try:
            budget.deadline.require(_SETUP_SECONDS_PER_ENTRY * count_entries(problem.network, ranges))
            encoding = encode(problem, ranges, deadline=budget.deadline)
        except DoesNotFitError:
            return
        if options.cut_rounds and encoding.program.is_mixed_integer:
            limit = cut_time if math.isfinite(cut_time) else None
            root = tighten_root(encoding, rounds=options.cut_rounds, time_limit=limit)
            encoding = root.encoding if root.after < root.before else encoding
            self._bound(index, root.after, certified=sound)
        left = budget.left()
        left -= min(_RESERVE_SECONDS, _RESERVE_SHARE * left) if math.isfinite(left) else 0.0
        if left < max(_SETUP_SECONDS_PER_ENTRY * encoding.program.matrix.nnz, 1e-3):
            return
        left -= min(_CUT_ROUND_SECONDS_PER_ENTRY * encoding.program.matrix.nnz, left / 2)

        def report(progress: SolverProgress) -> None:
            if progress.x is not None:
                self._offer(index, encoding.input(progress.x), "milp")

        feasible, listens = self.incumbents.is_feasible(index), options.solver == "HIGHS"
        solution = solve(
            encoding.program,
            options.solver,
            time_limit=left if math.isfinite(left) else None,
            warm_start=encoding.start(self.incumbents.x[index]) if feasible else None,
            gap=options.gap,
            options=self._solver_options(index),
            on_progress=report if listens else None,
            stop=self.stop if listens else None,
        )
        LOGGER.debug(
            "milp: problem %d, %d rows, %d binaries, %s, bound %g",
            index,
            encoding.program.matrix.shape[0],
            int(encoding.program.integral.sum()),
            solution.status.name,
            solution.bound,
        )
        if solution.x is not None:
            x = encoding.input(solution.x)
            self._offer(index, x, "milp")
            self._offer_within(index, x, budget.left())
        if solution.status is not SolutionStatus.INFEASIBLE or not self.incumbents.is_feasible(index):
            self._bound(index, solution.bound, certified=sound and solution.certified)
        if solution.interrupted:
            raise KeyboardInterrupt

    def _offer_within(self, index: int, x: Tensor, seconds: float) -> None:
        """Offer the best point of the linear region of x that satisfies output constraints with a margin.

        The program admits points at the tolerance of constraints, and the solver's own tolerance may exceed that.
        """
        problem = self.incumbents.single(index)
        if problem.constraints is None:
            return
        inside = problem.domain.to(device="cpu", dtype=torch.float64).project(x[None])
        pattern = [z[0] > 0 for z in problem.network.forward(inside).preactivations]
        hood = neighborhood(problem, inside[0], pattern)
        optimum = solve_neighborhood(hood, solver=self.options.solver, time_limit=max(seconds, _RESERVE_SECONDS))
        if optimum is not None:
            self._offer(index, torch.as_tensor(optimum.point[: problem.domain.inputs].copy()), "milp")

    def _solver_options(self, index: int) -> Mapping[str, object]:
        """Return the absolute gap for values near 0, where a relative gap has no meaning."""
        if self.options.solver != "HIGHS":
            return {}
        zero = torch.zeros(1, dtype=torch.float64)
        return {"mip_abs_gap": self.options.gap / 2 * float(gap_unit(zero, self.incumbents.problem.scale[index]))}

    def _offer(self, index: int, x: Tensor, found_by: str) -> None:
        if self.incumbents.offer(index, x.reshape(1, -1), found_by):
            self.incumbents.step()

    def _bound(self, index: int, upper: float, *, certified: bool) -> None:
        """Update the bound, unless a solver reported one that a feasible input exceeds by more than tolerances."""
        value, scale = float(self.incumbents.value[index]), float(self.incumbents.problem.scale[index])
        beaten = self.incumbents.is_feasible(index) and upper < value - TOLERANCE * max(scale, abs(value))
        if certified or not beaten:
            self.incumbents.bound(index, upper, certified=certified)
