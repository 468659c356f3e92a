"""Digests: whatever a forward pass reads changes them, and nothing else does."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack import _digest
from relu_attack._digest import Contents, digest

SLOPE = 0.1


@dataclass
class Scale:
    factor: float


class Plain:
    def __init__(self, factor: float) -> None:
        self.factor = factor


class Reading(nn.Module):
    """Reads all kinds of things in its forward pass."""

    gain = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("shift", torch.zeros(3), persistent=False)
        self.register_buffer("scale", torch.ones(3))
        self.norm = nn.BatchNorm1d(3)
        self.act = nn.LeakyReLU(0.1)
        self.table = {"weights": [torch.ones(2), 3]}
        self.tensor = torch.ones(1)
        self.array = torch.ones(2).numpy()
        self.word, self.flag, self.none = "max", True, None
        self.config, self.dataclass, self.space = Plain(1.0), Scale(1.0), SimpleNamespace(factor=1.0)
        self.function: Callable[..., Any] = torch.relu
        self.last = functools.partial(torch.clamp, min=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.helper(self.act(self.linear(x))) * self.gain + SLOPE

    def helper(self, x: Tensor) -> Tensor:
        return x + self.shift


def model() -> Reading:
    torch.manual_seed(0)
    return Reading().eval()


class Doubled(Reading):
    def helper(self, x: Tensor) -> Tensor:
        return 2 * x


def closing_over(number: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x * number


CHANGES: dict[str, Callable[[Any], object]] = {
    "a parameter": lambda m: m.linear.weight.data.neg_(),
    "the sign of zero": lambda m: m.shift.neg_(),
    "a saved buffer": lambda m: m.scale.add_(1),
    "a buffer that is not saved": lambda m: m.shift.add_(1),
    "a statistic": lambda m: m.norm.running_var.mul_(2),
    "eps": lambda m: setattr(m.norm, "eps", 1e-3),
    "a slope": lambda m: setattr(m.act, "negative_slope", 0.2),
    "a mode": lambda m: m.norm.train(),
    "a tensor": lambda m: m.tensor.add_(1),
    "an array": lambda m: m.array.__setitem__(0, 2.0),
    "a tensor in a list in a mapping": lambda m: m.table["weights"][0].add_(1),
    "a number in a list in a mapping": lambda m: m.table["weights"].__setitem__(1, 4),
    "a word": lambda m: setattr(m, "word", "min"),
    "a flag": lambda m: setattr(m, "flag", False),
    "an attribute of an object": lambda m: setattr(m.config, "factor", 2.0),
    "a field": lambda m: setattr(m.dataclass, "factor", 2.0),
    "a name in a namespace": lambda m: setattr(m.space, "factor", 2.0),
    "a function": lambda m: setattr(m, "function", torch.sigmoid),
    "an argument of a partial": lambda m: setattr(m, "last", functools.partial(torch.clamp, min=-1.0)),
    "a closure": lambda m: setattr(m, "function", closing_over(2.0)),
    "a class": lambda m: setattr(m, "__class__", Doubled),
    "a forward of its own": lambda m: setattr(m, "forward", lambda x: x),
    "another kind of module": lambda m: setattr(m, "act", nn.ReLU()),
    "a dtype": lambda m: m.double(),
    "a hook": lambda m: m.register_forward_hook(lambda module, x, y: 2 * y),
    "an attribute of the class": lambda m: setattr(m.__class__, "gain", 2.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_the_forward_pass_reads_is_seen(change: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reading, "gain", 1.0)
    before, net = digest(model()), model()
    assert digest(net) == before
    kept = Contents.of(net).copy()
    assert kept.equals(Contents.of(net))
    change(net)
    assert digest(net) != before
    net.eval()


def test_closures_are_told_apart() -> None:
    nets = [model(), model()]
    for net, number in zip(nets, (1.0, 2.0), strict=True):
        net.function = closing_over(number)
    assert digest(nets[0]) != digest(nets[1])


def test_a_constant_of_the_file_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(model())
    monkeypatch.setitem(globals(), "SLOPE", 0.2)
    assert digest(model()) != before


def test_a_redefined_forward_is_seen() -> None:
    found = []
    for body in ("x", "-x", "x * 2", "x * 3"):
        space: dict[str, Any] = {"nn": nn, "__name__": "notebook"}
        exec(f"class Net(nn.Module):\n def forward(self, x): return {body}", space)
        found.append(digest(space["Net"]()))
    assert len(set(found)) == 4


def test_what_the_forward_pass_does_not_read_is_not_seen() -> None:
    net = model()
    before = digest(net)
    net.requires_grad_(False)
    net(torch.ones(2, 3))
    assert digest(net) == before
    net.linear.weight.requires_grad_().sum().backward()
    assert digest(net) == before


def test_modules_in_another_order_are_another_model() -> None:
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    assert digest(nn.Sequential(one, two)) != digest(nn.Sequential(two, one))
    assert digest(nn.Sequential(one, one)) != digest(nn.Sequential(one, two))


def test_an_object_that_holds_itself_ends() -> None:
    net = model()
    net.table["self"] = net.table  # type: ignore[assignment]
    net.config.parent = net  # type: ignore[attr-defined]
    assert digest(net) == digest(net)


IN_ITS_OWN = """
import runpy, sys, torch
torch.set_grad_enabled(False)
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        nn.init.eye_(self.linear.weight).add_(0.1)
        nn.init.zeros_(self.linear.bias)
        self.words, self.function = {"a", "b", "c", "d"}, lambda x: x + 1
    def forward(self, x):
        return self.function(self.linear(x)) * 2
"""


@pytest.mark.slow
def test_another_process_has_the_same_digest() -> None:
    script = f"{IN_ITS_OWN}\nprint(runpy.run_path(sys.argv[1])['digest'](Net()))"
    command = [sys.executable, "-c", script, _digest.__file__]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    space: dict[str, Any] = {"__name__": "__main__"}
    with torch.enable_grad():  # which is put back when the script has switched it off
        exec(IN_ITS_OWN, space)
        assert run.stdout.strip() == digest(space["Net"]())


def test_another_device_has_the_same_digest(device: torch.device) -> None:
    assert digest(model().to(device)) == digest(model())


def sets() -> dict[str, ra.Domain]:
    center = torch.tensor([0.25, 0.5])
    return {
        "box": ra.Box(torch.zeros(2), torch.ones(2)),
        "whole": ra.Box(torch.zeros(2), torch.ones(2), integer=[0]),
        "one hot": ra.Box(torch.zeros(2), torch.ones(2), one_hot=[[0, 1]]),
        "linf": ra.LInfBall(center, 0.1),
        "linf 2": ra.LInfBall(center, 0.2),
        "l2": ra.L2Ball(center, 0.1),
        "l2 clipped": ra.L2Ball(center, 0.1, clip=(0.2, 1.0)),
        "l1": ra.L1Ball(center, 0.1),
        "polytope": ra.Polytope([[1.0, 1.0]], [1.0], lower=0.0, upper=1.0),
        "polytope 2": ra.Polytope([[1.0, 1.0]], [1.5], lower=0.0, upper=1.0),
        "equation": ra.Polytope(A_eq=[[1.0, 1.0]], b_eq=[1.0], lower=0.0, upper=1.0),
        "whole polytope": ra.Polytope([[1.0, 1.0]], [1.0], lower=0.0, upper=1.0, integer=[1]),
    }


def test_each_set_has_its_digest_and_keeps_it_when_it_is_used() -> None:
    found = sets()
    before = {name: digest(domain) for name, domain in found.items()}
    assert len(set(before.values())) == len(before)
    for domain in found.values():
        domain.project(domain.sample(3))
        domain.bounding_box()
        domain.normalized()
    assert {name: digest(domain) for name, domain in found.items()} == before
    assert {name: digest(domain) for name, domain in sets().items()} == before


def test_objectives_and_constraints_have_their_digests() -> None:
    found = [
        ra.Output(0),
        ra.Output(1),
        ra.Linear([1.0, 0.0]),
        ra.Margin(0, 1),
        ra.Margin(1, 0),
        ra.OutputConstraints([[1.0, 0.0]], [1.0]),
        ra.OutputConstraints([[1.0, 0.0]], [2.0]),
    ]
    assert len({digest(one) for one in found}) == len(found)
    assert digest(ra.Margin(0, 1)) == digest(ra.Margin(0, 1))


def test_numbers_are_told_apart_by_all_their_digits() -> None:
    long = torch.zeros(5000).numpy()
    other = long.copy()
    other[2500] = 1.0
    assert digest(long) != digest(other)
    assert digest(0.1) != digest(0.1 + 1e-17 * 2)
    assert digest(Fraction(1, 3)) != digest(Fraction(1, 4))
    assert digest(np.float64(0.5)) != digest(np.float64(0.25))
    assert digest([1, [2, 3]]) != digest([1, 2, 3])
    assert digest({"a": 1}, {"b": 2}) != digest({"a": 1, "b": 2})


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, dtype=torch.bfloat16),
        torch.tensor(1.0),
        torch.zeros(0),
        torch.ones(2, 2).to_sparse(),
        torch.ones(2, dtype=torch.complex64).conj(),
        torch.ones(4, 3).t()[1:],
        torch.tensor([True, False]),
    ],
)
def test_every_kind_of_tensor_can_be_read(tensor: Tensor) -> None:
    assert digest(tensor) == digest(tensor.clone())


def test_a_single_number_that_was_expanded_has_the_digest_of_the_number() -> None:
    assert digest(torch.tensor(2).expand(1)) == digest(torch.tensor([2]))
