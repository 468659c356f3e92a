"""What the training scripts share: a fixed split, early stopping, and the card beside the weights."""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

WEIGHTS = "model.safetensors"


def fix_randomness(seed: int) -> torch.Generator:
    """Make torch repeat itself on this kind of machine, and return a generator for splits and batches."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return torch.Generator().manual_seed(seed)


def batches(rows: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of one epoch's minibatches."""
    yield from torch.randperm(rows, generator=generator).split(size)


def train(
    model: nn.Module,
    *,
    epochs: int,
    batch_losses: Callable[[], Iterator[Tensor]],
    validation_error: Callable[[], float],
    learning_rate: float,
    steps_per_epoch: int,
    weight_decay: float,
) -> int:
    """Train with AdamW and one cycle of the learning rate, and keep the weights of the best epoch on validation.

    Returns
    -------
    int
        The epoch that was kept, from 1.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps_per_epoch)
    best_error, best_epoch, best_weights = float("inf"), 0, model.state_dict()
    for epoch in range(1, epochs + 1):
        for loss in batch_losses():
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        error = validation_error()
        if error < best_error:
            best_error, best_epoch, best_weights = error, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    return best_epoch


def write_card(folder: Path, template: str, *, packages: list[str], **facts: object) -> None:
    """Fill the template of a card with the facts, the versions and the checksum of the weights in `folder`."""
    weights = (folder / WEIGHTS).read_bytes()
    names = ["torch", "numpy", "safetensors", *packages]
    versions = ", ".join(f"{name} {importlib.metadata.version(name).split('+')[0]}" for name in names)
    card = template.format(
        checksum=hashlib.sha256(weights).hexdigest(),
        kilobytes=f"{len(weights) / 1000:.0f}",
        versions=f"Python {platform.python_version()}, {versions}",
        place=f"on one core ({platform.machine()})",
        **facts,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
