"""Local search for sets of choices and whole numbers: the best single change, until none gains, and kicks."""

from __future__ import annotations

import numpy as np
from peers.tracker import Tracker

KICKS, SWAPS, PATIENCE = 4, 2000, 20


def local_search(run: Tracker) -> None:
    """Climb by the best of all single changes, and of some swaps under rows, from random points and kicked ones."""
    top, top_value, stalled = _random(run), -np.inf, PATIENCE
    while not run.over:
        if stalled >= PATIENCE:
            top, top_value, stalled = _random(run), -np.inf, 0
            x = top
        else:
            x = _kicked(run, top)
        value = -np.inf
        while not run.over:
            near = _neighbours(run, x)
            values = run.offer(near)
            place = int(values.argmax())
            if not values[place] > value:
                break
            x, value = near[place], values[place]
        stalled += 1
        if value > top_value:
            top, top_value, stalled = x, value, 0


def _random(run: Tracker) -> np.ndarray:
    region = run.region
    if region.one_hot:
        x = np.zeros(region.inputs)
        for group in region.one_hot:
            x[group[int(run.rng.integers(len(group)))]] = 1
        return x
    x = np.floor(run.rng.uniform(region.lower, region.upper + 1))
    order = run.rng.permutation(region.inputs)
    for index in order:  # what breaks a row goes, in random order
        if region.violation(x) <= 1e-9:
            break
        x[index] = region.lower[index]
    return x


def _kicked(run: Tracker, x: np.ndarray) -> np.ndarray:
    for _ in range(KICKS):
        near = _neighbours(run, x)
        inside = np.flatnonzero(run.region.violation(near) <= 1e-9)
        x = near[int(run.rng.choice(inside))]
    return x


def _neighbours(run: Tracker, x: np.ndarray) -> np.ndarray:
    """Return the point itself and all that differ from it in one choice or number; with rows, some in two."""
    region = run.region
    if region.one_hot:
        near = [x[None]]
        for group in region.one_hot:
            rows = np.repeat(x[None], len(group), 0)
            rows[:, list(group)] = np.eye(len(group))
            near.append(rows)
        return np.concatenate(near)
    eye = np.eye(region.inputs)
    near = [x[None], x + eye, x - eye]
    if len(region.A):
        up, down = run.rng.integers(region.inputs, size=(2, SWAPS))
        near.append(x + eye[up] - eye[down])
    points = np.concatenate(near)
    return points[((points >= region.lower) & (points <= region.upper)).all(1)]
