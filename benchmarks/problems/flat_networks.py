"""Classifiers of digits whose gradients are flat or misleading, a minute or two of training each on one core.

With seed 0 they are the ones that are reported, with other seeds they are for choosing constants: those have other
weights and are attacked on other images.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from problems.networks import dense

MADE = Path(__file__).parent / ".made" / "flat"
BATCH, RATE, LARGEST_GRADIENT = 50, 1e-3, 1.0
# Weight of the loss of the bounds at the end, and the shares of the steps over which it and the radius grow.
BOUND_WEIGHT, RAMP = 0.7, (0.2, 0.8)
# Steps of the attack within adversarial training, and their length as a share of the radius.
ATTACK_STEPS, ATTACK_STEP = 5, 0.4
IMAGES = 100

Loss = Callable[[nn.Sequential, Tensor, Tensor, float], Tensor]


class LeakyBlock(nn.Module):
    """A dense block with a shortcut and leaky units."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second, self.leaky = nn.Linear(width, width), nn.Linear(width, width), nn.LeakyReLU(0.05)

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = self.leaky(x + self.second(self.leaky(self.first(x))))
        return moved


def deep() -> nn.Sequential:
    """Build 784-256x6-10 with He's initial weights."""
    return dense(784, *[256] * 6, 10, he=True)


def normalized() -> nn.Sequential:
    """Build two convolutions and a dense layer, each normalized over the batch, and the layer of the logits."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 4, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 49, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def shortcuts() -> nn.Sequential:
    """Build four dense blocks with shortcuts and leaky units."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.LeakyReLU(0.05), *(LeakyBlock(128) for _ in range(4)), nn.Linear(128, 10)
    )


def worst_logits(model: nn.Sequential, x: Tensor, labels: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return the logits, and the interval bounds of the worst ones: lower for the label, upper for the others.

    Bounds go through batch normalization with the mean and the variance of the images themselves.
    """
    low, high = (x - radius).clamp(0, 1), (x + radius).clamp(0, 1)
    for layer in model:
        before, x = x, layer(x)
        if isinstance(layer, nn.ReLU | nn.Flatten):
            low, high = layer(low), layer(high)
            continue
        middle, half = (low + high) / 2, (high - low) / 2
        if isinstance(layer, nn.Conv2d):
            middle = layer(middle)
            half = nn.functional.conv2d(half, layer.weight.abs(), stride=layer.stride, padding=layer.padding)
        elif isinstance(layer, nn.Linear):
            middle, half = layer(middle), nn.functional.linear(half, layer.weight.abs())
        else:
            assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
            over = [dimension for dimension in range(before.dim()) if dimension != 1]
            mean, variance = before.mean(over, keepdim=True), before.var(over, unbiased=False, keepdim=True)
            slope, offset = (part.view_as(mean) for part in (layer.weight, layer.bias))
            slope = slope * (variance + layer.eps).rsqrt()
            middle, half = (middle - mean) * slope + offset, half * slope.abs()
        low, high = middle - half, middle + half
    return x, torch.where(nn.functional.one_hot(labels, low.shape[1]).bool(), low, high)


def certified(radius: float) -> Loss:
    """Return the loss of training with interval bounds within a radius."""

    def loss(model: nn.Sequential, x: Tensor, labels: Tensor, done: float) -> Tensor:
        grown = min(max((done - RAMP[0]) / (RAMP[1] - RAMP[0]), 0.0), 1.0)
        logits, worst = worst_logits(model, x, labels, grown * radius)
        bounded = nn.functional.cross_entropy(worst, labels)
        weight = BOUND_WEIGHT * grown
        return (1 - weight) * nn.functional.cross_entropy(logits, labels) + weight * bounded

    return loss


def plain(model: nn.Sequential, x: Tensor, labels: Tensor, done: float) -> Tensor:
    """Return the loss at the images."""
    return nn.functional.cross_entropy(model(x), labels)


def adversarial(radius: float) -> Loss:
    """Return the loss at what projected gradient descent makes of the images."""

    def loss(model: nn.Sequential, x: Tensor, labels: Tensor, done: float) -> Tensor:
        moved = (x + (2 * torch.rand_like(x) - 1) * radius).clamp(0, 1)
        for _ in range(ATTACK_STEPS):
            moved.requires_grad_()
            (slope,) = torch.autograd.grad(nn.functional.cross_entropy(model(moved), labels), moved)
            ahead = moved.detach() + ATTACK_STEP * radius * slope.sign()
            moved = torch.minimum(torch.maximum(ahead, x - radius), x + radius).clamp(0, 1)
        return plain(model, moved, labels, done)

    return loss


@dataclass(frozen=True)
class Recipe:
    """A classifier: its layers, its loss, the epochs, the factor of its logits, the radius of the attacks."""

    make: Callable[[], nn.Sequential]
    loss: Loss
    epochs: int
    radius: float
    scale: float = 1.0


RECIPES = {
    "certified 784-256x6-10": Recipe(deep, certified(0.06), 45, 0.1),
    "certified conv + BatchNorm": Recipe(normalized, certified(0.1), 25, 0.15),
    "saturated 784-256x6-10, logits x 50": Recipe(deep, plain, 40, 0.05, scale=50.0),
    "adversarial residual, LeakyReLU": Recipe(shortcuts, adversarial(0.1), 15, 0.13),
}


def path_of(name: str, seed: int) -> Path:
    """Return the file of a classifier."""
    return MADE / f"{list(RECIPES).index(name)}-{seed}.pt"


def prepare(name: str, seed: int) -> None:
    """Train a classifier and save it with the images to attack, if it is not there."""
    if path_of(name, seed).exists():
        return
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    from train_digits import read_small

    parts, recipe = read_small(0, torch.Generator().manual_seed(0)).parts, RECIPES[name]
    torch.manual_seed(seed)
    model = recipe.make()
    _train(model, recipe, parts["train"].scaled(), parts["train"].labels)
    images = slice(seed * IMAGES, (seed + 1) * IMAGES)
    MADE.mkdir(parents=True, exist_ok=True)
    made = {"state": model.state_dict(), "x": parts["test"].scaled()[images], "labels": parts["test"].labels[images]}
    torch.save(made, path_of(name, seed))


def _train(model: nn.Sequential, recipe: Recipe, images: Tensor, labels: Tensor) -> None:
    steps, step = recipe.epochs * -(-len(labels) // BATCH), 0
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            recipe.loss(model, images[batch], labels[batch], step / steps).backward()
            nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            step += 1
    last = model[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight *= recipe.scale
        last.bias *= recipe.scale


def load(name: str, seed: int) -> tuple[nn.Sequential, Tensor, Tensor, float]:
    """Return a classifier that has been trained, the images, their labels and the radius."""
    made, recipe = torch.load(path_of(name, seed)), RECIPES[name]
    model = recipe.make()
    model.load_state_dict(made["state"])
    return model.eval().requires_grad_(False), made["x"], made["labels"], recipe.radius
