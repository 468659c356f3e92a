"""A point with room in every row of a large polytope, by rounds of operator splitting instead of a linear program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from relu_attack.domains.polytope._copies import WEIGHT
from relu_attack.domains.polytope._form import ROOMY, Array, PolytopeForm, Scaled, spread
from relu_attack.domains.polytope._splitting import Splitting

# Entries of the rows from which on rounds are tried first: a program over 500 rows of 1000 inputs takes 8 s, the rounds
# half a second. Over small polytopes programs take milliseconds.
_LARGE = 20_000
# Rooms that are tried, in widths of the inputs: what walks start from is better in the middle.
_ROOMS = (0.05, 0.02, 5e-3, 2 * ROOMY)
_ROUNDS = 300


def roomy_point(form: PolytopeForm) -> Array | None:
    """Return a point (inputs,) that has at least a room of `ROOMY` in each row and bound; None where none was found."""
    if (len(form.A) + len(form.E)) * form.inputs < _LARGE:
        return None
    low, high = (np.where(np.isfinite(end), end, 0.0) for end in (form.low, form.high))
    center = np.clip(low / 2 + high / 2, form.low, form.high)
    near, count = Scaled.around(form, center, spread(form)), len(form.A)
    sides, right = (form.b - form.A @ center) * near.factor[:count], (form.e - form.E @ center) * near.factor[count:]
    _, sizes, basis = np.linalg.svd(near.form.E, full_matrices=False)
    equations = basis[sizes > 1e-10 * sizes.max(initial=0.0)]
    start = np.linalg.lstsq(near.form.E, right, rcond=1e-10)[0].astype(np.float64)
    if np.abs(near.form.E @ start - right).max(initial=0.0) > 1e-9:
        return None
    scale = np.where(near.scale > 0, near.scale, 1.0)
    rows, values = near.form.A, sides - near.form.A @ start
    lower, upper = (form.low - center) / scale - start, (form.high - center) / scale - start
    splitting = Splitting.of(*(torch.as_tensor(part) for part in (rows, values, equations, lower, upper)))
    for room in _ROOMS:
        inward = np.where(near.scale > 0, room, 0.0)
        inner = replace(
            splitting,
            values=torch.cat([WEIGHT * torch.as_tensor(values - room), splitting.values[count:]]),
            low=torch.as_tensor(lower + inward),
            high=torch.as_tensor(upper - inward),
        )
        if bool((inner.low > inner.high).any()):
            continue
        found = inner.nearest(torch.zeros(1, form.inputs, dtype=torch.float64), rounds=_ROUNDS, tolerance=room / 2)
        x = found[0].numpy()
        left = np.concatenate([values - rows @ x, (x - lower)[near.scale > 0], (upper - x)[near.scale > 0]])
        if left.min() >= room / 2:
            point: Array = np.clip(center + near.scale * (start + x), form.low, form.high)
            return point
    return None
