"""Auto: gradient walks, linear programs, bounds and an exact method, each where it pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import OPTIMALITY, Status
from relu_attack.solvers.budget import Budget
from relu_attack.solvers.closing import exact_method, has_rows, refine_bounds
from relu_attack.solvers.incumbents import Incumbents
from relu_attack.solvers.loop import run
from relu_attack.solvers.method import Answer, Settings
from relu_attack.solvers.prepared import Prepared
from relu_attack.solvers.recorder import Recorder
from relu_attack.solvers.starts import starting_points
from relu_attack.solvers.walk import Walk
from relu_attack.solvers.walking import finalists

MakeWalk = Callable[[Prepared, Tensor, torch.Generator], Walk]
"""Makes the walkers of a problem at their starts."""
MakeClimb = Callable[[Problem, Callable[[], float]], Callable[[Tensor], Tensor]]
"""Given a single problem and the seconds left, returns what climbs from an input (inputs,) to a local maximum."""
Exact = Callable[[Problem, Tensor, Settings], Answer]
"""Closes the gap of a single problem, or bounds it, from a good input (inputs,) within the budget of the settings."""

# Steps of the walkers in a round when no time limit tells, and programs of one climb.
_STEPS, _PROGRAMS = 200, 50
# Share of the time left that the exact method gets.
_EXACT_SHARE = 0.9
# Seconds of search before an exact method at the earliest: with less time it has no chance, and the walks have one.
_EARLIEST = 2.0
# Walkers of a problem from which a round climbs at most.
_CLIMBERS = 8
# Diagonals of the set within which more than half of the walkers have gathered when they all begin anew, and the
# share of the budget that must be left then, for a new crowd to come as far.
_AGREEMENT, _RENEWABLE = 0.05, 0.2


@dataclass(frozen=True, kw_only=True)
class AutoOptions:
    """Options of auto.

    Attributes
    ----------
    rounds
        Into how many rounds of walking the time limit is cut.
    program_share
        Most of the time that linear programs may take before the exact method.
    exact_units, exact_dimension
        The exact program is tried up to this number of units that change their side over the set, where that number
        or the number of inputs, which together limit how many linear regions there are, is at most `exact_dimension`.
        Over boxes of few inputs branch and bound is, whatever the number of units.
    exact_after
        Share of the time limit after which that is, two seconds at the earliest.
    bound_share
        Share of the time limit that CROWN, and then its descent, may take, as far as that can be told before.
    program_inputs, program_units
        Largest numbers of inputs and of units at which linear programs over regions are solved.
    """

    rounds: int = 20
    program_share: float = 0.2
    exact_units: int = 250
    exact_dimension: int = 30
    exact_after: float = 0.25
    bound_share: float = 0.05
    program_inputs: int = 5000
    program_units: int = 20000

    def __post_init__(self) -> None:
        for name in ("rounds", "exact_units", "exact_dimension", "program_inputs", "program_units"):
            value = getattr(self, name)
            least = 1 if name == "rounds" else 0
            if not isinstance(value, int) or value < least:
                raise OptionError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name in ("program_share", "exact_after", "bound_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} must be in [0, 1], got {getattr(self, name)}")


def auto(
    problem: Problem,
    options: AutoOptions,
    settings: Settings,
    *,
    make_walk: MakeWalk,
    make_climb: MakeClimb,
    exact: Mapping[str, Exact],
) -> Answer:
    """Search by all parts in turn; the answer is the best that any of them found, and says which.

    A round walks all walkers by gradients and climbs from the best of them over linear regions; the weakest walker goes
    on from where that leads, and all begin anew once they agree. Where inputs or units are few an exact method follows.
    Where regions are too large for programs, or the set has no linear rows, the walks go on alone.
    """
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="steps")
    with torch.inference_mode():
        search = _Search.create(incumbents, options, settings, make_walk)
    status = Status.FEASIBLE
    try:
        status = search.run(make_climb, exact)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        search.offer_walkers()
    return incumbents.answer(status, incumbents.steps * search.walk.prepared.batch)


@dataclass(eq=False)
class _Search:
    incumbents: Incumbents
    options: AutoOptions
    settings: Settings
    walk: Walk
    climbs: list[Callable[[Tensor], Tensor]] = field(default_factory=list)
    climbing: list[float] = field(default_factory=list)
    fading: list[float] = field(default_factory=list)
    deadline: float = math.inf
    programs: int = 0

    @staticmethod
    def create(incumbents: Incumbents, options: AutoOptions, settings: Settings, make_walk: MakeWalk) -> _Search:
        prepared = Prepared.create(
            incumbents.problem,
            restarts=settings.restarts,
            device=settings.device,
            dtype=settings.dtype,
            normalized=True,
        )
        generator = torch.Generator(settings.device).manual_seed(settings.seed)
        starts = starting_points(
            prepared, kind=settings.starts, x0=settings.x0, generator=generator, seed=settings.seed
        )
        return _Search(incumbents, options, settings, make_walk(prepared, starts, generator))

    @property
    def problems(self) -> range:
        return range(self.incumbents.problem.problems)

    @property
    def open(self) -> list[int]:
        """The problems that are not solved yet."""
        return [index for index in self.problems if not self.incumbents.is_closed(index, OPTIMALITY)]

    def run(self, make_climb: MakeClimb, exact: Mapping[str, Exact]) -> Status:
        """Search round after round until the budget is spent or all problems are solved."""
        budget, incumbents = self.settings.budget, self.incumbents
        if self._programs_fit():
            self.climbs = [make_climb(incumbents.single(index), self._left) for index in self.problems]
            self.fading, self.climbing = [1.0] * len(self.problems), [0.0] * len(self.problems)
        exact_at = self._exact_at()
        while self.open:
            stopped = budget.spent(incumbents.steps)
            if stopped is not None:
                return stopped
            self._walk_on()
            for index in self.open:
                self._climb(index)
            self._renew()
            if budget.elapsed() >= exact_at:
                self._close(exact)
                exact_at = math.inf
        return Status.FEASIBLE

    def _programs_fit(self) -> bool:
        problem, options = self.incumbents.problem, self.options
        small = problem.domain.inputs <= options.program_inputs and problem.network.units <= options.program_units
        return small and options.program_share > 0 and has_rows(self.incumbents.single(0))

    def _exact_at(self) -> float:
        """Return after how many seconds the exact method is tried; infinite without a time limit."""
        limit = self.settings.budget.time_limit
        return math.inf if limit is None else max(self.options.exact_after * limit, _EARLIEST)

    def _walk_on(self) -> None:
        """Walk for a round, and offer the best walkers."""
        budget, limit = self.settings.budget, self.settings.budget.time_limit
        steps = _STEPS if budget.iterations is None else min(_STEPS, budget.iterations - self.incumbents.steps)
        if limit is None:
            part = budget.part(iterations=steps)
        else:
            part = budget.part(seconds=limit / self.options.rounds, iterations=budget.iterations and steps)
        began = budget.elapsed()
        with torch.inference_mode():
            silent = Recorder(part, self.incumbents.upper, sign=1.0, progress=False)
            outcome = run(self.walk, part, silent)
        self.offer_walkers()
        if self.incumbents.steps == 0:
            self._refine_bounds((budget.elapsed() - began) / max(outcome.iterations, 1))
        self.incumbents.step(outcome.iterations)
        if outcome.status is Status.INTERRUPTED:
            raise KeyboardInterrupt

    def _refine_bounds(self, per_step: float) -> None:
        limit = self.settings.budget.time_limit
        seconds = None if limit is None else self.options.bound_share * limit
        with torch.inference_mode():
            refine_bounds(self.incumbents, seconds=seconds, per_point=per_step / self.walk.prepared.batch)

    def offer_walkers(self) -> None:
        """Offer the best points of the walkers to the incumbents."""
        with torch.inference_mode():
            points = finalists(self.walk)
        for index in self.problems:
            self.incumbents.offer(index, points[index].clone(), "annealing")

    def _renew(self) -> None:
        """Let the walkers of a problem begin anew that have gathered around one point: they find nothing new there.

        Where no program climbs to the top of a linear region, they stay, and come nearer to it.
        """
        if not self.climbs or self.settings.budget.share_left(self.incumbents.steps) < _RENEWABLE:
            return
        with torch.inference_mode():
            agreed = self.walk.agreed(_AGREEMENT)
            if bool(agreed.any()):
                self.walk.renew(agreed)

    def _left(self) -> float:
        budget = self.settings.budget
        if self.programs <= 0:
            return 0.0
        self.programs -= 1
        return max(min(budget.left(), self.deadline - budget.elapsed()), 0.0)

    def _climb(self, index: int) -> None:
        """Climb from the best walkers of a problem, and put the weakest where that leads.

        The time for it halves with each round that gains nothing; a gain, or the last round, makes it whole again.
        """
        budget, options = self.settings.budget, self.options
        if not self.climbs:
            return
        points, values = self.walk.best_of_walkers()
        order = values[index].argsort(descending=True).tolist()
        seconds = math.inf
        if budget.time_limit is not None:
            last = budget.left() < 1.5 * budget.time_limit / options.rounds
            share = options.program_share * (1.0 if last else self.fading[index])
            seconds = share * budget.elapsed() / max(len(self.open), 1) - self.climbing[index]
        if seconds <= 0:
            return
        began, gained = budget.elapsed(), False
        self.deadline = began + seconds
        self.programs = _PROGRAMS if budget.time_limit is None else 10**9
        starts = [self.incumbents.x[index].to("cpu", torch.float64)]
        starts += [
            self.walk.prepared.to_user(points[index, place][None, None])[0, 0].double().cpu()
            for place in order[:_CLIMBERS]
        ]
        for start in starts:
            if budget.elapsed() >= self.deadline or budget.left() <= 0:
                break
            x = self.climbs[index](start)
            if self.incumbents.offer(index, x[None], "lp_walk"):
                self._inject(index, order[-1], x)
                gained = True
        self.fading[index] = 1.0 if gained else self.fading[index] / 2
        self.climbing[index] += budget.elapsed() - began

    def _inject(self, index: int, place: int, x: Tensor) -> None:
        """Let the weakest walker of a problem go on from a point."""
        prepared = self.walk.prepared
        rows = prepared.by_problem(self.walk.x).clone()
        chosen = torch.zeros(rows.shape[:2], dtype=torch.bool, device=rows.device)
        rows[index, place], chosen[index, place] = prepared.from_user(x), True
        with torch.inference_mode():
            self.walk.restart(chosen.view(-1), rows.view(prepared.batch, -1))

    def _close(self, exact: Mapping[str, Exact]) -> None:
        """Let the exact method that fits close the gap of what is still open, or narrow it."""
        budget, options, problem = self.settings.budget, self.options, self.incumbents.problem
        name = exact_method(problem, units=options.exact_units, dimension=options.exact_dimension)
        if name is None:
            return
        indices = self.open
        for number, index in enumerate(indices):
            part: Budget = budget.part(seconds=_EXACT_SHARE * budget.left() / (len(indices) - number))
            settings = replace(self.settings, budget=part, progress=False, sign=1.0)
            answer = exact[name](self.incumbents.single(index), self.incumbents.x[index], settings)
            self.incumbents.offer(index, answer.candidates[0], name)
            self.incumbents.bound(index, float(answer.upper[0]), certified=bool(answer.certified[0]))
            if answer.status is Status.INTERRUPTED:
                raise KeyboardInterrupt
