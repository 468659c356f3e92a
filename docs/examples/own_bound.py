"""A method of certified bounds of your own: CROWN over both halves of the widest input."""

from dataclasses import replace

import torch

import relu_attack as ra
from relu_attack.bounds import bound_rows


def bisected(network, domain, objective, *, deadline):
    box = domain.bounding_box()
    if box.batch is not None:
        return bound_rows(network, box, objective, "crown", deadline=deadline)
    widest = int((box.upper - box.lower).argmax())
    low, high = box.upper.clone(), box.lower.clone()
    low[widest] = high[widest] = (box.lower[widest] + box.upper[widest]) / 2
    pairs = ((box.lower, low), (high, box.upper))
    halves = (ra.Box(*(end.view(box.shape) for end in pair)) for pair in pairs)
    one, two = (bound_rows(network, half, objective, "crown", deadline=deadline) for half in halves)
    layers = tuple((a.minimum(c), b.maximum(d)) for (a, b), (c, d) in zip(one.layers, two.layers, strict=True))
    return replace(one, lower=one.lower.minimum(two.lower), upper=one.upper.maximum(two.upper), layers=layers)


ra.register_bound("bisected", bisected)
model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
lower, upper = ra.output_bounds(model, ra.Box(-1.0, 1.0, shape=(3,)), "bisected")
result = ra.maximize(model, ra.Box(-1.0, 1.0, shape=(3,)), bound="bisected", time_limit=1.0)
