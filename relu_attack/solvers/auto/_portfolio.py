"""The search of `auto`: rounds of its parts, and exact methods in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from relu_attack._checks import LOGGER
from relu_attack.problem import Problem
from relu_attack.result import OPTIMALITY, Status
from relu_attack.solvers.ascent import ANNEALED_ASCENT, PPGALR, RESTARTED_ASCENT, ScaledProblem, Walk, affordable
from relu_attack.solvers.auto._ascents import Ascents
from relu_attack.solvers.auto._closing import exact_methods, refine_bounds
from relu_attack.solvers.auto._exact_methods import EXACT
from relu_attack.solvers.auto._exact_turns import FIRST_TURN, ExactMethod, Turn, make_turns, next_turn
from relu_attack.solvers.auto._exchanges import EXCHANGE, Exchanges
from relu_attack.solvers.auto._finish import FINISH, Finish
from relu_attack.solvers.auto._options import Auto
from relu_attack.solvers.auto._programs import MILP_WALK, Climber, LinearPrograms, MixedIntegerPrograms, lp_climber
from relu_attack.solvers.auto._shares import Share, improved
from relu_attack.solvers.core import Incumbents, Settings

# Steps of a round without a time limit.
_ROUND_STEPS = 200
# Maximum share of the walks beside exact methods, and steps without a gain after which it shrinks: more than the first
# three excursions of a walker.
_WALK_SHARE, _PATIENCE = 1 / 3, 150
# Share of the time limit that one mixed-integer program may take.
_STEP_SHARE = 1 / 4
# Best points of exchanges, beside the incumbent, from which linear programs start where other inputs are continuous.
_CLIMBED = 4
# All walkers restart once more than half of them are within this radius, in diagonals of the set, if this fraction of
# the budget is left for the new ones to converge.
_COLLAPSE_RADIUS, _MIN_BUDGET_FRACTION = 0.05, 0.2


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the portfolio is made of.

    Attributes
    ----------
    walks
        Ascents by name, the leading one first.
    climber
        Makes the local search over linear regions, given a single problem and a clock of remaining seconds.
    exact
        Exact methods by name.
    """

    # Plain gradients with steps by gain lead higher than smoothed ones on networks that are effectively shallow.
    walks: Mapping[str, Walk] = field(
        default_factory=lambda: {
            "annealing": ANNEALED_ASCENT,
            "restarting": RESTARTED_ASCENT,
            "ppga_lr": Walk.of(PPGALR()),
        }
    )
    climber: Callable[[Problem, Callable[[], float]], Climber] = lp_climber
    exact: Mapping[str, ExactMethod] = field(default_factory=lambda: EXACT)


PARTS = Parts()
"""The parts of `auto`."""


@dataclass(eq=False)
class Portfolio:
    """A search on one problem or a batch.

    Attributes
    ----------
    incumbents
        Receive what is found.
    options, settings, parts
        What is searched with.
    ascents
        The walkers.
    shares
        Of the time, by name: those of the ascents, of exchanges where inputs are integer, and of mixed-integer programs
        where they fit, or of closing steps.
    climbs, neighborhoods
        Local searches over linear regions, one entry a problem; none where programs do not fit.
    """

    incumbents: Incumbents
    options: Auto
    settings: Settings
    parts: Parts
    ascents: Ascents
    shares: dict[str, Share] = field(default_factory=dict)
    climbs: list[LinearPrograms] = field(default_factory=list)
    neighborhoods: dict[int, MixedIntegerPrograms] = field(default_factory=dict)
    finalists: Tensor | None = None
    exchanges: Exchanges | None = None
    finish: Finish | None = None
    turns: list[Turn] = field(default_factory=list)
    closing: float = 0.0
    gained_at: int = 0

    @staticmethod
    def create(incumbents: Incumbents, options: Auto, settings: Settings, parts: Parts) -> Portfolio | None:
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
        return Portfolio(incumbents, options, settings, parts, Ascents(scaled, settings, parts.walks))

    @property
    def problems(self) -> range:
        """Numbers of the problems."""
        return range(self.incumbents.problem.problems)

    @property
    def open(self) -> list[int]:
        """Problems that are not solved yet."""
        return [index for index in self.problems if not self.incumbents.is_closed(index, OPTIMALITY)]

    def run(self) -> Status:
        """Alternate rounds and exact methods until the budget is spent or all problems are solved."""
        budget, incumbents, options = self.settings.budget, self.incumbents, self.options
        turn = _ROUND_STEPS if budget.time_limit is None else self._longest()
        # Over a box the tops that walkers found lead to better ones, and exchanges restart by themselves; elsewhere
        # two walks begin side by side.
        domain = incumbents.problem.domain
        early = 1 if domain.is_box or domain.integer else 2
        for number, name in enumerate(self.parts.walks):
            self.shares[name] = Share(due=number * turn) if number < early else Share.to_be_earned(turn)
        if incumbents.problem.domain.integer:
            self.exchanges = Exchanges(incumbents, budget, self.settings.seed)
            # A number of iterations counts steps of walks, and each of them is followed by exchanges.
            if budget.iterations is None:
                self.shares[EXCHANGE] = Share()
        if self._programs_fit():
            climber = self.parts.climber
            self.climbs = [LinearPrograms(incumbents, index, budget, climber) for index in self.problems]
            # Without a time limit the same search has to find the same on each machine, and a mixed-integer program may
            # take long.
            if budget.time_limit is not None:
                self.shares[MILP_WALK] = Share.to_be_earned(turn)
        elif budget.time_limit is not None and budget.iterations is None and self._needs_finish():
            self.finish = Finish(self.ascents.scaled, incumbents, budget, self.settings.seed)
            self.shares[FINISH] = Share.to_be_earned(turn)
        if budget.time_limit is not None and self.parts.exact:
            names = exact_methods(
                incumbents.problem,
                units=options.exact_units,
                dimension=options.exact_dimension,
                deadline=budget.deadline,
            )
            LOGGER.debug("auto: exact methods %s", ", ".join(names) or "none")
            self.turns = make_turns([self.parts.exact[name] for name in names], incumbents, self.settings)
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
            if improved(before, self.incumbents.value):
                self.gained_at = incumbents.steps
        return Status.FEASIBLE

    def _round(self) -> None:
        """Run the part with the least time over its weight; the first round is an ascent."""
        first = self.incumbents.steps == 0
        name = next(iter(self.shares)) if first else min(self.shares, key=lambda name: self.shares[name].due)
        if self.finish is not None and not first and self._is_last():
            name = FINISH
        if name in self.parts.walks:
            self._walk_on(name)
            if not first or not self.turns:
                self._climb()
            if EXCHANGE not in self.shares:
                self._exchange()
            return
        budget, before, began = self.settings.budget, self.incumbents.value.clone(), self.settings.budget.elapsed()
        if name == MILP_WALK:
            self._search_neighborhood()
        elif name == FINISH:
            self._climb_to_the_end()
        else:
            self._exchange()
        self.shares[name].record(budget.elapsed() - began, gained=improved(before, self.incumbents.value))

    def _climb(self) -> None:
        """Solve linear programs from where the walkers are; converged walkers restart."""
        for index in self.open:
            if self.climbs:
                # Exchanges leave continuous inputs where they are.
                others = self.exchanges.best(index, _CLIMBED) if self.exchanges and self._mixed else None
                self.climbs[index].climb(self.ascents, self._climbing_time(self.climbs[index].share), others)
        # Without programs, which find the exact top of a linear region, the walkers stay and approach it.
        if self.climbs and self.settings.budget.share_left(self.incumbents.steps) >= _MIN_BUDGET_FRACTION:
            self.ascents.restart_collapsed(_COLLAPSE_RADIUS)

    @property
    def _mixed(self) -> bool:
        """Whether there are continuous inputs beside integer ones."""
        return len(self.incumbents.problem.domain.integer) < self.incumbents.problem.domain.inputs

    def _climbing_time(self, share: Share) -> float:
        """Return the seconds for linear programs on one problem: fewer while walks gain and programs do not."""
        budget = self.settings.budget
        if budget.time_limit is None:
            return math.inf
        weight = 1.0 if self._is_last() else share.relative_to(self.shares[name] for name in self.parts.walks)
        return self.options.program_share * weight * self.walked / max(len(self.open), 1) - share.spent

    def _search_neighborhood(self) -> None:
        """Solve one mixed-integer program, on the problem with the fewest of them so far."""
        budget, made = self.settings.budget, self.neighborhoods
        index = min(self.open, key=lambda index: made[index].turns if index in made else 0)
        if index not in made:
            step_time = _STEP_SHARE * (budget.time_limit or 1.0)
            made[index] = MixedIntegerPrograms(self.incumbents, index, budget, step_time=step_time)
        made[index].step(self.ascents)

    def _climb_to_the_end(self) -> None:
        """Take closing steps from the best points; walkers continue from new incumbents."""
        if self.finish is None or self.finalists is None:
            return
        before = self.incumbents.value.clone()
        self.finish.search(self.finalists, seconds=min(self._turn(), self.settings.budget.left()))
        for index in torch.nonzero(self.incumbents.value > before).flatten().tolist():
            self.ascents.inject(index, self.incumbents.x[index])

    def _is_last(self) -> bool:
        """Return whether the time that is left is that of the last turn."""
        return self.settings.budget.left() < 1.5 * self._longest()

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
        # What walks that gain nothing lose of their share is for methods that close the gap.
        hope = max((turn.weight for turn in turns if not turn.ended), default=0.0)
        vain = hope * self.incumbents.steps / (self.gained_at + _PATIENCE)
        return next_turn(turns, walked=self.walked, walk_share=_WALK_SHARE / max(vain, 1.0))

    def _close(self, turn: Turn, share: float) -> None:
        """Run an exact method for a time slice; the weakest walker continues from a new incumbent."""
        value, before = float(self.incumbents.value[turn.index]), turn.spent
        turn.take(self.settings.budget, share=share, longest=self._longest())
        self.closing += turn.spent - before
        if float(self.incumbents.value[turn.index]) > value:
            self.ascents.inject(turn.index, self.incumbents.x[turn.index])

    def _longest(self) -> float:
        """Return the maximum slice, in seconds, of methods that resume."""
        limit = self.settings.budget.time_limit
        return math.inf if limit is None else limit / self.options.rounds

    def _turn(self) -> float:
        """Return the seconds of a turn of walks or exchanges; beside exact methods the turns grow."""
        longest = self._longest()
        return min(max(self.walked, FIRST_TURN), longest) if self.turns else longest

    def _programs_fit(self) -> bool:
        problem, options = self.incumbents.problem, self.options
        small = problem.domain.inputs <= options.program_inputs and problem.network.units <= options.program_units
        return small and options.program_share > 0 and self.incumbents.single(0).domain.is_polyhedral

    def _needs_finish(self) -> bool:
        """Return whether walkers slide along the boundary of the set as they climb, which takes short steps.

        On boxes closing steps gain less than the walks in the same time.
        """
        domain = self.incumbents.problem.domain
        return not domain.is_box and not domain.integer

    def _walk_on(self, name: str) -> None:
        """Advance one population by a round, and offer its best walkers."""
        budget, limit, incumbents = self.settings.budget, self.settings.budget.time_limit, self.incumbents
        steps = _ROUND_STEPS if budget.iterations is None else min(_ROUND_STEPS, budget.iterations - incumbents.steps)
        if limit is None:
            part = budget.part(iterations=steps)
        else:
            part = budget.part(seconds=self._turn(), iterations=budget.iterations and steps)
        began, before, led = budget.elapsed(), incumbents.value.clone(), self.ascents.leading_values()
        outcome = self.ascents.advance(name, part)
        # A population that has restarted takes several turns to come near the incumbent: what it gains itself counts.
        # Without whole numbers, that is: relaxed points have other values.
        own = not incumbents.problem.domain.integer and improved(led, self.ascents.leading_values())
        self.finalists = self.ascents.offer(incumbents)
        if incumbents.steps == 0:
            self._refine_bounds((budget.elapsed() - began) / max(outcome.iterations, 1))
        incumbents.step(outcome.iterations)
        cost = outcome.iterations if limit is None else budget.elapsed() - began
        self.shares[name].record(cost, gained=own or improved(before, incumbents.value))
        if outcome.status is Status.INTERRUPTED:
            raise KeyboardInterrupt

    def _refine_bounds(self, per_step: float) -> None:
        limit = self.settings.budget.time_limit
        seconds = None if limit is None else self.options.bound_share * limit
        with torch.inference_mode():
            per_point, deadline = per_step / self.ascents.scaled.batch, self.settings.budget.deadline
            refine_bounds(self.incumbents, seconds=seconds, per_point=per_point, deadline=deadline)

    def _exchange(self) -> None:
        """Search over integer inputs from the best walkers."""
        if self.exchanges is not None and self.finalists is not None:
            self.exchanges.search(self.open, self.finalists, self.ascents, seconds=self._turn())
