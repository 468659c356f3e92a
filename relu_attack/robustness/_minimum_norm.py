"""The minimum-norm attack: rounds of walkers for each sample, and the points of the model itself where they end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._deadline import Deadline
from relu_attack.domains import find_ball
from relu_attack.network import Network
from relu_attack.robustness._classifier import Classifier
from relu_attack.robustness._half import round_into
from relu_attack.robustness._incumbents import class_margins
from relu_attack.robustness._radius_walk import LENGTHS, Goal, Neighborhoods, RadiusWalk, goal_margin, vector_norm
from relu_attack.rounding import gamma, up

RESTARTS, ITERATIONS = 20, 50
"""Walkers for each sample, and the points that each of them visits: with more the distances of digits fall by 1 %."""

# Walkers of a sample that walk at once; numbers in the points of all that do, few enough to stay near the processor;
# multiplications of a pass, about half a second of one core.
_ROUND, _MAX_NUMBERS, _MAX_MULTIPLICATIONS = 10, 2**20, 2**33
# Halvings of the way from a sample to a broken point: to float32.
_HALVINGS = 24
# Margin, in roundings of the largest logit, from which on a point is broken in a batch of another size, too.
_ROUNDINGS = 32
# How much farther than the walker a point may lie at which the model is broken beyond rounding: much farther where the
# sample itself is nearly broken.
_STRETCHES = (1.0, 1.001, 1.03, 2.0, 16.0, 256.0)
# The last walk of each sample, from its nearest broken point: first step and share.
_POLISH_LENGTH, _POLISH_SHARE = 0.2, 0.02


@dataclass(eq=False)
class NearestBreaks:
    """The nearest broken point of each sample so far: `x`, (samples, inputs), and its `radius`, infinite for none.

    The radius is float64, (samples,): the ball of that radius surely holds the point.
    """

    x: Tensor
    radius: Tensor

    @staticmethod
    def none(x: Tensor) -> NearestBreaks:
        """Begin with the samples (samples, inputs) themselves, of which nothing is known."""
        return NearestBreaks(x.clone(), torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device))

    def offer(self, index: Tensor, points: Tensor, radius: Tensor) -> None:
        """Replace the points of some samples by nearer ones."""
        nearer = radius < self.radius[index]
        self.x[index[nearer]], self.radius[index[nearer]] = points[nearer], radius[nearer]


@dataclass(frozen=True, kw_only=True, eq=False)
class MinimumNormAttack:
    """The search for the nearest input that breaks each sample.

    Attributes
    ----------
    classifier, network
        The model, and its chain in the walk's dtype on its device.
    norm
        The norm.
    center, low, high
        The samples and their clip box, each (samples, inputs), in the dtype of the answer or in float32.
    half
        The dtype of the answer where it is a half precision.
    label
        The right class of each sample, or the class to reach.
    targeted
        Whether a sample is broken when the model answers the label, instead of when it does not.
    restarts, steps, seed
        Walkers for each sample, points that each visits, and the seed of their starts.
    """

    classifier: Classifier
    network: Network
    norm: str
    center: Tensor
    low: Tensor
    high: Tensor
    half: torch.dtype | None
    label: Tensor
    targeted: bool
    restarts: int
    steps: int
    seed: int

    def run(self, known: NearestBreaks, index: Tensor, deadline: Deadline) -> int:
        """Search for some samples; what is nearer than known is left there. Return the points visited.

        Every sample is given the same random numbers, so that its answer does not depend on the batch, to rounding.
        """
        evaluations = 0
        self.offer(known, index, self.center[index])
        waiting = index[known.radius[index] > 0]
        if len(waiting) == 0:
            return 0
        logits = self.classifier.logits(self.center[index])
        nearest = known.radius.new_full((len(self.center), logits.shape[1]), torch.inf)
        rank = torch.zeros(len(self.center), logits.shape[1], dtype=torch.int64, device=index.device)
        rank[index] = class_margins(logits, self.label[index]).argsort(1, descending=True)
        generator = torch.Generator().manual_seed(self.seed)
        for number, begun in enumerate(range(0, self.restarts, _ROUND)):
            walkers = range(begun, min(begun + _ROUND, self.restarts))
            offsets = self._offsets(walkers, generator)
            for part in waiting.split(self._at_once(len(walkers))):
                if evaluations and deadline.passed:
                    return evaluations
                classes = self._classes(walkers, rank[part], nearest[part], number)
                length = LENGTHS[self.norm][number % len(LENGTHS[self.norm])]
                evaluations += self._walk(known, part, classes, offsets, length, deadline, nearest)
        for part in waiting.split(self._at_once(1)):
            if deadline.passed:
                break
            evaluations += self.polish(known, part[torch.isfinite(known.radius[part])], deadline)
        return evaluations

    def polish(self, known: NearestBreaks, index: Tensor, deadline: Deadline) -> int:
        """Walk from the nearest broken points of some samples in short steps; return the points visited."""
        if len(index) == 0:
            return 0
        goal = Goal(label=self.label[index], classes=self._all_classes(index), targeted=self.targeted)
        walk = self._begin(index, goal, _POLISH_LENGTH, _POLISH_SHARE)
        walk.run(None, known.x[index].to(self.network.device, self.network.dtype), deadline)
        self.close(known, index, walk.x, torch.isfinite(walk.radius), deadline)
        return walk.evaluations

    def close(self, known: NearestBreaks, index: Tensor, points: Tensor, found: Tensor, deadline: Deadline) -> None:
        """Offer the points nearest to the samples on the ways to `points` at which the model itself is broken.

        `points` are (samples of `index`, inputs), and `found`, boolean, those that are to be looked at. At the deadline
        the halving ends where it is.
        """
        found = found.to(index.device)
        index, points = index[found], points.to(self.center)[found]
        high = points.new_zeros(len(index), 1)
        if len(index) == 0:
            return
        for stretch in _STRETCHES:
            missing = high[:, 0] == 0
            if not bool(missing.any()):
                break
            reached = self._is_broken(self.center[index] + stretch * (points - self.center[index]), index) & missing
            high[reached] = stretch
        reached = high[:, 0] > 0
        self.offer(known, index[~reached], self._placed(points[~reached], index[~reached]))
        index, points, high = index[reached], points[reached], high[reached]
        if len(index) == 0:
            return
        center, low = self.center[index], torch.zeros_like(high)
        far = points - center
        for _ in range(_HALVINGS):
            if deadline.passed:
                break
            middle = (low + high) / 2
            broken = self._is_broken(center + middle * far, index)[:, None]
            high, low = torch.where(broken, middle, high), torch.where(broken, low, middle)
        self.offer(known, index, self._placed(center + high * far, index))

    def offer(self, known: NearestBreaks, index: Tensor, points: Tensor) -> None:
        """Offer points (samples of `index`, inputs) at which the model itself is broken; others do not count."""
        if len(index) == 0:
            return
        broken = self.margin(self.classifier.logits(points), index) > 0
        known.offer(index[broken], points[broken], self.distance(points[broken], index[broken]))

    def distance(self, points: Tensor, index: Tensor) -> Tensor:
        """Return radii of balls around some samples that surely hold points, float64, hardly larger than needed."""
        center = self.center[index]
        norm = vector_norm(points.double() - center.double(), self.norm)
        # The difference of the largest input is one rounding; sums of many are more.
        error = 0.0 if self.norm == "linf" else 4 * gamma(center.shape[1] + 8, torch.float64)
        radius = norm * (1 + error)
        while len(radius):
            ball = find_ball(self.norm)(center, radius)
            inside = ball.contains(points.to(center.dtype)[:, None], tolerance=0.0)[:, 0]
            if bool(inside.all()):
                break
            radius = torch.where(inside, radius, up(radius * (1 + error)))
        return radius

    def _walk(
        self,
        known: NearestBreaks,
        part: Tensor,
        classes: Tensor,
        offsets: Tensor,
        length: float,
        deadline: Deadline,
        nearest: Tensor,
    ) -> int:
        """Walk for some samples, `classes` being those of each walker, (samples, walkers, classes)."""
        samples, walkers, count = classes.shape
        rows = part.repeat_interleave(walkers)
        goal = Goal(label=self.label[rows], classes=classes.reshape(-1, count), targeted=self.targeted)
        walk = self._begin(rows, goal, length, None)
        walk.run(offsets.repeat(samples, 1), None, deadline)
        radius = walk.radius.view(samples, walkers)
        best, place = radius.min(1)
        points = walk.x.view(samples, walkers, -1)[torch.arange(samples, device=place.device), place]
        self.close(known, part, points, torch.isfinite(best), deadline)
        single = classes & (classes.sum(2, keepdim=True) == 1)
        own = radius.to(nearest)[:, :, None].masked_fill(~single, torch.inf).amin(1)
        nearest[part] = torch.minimum(nearest[part], own)
        return walk.evaluations

    def _at_once(self, walkers: int) -> int:
        """Return how many samples walk at once."""
        rows = min(_MAX_NUMBERS // self.network.inputs, _MAX_MULTIPLICATIONS // max(self.network.multiply_adds, 1))
        return max(rows // walkers, 1)

    def _begin(self, rows: Tensor, goal: Goal, length: float, share: float | None) -> RadiusWalk:
        device, dtype = self.network.device, self.network.dtype
        center, low, high = (part[rows].to(device, dtype) for part in (self.center, self.low, self.high))
        balls = Neighborhoods(norm=self.norm, center=center, low=low, high=high)
        moved = Goal(label=goal.label.to(device), classes=goal.classes.to(device), targeted=goal.targeted)
        return RadiusWalk(self.network, balls, moved, steps=self.steps, length=length, share=share)

    def _offsets(self, walkers: range, generator: torch.Generator) -> Tensor:
        """Return where walkers begin, in the ball of radius 1; the first one at the sample itself."""
        draws = 2 * torch.rand(len(walkers), self.center.shape[1], generator=generator, dtype=torch.float32) - 1
        draws = draws / vector_norm(draws, self.norm)[:, None] / 2
        if walkers.start == 0:
            draws[0] = 0.0
        return draws.to(self.network.device, self.network.dtype)

    def _classes(self, walkers: range, rank: Tensor, nearest: Tensor, number: int) -> Tensor:
        """Return the classes of each walker, boolean, (samples, walkers, classes).

        Some walkers go for all; the others for one each, those with the largest margins at the sample first and, from
        the second round on, the nearest half of those that were reached.
        """
        samples, count = rank.shape
        every = torch.ones(samples, count, dtype=torch.bool, device=rank.device).scatter_(1, rank[:, -1:], False)
        if self.targeted:
            return every[:, None].expand(-1, len(walkers), -1)
        # The label is the last of the rank; a class that no walker reached keeps its place behind those reached.
        wrong, wanted = rank[:, :-1], count - 1
        if number:
            wrong = wrong.gather(1, nearest.gather(1, wrong).argsort(dim=1, stable=True))
            wanted = max((count - 1) // 2, 1)
        classes = [every]
        for place in range(len(walkers) - 1):
            one = wrong[:, place % wanted, None]
            classes.append(torch.zeros_like(every).scatter_(1, one, True))
        return torch.stack(classes, 1)

    def _all_classes(self, index: Tensor) -> Tensor:
        classes = torch.ones(len(index), self.network.outputs, dtype=torch.bool, device=index.device)
        return classes.scatter_(1, self.label[index, None], False)

    def margin(self, logits: Tensor, index: Tensor) -> Tensor:
        """Return by how much some samples are broken at logits, above 0 where they are, shape (samples of `index`,)."""
        return goal_margin(logits, self.label[index], targeted=self.targeted)

    def _placed(self, points: Tensor, index: Tensor) -> Tensor:
        """Return points of the clip box, numbers of the dtype of the answer, no farther from the samples."""
        low, high = self.low[index], self.high[index]
        points = torch.clamp(points.to(self.center.dtype), low, high)
        if self.half is None:
            return points
        return round_into(points, self.center[index], low, high, self.half).to(points.dtype)

    def _is_broken(self, points: Tensor, index: Tensor) -> Tensor:
        """Return which samples the model breaks near points, whatever the batch that they are in."""
        logits = self.classifier.logits(self._placed(points, index))
        rounding = _ROUNDINGS * torch.finfo(self.classifier.dtype).eps * logits.abs().amax(1)
        return self.margin(logits, index) > rounding
