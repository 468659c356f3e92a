"""`StopOnBound`: it stops when the limits are proven, and says of which weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.callbacks import Envelope, StopOnBound
from tests.callbacks.support import Classifier, Log, batches, load, network_with, trainer

BOX = ra.Box(0.0, 1.0, shape=(1, 4, 4))


class Shrinking(Classifier):
    """Learns to answer zero, so that its outputs come within any limits."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        outputs: Tensor = self.model(batch[0])
        return outputs.square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, weight_decay=0.5)


def fit(stop: StopOnBound, **options: Any) -> tuple[Log, Any, nn.Module]:
    log, net = Log(), Shrinking()
    run = trainer(stop, log, **{"max_epochs": 30, **options})
    run.fit(net, load(batches()), load(batches(24)))
    return log, run, net.model.eval()


def test_it_stops_at_the_first_validation_at_which_the_limits_are_proven() -> None:
    stop = StopOnBound(domain=BOX, objective=ra.Output(1), above=-0.5, below=0.5)
    log, run, net = fit(stop)
    assert 1 < run.current_epoch < 30
    within = [m["envelope/upper"] <= 0.5 and m["envelope/lower"] >= -0.5 for m in log.metrics]
    assert within == [False] * (len(within) - 1) + [True]
    lower, upper = ra.ReLUOptimizer(net, BOX, ra.Output(1)).bounds("crown")
    assert stop.certified == Envelope(float(lower), float(upper), "crown")
    for metrics, weights in zip(log.metrics, log.weights, strict=True):
        direct = ra.ReLUOptimizer(network_with(weights), BOX, ra.Output(1)).bounds("crown")
        assert (metrics["envelope/lower"], metrics["envelope/upper"]) == tuple(map(float, direct))


def test_no_input_of_the_set_leaves_what_is_certified() -> None:
    stop = StopOnBound(domain=BOX, below=0.5)
    _, _, net = fit(stop)
    assert stop.certified is not None
    worst = ra.maximize(net, BOX, method="ppga_lr", iterations=100, seed=3)
    assert float(worst.value) <= stop.certified.upper <= 0.5
    assert "for every input of the set, by crown" in str(stop.certified)


def test_patience_asks_for_further_validations_in_a_row() -> None:
    _, at_once, _ = fit(StopOnBound(domain=BOX, below=0.5))
    _, later, _ = fit(StopOnBound(domain=BOX, below=0.5, patience=2))
    assert later.current_epoch == at_once.current_epoch + 2


@pytest.mark.parametrize("min_epochs", [None, 30])
def test_weights_that_moved_on_are_not_certified(min_epochs: int | None) -> None:
    stop = StopOnBound(domain=BOX, below=0.5)
    _, run, net = fit(stop, min_epochs=min_epochs, check_val_every_n_epoch=7)
    assert (run.current_epoch == 30) == (min_epochs == 30)
    if min_epochs is None:
        assert stop.certified is not None
        assert stop.certified.upper == float(ra.ReLUOptimizer(net, BOX).bounds("crown")[1])
    else:
        assert stop.certified is None


def test_several_sets_are_all_within_the_envelope() -> None:
    balls = ra.LInfBall(torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)), 0.1, clip=(0.0, 1.0))
    stop = StopOnBound(domain=balls, below=1e6, bounds="interval")
    _, run, net = fit(stop)
    assert run.current_epoch == 1
    lower, upper = ra.ReLUOptimizer(net, balls).bounds("interval")
    assert stop.certified == Envelope(float(lower.min()), float(upper.max()), "interval")


def test_a_resumed_training_counts_on(tmp_path: Path) -> None:
    stop = StopOnBound(domain=BOX, below=1e6, patience=4)
    _, run, _ = fit(stop, max_epochs=3)
    run.save_checkpoint(tmp_path / "half.ckpt")
    rest = trainer(StopOnBound(domain=BOX, below=1e6, patience=4), max_epochs=30)
    rest.fit(Shrinking(), load(batches()), load(batches(24)), ckpt_path=tmp_path / "half.ckpt")
    assert rest.current_epoch == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give a limit: above, below or both"),
        ({"above": 1.0, "below": 0.0}, "above is 1 and below is 0"),
        ({"below": float("inf")}, "below must be a finite number, got inf"),
        ({"below": 1.0, "domain": None}, "domain must be a Box, a ball, a Polytope or another Domain, got NoneType"),
        ({"below": 1.0, "bounds": "milp"}, "bounds is 'milp'"),
        ({"below": 1.0, "patience": -1}, "patience must be a whole number of at least 0, got -1"),
    ],
)
def test_each_wrong_argument_is_one_error_at_once(options: Any, message: str) -> None:
    with pytest.raises(ra.OptionError, match=message) as caught:
        StopOnBound(**{"domain": BOX, **options})
    assert "\n" not in str(caught.value)
