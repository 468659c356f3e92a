"""Weights that other callbacks put in: monitors look at those of validation, and certificates name theirs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack._torchvision import import_lightning
from relu_attack.callbacks import CertifiedAccuracyMonitor, StopOnBound, WorstCaseMonitor
from relu_attack.callbacks._lightning import Callback, LightningModule, Trainer
from relu_attack.robustness._digests import model_digest
from tests.callbacks.support import Classifier, Log, batches, load, trainer

callbacks = import_lightning().callbacks
POINT = torch.full((1, 1, 4, 4), 0.5)
HERE = ra.Box(0.5, 0.5, shape=(1, 4, 4))
"""One point, so that a search and a bound over it are an output of the network."""


class Seen(Classifier):
    """Logs what validation sees at one point."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("at_point", self.model(POINT)[0, 0])


class Doubled(Callback):
    """Doubles the weights for the validation, from one hook to another."""

    def __init__(self, start: str, end: str) -> None:
        super().__init__()
        setattr(self, start, lambda trainer, module, *_: self._scale(module, 2.0))
        setattr(self, end, lambda trainer, module, *_: self._scale(module, 0.5))

    @staticmethod
    def _scale(module: LightningModule, factor: float) -> None:
        for parameter in module.parameters():
            parameter.data.mul_(factor)


AVERAGES = {
    "EMA": lambda: callbacks.EMAWeightAveraging(decay=0.9),
    "EMA by epoch": lambda: callbacks.EMAWeightAveraging(decay=0.5, update_every_n_steps=0, update_starting_at_epoch=0),
    "SWA": lambda: callbacks.StochasticWeightAveraging(0.5, swa_epoch_start=1),
    "own, by epoch": lambda: Doubled("on_validation_epoch_start", "on_validation_epoch_end"),
    "own, by validation": lambda: Doubled("on_validation_start", "on_validation_end"),
}


def ordered(last: bool, monitor: Callback, average: Callback) -> list[Callback]:
    return [average, monitor] if last else [monitor, average]


@pytest.mark.parametrize("last", [False, True], ids=["monitor first", "monitor last"])
@pytest.mark.parametrize("average", AVERAGES.values(), ids=AVERAGES.keys())
class TestWeightsThatAreAveraged:
    def test_monitors_look_at_those_of_validation(self, average: Any, last: bool) -> None:
        log = Log()
        monitor = WorstCaseMonitor(domain=HERE, objective=ra.Output(0), method="ppga_lr", iterations=1, restarts=1)
        trainer(*ordered(last, monitor, average()), log).fit(Seen(), load(batches(24)), load(batches(12)))
        for metrics in log.metrics:
            assert metrics["worst_case/value"] == pytest.approx(metrics["at_point"], abs=1e-5)

    def test_the_training_is_the_same_with_a_monitor(self, average: Any, last: bool) -> None:
        def train(*monitors: Callback) -> dict[str, Tensor]:
            net = Seen()
            both = ordered(last, monitors[0], average()) if monitors else [average()]
            trainer(*both).fit(net, load(batches(24)), load(batches(12)))
            return net.state_dict()

        monitor = CertifiedAccuracyMonitor(radius=0.02, samples=3, iterations=2, restarts=1)
        bare, looked = train(), train(monitor)
        assert all(torch.equal(bare[name], looked[name]) for name in bare)

    def test_what_is_certified_is_certified_of_the_trained_network(self, average: Any, last: bool) -> None:
        stop = StopOnBound(domain=HERE, objective=ra.Output(0), above=-50.0, below=50.0, patience=4)
        net = Seen()
        trainer(*ordered(last, stop, average()), max_epochs=3).fit(net, load(batches(24)), load(batches(12)))
        assert_holds(stop, net)


def assert_holds(stop: StopOnBound, net: Seen) -> None:
    """What is certified, if anything, is true of the network as it is."""
    certified, value = stop.certified, net.model.eval()(POINT)[0, 0].item()
    if certified is not None:
        assert certified.is_of(net.model)
        assert certified.lower - 1e-6 <= value <= certified.upper + 1e-6


@pytest.mark.parametrize("last", [False, True])
def test_the_average_that_was_looked_at_is_certified_when_it_is_put_in(last: bool) -> None:
    stop = StopOnBound(domain=HERE, objective=ra.Output(0), above=-50.0, below=50.0, patience=9)
    net = Seen()
    trainer(*ordered(last, stop, AVERAGES["EMA"]()), max_epochs=2).fit(net, load(batches(24)), load(batches(12)))
    assert stop.certified is not None
    assert_holds(stop, net)


def test_an_average_that_nobody_looked_at_is_not_certified() -> None:
    stop = StopOnBound(domain=HERE, objective=ra.Output(0), above=-50.0, below=50.0, patience=9)
    trainer(stop, AVERAGES["SWA"](), max_epochs=3).fit(Seen(), load(batches(24)), load(batches(12)))
    assert stop.certified is None


CHANGES = {
    "a weight": lambda net: net.model[1].weight.data.mul_(1.01),
    "a statistic": lambda net: net.model[2].running_mean.add_(1.0),
    "an attribute": lambda net: setattr(net.model[2], "eps", 1.0),
    "other weights": lambda net: net.load_state_dict(Seen(seed=1).state_dict()),
    "a module": lambda net: setattr(net.model, "4", nn.Identity()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_weights_that_are_changed_later_are_not_certified(change: Any) -> None:
    stop = StopOnBound(domain=HERE, objective=ra.Output(0), above=-50.0, below=50.0)
    net = Seen()
    trainer(stop).fit(net, load(batches(24)), load(batches(12)))
    assert stop.certified is not None
    own = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    envelope = stop.certified
    change(net)
    assert stop.certified is None
    assert not envelope.is_of(net.model)
    other = Seen(seed=5)
    other.load_state_dict(own)
    assert envelope.is_of(other.model)


def test_a_restored_checkpoint_is_not_certified_by_what_came_after_it(tmp_path: Path) -> None:
    stop = StopOnBound(domain=HERE, objective=ra.Output(0), above=-50.0, below=50.0, patience=9)
    net = Seen()
    run = trainer(stop, max_epochs=1)
    run.fit(net, load(batches(24)), load(batches(12)))
    run.save_checkpoint(tmp_path / "first.ckpt")
    trainer(stop, max_epochs=2).fit(net, load(batches(24)), load(batches(12)), ckpt_path=tmp_path / "first.ckpt")
    assert_holds(stop, net)
    assert stop.certified is not None
    net.load_state_dict(torch.load(tmp_path / "first.ckpt", weights_only=True)["state_dict"])
    assert stop.certified is None


def test_answers_name_the_weights_that_they_are_of() -> None:
    worst = WorstCaseMonitor(domain=HERE, method="ppga_lr", iterations=1)
    near = WorstCaseMonitor(radius=0.1, samples=3, iterations=2, log_key_prefix="near")
    accuracy = CertifiedAccuracyMonitor(radius=0.02, samples=3, iterations=2, restarts=1)
    net = Seen()
    trainer(worst, near, accuracy).fit(net, load(batches(24)), load(batches(12)))
    for answer in (worst.answer, near.answer, accuracy.accuracy):
        assert answer is not None
        assert answer.digests is not None
        assert answer.digests.model == model_digest(net.model)


class TestCallbacksThatGoByTheNumbers:
    def run(self, *others: Callback, epochs: int = 4, **options: Any) -> Trainer:
        monitor = WorstCaseMonitor(radius=0.05, samples=3, iterations=2, restarts=1, every_n_epochs=2)
        run = trainer(monitor, *others, max_epochs=epochs, **options)
        run.fit(Classifier(), load(batches(24)), load(batches(12)))
        return run

    @pytest.mark.parametrize("first", [True, False])
    def test_early_stopping_waits_for_the_first_number(self, first: bool) -> None:
        stop = callbacks.EarlyStopping("worst_case/value", patience=3)
        monitor = WorstCaseMonitor(radius=0.05, samples=3, iterations=2, restarts=1, every_n_epochs=2)
        run = trainer(*([stop, monitor] if first else [monitor, stop]), max_epochs=4)
        run.fit(Classifier(), load(batches(24)), load(batches(12)))
        assert run.current_epoch == 4
        assert stop.best_score.isfinite()
        assert stop.strict

    def test_early_stopping_by_a_name_that_nobody_logs_is_still_refused(self) -> None:
        with pytest.raises(RuntimeError, match="worst_case/valu`"):
            self.run(callbacks.EarlyStopping("worst_case/valu"))

    def test_early_stopping_that_never_had_a_number_is_left_as_it_was(self) -> None:
        stop = callbacks.EarlyStopping("worst_case/value")
        self.run(stop, epochs=1)
        assert stop.strict

    def test_early_stopping_waits_in_a_resumed_training(self, tmp_path: Path) -> None:
        def both() -> list[Callback]:
            monitor = WorstCaseMonitor(radius=0.05, samples=3, iterations=2, restarts=1, every_n_epochs=2)
            return [monitor, callbacks.EarlyStopping("worst_case/value", patience=9)]

        run = trainer(*both(), max_epochs=2)
        run.fit(Classifier(), load(batches(24)), load(batches(12)))
        run.save_checkpoint(tmp_path / "half.ckpt")
        rest = trainer(*both(), max_epochs=4)
        rest.fit(Classifier(), load(batches(24)), load(batches(12)), ckpt_path=tmp_path / "half.ckpt")
        assert rest.current_epoch == 4

    def test_checkpoints_are_saved_in_the_epochs_of_the_monitor(self, tmp_path: Path) -> None:
        keep = callbacks.ModelCheckpoint(dirpath=tmp_path, monitor="worst_case/value", every_n_epochs=2)
        self.run(keep, enable_checkpointing=True)
        assert keep.best_model_score is not None

    def test_checkpoints_in_other_epochs_are_one_error_before_the_training(self, tmp_path: Path) -> None:
        keep = callbacks.ModelCheckpoint(dirpath=tmp_path, monitor="worst_case/value")
        with pytest.raises(ra.OptionError, match="give it every_n_epochs=2") as caught:
            self.run(keep, enable_checkpointing=True)
        assert "\n" not in str(caught.value)
