"""What the callbacks cost: the time of a training epoch with each of them over that of one without.

Random images of the size of the digits data, 3500 for training and 500 for validation, batches of 50, one thread, one
process. In each round every variant trains two epochs, one after the other; the second counts, as the first pays for
what is made once. The overhead of a round is the processor time of its epoch over that of the epoch without callback,
less 1; the median over the rounds is reported. For comparison the same adversarial training is written with autograd.

    python benchmarks/callbacks.py                         # appends to results/callbacks.csv
    python benchmarks/callbacks.py --networks mlp --rounds 3
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, append_row, commit, machine
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import relu_attack as ra
from relu_attack._torchvision import import_lightning
from relu_attack.callbacks import AdversarialTraining, CertifiedAccuracyMonitor, StopOnBound, WorstCaseMonitor

lightning = import_lightning()
TRAIN, VALIDATION, BATCH, SEED = 3500, 500, 50, 0
RADIUS, SAMPLES = 0.05, 64
BOX = ra.Box(0.0, 1.0, shape=(1, 28, 28))


class Module(lightning.LightningModule):  # type: ignore[misc]
    """A classifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("loss", nn.functional.cross_entropy(self.model(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Clock(lightning.Callback):  # type: ignore[misc]
    """Measures the last epoch in processor seconds, validation and all callbacks before it in."""

    seconds = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._began = time.process_time()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seconds = time.process_time() - self._began


class ByAutograd(lightning.Callback):  # type: ignore[misc]
    """The steps of `AdversarialTraining` written with ``torch.autograd.grad``, as tutorials do."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: list[Tensor], batch_idx: int) -> None:
        count = len(batch[0]) // 2
        clean, label = batch[0][:count], batch[1][:count]
        moved = (clean + RADIUS * (2 * torch.rand_like(clean) - 1)).clamp(0, 1)
        pl_module.eval()
        for _ in range(self.steps):
            moved.requires_grad_()
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(pl_module.model(moved), label), moved)
            moved = torch.clamp(moved.detach() + RADIUS / 4 * gradient.sign(), clean - RADIUS, clean + RADIUS)
            moved = moved.clamp(0, 1)
        pl_module.train()
        batch[0] = torch.cat([moved, batch[0][count:]])


VARIANTS: dict[str, Callable[[], list[Any]]] = {
    "none": list,
    f"WorstCaseMonitor(radius, samples={SAMPLES})": lambda: [WorstCaseMonitor(radius=RADIUS, samples=SAMPLES)],
    "WorstCaseMonitor(domain, method='ppga_lr', iterations=100)": lambda: [
        WorstCaseMonitor(domain=BOX, objective=ra.Margin(1, 0), method="ppga_lr", iterations=100)
    ],
    f"CertifiedAccuracyMonitor(radius, samples={SAMPLES})": lambda: [
        CertifiedAccuracyMonitor(radius=RADIUS, samples=SAMPLES)
    ],
    "StopOnBound(domain)": lambda: [StopOnBound(domain=BOX, below=-1e6)],
    "AdversarialTraining(radius)": lambda: [AdversarialTraining(radius=RADIUS)],
    "the same by autograd, 4 steps": lambda: [ByAutograd(4)],
    "AdversarialTraining(radius, iterations=10)": lambda: [AdversarialTraining(radius=RADIUS, iterations=10)],
    "the same by autograd, 10 steps": lambda: [ByAutograd(10)],
}


def make_model(network: str) -> nn.Module:
    sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
    import train_classifiers

    torch.manual_seed(SEED)
    return train_classifiers.MODELS[network]()


def epoch(network: str, callbacks: list[Any]) -> float:
    """Train two epochs; return the processor seconds of the second."""
    generator = torch.Generator().manual_seed(SEED)
    x = torch.rand(TRAIN + VALIDATION, 1, 28, 28, generator=generator)
    data = TensorDataset(x, torch.randint(10, (len(x),), generator=generator))
    train, validation = torch.utils.data.random_split(data, [TRAIN, VALIDATION], generator=generator)
    clock = Clock()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[*callbacks, clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    loaders = DataLoader(train, BATCH, shuffle=True, generator=generator), DataLoader(validation, BATCH)
    trainer.fit(Module(make_model(network)), *loaders)
    return clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=["mlp", "cnn"], default=["mlp", "cnn"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS / "callbacks.csv")
    options = parser.parse_args()
    measured = commit()  # what this process has loaded, whatever is committed while it runs
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".* does not have many workers")
    for network in options.networks:
        taken: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.rounds):
            for variant, make in VARIANTS.items():
                taken[variant].append(epoch(network, make()))
        for variant, seconds in taken.items():
            overheads = [one / base - 1 for one, base in zip(seconds, taken["none"], strict=True)]
            row = {
                "network": network,
                "callback": variant,
                "epoch_seconds": float(f"{statistics.median(seconds):.4g}"),
                "overhead": float(f"{statistics.median(overheads):.4g}"),
                "rounds": options.rounds,
                "threads": 1,
                "lightning": lightning.__version__,
                "machine": machine(),
                "commit": measured,
                "command": "python benchmarks/callbacks.py",
            }
            append_row(options.output, row)
            print(
                f"{network:4} {variant:55} {row['epoch_seconds']:8.3f} s  {overheads and row['overhead']:+.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
