"""`robust_accuracy`: three shares that are in order, and a record from which it goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.robustness import CachedModel
from tests.problems import random_network

Batches = list[tuple[Tensor, Tensor]]


def model() -> nn.Sequential:
    return random_network(5, 12, 3, seed=0)


def batches() -> Batches:
    x = torch.rand(12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    label = model()(x).argmax(1)
    label[:2] = (label[:2] + 1) % 3
    return list(zip(x.split(5), label.split(5), strict=True))


def interrupted_before(number: int) -> Iterator[tuple[Tensor, Tensor]]:
    yield from batches()[:number]
    raise KeyboardInterrupt


def test_certified_attacked_and_clean_are_in_order_and_come_from_the_margins() -> None:
    found = ra.robust_accuracy(model(), batches(), 0.02, progress=False)
    assert found.certified is not None
    assert found.certified_margin is not None
    assert 0 < found.certified <= found.attacked <= found.clean == pytest.approx(10 / 12)
    assert (found.samples, found.complete) == (12, True)
    assert found.attacked == float((found.margin <= 0).double().mean())
    assert bool((found.clean_margin <= found.margin).all())
    assert bool((found.margin <= found.certified_margin).all())
    parts = [ra.worst_case(model(), x, label, 0.02, certify=True).margin for x, label in batches()]
    assert torch.equal(found.margin, torch.cat(parts))


def test_options_are_those_of_worst_case() -> None:
    found = ra.robust_accuracy(
        model(), batches(), 0.02, certify=False, norm="l2", iterations=5, restarts=2, progress=False
    )
    assert found.certified is None
    with pytest.raises(TypeError, match="momentum"):
        ra.robust_accuracy(model(), batches(), 0.02, momentum=0.9, progress=False)
    with pytest.raises(ra.OptionError, match="radius must be one number"):
        ra.robust_accuracy(model(), batches(), torch.tensor([0.1]), progress=False)  # type: ignore[arg-type]
    with pytest.raises(ra.OptionError, match="loader yields no batch"):
        ra.robust_accuracy(model(), [], 0.02, progress=False)


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    first = ra.robust_accuracy(model(), interrupted_before(2), 0.02, resume=record, progress=False)
    assert (first.samples, first.complete) == (10, False)
    assert "so far" in str(first)
    whole = ra.robust_accuracy(model(), batches(), 0.02, resume=record, progress=False)
    fresh = ra.robust_accuracy(model(), batches(), 0.02, progress=False)
    assert torch.equal(whole.margin, fresh.margin)
    assert str(whole) == str(fresh)
    # What is known already is not searched again: this margin is nobody's.
    record.write_text(record.read_text().replace(repr(float(fresh.margin[0])), "-123.0"))
    known = ra.robust_accuracy(model(), batches(), 0.02, resume=record, progress=False)
    assert float(known.margin.min()) == -123.0


def test_a_record_that_cannot_be_written_is_said_once_and_costs_nothing(tmp_path: Path) -> None:
    record = tmp_path / "none" / "record.json"
    with pytest.warns(UserWarning, match=r"record.json cannot be written: No such file .* the run goes on") as warned:
        found = ra.robust_accuracy(model(), batches(), 0.02, certify=False, resume=record, progress=False)
    assert found.complete
    assert len(warned) == 1


def test_a_record_of_a_kept_model_is_one_of_the_model(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    ra.robust_accuracy(CachedModel(model()), interrupted_before(2), 0.02, resume=record, progress=False)
    assert ra.robust_accuracy(model(), batches(), 0.02, resume=record, progress=False).complete


def test_a_record_of_something_else_is_refused(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    ra.robust_accuracy(model(), batches(), 0.02, resume=record, progress=False)
    with pytest.raises(ra.OptionError, match="another model, radius or options"):
        ra.robust_accuracy(model(), batches(), 0.03, resume=record, progress=False)
    other = model()
    with torch.no_grad():
        other[0].bias += 0.1
    with pytest.raises(ra.OptionError, match="another model, radius or options"):
        ra.robust_accuracy(other, batches(), 0.02, resume=record, progress=False)
    with pytest.raises(ra.OptionError, match="other samples in batch 0"):
        ra.robust_accuracy(model(), batches()[::-1], 0.02, resume=record, progress=False)
    record.write_text("[1, 2")
    with pytest.raises(ra.FileFormatError, match="is no record of robust_accuracy"):
        ra.robust_accuracy(model(), batches(), 0.02, resume=record, progress=False)


def test_the_bar_shows_the_accuracies(capsys: pytest.CaptureFixture[str]) -> None:
    ra.robust_accuracy(model(), batches(), 0.02, iterations=4, restarts=1)
    shown = capsys.readouterr().err
    assert "robust accuracy" in shown
    assert "attacked" in shown


class Shifted(nn.Module):
    """Reads a buffer that is not saved, an attribute and a mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = model()
        self.register_buffer("shift", torch.zeros(3, dtype=torch.float64), persistent=False)
        self.tensor, self.factor, self.limits = torch.zeros(3, dtype=torch.float64), 1.0, [-1e3, 1e3]

    def forward(self, x: Tensor) -> Tensor:
        return (self.inner(x) + self.shift + self.tensor) * self.factor


CHANGES: dict[str, Callable[[Shifted], object]] = {
    "a buffer that is not saved": lambda net: net.shift.copy_(torch.tensor([9.0, -9.0, 0.0])),
    "a tensor": lambda net: net.tensor.copy_(torch.tensor([9.0, -9.0, 0.0])),
    "a number": lambda net: setattr(net, "factor", -1.0),
    "a number in a list": lambda net: net.limits.append(0.0),
    "a saved parameter": lambda net: net.inner[0].weight.data.neg_(),
    "a module": lambda net: setattr(net, "inner", nn.Sequential(net.inner, nn.ReLU())),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_record_of_a_model_that_reads_something_else_is_refused(
    change: Callable[[Shifted], object], tmp_path: Path
) -> None:
    record, net = tmp_path / "record.json", Shifted()
    options = {"iterations": 2, "restarts": 1, "resume": record, "progress": False}
    ra.robust_accuracy(net, batches(), 0.02, **options)
    assert ra.robust_accuracy(Shifted(), batches(), 0.02, **options).complete
    change(net)
    with pytest.raises(ra.OptionError, match="another model, radius or options: model differ") as caught:
        ra.robust_accuracy(net, batches(), 0.02, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"iterations": 2}, {"iterations": 3}),
        ({"certify": False}, {"certify": True}),
        ({}, {"norm": "l2"}),
        ({"clip": (torch.zeros(5), 1.0)}, {"clip": (torch.full((5,), -1.0), 1.0)}),
        ({"normalize": ([0.5], [1.0])}, {"normalize": ([0.5], [2.0])}),
        ({"targets": "all"}, {"targets": "runner_up"}),
    ],
)
def test_a_record_of_other_options_is_refused(first: Any, second: Any, tmp_path: Path) -> None:
    record = {"resume": tmp_path / "record.json", "progress": False}
    common = {"iterations": 4, "restarts": 1}
    ra.robust_accuracy(model(), batches(), 0.02, **record, **{**common, **first})
    with pytest.raises(ra.OptionError, match=next(iter(second))):
        ra.robust_accuracy(model(), batches(), 0.02, **record, **{**common, **second})


def test_a_default_that_is_written_out_is_the_same_option(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    ra.robust_accuracy(model(), interrupted_before(2), 0.02, resume=record, progress=False)
    options = {"norm": "linf", "clip": (0.0, 1.0), "iterations": 40, "seed": 0}
    assert ra.robust_accuracy(model(), batches(), 0.02, resume=record, progress=False, **options).complete


def test_weights_that_move_between_batches_are_one_error() -> None:
    net = model()

    def training() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches():
            yield batch
            net[0].weight.data.mul_(1.01)

    with pytest.raises(ra.ModelError, match="parameters of the model have changed before batch 1"):
        ra.robust_accuracy(net, training(), 0.02, progress=False)


def test_accuracies_name_what_they_are_of() -> None:
    options = {"iterations": 2, "restarts": 1, "progress": False}
    found = ra.robust_accuracy(model(), batches(), 0.02, **options).digests
    assert found is not None
    assert found == ra.robust_accuracy(CachedModel(model()), batches(), 0.02, **options).digests
    other = model()
    other[0].bias.data += 1e-12
    moved = [(x, (label + 1) % 3) for x, label in batches()]
    pushed = [(x / 2, label) for x, label in batches()]
    changes = {
        "model": (other, batches(), 0.02),
        "domain": (model(), pushed, 0.02),
        "objective": (model(), moved, 0.02),
    }
    for name, (net, loader, radius) in changes.items():
        changed = ra.robust_accuracy(net, loader, radius, **options).digests
        assert [part for part in vars(found) if getattr(changed, part) != getattr(found, part)] == [name]
    wider = ra.robust_accuracy(model(), batches(), 0.03, **options).digests
    assert wider is not None
    assert wider.domain != found.domain


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(2, 5), r"batch 0 of loader is a Tensor, not a pair \(x, label\): for a single batch"),
        ({"image": 1, "digit": 2}, "batch 0 of loader is a dict.*its keys are 'image', 'digit'"),
        ((1, 2, 3), "batch 0 of loader is a tuple"),
        (None, "batch 0 of loader is a NoneType"),
    ],
)
def test_a_batch_that_is_no_pair_is_named(batch: Any, message: str) -> None:
    with pytest.raises(ra.OptionError, match=message) as caught:
        ra.robust_accuracy(model(), [batch], 0.02, progress=False)
    assert "\n" not in str(caught.value)
