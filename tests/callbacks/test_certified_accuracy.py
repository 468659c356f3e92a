"""`CertifiedAccuracyMonitor`: the shares are those of `robust_accuracy` with the same weights."""

from typing import Any

import pytest

import relu_attack as ra
from relu_attack.callbacks import CertifiedAccuracyMonitor
from tests.callbacks.support import Classifier, Log, batches, load, network_with, trainer


def test_shares_are_those_of_robust_accuracy_on_the_first_samples() -> None:
    log, validation = Log(), batches(24, seed=2)
    monitor = CertifiedAccuracyMonitor(radius=0.02, samples=12, restarts=2, iterations=5)
    trainer(monitor, log, max_epochs=3).fit(Classifier(), load(batches()), load(validation))
    for metrics, weights in zip(log.metrics, log.weights, strict=True):
        net = network_with(weights)
        direct = ra.robust_accuracy(net, validation[:1], 0.02, restarts=2, iterations=5, progress=False)
        found = tuple(metrics[f"accuracy/{name}"] for name in ("certified", "attacked", "clean"))
        assert found == (direct.certified, direct.attacked, direct.clean)
        assert found[0] <= found[1] <= found[2]
    assert monitor.accuracy is not None
    assert monitor.accuracy.samples == 12


def test_it_looks_at_every_nth_epoch() -> None:
    log = Log()
    monitor = CertifiedAccuracyMonitor(radius=0.02, samples=4, iterations=2, every_n_epochs=2, log_key_prefix="safe")
    trainer(monitor, log).fit(Classifier(), load(batches()), load(batches(24)))
    assert ["safe/certified" in metrics for metrics in log.metrics] == [False, True]


def test_labels_that_are_no_classes_are_one_error() -> None:
    monitor = CertifiedAccuracyMonitor(radius=0.02, keys=(0, 0))
    with pytest.raises(ra.ObjectiveError, match="labels must be classes") as caught:
        trainer(monitor).fit(Classifier(), load(batches()), load(batches(24)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0}, "radius must be above 0"),
        ({"radius": 0.1, "samples": "all"}, "samples must be a pair"),
        ({"radius": 0.1, "iterations": 1.5}, "iterations must be a whole number"),
        ({"radius": 0.1, "every_n_epochs": True}, "every_n_epochs must be a whole number"),
    ],
)
def test_each_wrong_argument_is_one_error_at_once(options: Any, message: str) -> None:
    with pytest.raises(ra.OptionError, match=message) as caught:
        CertifiedAccuracyMonitor(**options)
    assert "\n" not in str(caught.value)
