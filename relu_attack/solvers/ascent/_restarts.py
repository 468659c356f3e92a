"""Restart policies: where walkers go on when their excursion has ended."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from relu_attack.domains import WalkedSet
from relu_attack.solvers.ascent._options import PPGA
from relu_attack.solvers.ascent._problem import AscentProblem

# Share of the ended excursions that are restarted along a perturbed pattern; the others, at a perturbed input.
_PATTERN_SHARE = 0.5
# Ranges, log-uniform: the noise on preactivations over their spread in the layer, and the length of the move over the
# diagonal of the set. A move by several diagonals along a fixed direction ends at a vertex of the set.
_NOISE = (0.3, 3.0)
_LENGTH = (0.1, 10.0)
# Share of the excursions of every second walker that start between two best points. The others start at a perturbed
# one: where all walkers crossed over, they collapsed to a lower maximum in 2 of 12 runs on a small conv net.
_CROSSOVER_SHARE = 0.7


class RestartPolicy(ABC):
    """A policy for the walkers of one ascent, with what it remembers of each of them."""

    def begin(self, problem: AscentProblem, walked: WalkedSet, generator: torch.Generator) -> None:
        """Take charge of the walkers of a problem, in a set as they meet it."""
        self._problem, self._set, self._generator = problem, walked, generator

    @abstractmethod
    def next_starts(self, ended: Tensor, excursion_x: Tensor, excursion_value: Tensor) -> Tensor:
        """Close the excursions that `ended` (batch,) and return the next starts (batch, inputs), near the set."""

    def better_of(self, x: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the better ones of points (batch, inputs) and the best points of all excursions before."""
        return x, value

    def adopt(self, chosen: Tensor, x: Tensor, value: Tensor) -> None:  # noqa: B027 - a policy may remember nothing
        """Replace the best points of the walkers that are `chosen` by points with values (batch,) that are better."""

    def forget(self, chosen: Tensor) -> None:  # noqa: B027 - a policy may remember nothing
        """Forget the best points of the walkers that are `chosen` (batch,)."""


class RandomRestart(RestartPolicy):
    """Restart at random points of the set."""

    def next_starts(self, ended: Tensor, excursion_x: Tensor, excursion_value: Tensor) -> Tensor:
        return self._set.sample(self._generator)


class GaussianPerturbation(RestartPolicy):
    """Restart near the best point of the walker, farther each time that it falls back to the same maximum.

    Of walkers that share a maximum one restarts at a random point.

    Parameters
    ----------
    options
        Radius of the perturbation and its growth.
    """

    def __init__(self, options: PPGA) -> None:
        self._radius, self._growth = options.radius, options.radius_growth

    def begin(self, problem: AscentProblem, walked: WalkedSet, generator: torch.Generator) -> None:
        super().begin(problem, walked, generator)
        network = problem.network
        self._radii = torch.full((problem.batch, 1), self._radius, dtype=network.dtype, device=network.device)
        self.best_x = self._radii.new_zeros(problem.batch, network.inputs)
        self.best_value = torch.full_like(self._radii[:, 0], -torch.inf)

    def better_of(self, x: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.where((self.best_value > value)[:, None], self.best_x, x)
        return x, torch.maximum(self.best_value, value)

    def adopt(self, chosen: Tensor, x: Tensor, value: Tensor) -> None:
        better = chosen & (value > self.best_value)
        self.best_x = torch.where(better[:, None], x, self.best_x)
        self.best_value = torch.where(better, value, self.best_value)
        self._radii.masked_fill_(better[:, None], self._radius)

    def forget(self, chosen: Tensor) -> None:
        self.best_value.masked_fill_(chosen, -torch.inf)
        self._radii.masked_fill_(chosen[:, None], self._radius)

    def next_starts(self, ended: Tensor, excursion_x: Tensor, excursion_value: Tensor) -> Tensor:
        first = torch.isinf(self.best_value)
        gained = first | (excursion_value > self.best_value + 1e-6 * self.best_value.abs())
        better = ended & (excursion_value > self.best_value)
        self.best_x = torch.where(better[:, None], excursion_x, self.best_x)
        self.best_value = torch.where(better, excursion_value, self.best_value)
        radii = torch.where(gained[:, None], self._radius, (self._radii * self._growth).clamp_max(1.0))
        self._radii = torch.where(ended[:, None], radii, self._radii)
        noise = torch.empty_like(self.best_x).normal_(generator=self._generator)
        move = (self._problem.by_problem(noise) * self._problem.widths).view_as(noise)
        starts = self._set.brought_in(torch.addcmul(self.best_x, self._radii, move))
        return self._restart_duplicates(ended, starts)

    def _restart_duplicates(self, ended: Tensor, starts: Tensor) -> Tensor:
        """Restart those walkers at random points whose best point is another walker's as well."""
        values, order = self._problem.by_problem(self.best_value).sort(1, descending=True)
        points = self._problem.by_problem(self.best_x)
        points = points.gather(1, order[:, :, None].expand_as(points))
        close = (values[:, 1:] >= values[:, :-1] - 1e-5 * values[:, :-1].abs()) & torch.isfinite(values[:, 1:])
        close &= ((points[:, 1:] - points[:, :-1]).abs() <= 1e-2 * self._problem.widths).all(2)
        duplicate = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order[:, 1:], close).view(-1) & ended
        if not bool(duplicate.any()):
            return starts
        self.forget(duplicate)
        return torch.where(duplicate[:, None], self._set.sample(self._generator), starts)


class PatternPerturbation(GaussianPerturbation):
    """Restart along the gradient of a perturbed activation pattern, from the better of two walkers' best points.

    With many inputs, noise on the inputs averages out and hardly moves a preactivation, so that walkers fall back to
    where they were. Noise on the preactivations changes the pattern whatever the number of inputs, and the gradient
    under the changed pattern is a direction along which the network itself would go there.
    """

    def next_starts(self, ended: Tensor, excursion_x: Tensor, excursion_value: Tensor) -> Tensor:
        starts = super().next_starts(ended, excursion_x, excursion_value)
        begun = self._towards_other_patterns(self._better_of_two())
        # A walker without a best point was just sent to a random one.
        chosen = (self._uniform() < _PATTERN_SHARE) & torch.isfinite(self.best_value)[:, None]
        return torch.where(chosen, begun, starts)

    def _better_of_two(self) -> Tensor:
        """Return for each walker its best point or that of a random walker of its problem, whichever is better."""
        other, value = self._others()
        return torch.where((value > self.best_value)[:, None], other, self.best_x)

    def _others(self) -> tuple[Tensor, Tensor]:
        """Return for each walker the best point of a random walker of its problem (batch, inputs), and its value."""
        values, points = (self._problem.by_problem(part) for part in (self.best_value, self.best_x))
        drawn = torch.randint(values.shape[1], values.shape, generator=self._generator, device=values.device)
        other = points.gather(1, drawn[:, :, None].expand_as(points))
        return other.view_as(self.best_x), values.gather(1, drawn).view_as(self.best_value)

    def _towards_other_patterns(self, points: Tensor) -> Tensor:
        network = self._problem.network
        if not network.layers:  # there is no other pattern
            return points
        noise = self._log_uniform(_NOISE)
        disturbed = []
        evaluation = network.forward(points)
        _, coefficients = self._problem.target.look(evaluation.outputs)
        for preactivation in evaluation.preactivations:
            spread = preactivation.std(1, correction=0, keepdim=True)
            normal = torch.empty_like(preactivation).normal_(generator=self._generator)
            disturbed.append(torch.addcmul(preactivation, noise * spread, normal))
        direction = network.gradient(disturbed, coefficients)
        norm = torch.linalg.vector_norm(direction, dim=1, keepdim=True)
        diagonal = torch.linalg.vector_norm(self._problem.widths, dim=-1).mean()
        # Where the changed pattern has no gradient the walker begins at the point itself.
        length = self._log_uniform(_LENGTH) * torch.where(norm > 0, diagonal / norm, 0.0)
        return self._set.brought_in(torch.addcmul(points, length, direction))

    def _uniform(self) -> Tensor:
        return torch.empty_like(self._radii).uniform_(generator=self._generator)

    def _log_uniform(self, range_: tuple[float, float]) -> Tensor:
        low, high = range_
        return low * (high / low) ** self._uniform()


class Crossover(PatternPerturbation):
    """Restart every second walker mostly between its own best point and that of a random walker of its problem.

    The walkers between them search for themselves. Only a better point of its own replaces the best point of a walker,
    so that walkers share what they found and do not soon become one: crowding (Mahfoud, Niching methods for genetic
    algorithms, 1995).
    """

    def begin(self, problem: AscentProblem, walked: WalkedSet, generator: torch.Generator) -> None:
        super().begin(problem, walked, generator)
        walker = torch.arange(problem.batch, device=self.best_value.device) % problem.restarts
        self._crosses = walker % 2 == 0

    def next_starts(self, ended: Tensor, excursion_x: Tensor, excursion_value: Tensor) -> Tensor:
        starts = super().next_starts(ended, excursion_x, excursion_value)
        other, other_value = self._others()
        # A walker without a best point was just sent to a random one; another's may be missing as well.
        known = torch.isfinite(self.best_value) & torch.isfinite(other_value)
        chosen = (self._uniform() < _CROSSOVER_SHARE) & (known & self._crosses)[:, None]
        between = self._set.brought_in(torch.lerp(self.best_x, other, self._uniform()))
        return torch.where(chosen, between, starts)
