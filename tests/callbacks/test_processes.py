"""Two processes: one looks, both log the same, and both stop together."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import relu_attack as ra
from relu_attack.callbacks import AdversarialTraining, StopOnBound, WorstCaseMonitor
from relu_attack.callbacks._lightning import Callback, LightningModule, Trainer
from relu_attack.callbacks._monitor import in_first_process
from tests.callbacks.support import Classifier, collated, trainer

BOX = ra.Box(0.0, 1.0, shape=(1, 4, 4))


class Report(Callback):
    """Writes down what a process knows at the end."""

    def __init__(self, folder: Path, monitor: WorstCaseMonitor) -> None:
        self.folder, self.monitor = folder, monitor

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def fail() -> Any:
            raise ra.SolverError("the disk is on fire")

        try:
            in_first_process(trainer, fail)
        except ra.SolverError as error:
            failure = str(error)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        assert self.monitor.worst_inputs is not None
        known = {
            "metrics": {name: value for name, value in metrics.items() if "/" in name},
            "epochs": trainer.current_epoch,
            "inputs": self.monitor.worst_inputs.tolist(),
            "failure": failure,
        }
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(known))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.. may lead to deadlocks")
def test_both_processes_log_the_same_and_stop_together(tmp_path: Path) -> None:
    if torch.cuda.is_initialized():
        pytest.skip("a process that has used CUDA cannot fork")
    monitor = WorstCaseMonitor(domain=BOX, method="ppga_lr", restarts=4, iterations=10)
    callbacks = [
        AdversarialTraining(radius=0.1, iterations=2),
        monitor,
        StopOnBound(domain=BOX, below=1e6, patience=1),
        Report(tmp_path, monitor),
    ]
    run = trainer(*callbacks, max_epochs=5, devices=2, strategy="ddp_fork", num_sanity_val_steps=1)
    run.fit(Classifier(), collated(shuffle=True), collated(24))
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert first["epochs"] == 2
    assert first["failure"] == "the disk is on fire"
    assert first["metrics"]["worst_case/value"] <= first["metrics"]["worst_case/bound"]
