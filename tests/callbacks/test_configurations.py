"""The committed configurations of trainings, and what is said about wrong ones."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import relu_attack as ra
from relu_attack.config._base import ConfigError

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs" / "training").glob("*.yaml"))
sys.path.append(str(ROOT / "scripts"))
import monitor_training  # noqa: E402


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Give torch back what a training script asks of it."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_committed_configurations_are_good(file: Path) -> None:
    training = monitor_training.load_training(file)
    assert len(training.make_callbacks()) == len(training.callbacks)


def test_every_callback_is_in_one() -> None:
    named = {name for file in FILES for name in monitor_training.load_training(file).callbacks}
    assert named >= {"AdversarialTraining", "CertifiedAccuracyMonitor", "StopOnBound", "WorstCaseMonitor"}


@pytest.mark.usefixtures("deterministic")
def test_the_braking_controller_is_trained_until_its_envelope_is_proven() -> None:
    training = monitor_training.load_training(ROOT / "configs" / "training" / "stop_on_bound.yaml")
    rows, (stop,) = monitor_training.train(training, None)
    assert 1 < len(rows) < training.epochs
    assert rows[-1]["envelope/lower"] >= 0.9 > rows[-2]["envelope/lower"]
    assert stop.certified is not None
    assert stop.certified.lower >= 0.9


def test_a_wrong_configuration_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "training.yaml"
    file.write_text("{title: t, task: chess, epochs: 0, seed: 0, callbacks: {}, rate: 1}")
    with pytest.raises(ConfigError) as caught:
        monitor_training.load_training(file)
    assert {problem.split(":")[0] for problem in caught.value.problems} == {"task", "epochs", "rate"}
    file.write_text("{title: t, task: braking, epochs: 1, seed: 0, callbacks: {EarlyStop: {}}}")
    with pytest.raises(ra.OptionError, match="callbacks: EarlyStop is none of"):
        monitor_training.load_training(file).make_callbacks()
