"""SLSQP from many starts and differential evolution, both of SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from peers.projection import Projection
from peers.tracker import OutOfTime, Tracker
from scipy.optimize import LinearConstraint, differential_evolution, minimize

ITERATIONS, TOLERANCE = 300, 1e-10


def slsqp(run: Tracker) -> None:
    """Run SLSQP from random points of the set, with exact gradients, in inputs of width 1 and values of spread 1."""
    region, model = run.region, run.problem.objective(torch.float64)
    project = Projection(region, torch.float64)
    low, high = project.box
    width = np.where(high > low, high - low, 1.0)
    first = project.starts(64, run.torch_rng)
    scale = float(model(first).std()) or 1.0
    matrix, least, most = region.rows()
    equal = least == most
    constraints: list[dict[str, Any]] = []
    for kind, rows, sides in (("ineq", -matrix[~equal], -most[~equal]), ("eq", matrix[equal], most[equal])):
        if len(rows):
            scaled, shifted = rows * width, sides - rows @ low
            constraints.append({"type": kind, "fun": _affine(scaled, shifted), "jac": _constant(scaled)})
    if region.norm == "l2":
        constraints.append({
            "type": "ineq",
            "fun": lambda u: 1 - (((low + width * u - region.center) / region.radius) ** 2).sum(),
            "jac": lambda u: -2 * width * (low + width * u - region.center) / region.radius**2,
        })  # fmt: skip

    def function(u: np.ndarray) -> tuple[float, np.ndarray]:
        if run.left < reserve:
            raise OutOfTime
        x = torch.tensor(low + width * u)[None].requires_grad_(True)
        value = model(x)[0]
        (gradient,) = torch.autograd.grad(value, x)
        return -float(value) / scale, -gradient[0].numpy() * width / scale

    def seen(u: np.ndarray) -> None:
        nonlocal last
        last = u.copy()

    before = run.seconds
    run.offer(project.finish(first[:8]))
    reserve = run.seconds - before
    limits = np.stack([(region.lower - low) / width, (region.upper - low) / width], 1)
    try:
        while True:
            for start in project.starts(8, run.torch_rng).numpy():
                last = (start - low) / width
                options = {"maxiter": ITERATIONS, "ftol": TOLERANCE}
                found = minimize(
                    function, last, jac=True, method="SLSQP", bounds=limits, constraints=constraints, callback=seen,
                    options=options,
                )  # fmt: skip
                _hand_in(run, project, low + width * found.x)
    except OutOfTime:
        _hand_in(run, project, low + width * last)


def _hand_in(run: Tracker, project: Projection, x: np.ndarray) -> None:
    x = np.clip(x, run.region.lower, run.region.upper)
    if not np.isfinite(run.offer(x))[0]:
        run.offer(project.finish(torch.tensor(x)[None]))


def _affine(rows: np.ndarray, sides: np.ndarray) -> Any:
    return lambda u: rows @ u - sides


def _constant(rows: np.ndarray) -> Any:
    return lambda u: rows


def evolution(run: Tracker) -> None:
    """Run differential evolution again and again; groups are one whole number each."""
    region = run.region
    groups = region.one_hot
    low, high = region.lower, region.upper
    if groups:
        low, high = np.zeros(len(groups)), np.array([len(group) - 1.0 for group in groups])
    integrality = np.ones(len(low), bool) if groups else np.isin(np.arange(len(low)), region.integer)
    matrix, least, most = region.rows()
    constraints = LinearConstraint(matrix, least, most) if len(matrix) and not groups else ()

    def function(points: np.ndarray) -> np.ndarray:
        if run.over:
            raise OutOfTime
        x = points.T
        if groups:
            x = np.concatenate([np.eye(len(g))[c.round().astype(int)] for g, c in zip(groups, points, strict=True)], 1)
        if len(x):
            run.offer(x)
        found: np.ndarray = -run.values(x)
        return found

    try:
        for turn in range(10**6):
            differential_evolution(
                function, np.stack([low, high], 1), integrality=integrality, constraints=constraints,
                popsize=max(2, min(15, 600 // len(low))), maxiter=10**6, vectorized=True, updating="deferred",
                polish=False, rng=run.seed + 1000 * turn,
            )  # fmt: skip
    except OutOfTime:
        return
