"""The search of an attack: rounds of walkers, from which decided samples are dropped."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack._checks import all_finite
from relu_attack.domains import BALLS, Domain
from relu_attack.errors import SolverError
from relu_attack.network import Network
from relu_attack.result import Status
from relu_attack.robustness._classifier import Classifier
from relu_attack.robustness._compositions import attack_problem, find_ascent
from relu_attack.robustness._each_sample import search_sample
from relu_attack.robustness._incumbents import WorstPoints
from relu_attack.robustness._samples import PerturbationSets
from relu_attack.solvers import Budget, Walk, run_ascent

# Walkers of a sample in one round at most, and numbers in the points of all walkers that walk at once: few enough to
# stay near the processor, enough to fill a graphics card.
_MAX_WALKERS = 8
# Seconds for each sample that still waits from which on it is searched on its own: some hundred steps of walkers of
# a network with a million weights.
_SECONDS_A_SAMPLE = 0.5
# Margin from which on a sample counts as broken, with room for what the model itself rounds otherwise than the chain.
_BROKEN = 1e-4
# Steps of the first annealed round, over those of a walker: of 40 they are 140, its first three excursions. And of the
# last one, after which there is another round of it.
_FIRST_ANNEALED_SHARE, _MAX_ANNEALED_SHARE = 3.5, 56.0
# Multiplications that take less than the clock may wait, a tenth of a second of one core.
_QUICK = 2**30
_MAX_NUMBERS = {"cpu": 2**19, "cuda": 2**25}


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackSearch:
    """An attack: the classifier, the perturbation sets, and the search parameters.

    Attributes
    ----------
    classifier, sets, label
        The question.
    chosen
        Which classes to go for, boolean, shape (samples, classes).
    network
        The chain in the walk's dtype, on its device.
    ascent
        Name of the ascent.
    mixed
        Whether annealed ascents take turns with them where there is no number of walkers.
    restarts
        Walkers for each sample; None for as many as there is time.
    steps
        Points that each of them visits, but for the first two.
    seed
        Of all that is drawn.
    stop_at_success
        Whether samples leave once they are broken.
    budget
        The time.
    """

    classifier: Classifier
    sets: PerturbationSets
    label: Tensor
    chosen: Tensor
    network: Network
    ascent: str
    mixed: bool
    restarts: int | None
    steps: int
    seed: int
    stop_at_success: bool
    budget: Budget

    def run(self, worst: WorstPoints, waiting: Tensor) -> tuple[Status, int]:
        """Run rounds of walkers until all are done, every sample is decided or the time is up.

        Every sample is given the same random numbers, and the number of walkers of a round is the same whatever the
        batch: to rounding, steepest ascent finds for a sample what it would find for it alone.

        Parameters
        ----------
        worst
            What is known; what is found is left in it.
        waiting
            The samples to walk for, boolean, shape (samples,).

        Returns
        -------
        status, evaluations
            Why the search ended, and how many points the walkers visited.
        """
        evaluations, reserve = 0, 0.0
        generator = torch.Generator().manual_seed(self.seed)
        unit = _unit_ball(self.sets.norm, self.sets.center.shape[1])
        try:
            for each in restart_schedule(self.restarts, mixed=self.mixed):
                walkers = each.walkers
                if not bool(waiting.any()):
                    return Status.FEASIBLE, evaluations
                if each.annealed and self.budget.left() >= _SECONDS_A_SAMPLE * int(waiting.sum()):
                    status, more = self._search_each(worst, waiting)
                    return status, evaluations + more
                steps = max(round(self.steps * each.share), 1)
                walk = find_ascent("annealed_ascent" if each.annealed else self.ascent, steps)
                offsets = _offsets(unit, walkers, generator).to(self.network.device, self.network.dtype)
                for part in torch.nonzero(waiting)[:, 0].split(self._at_once(len(walkers))):
                    left = self.budget.left() - reserve
                    if self.budget.interruption.happened:
                        return Status.INTERRUPTED, evaluations
                    # The very first walkers of a small network end their walk, so that no time is spent on nothing.
                    first = evaluations == 0 and len(part) * len(walkers) * steps * self.network.multiply_adds <= _QUICK
                    if left <= 0 and not first:
                        return Status.TIME_LIMIT, evaluations
                    budget = self._part(steps, None if first else left)
                    done, reserve = self._walk(part, walkers, walk, offsets, worst, budget)
                    evaluations += len(part) * len(walkers) * done
                if self.stop_at_success:
                    waiting = waiting & (worst.margin <= 0)
        except KeyboardInterrupt:
            return Status.INTERRUPTED, evaluations
        return Status.ITERATION_LIMIT, evaluations

    def _search_each(self, worst: WorstPoints, waiting: Tensor) -> tuple[Status, int]:
        """Search the samples that are waiting one by one, each with its part of the time that is left."""
        evaluations = 0
        order = worst.largest_margins.masked_fill(~self.chosen, -torch.inf).argsort(1, descending=True)
        index = torch.nonzero(waiting)[:, 0]
        for number, sample in enumerate(index.tolist()):
            sets, label = self.sets.at(index[number : number + 1]), self.label[sample : sample + 1]
            points, more, _ = search_sample(
                self.classifier.network,
                sets.domain.single(0),
                int(label),
                order[sample, : int(self.chosen[sample].sum())].tolist(),
                x0=worst.x[sample],
                budget=self.budget.part(seconds=self.budget.left() / (len(index) - number)),
                seed=self.seed,
                goal=_BROKEN if self.stop_at_success else math.inf,
                device=self.network.device,
                dtype=self.network.dtype,
            )
            evaluations += more
            for point in points:
                inside = sets.project(point)
                worst.offer(index[number : number + 1], inside, self.classifier.logits(inside))
            if self.budget.interruption.happened:
                return Status.INTERRUPTED, evaluations
        return Status.TIME_LIMIT if self.budget.left() == 0 else Status.FEASIBLE, evaluations

    def _part(self, steps: int, seconds: float | None) -> Budget:
        """Return the budget of an ascent: a number of steps, and seconds if they are limited."""
        limit = None if seconds is None or math.isinf(seconds) else self.budget.elapsed() + seconds
        return replace(self.budget, iterations=steps, time_limit=limit)

    def _at_once(self, walkers: int) -> int:
        numbers = _MAX_NUMBERS.get(self.network.device.type, _MAX_NUMBERS["cuda"])
        return max(numbers // (walkers * self.network.inputs), 1)

    def _walk(
        self,
        part: Tensor,
        walkers: range,
        walk: Walk,
        offsets: Tensor,
        worst: WorstPoints,
        budget: Budget,
    ) -> tuple[int, float]:
        """Walk for some samples, and offer what is found.

        Returns
        -------
        done, reserve
            The steps done, and how many seconds a step and what comes after the last one took.
        """
        began, sets = self.budget.elapsed(), self.sets.at(part)
        classes = assign_targets(walkers, worst.largest_margins[part], self.chosen[part])
        walking = sets.to(self.network.device, self.network.dtype)
        problem = attack_problem(self.network, walking, self.label[part], classes)
        with torch.inference_mode():
            starts = walking.starts(offsets)
            generator = torch.Generator(starts.device).manual_seed(self.seed + walkers.start)
            ascent = walk.begin(problem, starts, generator)
            outcome = run_ascent(ascent, budget)
        if not all_finite(ascent.incumbent_value):
            raise SolverError(f"the walk met no finite margin: the model overflows {starts.dtype}; scale its weights")
        walked = self.budget.elapsed()
        points = sets.project(ascent.incumbent_x)
        worst.offer(part, points, self.classifier.logits(points))
        if outcome.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return outcome.iterations, (walked - began) / outcome.iterations + self.budget.elapsed() - walked


@functools.lru_cache(maxsize=4)  # to check it takes as long as some steps on a small network
def _unit_ball(norm: str, inputs: int) -> Domain:
    return BALLS[norm](torch.zeros(inputs, dtype=torch.float64), 1.0)


def _offsets(unit: Domain, walkers: range, generator: torch.Generator) -> Tensor:
    """Return where walkers begin in the ball of radius 1, (walkers, inputs): every other one at an extreme point.

    What is worst is often an extreme point, and its surroundings a small part of the ball.
    """
    draws = (unit.corners if number % 2 else unit.sample for number in walkers)
    return torch.cat([draw(1, generator=generator) for draw in draws])


@dataclass(frozen=True)
class Round:
    """One round of walkers.

    Attributes
    ----------
    walkers
        Their numbers.
    share
        Their steps, as a share of those of a walker.
    annealed
        Whether they ascend by annealed steps with crossover instead of the method of the attack.
    """

    walkers: range
    share: float = 1.0
    annealed: bool = False


def restart_schedule(restarts: int | None, *, mixed: bool = False) -> Iterator[Round]:
    """Yield the rounds of an attack: one walker, then as many again in each round, up to some.

    The first walker breaks the easy samples. Where others follow, the first two do a quarter and half of the steps, so
    that every sample has been attacked early.

    Parameters
    ----------
    restarts
        Walkers for each sample; None for rounds without end.
    mixed
        Whether every second round without end is one of annealed ascent, with twice the steps of the one before: what
        short steep walks did not break, long smoothed ones may.

    Examples
    --------
    >>> import itertools
    >>> [(each.walkers, each.share) for each in restart_schedule(6)]
    [(range(0, 1), 0.25), (range(1, 2), 0.5), (range(2, 4), 1.0), (range(4, 6), 1.0)]
    >>> list(restart_schedule(1))
    [Round(walkers=range(0, 1), share=1.0, annealed=False)]
    >>> rounds = itertools.islice(restart_schedule(None, mixed=True), 4, 8)
    >>> [(each.walkers, each.share, each.annealed) for each in rounds]
    [(range(8, 16), 3.5, True), (range(16, 24), 1.0, False), (range(24, 32), 7.0, True), (range(32, 40), 1.0, False)]
    """
    begun, share = 0, _FIRST_ANNEALED_SHARE
    while restarts is None or begun < restarts:
        end = begun + min(max(begun, 1), _MAX_WALKERS)
        end = end if restarts is None else min(end, restarts)
        annealed = mixed and restarts is None and begun % (2 * _MAX_WALKERS) == _MAX_WALKERS
        if annealed:
            yield Round(range(begun, end), share, annealed=True)
            share = min(2 * share, _MAX_ANNEALED_SHARE)
        else:
            yield Round(range(begun, end), 1.0 if restarts == 1 else min(0.25 * 2.0 ** min(begun, 2), 1.0))
        begun = end


def assign_targets(walkers: range, margins: Tensor, chosen: Tensor) -> Tensor:
    """Assign the classes of each sample to its walkers, more walkers to the more promising ones.

    Every fourth walker, the first among them, goes for all of them at once. Of the others, half go for the most
    promising class, a quarter for the second, and so on.

    Parameters
    ----------
    walkers
        Their numbers.
    margins
        The largest margin of each class so far, shape (samples, classes).
    chosen
        Which classes to go for, boolean, shape (samples, classes).

    Returns
    -------
    Tensor
        Which classes each walker goes for, boolean, shape (samples, walkers, classes).
    """
    if all(number % 4 == 0 for number in walkers):
        return chosen[:, None].expand(-1, len(walkers), -1)
    order = margins.masked_fill(~chosen, -torch.inf).argsort(dim=1, descending=True, stable=True)
    count = chosen.sum(1)
    assigned = []
    for number in walkers:
        if number % 4 == 0:
            assigned.append(chosen)
            continue
        turn = number - number // 4  # its place among the walkers that go for one class
        rank = (turn & -turn).bit_length() - 1
        place = order.gather(1, (torch.full_like(count, rank) % count)[:, None])
        assigned.append(torch.zeros_like(chosen).scatter_(1, place, True))
    return torch.stack(assigned, 1)
