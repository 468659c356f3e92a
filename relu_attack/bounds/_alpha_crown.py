"""alpha-CROWN: CROWN with lower-relaxation slopes optimized for each bound."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._backward import AffineBound
from relu_attack.bounds._bounds import Bounds
from relu_attack.bounds._concretization import bounding_ends, set_support
from relu_attack.bounds._crown import MEMORY_LIMIT, RESERVED_FRACTION, bound_layers, crown, intersect, lower_and_upper
from relu_attack.bounds._interval import activation_range, box_chunks
from relu_attack.bounds._slopes import SlopeOptimizer
from relu_attack.domains import Domain, Support
from relu_attack.network import Network

# Fraction of the time for the preceding CROWN bounds.
_CROWN = 1 / 3


def alpha_crown(
    network: Network,
    domain: Domain,
    objective: Tensor,
    *,
    optimizer: SlopeOptimizer | None = None,
    memory_limit: int = MEMORY_LIMIT,
    deadline: Deadline = NEVER,
) -> Bounds:
    """Bound ``objective . f(x)`` and every preactivation over sets with optimized lower slopes, sound to rounding.

    The other arguments are those of `crown`. `optimizer` is that of the slopes, `SlopeOptimizer()` by default. Ranges
    are nowhere wider than those of `crown`, which has at most a third of the time; what is not computed by the deadline
    is that of `crown`.

    Xu et al., Fast and Complete (2011.13824). Each unstable unit and each row of the objective has slopes of its own.
    Layers are bounded in order, so that relaxations are those of final ranges. Any slopes give sound bounds: the bounds
    are those of `substitute`. For a polytope the slopes are optimized over its bounding box.

    >>> from relu_attack import Box
    >>> from relu_attack.network import dense_chain
    >>> generator = torch.Generator().manual_seed(0)
    >>> weights = [torch.randn(8, 2, generator=generator), torch.randn(8, 8, generator=generator), torch.ones(1, 8)]
    >>> chain = dense_chain([w.double() for w in weights], [torch.zeros(len(w)).double() for w in weights])
    >>> box, row = Box(-1.0, 1.0, shape=(2,)), torch.ones(1, 1, dtype=torch.float64)
    >>> alpha_crown(chain, box, row).upper.item() < crown(chain, box, row).upper.item()
    True
    """
    optimizer = optimizer or SlopeOptimizer()
    known = crown(network, domain, objective, memory_limit=memory_limit, deadline=deadline.share(_CROWN))
    if deadline.passed:
        return replace(known, method="alpha_crown")
    lower, upper = bounding_ends(domain, network.dtype)
    support = set_support(domain, network.dtype, deadline=deadline)
    rows, parts = objective.expand(len(lower), -1, -1), []
    for boxes in box_chunks(network, len(lower)):
        own = deadline.share(len(lower[boxes]) / (len(lower) - boxes.start))
        sets = lower[boxes], upper[boxes], support.select(boxes)
        parts.append(_descended(network, *sets, rows[boxes], known.select(boxes), optimizer, own, memory_limit))
    return Bounds.join(parts)


def _descended(
    network: Network,
    lower: Tensor,
    upper: Tensor,
    support: Support,
    rows: Tensor,
    known: Bounds,
    optimizer: SlopeOptimizer,
    deadline: Deadline,
    memory_limit: int,
) -> Bounds:
    """Bound rows (boxes, rows, outputs) over sets in boxes (boxes, inputs), within known ranges."""
    if deadline.passed:
        return replace(known, method="alpha_crown")
    within, layers = deadline.share(1 - RESERVED_FRACTION), known.layers
    ranges, steps = bound_layers(
        network, lower, upper, support, known=layers, optimizer=optimizer, deadline=within, memory_limit=memory_limit
    )
    low, high = activation_range(network.layers[-1], *ranges[-1]) if ranges else (lower, upper)
    found = lower_and_upper(
        steps,
        support,
        rows,
        torch.zeros_like(known.upper),
        after=(AffineBound.create(network.output, low, high),),
        optimizer=optimizer,
        memory_limit=memory_limit,
        deadline=deadline,
    )
    found = intersect((known.lower, known.upper), found)
    return Bounds(*found, tuple(ranges), method="alpha_crown", sound=True)
