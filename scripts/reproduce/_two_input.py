"""The small network of the pictures: two inputs, hidden layers of five and four ReLU units, one output, on [0, 1]^2.

Each unit's weights are standard normal, and its bias makes its boundary pass through a random point of the box, so that
every unit matters in the picture. The seed was chosen, not drawn: among the seeds from 0 to 6353 we looked for a global
and a lower local maximum away from the border such that gradient ascent in small steps from A = (0.23, 0.636) ends at
the local one, and of the few found we took the one with the clearest picture.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

import relu_attack as ra

SEED = 6278
WIDTHS = (5, 4)
START = (0.23, 0.636)
BOX = ra.Box(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))


def two_input_model() -> nn.Sequential:
    """Build the network, in float64."""
    generator = torch.Generator().manual_seed(SEED)
    sizes = (2, *WIDTHS, 1)
    model = nn.Sequential()
    for inputs, outputs in pairwise(sizes):
        affine = nn.Linear(inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            affine.weight.normal_(generator=generator)
            points = torch.rand(outputs, 2, generator=generator, dtype=torch.float64)
            affine.bias.copy_(-(affine.weight * model(points)).sum(1))
        model.extend([affine, nn.ReLU()])
    return model[:-1]
