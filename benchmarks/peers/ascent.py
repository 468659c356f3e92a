"""Projected Adam and projected normalized gradient ascent with restarts, as one writes them in plain torch."""

from __future__ import annotations

import math

import torch
from peers.projection import Projection
from peers.tracker import Tracker

WALKERS, STEPS, ROUNDS, CLOSING, HANDED_IN = 64, 200, 5, 50, 8
RATE, LENGTH = 0.1, 0.5
BETAS, EPSILON = (0.9, 0.999), 1e-12


def projected_gradient(run: Tracker) -> None:
    """Walk along normalized gradients; lengths fall like a cosine from half the spread of the starts."""
    ascend(run, adam=False)


def projected_adam(run: Tracker) -> None:
    """Walk by steps of Adam in inputs of width 1; the rate falls like a cosine."""
    ascend(run, adam=True)


def ascend(run: Tracker, *, adam: bool) -> None:
    """Walk from random starts, again and again, until the time is up."""
    model, project = run.problem.objective(), Projection(run.region)
    width, reserve = project.high - project.low, 0.0
    while run.left > reserve:
        x = project.starts(WALKERS, run.torch_rng)
        before = run.seconds
        if not run.trace:
            run.offer(project.finish(x[:HANDED_IN]))
            reserve = 1.2 * (run.seconds - before)
        size = 2 * torch.linalg.vector_norm(x - project.center, dim=1).mean()
        mean, square = torch.zeros_like(x), torch.zeros_like(x)
        best, best_value = x.clone(), torch.full((WALKERS,), -math.inf)
        for step in range(STEPS):
            x = x.detach().requires_grad_(True)
            values = model(x)
            (gradient,) = torch.autograd.grad(values.sum(), x)
            x, values = x.detach(), values.detach()
            better = values > best_value
            best, best_value = torch.where(better[:, None], x, best), torch.maximum(values, best_value)
            factor = 0.5 + 0.5 * math.cos(math.pi * step / STEPS)
            if adam:
                scaled = gradient * width
                mean, square = BETAS[0] * mean + (1 - BETAS[0]) * scaled, BETAS[1] * square + (1 - BETAS[1]) * scaled**2
                corrected = (square / (1 - BETAS[1] ** (step + 1))).sqrt()
                move = RATE * width * mean / (1 - BETAS[0] ** (step + 1)) / (corrected + EPSILON * corrected.amax())
                move = move.nan_to_num()
            else:
                norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp_min(1e-30)
                move = LENGTH * size * gradient / norm
            x = project(x + factor * move, ROUNDS)
            if run.left <= reserve:
                break
        if project.has_rows:  # points on the way are outside of rows
            best = project(x, CLOSING)
            best_value = model(best)
        run.offer(project.finish(best[best_value.topk(HANDED_IN).indices]))
