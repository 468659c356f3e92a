"""A layer of your own: an absolute value with a slope of 1/2 on the left."""

import torch
from torch import nn

import relu_attack as ra


class BentAbsolute(nn.Module):
    def forward(self, x):
        return torch.where(x > 0, x, -0.5 * x)


def lower_bent_absolute(module, builder):
    builder.activate(-0.5)  # z where z > 0, -0.5 z elsewhere
    builder.note("BentAbsolute")


ra.register_layer(BentAbsolute, lower_bent_absolute)
model = nn.Sequential(nn.Linear(3, 8), BentAbsolute(), nn.Linear(8, 1))
domain = ra.Box(-1.0, 1.0, shape=(3,))
result = ra.maximize(model, domain, time_limit=1.0)
