"""Attacks of torchattacks and Foolbox, where they can be imported.

    pip install --target FOLDER --no-deps torchattacks foolbox eagerpy gitpython gitdb smmap

and FOLDER on PYTHONPATH.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Call = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Peer:
    """An attack: who, with how many gradients, and how it is made from a model and a radius."""

    name: str
    steps: int
    make: Callable[[nn.Module, float], Call]


def _torchattacks(kind: str, steps: int) -> Callable[[nn.Module, float], Call]:
    def make(model: nn.Module, radius: float) -> Call:
        package = importlib.import_module("torchattacks")
        if kind == "PGD":  # ten radii of way for many steps, five for few
            share = 4 if steps <= 20 else 10
            attack: Call = package.PGD(model, eps=radius, alpha=radius / share, steps=steps)
        else:
            attack = package.APGD(model, norm="Linf", eps=radius, steps=steps, loss="ce")
        return attack

    return make


def _foolbox(steps: int) -> Callable[[nn.Module, float], Call]:
    def make(model: nn.Module, radius: float) -> Call:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            package = importlib.import_module("foolbox")
        wrapped, attack = package.PyTorchModel(model, bounds=(0, 1)), package.attacks.LinfPGD(steps=steps)

        def call(x: Tensor, label: Tensor) -> Tensor:
            clipped: Tensor = attack(wrapped, x, label, epsilons=radius)[1]
            return clipped

        return call

    return make


PEERS = (
    Peer("torchattacks PGD", 20, _torchattacks("PGD", 20)),
    Peer("torchattacks PGD", 100, _torchattacks("PGD", 100)),
    Peer("torchattacks APGD-CE", 50, _torchattacks("APGD", 50)),
    Peer("Foolbox LinfPGD", 40, _foolbox(40)),
)


def available() -> tuple[Peer, ...]:
    """Return the attacks that can be made here."""
    found = []
    for peer in PEERS:
        try:
            peer.make(nn.Sequential(nn.Linear(1, 2)).eval(), 0.1)
        except ImportError:
            continue
        found.append(peer)
    return tuple(found)


def seeded(call: Call, seed: int) -> Call:
    """Return the attack with torch's global randomness set before each call, since it takes no seed itself."""

    def run(x: Tensor, label: Tensor) -> Tensor:
        torch.manual_seed(seed)
        return call(x, label)

    return run
