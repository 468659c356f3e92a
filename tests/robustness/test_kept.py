"""A model whose chain is kept between calls answers as one that is read at each."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack import ModelError
from relu_attack.compat import Attack
from relu_attack.robustness import CachedModel
from tests.problems import random_network

X = torch.rand(6, 5, generator=torch.Generator().manual_seed(1))
LABEL = torch.tensor([0, 1, 2, 0, 1, 2])


class Scaled(nn.Module):
    """Multiplies by a number that neither its parameters nor its description show."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Hidden(nn.Module):
    """Multiplies by a number that an object of a library hides."""

    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()
        self.local.factor = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return x * self.local.factor


def classifier() -> nn.Sequential:
    return nn.Sequential(*random_network(5, 8, 3, seed=2), nn.BatchNorm1d(3), nn.LeakyReLU(0.1)).double().eval()


def worst(model: nn.Module, x: Tensor = X, **options: object) -> ra.WorstCase:
    arguments = {"radius": 0.2, "iterations": 10, "restarts": 2, "stop_at_success": False} | options
    return ra.worst_case(model, x, LABEL[: len(x)], **arguments)  # type: ignore[arg-type]


def negate_weights(model: nn.Sequential) -> None:
    model[0].weight.data.neg_()  # leaves no trace in the tensor's version


def move_statistics(model: nn.Sequential) -> None:
    model[3].running_mean.add_(1.0)


def change_slope(model: nn.Sequential) -> None:
    model[4].negative_slope = 0.9


def replace_activation(model: nn.Sequential) -> None:
    model[1] = nn.Identity()


@pytest.mark.parametrize("change", [negate_weights, move_statistics, change_slope, replace_activation])
def test_a_model_that_has_changed_is_read_anew(change: Callable[[nn.Sequential], None]) -> None:
    model = classifier()
    kept = CachedModel(model)
    before = kept.read(X, None)
    assert torch.equal(worst(kept).x, worst(model).x)
    change(model)
    assert torch.equal(worst(kept).x, worst(model).x)
    assert torch.equal(worst(kept).margin, worst(model).margin)
    assert kept.read(X, None) is not before


def test_a_number_that_no_description_shows_is_seen() -> None:
    scaled = Scaled(1.0)
    kept = CachedModel(nn.Sequential(classifier(), scaled).eval())
    worst(kept)
    before, name = kept.read(X, None), kept.digest()
    assert kept.digest() == name
    scaled.factor = -3.0
    assert torch.equal(worst(kept).x, worst(kept.model).x)
    assert kept.read(X, None) is not before
    assert kept.digest() != name


def test_a_model_that_has_not_changed_is_read_once() -> None:
    kept = CachedModel(classifier())
    first = kept.read(X, ([0.5], [0.2]))
    assert kept.read(X.flip(0), ([0.5], [0.2])) is first
    assert kept.read(X, ([0.4], [0.2])) is not first
    plain = kept.read(X, None)
    assert plain is not first
    assert kept.read(X.double(), None) is not plain
    kept.model.double()
    assert kept.read(X, None) is not plain


def test_margins_and_bounds_are_those_of_a_model_whose_change_is_not_seen() -> None:
    hidden = Hidden()
    kept = CachedModel(nn.Sequential(classifier(), hidden).eval())
    before = kept.read(X, None)
    worst(kept)
    hidden.local.factor = -3.0
    assert kept.read(X, None) is before
    found, fresh = worst(kept), worst(kept.model, certify=True)
    logits = kept.model(found.x.double())
    own = logits.gather(1, LABEL[:, None])
    assert torch.allclose(found.margin, (logits - own).scatter(1, LABEL[:, None], -torch.inf).amax(1))
    certified = worst(kept, certify=True)
    assert torch.equal(certified.x, fresh.x)
    assert certified.certified_margin is not None
    assert fresh.certified_margin is not None
    assert torch.equal(certified.certified_margin, fresh.certified_margin)


def test_an_attack_follows_its_model() -> None:
    model = classifier()
    attack = Attack(model, eps=0.2, steps=10)
    attack(X, LABEL)
    negate_weights(model)
    assert torch.equal(attack(X, LABEL), Attack(model, eps=0.2, steps=10)(X, LABEL))
    attack.model = other = nn.Sequential(*random_network(5, 8, 3, seed=9))
    assert torch.equal(attack(X, LABEL), Attack(other, eps=0.2, steps=10)(X, LABEL))


def test_what_is_no_module_is_named() -> None:
    with pytest.raises(ModelError, match=r"model must be an nn\.Module, got builtin_function"):
        CachedModel(torch.relu)  # type: ignore[arg-type]


def test_a_kept_model_is_run_in_evaluation_mode_and_left_in_its_own() -> None:
    model = classifier().train()
    model[0].eval()
    kept = CachedModel(CachedModel(model))
    assert kept.model is model
    assert torch.equal(worst(kept).x, worst(classifier()).x)
    assert [module.training for module in model] == [False, True, True, True, True]
