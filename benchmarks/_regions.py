"""The linear regions of many points at once: facets and ratio tests for all of them in one product a layer.

Of polytopes, rows ``A x <= b`` count.
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

from relu_attack.problem import Problem


class Regions:
    """The linear regions of points (regions, inputs): rows, rooms and steps are relative to the points."""

    def __init__(self, problem: Problem, points: Tensor) -> None:
        network, rows, box = problem.network, problem.domain.require_linear_rows(), problem.domain.bounding_box()
        layers = [layer.affine.operator for layer in network.layers]
        sizes = [layer.units for layer in network.layers]
        self.weights = [layer.transpose(torch.eye(size).double()) for layer, size in zip(layers, sizes, strict=True)]
        self.first, self.count, self.inputs = [0, *accumulate(sizes)], len(points), points.shape[1]
        parts = network.forward(points).preactivations
        self.at_start, slopes = torch.cat(list(parts), 1), [layer.slope for layer in network.layers]
        self.fixed = torch.cat(slopes) < 1
        self.rates = [torch.where(z > 0, 1.0, slope) for z, slope in zip(parts, slopes, strict=True)]
        outputs = network.output.operator.transpose(problem.objective).expand(self.count, -1)
        self.gradient = self._back(outputs, len(self.weights), torch.arange(self.count))
        self.lower, self.upper = box.lower.double().flatten() - points, box.upper.double().flatten() - points
        size = rows.A.norm(dim=1)
        self.rows = rows.A / size[:, None]
        self.room = (rows.ub / size - points @ self.rows.T).clamp_min(0)

    def _back(self, rows: Tensor, layers: int, who: Tensor) -> Tensor:
        for weight, rate in zip(self.weights[:layers][::-1], self.rates[:layers][::-1], strict=True):
            rows = (rows * rate[who]) @ weight
        return rows

    def change(self, steps: Tensor, who: Tensor) -> Tensor:
        """Return by how much a step (regions, inputs) changes each preactivation of regions `who`."""
        parts, moved = [], steps
        for weight, rate in zip(self.weights, self.rates, strict=True):
            parts.append(moved @ weight.T)
            moved = parts[-1] * rate[who]
        return torch.cat(parts, 1)

    def nearest(self, count: int) -> Tensor:
        """Return the units (regions, count) whose facets are nearest, by norms from random signs."""
        generator, squares = torch.Generator().manual_seed(0), torch.zeros_like(self.at_start)
        for _ in range(6):
            signs = torch.randint(0, 2, (self.count, self.inputs), generator=generator).double() * 2 - 1
            squares += self.change(signs, torch.arange(self.count)) ** 2 / 6
        distance = torch.where(self.fixed, self.at_start.abs() / squares.sqrt().clamp_min(1e-300), torch.inf)
        return distance.topk(min(count, distance.shape[1]), 1, largest=False).indices

    def facets(self, who: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows of norm 1 (pairs, inputs) and rooms (pairs,) of pairs of a region and a unit."""
        rows, z = torch.empty(len(who), self.inputs, dtype=torch.float64), self.at_start[who, units]
        for layer, weight in enumerate(self.weights):
            mine = torch.nonzero((units >= self.first[layer]) & (units < self.first[layer + 1]))[:, 0]
            rows[mine] = self._back(weight[units[mine] - self.first[layer]], layer, who[mine])
        size = rows.norm(dim=1).clamp_min(1e-300)
        return rows * (torch.where(z > 0, -1.0, 1.0) / size)[:, None], z.abs() / size

    def excess(self, steps: Tensor, who: Tensor) -> Tensor:
        """Return how far steps go beyond each facet, as a multiple of the way to it, less 1; (regions, units)."""
        start, change = self.at_start[who], self.change(steps, who)
        toward = torch.where(start > 0, -change, change)
        return torch.where(self.fixed & (toward > 0), toward / start.abs().clamp_min(1e-300) - 1, -1.0)

    def inside(self, steps: Tensor, who: Tensor) -> Tensor:
        """Return the share (regions,) of each step that stays in the region and the set."""
        share = 1 / (1 + self.excess(steps, who).amax(1)).clamp_min(1.0)
        beyond = (steps @ self.rows.T) / self.room[who].clamp_min(1e-300)
        return torch.minimum(share, 1 / beyond.amax(1).clamp_min(1.0)) if len(self.rows) else share
