"""Perturbation of the activation pattern, for walkers that learn from each other."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.solvers.ascent._perturbation import Perturbation

# Share of the ended excursions that begin anew along a perturbed pattern; the others, at a perturbed input.
_SHARE = 0.5
# Ranges, log-uniform: the noise on preactivations over their spread in the layer, and the length of the move over the
# diagonal of the set. A move by several diagonals along a fixed direction ends at a vertex of the set.
_NOISE = (0.3, 3.0)
_LENGTH = (0.1, 10.0)


class PatternPerturbation(Perturbation):
    """Sends a walker on along the gradient of a perturbed pattern, from the better of its own and another's best point.

    With many inputs, noise on the inputs averages out and hardly moves a preactivation, so that walkers fall back to
    where they were. Noise on the preactivations changes the pattern whatever the number of inputs, and the gradient
    under the changed pattern is a direction along which the network itself would go there.
    """

    def next_starts(self, ended: Tensor, excursion_x: Tensor, excursion_value: Tensor) -> Tensor:
        starts = super().next_starts(ended, excursion_x, excursion_value)
        begun = self._towards_other_patterns(self._better_of_two())
        # A walker without a best point was just sent to a random one.
        chosen = (self._uniform() < _SHARE) & torch.isfinite(self.best_value)[:, None]
        return torch.where(chosen, begun, starts)

    def _better_of_two(self) -> Tensor:
        """Return for each walker its best point or that of a random walker of its problem, whichever is better."""
        other, value = self._others()
        return torch.where((value > self.best_value)[:, None], other, self.best_x)

    def _others(self) -> tuple[Tensor, Tensor]:
        """Return for each walker the best point of a random walker of its problem (batch, inputs), and its value."""
        values, points = (self._prepared.by_problem(part) for part in (self.best_value, self.best_x))
        drawn = torch.randint(values.shape[1], values.shape, generator=self._generator, device=values.device)
        other = points.gather(1, drawn[:, :, None].expand_as(points))
        return other.view_as(self.best_x), values.gather(1, drawn).view_as(self.best_value)

    def _towards_other_patterns(self, points: Tensor) -> Tensor:
        network = self._prepared.network
        if not network.layers:  # there is no other pattern
            return points
        noise = self._log_uniform(_NOISE)
        disturbed = []
        for preactivation in network.forward(points).preactivations:
            spread = preactivation.std(1, correction=0, keepdim=True)
            normal = torch.empty_like(preactivation).normal_(generator=self._generator)
            disturbed.append(torch.addcmul(preactivation, noise * spread, normal))
        direction = network.gradient(disturbed)
        norm = torch.linalg.vector_norm(direction, dim=1, keepdim=True)
        diagonal = torch.linalg.vector_norm(self._prepared.widths, dim=-1).mean()
        # Where the changed pattern has no gradient the walker begins at the point itself.
        length = self._log_uniform(_LENGTH) * torch.where(norm > 0, diagonal / norm, 0.0)
        return self._prepared.project(torch.addcmul(points, length, direction))

    def _uniform(self) -> Tensor:
        return torch.empty_like(self._radii).uniform_(generator=self._generator)

    def _log_uniform(self, range_: tuple[float, float]) -> Tensor:
        low, high = range_
        return low * (high / low) ** self._uniform()
