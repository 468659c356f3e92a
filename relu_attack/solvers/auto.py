"""Auto: gradient walks, recombination, linear programs and the exact program, each where it pays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from relu_attack.bounds import upper_bound
from relu_attack.errors import DomainError, OptionError
from relu_attack.problem import Problem
from relu_attack.result import OPTIMALITY, Status
from relu_attack.solvers.budget import Budget
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
# Seconds of search before the exact program at the earliest: with less time it has no chance, and the walks have one.
_EARLIEST = 2.0
# Walkers of a problem from which a round climbs at most.
_CLIMBERS = 8


@dataclass(frozen=True, kw_only=True)
class AutoOptions:
    """Options of auto.

    Attributes
    ----------
    rounds
        Into how many rounds of walking the time limit is cut.
    program_share
        Most of the time that linear programs may take before the exact program.
    recombined
        Share of the walkers that begin anew after each round, at recombinations of the best.
    exact_units
        Largest number of units at which the exact program is tried.
    exact_after
        Share of the time limit after which it is, two seconds at the earliest.
    program_inputs, program_units
        Largest numbers of inputs and of units at which linear programs over regions are solved.
    """

    rounds: int = 20
    program_share: float = 0.2
    recombined: float = 0.4
    exact_units: int = 250
    exact_after: float = 0.25
    program_inputs: int = 5000
    program_units: int = 20000

    def __post_init__(self) -> None:
        for name in ("rounds", "exact_units", "program_inputs", "program_units"):
            value = getattr(self, name)
            least = 1 if name == "rounds" else 0
            if not isinstance(value, int) or value < least:
                raise OptionError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name in ("program_share", "recombined", "exact_after"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} must be in [0, 1], got {getattr(self, name)}")


def auto(
    problem: Problem,
    options: AutoOptions,
    settings: Settings,
    *,
    make_walk: MakeWalk,
    make_climb: MakeClimb,
    exact: Exact,
) -> Answer:
    """Search by all parts in turn; the answer is the best that any of them found, and says which.

    A round walks all walkers by gradients, climbs from the best of them over linear regions, and lets the weakest
    begin anew where the best are recombined. On small networks the exact program follows. Where regions are too large
    for programs, or the set has no linear rows, the walks go on alone.
    """
    incumbents = Incumbents(problem, settings, upper_bound(problem, settings.bound), unit="steps")
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
    generator: torch.Generator
    climbs: list[Callable[[Tensor], Tensor]] = field(default_factory=list)
    climbing: float = 0.0
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
        return _Search(incumbents, options, settings, make_walk(prepared, starts, generator), generator)

    @property
    def problems(self) -> range:
        return range(self.incumbents.problem.problems)

    @property
    def open(self) -> list[int]:
        """The problems that are not solved yet."""
        return [index for index in self.problems if not self.incumbents.is_closed(index, OPTIMALITY)]

    def run(self, make_climb: MakeClimb, exact: Exact) -> Status:
        """Search round after round until the budget is spent or all problems are solved."""
        budget, incumbents = self.settings.budget, self.incumbents
        if self._programs_fit():
            self.climbs = [make_climb(incumbents.single(index), self._left) for index in self.problems]
        exact_at = self._exact_at()
        while self.open:
            stopped = budget.spent(incumbents.steps)
            if stopped is not None:
                return stopped
            self._walk_on()
            for index in self.open:
                self._climb(index)
            if budget.elapsed() >= exact_at:
                self._close(exact)
                exact_at = math.inf
            self._recombine()
        return Status.FEASIBLE

    def _programs_fit(self) -> bool:
        problem, options = self.incumbents.problem, self.options
        small = problem.domain.inputs <= options.program_inputs and problem.network.units <= options.program_units
        return small and options.program_share > 0 and _has_rows(self.incumbents.single(0))

    def _exact_at(self) -> float:
        """Return after how many seconds the exact program is tried; infinite where it does not fit."""
        limit, units = self.settings.budget.time_limit, self.incumbents.problem.network.units
        if limit is None or units > self.options.exact_units or not self.climbs:
            return math.inf
        return max(self.options.exact_after * limit, _EARLIEST)

    def _walk_on(self) -> None:
        """Walk for a round, and offer the best walkers."""
        budget, limit = self.settings.budget, self.settings.budget.time_limit
        steps = _STEPS if budget.iterations is None else min(_STEPS, budget.iterations - self.incumbents.steps)
        if limit is None:
            part = budget.part(iterations=steps)
        else:
            part = budget.part(seconds=limit / self.options.rounds, iterations=budget.iterations and steps)
        with torch.inference_mode():
            silent = Recorder(part, self.incumbents.upper, sign=1.0, progress=False)
            outcome = run(self.walk, part, silent)
        self.offer_walkers()
        self.incumbents.step(outcome.iterations)
        if outcome.status is Status.INTERRUPTED:
            raise KeyboardInterrupt

    def offer_walkers(self) -> None:
        """Offer the best points of the walkers to the incumbents."""
        with torch.inference_mode():
            points = finalists(self.walk)
        for index in self.problems:
            self.incumbents.offer(index, points[index].clone(), "ppga_lr")

    def _left(self) -> float:
        budget = self.settings.budget
        if self.programs <= 0:
            return 0.0
        self.programs -= 1
        return max(min(budget.left(), self.deadline - budget.elapsed()), 0.0)

    def _climb(self, index: int) -> None:
        """Climb from the best walkers of a problem that were not climbed from, and put them where that leads."""
        budget, options = self.settings.budget, self.options
        if not self.climbs:
            return
        points, values = self.walk.best_of_walkers()
        order = values[index].argsort(descending=True).tolist()
        seconds = math.inf
        if budget.time_limit is not None:
            seconds = options.program_share * budget.elapsed() / max(len(self.open), 1) - self.climbing
        began = budget.elapsed()
        self.deadline = began + seconds
        self.programs = _PROGRAMS if budget.time_limit is None else 10**9
        starts = [self.incumbents.x[index].to("cpu", torch.float64)]
        starts += [
            self.walk.prepared.to_user(points[index, place][None, None])[0, 0].double().cpu() for place in order[:8]
        ]
        for start in starts:
            if budget.elapsed() >= self.deadline or budget.left() <= 0:
                break
            x = self.climbs[index](start)
            if self.incumbents.offer(index, x[None], "lp_walk"):
                self._inject(index, order[-1], x)
        self.climbing += budget.elapsed() - began

    def _inject(self, index: int, place: int, x: Tensor) -> None:
        """Let the weakest walker of a problem go on from a point."""
        prepared = self.walk.prepared
        rows = prepared.by_problem(self.walk.x).clone()
        chosen = torch.zeros(rows.shape[:2], dtype=torch.bool, device=rows.device)
        rows[index, place], chosen[index, place] = prepared.from_user(x), True
        with torch.inference_mode():
            self.walk.restart(chosen.view(-1), rows.view(prepared.batch, -1))

    def _recombine(self) -> None:
        """Let the weakest walkers of each problem begin anew between the best ones."""
        with torch.inference_mode():
            prepared, generator = self.walk.prepared, self.generator
            points, values = self.walk.best_of_walkers()
            problems, restarts, inputs = points.shape
            order = values.argsort(1, descending=True)
            count, elite = int(self.options.recombined * restarts), max(restarts // 4, 1)
            if count == 0:
                return
            device = points.device

            def parents() -> Tensor:
                # The better the walker, the likelier: the smaller of two draws.
                drawn = torch.randint(elite, (2, problems, count), generator=generator, device=device).amin(0)
                places = order.gather(1, drawn)
                return points.gather(1, places[:, :, None].expand(-1, -1, inputs))

            mother, father = parents(), parents()
            mixed = torch.rand(problems, count, inputs, generator=generator, device=device) < torch.rand(
                problems, count, 1, generator=generator, device=device
            )
            children = torch.where(mixed, mother, father)
            chosen = torch.zeros(problems, restarts, dtype=torch.bool, device=device)
            weakest = order[:, restarts - count :]
            chosen.scatter_(1, weakest, True)
            rows = prepared.by_problem(self.walk.x).clone()
            rows.scatter_(1, weakest[:, :, None].expand(-1, -1, inputs), children)
            rows = prepared.project(rows.view(prepared.batch, -1))
            self.walk.restart(chosen.view(-1), rows)

    def _close(self, exact: Exact) -> None:
        """Let the exact program close the gap of what is still open, or narrow it."""
        budget, indices = self.settings.budget, self.open
        for number, index in enumerate(indices):
            part: Budget = budget.part(seconds=0.9 * budget.left() / (len(indices) - number))
            settings = replace(self.settings, budget=part, progress=False, sign=1.0)
            answer = exact(self.incumbents.single(index), self.incumbents.x[index], settings)
            self.incumbents.offer(index, answer.candidates[0], "milp")
            self.incumbents.bound(index, float(answer.upper[0]), certified=bool(answer.certified[0]))
            if answer.status is Status.INTERRUPTED:
                raise KeyboardInterrupt


def _has_rows(problem: Problem) -> bool:
    try:
        problem.domain.inequalities()
    except DomainError:
        return False
    return True
