"""A small classifier, its data and a Trainer that writes nothing of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from relu_attack.callbacks._lightning import Callback, LightningModule, Trainer

Batches = list[tuple[Tensor, Tensor]]


class Classifier(LightningModule):
    """A network behind batch normalization and dropout, so that its mode and random numbers matter."""

    def __init__(self, *, seed: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16, 12),
            nn.BatchNorm1d(12),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(12, 3),
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("loss", nn.functional.cross_entropy(self.model(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def data(count: int = 48, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return images (count, 1, 4, 4) in [0, 1], labelled by the brightest of three pixels."""
    x = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return x, x.flatten(1)[:, :3].argmax(1)


def batches(count: int = 48, *, size: int = 12, seed: int = 1) -> Batches:
    x, label = data(count, seed=seed)
    return list(zip(x.split(size), label.split(size), strict=True))


def load(batches: Sequence[Any]) -> DataLoader[Any]:
    """Return a loader that yields these very batches, in order."""
    return DataLoader(batches, batch_size=None, collate_fn=_itself)  # type: ignore[arg-type]


def _itself(batch: Any) -> Any:
    return batch


def collated(count: int = 48, *, shuffle: bool = False) -> DataLoader[tuple[Tensor, ...]]:
    """Return a loader that collates samples itself."""
    return DataLoader(TensorDataset(*data(count)), batch_size=12, shuffle=shuffle)


def trainer(*callbacks: Callback, max_epochs: int = 2, folder: Path | None = None, **options: Any) -> Trainer:
    """Return a Trainer on the CPU; with a folder it keeps checkpoints there when asked to."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        callbacks=list(callbacks),
        default_root_dir=folder,
        **{**quiet, "enable_model_summary": False, "num_sanity_val_steps": 0, **options},
    )


class Log(Callback):
    """Keeps what was logged, validation by validation, with the weights that it was logged for."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []
        self.weights: list[dict[str, Tensor]] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        self.weights.append({name: value.clone() for name, value in pl_module.state_dict().items()})


def network_with(weights: dict[str, Tensor]) -> nn.Module:
    """Return the network of `Classifier` in evaluation mode with logged weights."""
    module = Classifier()
    module.load_state_dict(weights)
    return module.model.eval()


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
