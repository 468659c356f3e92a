"""Points of a set at which a model and its chain are compared."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains import Domain
from relu_attack.network import Network, ray

# Products of the points that are drawn, some hundredths of a second on one core; how many at least; sets at most.
_PRODUCTS, _FEWEST, _SETS = 2**26, 2, 4
_BESIDE = 1e-3
# Share of the time of a call that the points may take: those of a polytope are linear programs and projections.
_SHARE = 0.25


def comparison_points(network: Network, domain: Domain, *, most: int = 16, deadline: Deadline = NEVER) -> Tensor:
    """Return points of a set: its middle, corners, random ones, and points on both sides of where units switch.

    Of a network for which that would take long they are three.

    Parameters
    ----------
    network
        The chain, float64 on the CPU.
    domain
        A set, or a batch of sets, of which a few are taken.
    most
        How many corners and random points are drawn at most; for each there are two where units switch.
    deadline
        End of the call. In a quarter of the time until then as many sets are taken as there is time for, at least one.

    Returns
    -------
    Tensor
        Float64 on the CPU, shape (points, inputs); the first is the middle of the others.
    """
    deadline = deadline.share(_SHARE)
    domain = domain.within(deadline)
    generator = torch.Generator().manual_seed(0)
    count = min(max(_PRODUCTS // max(network.multiply_adds, 1), _FEWEST), most)
    batch = domain.batch or 1
    taken = min(batch, _SETS, max(count // 2, 1))
    sets = [domain.single(index * batch // taken) for index in range(taken)]
    each = -(-count // (2 * len(sets)))
    found: list[Tensor] = []
    for one in sets:
        if found and deadline.passed:
            break
        points = torch.cat([one.corners(each, generator=generator), one.sample(each, generator=generator)])
        points = points.to("cpu", torch.float64)
        found += [points.mean(0, keepdim=True), points]
        if count > _FEWEST:
            found.append(_beside_walls(network, points))
    return torch.cat(found)


def _beside_walls(network: Network, points: Tensor) -> Tensor:
    """Return points on both sides of the first wall from each point toward the next one, (2 points, inputs)."""
    direction = points.roll(1, 0) - points
    distance = ray(network, points, direction).clamp(0.0, 1.0)
    beside = torch.cat([distance * (1 - _BESIDE), (distance * (1 + _BESIDE)).clamp_max(1.0)])
    return points.repeat(2, 1) + beside * direction.repeat(2, 1)
