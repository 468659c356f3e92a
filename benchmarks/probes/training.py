"""Training with Lightning: certificates are of the weights that they are asked of, whatever the order of callbacks."""

from __future__ import annotations

import importlib
import itertools
import logging
import warnings
from typing import Any

import torch
from torch import nn

import relu_attack as ra
from probes.base import Observed, probe


def _lightning() -> Any:
    """Import Lightning after our callbacks, which put torchvision in order for it."""
    importlib.import_module("relu_attack.callbacks")
    return importlib.import_module("pytorch_lightning")


def _fit(callbacks: list[Any], network: nn.Module | None = None, epochs: int = 6) -> Any:
    """Train a small classifier and return its module, which remembers the range of its training batches."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    pl = _lightning()
    from torch.utils.data import DataLoader, TensorDataset

    class Classifier(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = network or nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
            self.least, self.most = torch.inf, -torch.inf

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            self.least, self.most = min(self.least, float(batch[0].min())), max(self.most, float(batch[0].max()))
            return nn.functional.cross_entropy(self.model(batch[0].clone()), batch[1])

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("at_half", self.model(torch.full((1, 4), 0.5))[0, 0])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.5)

    torch.manual_seed(0)
    x = torch.rand(80, 4)
    loader = DataLoader(TensorDataset(x, (x.sum(1) > 2).long()), batch_size=10)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    module = Classifier()
    trainer = pl.Trainer(accelerator="cpu", max_epochs=epochs, callbacks=callbacks, **quiet)
    trainer.fit(module, loader, loader)
    return module, trainer


@probe(
    "training",
    "the envelope holds for the trained weights, or there is none",
    "tests/callbacks/test_weight_averaging.py",
)
def a_certificate_under_weight_averaging() -> Observed:
    from relu_attack.callbacks import StopOnBound

    averages = _lightning().callbacks
    makers = {
        "EMA": lambda: averages.EMAWeightAveraging(decay=0.9),
        "SWA": lambda: averages.StochasticWeightAveraging(0.5, swa_epoch_start=1),
    }
    stale = []
    for (name, make), first in itertools.product(makers.items(), (False, True)):
        box = ra.Box(torch.full((4,), 0.5), torch.full((4,), 0.5))
        stop = StopOnBound(domain=box, objective=ra.Output(0), above=-50.0, below=50.0, patience=4)
        module, _ = _fit([make(), stop] if first else [stop, make()])
        value = float(module.model(torch.full((1, 4), 0.5))[0, 0])
        found = stop.certified
        if found is not None and not found.lower - 1e-6 <= value <= found.upper + 1e-6:
            stale.append(f"{name} listed {'first' if first else 'last'}")
    return Observed(f"stale: {', '.join(stale) or 'none'} of 4", not stale)


@probe("training", "the monitor sees the weights that validation runs on", "tests/callbacks/test_weight_averaging.py")
def a_monitor_under_weight_averaging() -> Observed:
    from relu_attack.callbacks import WorstCaseMonitor

    others = []
    for first in (False, True):
        box = ra.Box(torch.full((4,), 0.5), torch.full((4,), 0.5))
        monitor = WorstCaseMonitor(domain=box, iterations=1, method="ppga_lr")
        average = _lightning().callbacks.EMAWeightAveraging(decay=0.9)
        _, trainer = _fit([average, monitor] if first else [monitor, average], epochs=2)
        seen = trainer.callback_metrics
        if abs(float(seen["at_half"] - seen["worst_case/value"])) > 1e-5:
            others.append(f"listed {'first' if first else 'last'}")
    return Observed(f"other weights where averaging is {' and '.join(others) or 'nowhere'}", not others)


@probe("training", "training batches stay within 0.05 of [0, 1]", "tests/callbacks/test_adversarial_training.py")
def adversarial_training_of_a_model_in_place() -> Observed:
    from relu_attack.callbacks import AdversarialTraining

    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x -= 0.5
            x /= 0.25
            return self.net(x)

    module, _ = _fit([AdversarialTraining(radius=0.05)], InPlace(), epochs=1)
    text = f"training batches in [{module.least:.2f}, {module.most:.2f}]"
    return Observed(text, module.least >= -0.05 and module.most <= 1.05)


@probe(
    "training",
    "EarlyStopping waits for the epochs in which the monitor measures",
    "tests/callbacks/test_weight_averaging.py",
)
def early_stopping_every_second_epoch() -> Observed:
    from relu_attack.callbacks import WorstCaseMonitor

    callbacks = [
        WorstCaseMonitor(radius=0.05, samples=5, every_n_epochs=2),
        _lightning().callbacks.EarlyStopping("worst_case/value"),
    ]
    try:
        _, trainer = _fit(callbacks, epochs=4)
    except RuntimeError as error:
        return Observed(f"RuntimeError: {error}"[:120], False)
    return Observed(f"{trainer.current_epoch} epochs", True)
