"""A convolutional classifier of digits that is trained with interval bounds, about a minute on one core."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from problems.flat_networks import worst_logits
from relu_attack.io import load_model, save_model

# Radius of the bounds at the end, weight of their loss, and the shares of the steps over which both grow.
RADIUS, BOUND_WEIGHT, RAMP = 0.1, 0.7, (0.2, 0.8)
EPOCHS, BATCH, RATE, LARGEST_GRADIENT = 40, 50, 1e-3, 1.0


def certified_cnn() -> nn.Sequential:
    """Build two convolutions and two dense layers, with 8,000 ReLU units less a few."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 4, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def trained(path: Path, images: Tensor, labels: Tensor, seed: int = 0) -> nn.Module:
    """Return the classifier saved at a path, trained on images (count, 1, 28, 28) in [0, 1] if it is not there."""
    if not path.exists():
        torch.manual_seed(seed)
        model = certified_cnn()
        with torch.enable_grad():
            _train(model, images, labels, torch.Generator().manual_seed(seed))
        save_model(model, path)
    return load_model(path).eval().requires_grad_(False)


def _train(model: nn.Sequential, images: Tensor, labels: Tensor, generator: torch.Generator) -> None:
    optimizer, loss = torch.optim.Adam(model.parameters(), lr=RATE), nn.functional.cross_entropy
    steps, step = EPOCHS * -(-len(labels) // BATCH), 0
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(labels), generator=generator).split(BATCH):
            grown = min(max((step / steps - RAMP[0]) / (RAMP[1] - RAMP[0]), 0.0), 1.0)
            x, label, weight = images[batch], labels[batch], BOUND_WEIGHT * grown
            total = (1 - weight) * loss(model(x), label)
            if grown > 0:
                total = total + weight * loss(worst_logits(model, x, label, RADIUS * grown)[1], label)
            optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            step += 1
