"""`AdversarialTraining`: which samples it moves, how far, and what it leaves as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.callbacks import AdversarialTraining
from tests.callbacks.support import Classifier, batches, collated, data, load, same, trainer

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")


class Watched(Classifier):
    """Keeps each batch that it learns from, and the weights before."""

    def __init__(self, *, dropout: float = 0.1) -> None:
        super().__init__(dropout=dropout)
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.before: list[dict[str, Tensor]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, label = (batch["image"], batch["digit"]) if isinstance(batch, dict) else batch[:2]
        self.seen.append((x.clone(), label.clone()))
        self.before.append({name: value.clone() for name, value in self.model.state_dict().items()})
        return super().training_step((x, label), batch_idx)


def test_the_share_of_the_batch_is_what_worst_case_finds_and_the_rest_is_left() -> None:
    net, train = Watched(), batches(24)
    fit = trainer(AdversarialTraining(radius=0.1, share=0.25, iterations=4), max_epochs=1)
    fit.fit(net, load(train))
    for turn, ((x, label), (moved, known), weights) in enumerate(zip(train, net.seen, net.before, strict=True)):
        model = Classifier().model
        model.load_state_dict(weights)
        worst = ra.worst_case(model, x[:3], label[:3], 0.1, restarts=1, iterations=4, stop_at_success=False, seed=turn)
        assert torch.equal(moved[:3], worst.x)
        assert not torch.equal(moved[:3], x[:3])
        assert torch.equal(moved[3:], x[3:])
        assert torch.equal(known, label)
    assert fit.callback_metrics["adversarial/radius"] == pytest.approx(0.1)
    assert 0 <= float(fit.callback_metrics["adversarial/broken"]) <= 1


def test_a_network_that_works_in_place_on_its_input_learns_from_moved_samples_within_their_balls() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x -= 0.5
            x /= 0.25
            return x

    class Normalizing(Watched):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step((batch[0], batch[1]), batch_idx)

    net, train = Normalizing(), batches(24)
    net.model.insert(0, InPlace())
    trainer(AdversarialTraining(radius=0.05, share=1.0, iterations=3), max_epochs=1).fit(net, load(train))
    for (x, _), (moved, _) in zip(batches(24), net.seen, strict=True):
        assert float((moved - x).abs().max()) <= 0.05 + 1e-7
        assert float(moved.min()) >= 0
        assert float(moved.max()) <= 1


@pytest.mark.parametrize("kind", [tuple, list, dict])
def test_data_of_the_user_are_the_same_afterwards(kind: Any) -> None:
    def pack(x: Tensor, label: Tensor) -> Any:
        return {"image": x, "digit": label} if kind is dict else kind((x, label))

    train = [pack(*batch) for batch in batches(24)]
    keys: Any = ("image", "digit") if kind is dict else (0, 1)
    net = Watched()
    trainer(AdversarialTraining(radius=0.1, share=1.0, iterations=2, keys=keys)).fit(net, load(train))
    for batch, (x, label) in zip(train, batches(24), strict=True):
        found = tuple(batch.values()) if kind is dict else batch
        assert torch.equal(found[0], x)
        assert torch.equal(found[1], label)
    assert not torch.equal(net.seen[0][0], batches(24)[0][0])


def test_data_of_the_user_are_the_same_when_a_step_fails() -> None:
    class Broken(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            raise RuntimeError("the disk is on fire")

    train = batches(12)
    with pytest.raises(RuntimeError, match="on fire"):
        trainer(AdversarialTraining(radius=0.1, share=1.0, iterations=2)).fit(Broken(), load(train))
    assert torch.equal(train[0][0], batches(12)[0][0])


def test_batches_of_a_data_loader_are_moved_within_the_radius_of_the_epoch() -> None:
    net, (x, _) = Watched(), data(24)
    callback = AdversarialTraining(radius=0.1, share=1.0, warmup_epochs=1, iterations=3, log_key_prefix="pgd")
    fit = trainer(callback)
    fit.fit(net, collated(24))
    clean = [*x.split(12), *x.split(12)]
    distances = [float((moved - known).abs().max()) for (moved, _), known in zip(net.seen, clean, strict=True)]
    assert distances == pytest.approx([0.05, 0.05, 0.1, 0.1], abs=1e-6)
    assert all(bool(((moved >= 0) & (moved <= 1)).all()) for moved, _ in net.seen)
    assert fit.callback_metrics["pgd/radius"] == pytest.approx(0.1)


def test_the_same_seeds_give_the_same_weights_and_the_random_numbers_of_torch_are_left_alone() -> None:
    def train(seed: int) -> tuple[dict[str, Tensor], Tensor]:
        net = Classifier()
        trainer(AdversarialTraining(radius=0.1, iterations=3, seed=seed)).fit(net, collated(shuffle=True))
        return net.state_dict(), torch.get_rng_state()

    (first, state), (second, _), (other, other_state) = train(0), train(0), train(1)
    assert same(first, second)
    assert not same(first, other)
    assert torch.equal(state, other_state)


def test_a_resumed_training_goes_on_with_its_seeds(tmp_path: Path) -> None:
    whole, half, resumed = (Watched(dropout=0.0) for _ in range(3))  # nothing is drawn but by the callback
    trainer(AdversarialTraining(radius=0.1, iterations=3), max_epochs=4).fit(whole, load(batches()))
    first = trainer(AdversarialTraining(radius=0.1, iterations=3), max_epochs=2)
    first.fit(half, load(batches()))
    first.save_checkpoint(tmp_path / "half.ckpt")
    callback = AdversarialTraining(radius=0.1, iterations=3)
    trainer(callback, max_epochs=4).fit(resumed, load(batches()), ckpt_path=tmp_path / "half.ckpt")
    assert callback.state_dict() == {"batches": 16}
    assert len(resumed.seen) == 8
    assert same(whole.state_dict(), resumed.state_dict())


@pytest.mark.slow
def test_it_makes_a_network_more_robust() -> None:
    def broken(*callbacks: Any) -> int:
        net = Classifier()
        trainer(*callbacks, max_epochs=15).fit(net, load(batches(96)))
        x, label = data(48, seed=5)
        return int(ra.worst_case(net.model, x, label, 0.05).success.sum())

    assert broken(AdversarialTraining(radius=0.05, share=1.0, iterations=5)) < broken()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0.1, "share": 0.0}, "share must be above 0 and at most 1, got 0.0"),
        ({"radius": 0.1, "share": "half"}, "share must be a finite number"),
        ({"radius": 0.1, "warmup_epochs": -1}, "warmup_epochs must be a whole number of at least 0"),
        ({"radius": -0.1}, "radius must be above 0"),
        ({"radius": 0.1, "iterations": 0}, "iterations must be a whole number of at least 1"),
        ({"radius": 0.1, "method": "lp_walk"}, "method is 'lp_walk'"),
        ({"radius": 0.1, "network": 3}, "network must be the name"),
        ({"radius": 0.1, "log_key_prefix": None}, "log_key_prefix must be a word"),
        ({"radius": 0.1, "keys": (0,)}, "keys must be two"),
    ],
)
def test_each_wrong_argument_is_one_error_at_once(options: Any, message: str) -> None:
    with pytest.raises(ra.OptionError, match=message) as caught:
        AdversarialTraining(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([torch.zeros(2, 16)], r"keys is \(0, 1\), but a batch is a list of Tensor; give keys="),
        ({"x": torch.zeros(2, 16)}, r"keys is \(0, 1\), but a batch is a mapping with the keys x; give keys="),
        ([torch.zeros(2, 16), ["a", "b"]], "must name two tensors"),
    ],
)
def test_a_batch_without_samples_and_labels_is_one_error(batch: Any, message: str) -> None:
    with pytest.raises(ra.OptionError, match=message) as caught:
        trainer(AdversarialTraining(radius=0.1)).fit(Classifier(), load([batch]))
    assert "\n" not in str(caught.value)
