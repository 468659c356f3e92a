"""Train the classifiers that benchmarks attack: ``python scripts/train_classifiers.py --output FOLDER``.

Needs the extra ``train``. The images and their split are those of ``train_digits.py``. Each minibatch is moved by one
step of the sign of the gradient from a random start before it is learned from (Wong, Rice, Kolter: Fast is better than
free, arXiv 2001.03994), so that small radii do not break everything.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from _card import batches, fix_randomness, train
from torch import Tensor, nn
from train_digits import CLASSES, SIDE, Images, is_right, moved, read_small

from relu_attack.io import load_model, save_model

BATCH, EPOCHS, LEARNING_RATE, WEIGHT_DECAY = 50, 30, 1e-3, 1e-2
RADIUS = 0.1


def mlp() -> nn.Sequential:
    """Build 784-256x4-10."""
    sizes = [SIDE * SIDE, 256, 256, 256, 256]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, width in itertools.pairwise(sizes):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], CLASSES))


def cnn() -> nn.Sequential:
    """Build two convolutions and two dense layers."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, CLASSES),
    )


MODELS: dict[str, Callable[[], nn.Sequential]] = {"mlp": mlp, "cnn": cnn}


def strengthened(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images after one step of the sign of the gradient from a random start, within `RADIUS` and [0, 1]."""
    offset = (2 * torch.rand(images.shape, generator=generator) - 1) * RADIUS
    start = (images + offset).clamp(0, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(start), labels), start)
    step = (start.detach() - images + 1.25 * RADIUS * gradient.sign()).clamp(-RADIUS, RADIUS)
    return (images + step).clamp(0, 1)


def fit(model: nn.Module, parts: dict[str, Images], generator: torch.Generator) -> None:
    pixels, labels = parts["train"].scaled(), parts["train"].labels
    held_out = parts["validation"]

    def batch_losses() -> Iterator[Tensor]:
        for batch in batches(len(labels), BATCH, generator):
            images = strengthened(model, moved(pixels[batch], generator), labels[batch], generator)
            yield nn.functional.cross_entropy(model(images), labels[batch])

    @torch.no_grad()
    def validation_error() -> float:
        return float(nn.functional.cross_entropy(model(held_out.scaled()), held_out.labels))

    train(
        model,
        epochs=EPOCHS,
        batch_losses=batch_losses,
        validation_error=validation_error,
        learning_rate=LEARNING_RATE,
        steps_per_epoch=-(-len(labels) // BATCH),
        weight_decay=WEIGHT_DECAY,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the folder for mlp.safetensors and cnn.safetensors")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the initial weights and the batches")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, build in MODELS.items():
        generator = fix_randomness(options.seed)
        parts = read_small(options.seed, generator).parts
        model = build()
        fit(model, parts, generator)
        path = options.output / f"{name}.safetensors"
        save_model(model, path)
        right = float(is_right(load_model(path), parts["test"]).float().mean())
        print(f"{name}: {right:.1%} of {len(parts['test'].labels)} test images right")


if __name__ == "__main__":
    main()
