"""Minimum-norm attacks of adv-lib, where it can be imported.

    pip install --target FOLDER --no-deps adv-lib

and FOLDER on PYTHONPATH. adv-lib imports torchvision and visdom, for perceptual distances and pictures only: where they
are missing, empty modules take their place.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
ORDERS = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}
# The largest radius from which a binary search begins; digits break before.
LARGEST = {"linf": 0.5, "l2": 6.0}


def available(norm: str) -> dict[str, Attack]:
    """Return the attacks of adv-lib for a norm by name, with their usual numbers of steps; none without adv-lib."""
    for name in ("torchvision", "torchvision.models", "visdom"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["torchvision"].models = sys.modules["torchvision.models"]  # type: ignore[attr-defined]
    try:
        attacks: Any = importlib.import_module("adv_lib.attacks")
        apgd: Any = importlib.import_module("adv_lib.attacks.auto_pgd")
    except ImportError:
        return {}
    found: dict[str, Attack] = {"FMN, 200 steps": partial(_call, attacks.fmn, norm=ORDERS[norm], steps=200)}
    if norm == "l2":
        found["DDN, 200 steps"] = partial(_call, attacks.ddn, steps=200)
    if norm in LARGEST:
        minimal = partial(_call, apgd.minimal_apgd, norm=ORDERS[norm], max_eps=LARGEST[norm])
        found["minimal APGD-DLR, 20 x 50 steps"] = partial(minimal, n_iter=50)
        found["minimal APGD-T, 20 x 9 x 20 steps"] = partial(minimal, n_iter=20, targeted_version=True)
    return found


def _call(attack: Callable[..., Tensor], model: nn.Module, x: Tensor, label: Tensor, **options: Any) -> Tensor:
    moved: Tensor = attack(model, x, label, **options).detach()
    return moved
