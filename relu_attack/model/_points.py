"""Sample points of a set for the equivalence check."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains import Domain
from relu_attack.network import Network, ray

# Multiply-adds for the drawn points, some hundredths of a second on one core; fewest points; most sets.
_MAX_MULTIPLY_ADDS, _MIN_POINTS, _MAX_SETS = 2**26, 2, 4
# Distance from a boundary, relative to the distance from the starting point.
_OFFSET = 1e-3
# Fraction of the time of a call for the points: those of a polytope are linear programs and projections.
_TIME_FRACTION = 0.25
# Seconds for the points in a call without a time limit: a polytope with hundreds of rows would take minutes.
_MAX_SECONDS = 2.0


def comparison_points(network: Network, domain: Domain, *, most: int = 16, deadline: Deadline = NEVER) -> Tensor:
    """Return points of a set: mean, corners, random points, and points on both sides of unit boundaries.

    The points of a large network are three. Of a batch of sets a few are sampled, for a quarter of the time until the
    deadline and 2 seconds at most, at least one. At most `most` corners and random points are taken; each adds two
    points at boundaries. The result is float64 on the CPU, (points, inputs); the first is the mean of the others.
    """
    deadline = deadline.share(_TIME_FRACTION).within(_MAX_SECONDS)
    domain = domain.within(deadline)
    generator = torch.Generator().manual_seed(0)
    count = min(max(_MAX_MULTIPLY_ADDS // max(network.multiply_adds, 1), _MIN_POINTS), most)
    batch = domain.batch or 1
    taken = min(batch, _MAX_SETS, max(count // 2, 1))
    sets = [domain.single(index * batch // taken) for index in range(taken)]
    each = -(-count // (2 * len(sets)))
    found: list[Tensor] = []
    for one in sets:
        if found and deadline.passed:
            break
        points = torch.cat([one.corners(each, generator=generator), one.sample(each, generator=generator)])
        points = points.to("cpu", torch.float64)
        found += [points.mean(0, keepdim=True), points]
        if count > _MIN_POINTS:
            found.append(_beside_boundaries(network, points))
    return torch.cat(found)


def _beside_boundaries(network: Network, points: Tensor) -> Tensor:
    """Return points on both sides of the first boundary from each point toward the next one, (2 points, inputs)."""
    direction = points.roll(1, 0) - points
    distance = ray(network, points, direction).clamp(0.0, 1.0)
    beside = torch.cat([distance * (1 - _OFFSET), (distance * (1 + _OFFSET)).clamp_max(1.0)])
    return points.repeat(2, 1) + beside * direction.repeat(2, 1)
