"""Auto-PGD on boxes (Croce and Hein, Reliable evaluation of adversarial robustness, ICML 2020), for any objective."""

from __future__ import annotations

import torch
from peers.tracker import Tracker

WALKERS, STEPS, MOMENTUM, SHARE = 64, 100, 0.75, 0.75


def apgd(run: Tracker) -> None:
    """Restart Auto-PGD with 100 steps until the time is up."""
    model = run.problem.objective()
    low, high = (torch.tensor(end, dtype=torch.float32) for end in (run.region.lower, run.region.upper))
    points = checkpoints(STEPS)
    while not run.over:
        x = low + (high - low) * torch.rand(WALKERS, len(low), generator=run.torch_rng)
        excursion(run, model, x, low, high, points)


def checkpoints(steps: int) -> list[int]:
    """Return the steps at which lengths are reviewed."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return [round(share * steps) for share in shares]


def excursion(
    run: Tracker, model: torch.nn.Module, x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, points: list[int]
) -> None:
    """Take the steps of one restart and hand in the best points."""

    def look(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at = at.detach().requires_grad_(True)
        values = model(at)
        (slope,) = torch.autograd.grad(values.sum(), at)
        return values.detach(), slope

    value, gradient = look(x)
    length = torch.ones(len(x), 1)  # of the widths: twice the radius
    best, best_value, best_gradient, before = x.clone(), value.clone(), gradient.clone(), x.clone()
    gains, checked_value, checked_length = torch.zeros(len(x)), value.clone(), length.clone()
    for step in range(STEPS):
        ahead = torch.clamp(x + length * (high - low) * gradient.sign(), low, high)
        weight = 1.0 if step == 0 else MOMENTUM
        moved = torch.clamp(x + weight * (ahead - x) + (1 - weight) * (x - before), low, high)
        before, last = x, value
        x = moved
        value, gradient = look(x)
        gains += value > last
        better = (value > best_value)[:, None]
        best, best_gradient = torch.where(better, x, best), torch.where(better, gradient, best_gradient)
        best_value = torch.maximum(value, best_value)
        if step + 1 in points[1:]:
            place = points.index(step + 1)
            few = gains < SHARE * (points[place] - points[place - 1])
            same = (checked_length == length)[:, 0] & (checked_value >= best_value)
            checked_length, checked_value = length.clone(), best_value.clone()
            halve = (few | same)[:, None]
            length = torch.where(halve, length / 2, length)
            x, gradient = torch.where(halve, best, x), torch.where(halve, best_gradient, gradient)
            gains.zero_()
        if run.over:
            break
    chosen = best[best_value.topk(8).indices].double()
    run.offer(torch.clamp(chosen, *(torch.tensor(end) for end in (run.region.lower, run.region.upper))))
