"""The nearest point of a polytope for one point at a time: least distance programming, where rounds do not end."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from relu_attack.domains.polytope._splitting import Splitting

# Entries of a system beyond which a point would take more than some hundredths of a second.
_MOST_ENTRIES = 2**16
# Iterations for each row: Lawson and Hanson give three.
_ITERATIONS = 3


def least_distance(splitting: Splitting, target: Tensor, distance: float) -> tuple[Tensor, Tensor] | None:
    """Return the nearest point of a polytope around 0 to a point (inputs,) on its equations.

    Its multipliers are those of independent rows: where many rows meet in one point, operator splitting ends in
    dependent ones, of which no active set follows, or drifts along them for thousands of rounds.

    Source: Lawson, Hanson, Solving Least Squares Problems, 1974, chapter 23.

    Parameters
    ----------
    splitting
        The polytope, in float64.
    target
        The point.
    distance
        About how far the set is.

    Returns
    -------
    point, multipliers
        Shapes (inputs,) and (rows,), the multipliers of the inequalities; None where that takes too long or fails.
    """
    from scipy.optimize import nnls  # slow to import, and rarely needed

    low, high, equations = (part.cpu().numpy() for part in (splitting.low, splitting.high, splitting.equations))
    free, identity = low < high, np.eye(len(low))
    rows = splitting.rows.cpu().numpy()
    below, above = free & np.isfinite(low), free & np.isfinite(high)
    matrix = np.concatenate([rows, -identity[below], identity[above]])
    if matrix.size > _MOST_ENTRIES:
        return None
    sides = np.concatenate([splitting.values.cpu().numpy()[: len(rows)], -low[below], high[above]])
    start = target.cpu().numpy()
    room = (sides - matrix @ start) / distance
    along = matrix - (matrix @ equations.T) @ equations
    system = np.vstack([-along.T, -room])
    try:
        weights, _ = nnls(system, np.append(np.zeros(len(low)), 1.0), maxiter=_ITERATIONS * system.shape[1])
    except RuntimeError:
        return None
    residual = system @ weights
    residual[-1] -= 1
    if residual[-1] >= 0:
        return None
    scale = -distance / residual[-1]
    point = torch.as_tensor(start + residual[:-1] * scale).to(target)
    return point, torch.as_tensor(weights[: len(rows)] * scale).to(target)
