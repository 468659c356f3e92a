"""The search: walkers in rounds, from which samples leave."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.domains import Domain
from relu_attack.network import Network
from relu_attack.result import Status
from relu_attack.robustness._classifier import Classifier
from relu_attack.robustness._moves import MOVES
from relu_attack.robustness._samples import BALLS, Sets
from relu_attack.robustness._walkers import Begin, Contest, walk
from relu_attack.solvers import Budget

# Walkers for a sample in one round at most, and numbers in the points of all walkers that walk at once: few enough to
# stay near the processor, enough to fill a graphics card.
_MOST_WALKERS = 8
# Products that take less than the clock may wait, a tenth of a second of one core.
_QUICK = 2**30
_NUMBERS = {"cpu": 2**19, "cuda": 2**25}


@dataclass(eq=False)
class Worst:
    """The worst point of each sample so far; every margin is a forward pass of the model.

    Attributes
    ----------
    x
        Shape (samples, inputs).
    margin
        Float64, shape (samples,).
    promise
        The largest margin of each class at any point seen, minus infinity for the label, shape (samples, classes).
    target
        The wrong class with the largest logit at `x`.
    logits
        The model's own logits at `x`, shape (samples, classes).
    """

    x: Tensor
    margin: Tensor
    promise: Tensor
    target: Tensor
    logits: Tensor

    @staticmethod
    def at_samples(sets: Sets, label: Tensor, logits: Tensor) -> Worst:
        """Begin with the samples themselves, or the nearest points of their sets, and the logits there."""
        margins = class_margins(logits, label)
        margin, target = margins.max(1)
        return Worst(sets.project(sets.center), margin, margins, target, logits.clone())

    def offer(self, index: Tensor, points: Tensor, logits: Tensor, label: Tensor) -> None:
        """Take points (chosen, inputs) of some samples over where they are worse."""
        margins = class_margins(logits, label[index])
        margin, target = margins.max(1)
        better = margin > self.margin[index]
        chosen = index[better]
        self.x[chosen], self.margin[chosen], self.target[chosen] = points[better], margin[better], target[better]
        self.logits[chosen] = logits[better]
        self.promise[index] = torch.maximum(self.promise[index], margins)


def class_margins(logits: Tensor, label: Tensor) -> Tensor:
    """Return the margin of each class, minus infinity for the label, shape (samples, classes)."""
    place = label[:, None]
    return (logits - logits.gather(1, place)).scatter_(1, place, -torch.inf)


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """What is searched, and how.

    Attributes
    ----------
    classifier, sets, label
        The question.
    chosen
        Which classes to go for, boolean, shape (samples, classes).
    network
        The chain in the walk's dtype, on its device.
    begin
        Makes walkers.
    restarts
        Walkers for each sample; None for as many as there is time.
    steps
        Points that each of them visits, but for the first two.
    seed
        Of all that is drawn.
    until_broken
        Whether samples leave once they are broken.
    budget
        The time.
    """

    classifier: Classifier
    sets: Sets
    label: Tensor
    chosen: Tensor
    network: Network
    begin: Begin
    restarts: int | None
    steps: int
    seed: int
    until_broken: bool
    budget: Budget

    def run(self, worst: Worst, waiting: Tensor) -> tuple[Status, int]:
        """Send walkers out until all have walked, no sample waits or the time is up.

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
            for walkers, share in rounds(self.restarts):
                if not bool(waiting.any()):
                    return Status.FEASIBLE, evaluations
                steps = max(round(self.steps * share), 1)
                offsets = _offsets(unit, walkers, generator).to(self.network.device, self.network.dtype)
                for part in torch.nonzero(waiting)[:, 0].split(self._at_once(len(walkers))):
                    left = self.budget.left() - reserve
                    if self.budget.interruption.happened:
                        return Status.INTERRUPTED, evaluations
                    # The very first walkers of a small network end their walk, so that no time is spent on nothing.
                    first = evaluations == 0 and len(part) * len(walkers) * steps * self.network.products <= _QUICK
                    if left <= 0 and not first:
                        return Status.TIME_LIMIT, evaluations
                    budget = None if first else self.budget.part(seconds=left)
                    done, reserve = self._walk(part, walkers, offsets, steps, worst, budget)
                    evaluations += len(part) * len(walkers) * done
                if self.until_broken:
                    waiting = waiting & (worst.margin <= 0)
        except KeyboardInterrupt:
            return Status.INTERRUPTED, evaluations
        return Status.ITERATION_LIMIT, evaluations

    def _at_once(self, walkers: int) -> int:
        numbers = _NUMBERS.get(self.network.device.type, _NUMBERS["cuda"])
        return max(numbers // (walkers * self.network.inputs), 1)

    def _walk(
        self, part: Tensor, walkers: range, offsets: Tensor, steps: int, worst: Worst, budget: Budget | None
    ) -> tuple[int, float]:
        """Walk for some samples, and offer what is found.

        Returns
        -------
        done, reserve
            The steps done, and how many seconds a step and what comes after the last one took.
        """
        began, sets = self.budget.elapsed(), self.sets.at(part)
        chosen = deal(walkers, worst.promise[part], self.chosen[part])
        walking = sets.to(self.network.device, self.network.dtype)
        contest = Contest.of(self.network, walking, self.label[part], chosen)
        with torch.inference_mode():
            starts = MOVES[sets.norm](walking, len(walkers)).starts(offsets)
            generator = torch.Generator(starts.device).manual_seed(self.seed + walkers.start)
            done, found = walk(self.begin(contest, walking, starts, generator, steps), steps, budget)
        walked = self.budget.elapsed()
        points = sets.project(found)
        worst.offer(part, points, self.classifier.logits(points), self.label)
        return done, (walked - began) / done + self.budget.elapsed() - walked


@functools.lru_cache(maxsize=4)  # to check it takes as long as some steps on a small network
def _unit_ball(norm: str, inputs: int) -> Domain:
    return BALLS[norm](torch.zeros(inputs, dtype=torch.float64), 1.0)


def _offsets(unit: Domain, walkers: range, generator: torch.Generator) -> Tensor:
    """Return where walkers begin in the ball of radius 1, (walkers, inputs): every other one at an extreme point.

    What is worst is often an extreme point, and its surroundings a small part of the ball.
    """
    draws = (unit.corners if number % 2 else unit.sample for number in walkers)
    return torch.cat([draw(1, generator=generator) for draw in draws])


def rounds(restarts: int | None) -> Iterator[tuple[range, float]]:
    """Yield the walkers of each round, and the share of the steps that they do.

    First one walker, which breaks the easy samples, then as many as there were before. Where others follow, the first
    two do a quarter and half of the steps, so that every sample has been walked for early.

    Examples
    --------
    >>> list(rounds(6))
    [(range(0, 1), 0.25), (range(1, 2), 0.5), (range(2, 4), 1.0), (range(4, 6), 1.0)]
    >>> list(rounds(1))
    [(range(0, 1), 1.0)]
    """
    begun = 0
    while restarts is None or begun < restarts:
        end = begun + min(max(begun, 1), _MOST_WALKERS)
        end = end if restarts is None else min(end, restarts)
        yield range(begun, end), 1.0 if restarts == 1 else min(0.25 * 2**begun, 1.0)
        begun = end


def deal(walkers: range, promise: Tensor, chosen: Tensor) -> Tensor:
    """Deal the classes of each sample out to its walkers, more walkers to the more promising ones.

    Every fourth walker, the first among them, goes for all of them at once. Of the others, half go for the most
    promising class, a quarter for the second, and so on.

    Parameters
    ----------
    walkers
        Their numbers.
    promise
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
    order = promise.masked_fill(~chosen, -torch.inf).argsort(dim=1, descending=True, stable=True)
    count = chosen.sum(1)
    dealt = []
    for number in walkers:
        if number % 4 == 0:
            dealt.append(chosen)
            continue
        turn = number - number // 4  # its place among the walkers that go for one class
        rank = (turn & -turn).bit_length() - 1
        place = order.gather(1, (torch.full_like(count, rank) % count)[:, None])
        dealt.append(torch.zeros_like(chosen).scatter_(1, place, True))
    return torch.stack(dealt, 1)
