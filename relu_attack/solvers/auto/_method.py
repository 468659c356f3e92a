"""Portfolio of annealed ascent, local search over linear regions, exchanges, bounds and exact methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from relu_attack._checks import LOGGER
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import OPTIMALITY, Status
from relu_attack.solvers.ascent import (
    PPGALR,
    Ascent,
    MakeAscent,
    ScaledProblem,
    affordable,
    annealed_ascent,
    compose,
    finalists,
    run_ascent,
    starting_points,
)
from relu_attack.solvers.auto._closing import exact_methods, refine_bounds
from relu_attack.solvers.auto._exact_methods import EXACT
from relu_attack.solvers.auto._exact_turns import FIRST_TURN, ExactMethod, Turn, make_turns, next_turn
from relu_attack.solvers.auto._exchange import Exchange
from relu_attack.solvers.core import Answer, Incumbents, Settings
from relu_attack.solvers.region_search import LocalSearch, LPWalk

MakeClimb = Callable[[Problem, Callable[[], float]], Callable[[Tensor], Tensor]]
"""Given a single problem and a clock of remaining seconds, returns a local search from an input (inputs,)."""

# Steps of a round, and programs of one local search, without a time limit.
_ROUND_STEPS, _MAX_PROGRAMS = 200, 50
# Maximum share of the walks beside exact methods, and steps without a gain after which it shrinks: more than the first
# three excursions of a walker.
_WALK_SHARE, _PATIENCE = 1 / 3, 150
# Every tenth round of ascent, the third one first, is one of PPGA_LR: its plain gradients lead higher on trained
# networks that are effectively shallow. On random deep ones they do not, and cost a tenth of the time.
_COMPANION, _COMPANION_PERIOD, _COMPANION_FIRST = "ppga_lr", 10, 3
# Relative gain of the incumbent that counts as an improvement.
_MIN_RELATIVE_GAIN = 1e-6
# Maximum share of the walks' time for exchanges of integer inputs.
_EXCHANGE_SHARE = 0.3
# Maximum number of walkers of a problem from which a round starts local searches.
_MAX_LOCAL_SEARCHES = 8
# All walkers restart once more than half of them are within this radius, in diagonals of the set, if this fraction of
# the budget is left for the new ones to converge.
_COLLAPSE_RADIUS, _MIN_BUDGET_FRACTION = 0.05, 0.2


def climber(problem: Problem, left: Callable[[], float]) -> Callable[[Tensor], Tensor]:
    """Return the local search of LP Walk on a single problem, which runs while seconds are left."""
    return LocalSearch(problem, LPWalk(), left, lambda x: None).climb


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
    exact_units: int = 250
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


def auto(
    problem: Problem,
    options: Auto,
    settings: Settings,
    *,
    make_ascent: MakeAscent = annealed_ascent,
    make_climb: MakeClimb = climber,
    exact: Mapping[str, ExactMethod] = EXACT,
) -> Answer:
    """Search by a portfolio of methods; the answer is the best of all of them, and names its origin.

    A round is an ascent of all walkers, local searches over linear regions from the best of them, and exchanges of
    integer inputs. The weakest walker continues from the result, and all walkers restart once they have converged to
    one point. Where inputs or units are few, exact methods and rounds alternate from the beginning, in growing time
    slices: exact methods in equal shares, rounds with a share that shrinks while they gain nothing. Local searches are
    skipped where linear programs over regions are too large or the set has no linear rows.
    """
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="steps")
    with torch.inference_mode():
        search = _AutoSearch.create(incumbents, options, settings, make_ascent)
    if search is None:
        return incumbents.answer(settings.budget.spent(0) or Status.TIME_LIMIT, 0)
    status = Status.FEASIBLE
    try:
        status = search.run(make_climb, exact)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        search.offer_walkers()
    return incumbents.answer(status, incumbents.steps * search.scaled.batch)


@dataclass(eq=False)
class _AutoSearch:
    incumbents: Incumbents
    options: Auto
    settings: Settings
    ascent: Ascent
    scaled: ScaledProblem
    climbs: list[Callable[[Tensor], Tensor]] = field(default_factory=list)
    climbing: list[float] = field(default_factory=list)
    fading: list[float] = field(default_factory=list)
    deadline: float = math.inf
    programs: int = 0
    finalists: Tensor | None = None
    exchanges: dict[int, Exchange] = field(default_factory=dict)
    exchanging: dict[int, float] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    closing: float = 0.0
    gained_at: int = 0
    companion: Ascent | None = None
    rounds: int = 0

    @staticmethod
    def create(
        incumbents: Incumbents, options: Auto, settings: Settings, make_ascent: MakeAscent
    ) -> _AutoSearch | None:
        """Create the walkers; None if the time is too short for one step of one walker per problem."""
        wanted = ScaledProblem.create(
            incumbents.problem,
            restarts=settings.restarts,
            device=settings.device,
            dtype=settings.dtype,
            normalized=True,
        )
        scaled = affordable(wanted, settings.budget)
        if scaled is None:
            return None
        generator = torch.Generator(settings.device).manual_seed(settings.seed)
        starts = starting_points(scaled, kind=settings.starts, x0=settings.x0, generator=generator, seed=settings.seed)
        return _AutoSearch(incumbents, options, settings, make_ascent(scaled, starts, generator), scaled)

    @property
    def problems(self) -> range:
        return range(self.incumbents.problem.problems)

    @property
    def open(self) -> list[int]:
        """Problems that are not solved yet."""
        return [index for index in self.problems if not self.incumbents.is_closed(index, OPTIMALITY)]

    def run(self, make_climb: MakeClimb, exact: Mapping[str, ExactMethod]) -> Status:
        """Alternate rounds and exact methods until the budget is spent or all problems are solved."""
        budget, incumbents, options = self.settings.budget, self.incumbents, self.options
        if self._programs_fit():
            self.climbs = [make_climb(incumbents.single(index), self._left) for index in self.problems]
            self.fading, self.climbing = [1.0] * len(self.problems), [0.0] * len(self.problems)
        if budget.time_limit is not None and exact:
            names = exact_methods(
                incumbents.problem,
                units=options.exact_units,
                dimension=options.exact_dimension,
                deadline=budget.deadline,
            )
            LOGGER.debug("auto: exact methods %s", ", ".join(names) or "none")
            self.turns = make_turns([exact[name] for name in names], incumbents, self.settings)
        while self.open:
            stopped = budget.spent(incumbents.steps)
            if stopped is not None:
                return stopped
            following = self._exact_turn()
            if following is not None:
                self._close(*following)
                continue
            before = incumbents.value.clone()
            self._round()
            if bool((incumbents.value > before + _MIN_RELATIVE_GAIN * before.abs()).any()):
                self.gained_at = incumbents.steps
        return Status.FEASIBLE

    def _round(self) -> None:
        """Run one round; beside exact methods the first one consists of the ascent only."""
        first = self.incumbents.steps == 0
        self._walk_on()
        if not (first and self.turns):
            for index in self.open:
                self._climb(index)
                if not self.incumbents.is_closed(index, OPTIMALITY):
                    self._exchange(index)
            self._restart_collapsed()

    @property
    def walked(self) -> float:
        """Elapsed seconds without those of exact methods."""
        return self.settings.budget.elapsed() - self.closing

    def _exact_turn(self) -> tuple[Turn, float] | None:
        """Return the exact method to run next, with its share of the time; None for a round of the ascent."""
        if not self.turns or self.incumbents.steps == 0:
            return None
        still = set(self.open)
        turns = [turn for turn in self.turns if turn.index in still]
        vain = self.incumbents.steps / (self.gained_at + _PATIENCE)
        return next_turn(turns, walked=self.walked, walk_share=_WALK_SHARE / max(vain, 1.0))

    def _close(self, turn: Turn, share: float) -> None:
        """Run an exact method for a time slice; the weakest walker continues from a new incumbent."""
        value, before = float(self.incumbents.value[turn.index]), turn.spent
        turn.take(self.settings.budget, share=share, longest=self._longest())
        self.closing += turn.spent - before
        if float(self.incumbents.value[turn.index]) > value:
            values = self.ascent.best_of_walkers()[1][turn.index]
            self._inject(turn.index, int(values.argmin()), self.incumbents.x[turn.index])

    def _longest(self) -> float:
        """Return the maximum slice, in seconds, of methods that resume."""
        limit = self.settings.budget.time_limit
        return math.inf if limit is None else limit / self.options.rounds

    def _programs_fit(self) -> bool:
        problem, options = self.incumbents.problem, self.options
        small = problem.domain.inputs <= options.program_inputs and problem.network.units <= options.program_units
        return small and options.program_share > 0 and self.incumbents.single(0).domain.is_polyhedral

    def _walk_on(self) -> None:
        """Advance the ascent by a round, and offer the best walkers."""
        budget, limit = self.settings.budget, self.settings.budget.time_limit
        steps = (
            _ROUND_STEPS if budget.iterations is None else min(_ROUND_STEPS, budget.iterations - self.incumbents.steps)
        )
        if limit is None:
            part = budget.part(iterations=steps)
        else:
            seconds = self._longest() if not self.turns else min(max(self.walked, FIRST_TURN), self._longest())
            part = budget.part(seconds=seconds, iterations=budget.iterations and steps)
        began = budget.elapsed()
        self.rounds += 1
        ascent = self._companion() if self._companion_is_due() else self.ascent
        with torch.inference_mode():
            outcome = run_ascent(ascent, part)
        if ascent is self.ascent:
            self.offer_walkers()
        else:
            self._offer_companion(ascent)
        if self.incumbents.steps == 0:
            self._refine_bounds((budget.elapsed() - began) / max(outcome.iterations, 1))
        self.incumbents.step(outcome.iterations)
        if outcome.status is Status.INTERRUPTED:
            raise KeyboardInterrupt

    def _companion_is_due(self) -> bool:
        """Whether a round is one of PPGA_LR: seldom, but every second one where it holds the best point."""
        leads = any(self.incumbents.found_by[index] == _COMPANION for index in self.open)
        return self.rounds % (2 if leads else _COMPANION_PERIOD) == (1 if leads else _COMPANION_FIRST)

    def _companion(self) -> Ascent:
        """Return the walkers of PPGA_LR, which start where the others did not."""
        if self.companion is None:
            settings, seed = self.settings, self.settings.seed + 1
            generator = torch.Generator(settings.device).manual_seed(seed)
            with torch.inference_mode():
                starts = starting_points(
                    self.scaled, kind=settings.starts, x0=settings.x0, generator=generator, seed=seed
                )
                self.companion = compose(self.scaled, starts, PPGALR(), generator)
        return self.companion

    def _offer_companion(self, ascent: Ascent) -> None:
        """Offer the best points of PPGA_LR; the weakest walker goes on from what is better than the incumbent."""
        before = self.incumbents.value.clone()
        with torch.inference_mode():
            found = finalists(ascent, self.scaled).clone()
        self.incumbents.offer_each(found, _COMPANION)
        values = self.ascent.best_of_walkers()[1]
        for index in torch.nonzero(self.incumbents.value > before).flatten().tolist():
            self._inject(index, int(values[index].argmin()), self.incumbents.x[index])

    def _refine_bounds(self, per_step: float) -> None:
        limit = self.settings.budget.time_limit
        seconds = None if limit is None else self.options.bound_share * limit
        with torch.inference_mode():
            per_point, deadline = per_step / self.scaled.batch, self.settings.budget.deadline
            refine_bounds(self.incumbents, seconds=seconds, per_point=per_point, deadline=deadline)

    def offer_walkers(self) -> None:
        """Offer the best points of the walkers to the incumbents."""
        with torch.inference_mode():
            self.finalists = finalists(self.ascent, self.scaled).clone()
        self.incumbents.offer_each(self.finalists, "annealing")

    def _restart_collapsed(self) -> None:
        """Restart all walkers of a problem once they have converged to one point.

        Without linear programs, which find the exact top of a linear region, the walkers stay and approach it.
        """
        if not self.climbs or self.settings.budget.share_left(self.incumbents.steps) < _MIN_BUDGET_FRACTION:
            return
        with torch.inference_mode():
            collapsed = self.ascent.collapsed(_COLLAPSE_RADIUS)
            if bool(collapsed.any()):
                self.ascent.restart_all(collapsed)

    def _left(self) -> float:
        budget = self.settings.budget
        if self.programs <= 0:
            return 0.0
        self.programs -= 1
        return max(min(budget.left(), self.deadline - budget.elapsed()), 0.0)

    def _climb(self, index: int) -> None:
        """Run local searches from the best walkers of a problem; the weakest walker continues from a new incumbent.

        Their share of the time halves with each round without gain; a gain, or the last round, restores it.
        """
        budget, options = self.settings.budget, self.options
        if not self.climbs:
            return
        points, values = self.ascent.best_of_walkers()
        order = values[index].argsort(descending=True).tolist()
        seconds = math.inf
        if budget.time_limit is not None:
            last = budget.left() < 1.5 * budget.time_limit / options.rounds
            share = options.program_share * (1.0 if last else self.fading[index])
            seconds = share * self.walked / max(len(self.open), 1) - self.climbing[index]
        if seconds <= 0:
            return
        began, gained = budget.elapsed(), False
        self.deadline = began + seconds
        self.programs = _MAX_PROGRAMS if budget.time_limit is None else 10**9
        starts = [self.incumbents.x[index].to("cpu", torch.float64)]
        starts += [
            self.scaled.to_user(points[index, place][None, None])[0, 0].double().cpu()
            for place in order[:_MAX_LOCAL_SEARCHES]
        ]
        for number, start in enumerate(starts):
            # The first local search runs even if preparing the starts took the time.
            if (number and budget.elapsed() >= self.deadline) or budget.left() <= 0:
                break
            x = self.climbs[index](start)
            if self.incumbents.offer(index, x[None], "lp_walk"):
                self._inject(index, order[-1], x)
                gained = True
        self.fading[index] = 1.0 if gained else self.fading[index] / 2
        self.climbing[index] += budget.elapsed() - began

    def _exchange(self, index: int) -> None:
        """Search over integer inputs from the best walkers; the weakest walker continues from a new incumbent."""
        incumbents, budget = self.incumbents, self.settings.budget
        if not incumbents.problem.domain.integer or self.finalists is None:
            return
        if index not in self.exchanges:
            generator = torch.Generator().manual_seed(self.settings.seed)
            self.exchanges[index] = Exchange(incumbents.single(index), self.finalists[index], generator)
        began, seconds = budget.elapsed(), math.inf
        if budget.time_limit is not None:
            seconds = _EXCHANGE_SHARE * self.walked / max(len(self.open), 1) - self.exchanging.get(index, 0.0)
        exchange = self.exchanges[index]
        exchange.join(incumbents.x[index])
        try:
            exchange.search(lambda: min(seconds, budget.left()) - (budget.elapsed() - began))
        finally:
            gained = incumbents.offer(index, exchange.points, "exchange")
        if gained:
            values = self.ascent.best_of_walkers()[1][index]
            self._inject(index, int(values.argmin()), incumbents.x[index])
        self.exchanging[index] = self.exchanging.get(index, 0.0) + budget.elapsed() - began

    def _inject(self, index: int, place: int, x: Tensor) -> None:
        """Restart the walker at `place` of a problem from a point."""
        scaled = self.scaled
        rows = scaled.by_problem(self.ascent.x).clone()
        chosen = torch.zeros(rows.shape[:2], dtype=torch.bool, device=rows.device)
        rows[index, place], chosen[index, place] = scaled.from_user(x), True
        with torch.inference_mode():
            self.ascent.restart(chosen.view(-1), rows.view(scaled.batch, -1))
