"""The peers of the search benchmark, and the sets that each can take."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from peers.tracker import Tracker
from problems import Region

# Sizes beyond which a peer that models, or that has a population of many times the inputs, gets nowhere in 20 s.
MODELLED, EVOLVED = 20, 100


@dataclass(frozen=True)
class Optimizer:
    """A function of a `Tracker`: in which module, its name, and which sets it takes."""

    module: str
    function: str
    takes: Callable[[Region], bool]

    def imported(self) -> Callable[[Tracker], None]:
        """Return the function, once its packages are there."""
        found: Callable[[Tracker], None] = getattr(importlib.import_module(f"peers.{self.module}"), self.function)
        return found


def _everything(region: Region) -> bool:
    return True


def _modelled(region: Region) -> bool:
    rows = len(region.A) <= 50 and not len(region.A_eq)
    return region.inputs <= MODELLED and rows and region.bounded and not region.integer


def _evolved(region: Region) -> bool:
    numbers = len(region.one_hot) or region.inputs
    return region.bounded and numbers <= EVOLVED and not (len(region.A_eq) or region.norm)


OPTIMIZERS = {
    "pgd": Optimizer("ascent", "projected_gradient", _everything),
    "adam": Optimizer("ascent", "projected_adam", _everything),
    "slsqp": Optimizer("scipy_methods", "slsqp", lambda region: not region.integer and region.norm != "l1"),
    "apgd": Optimizer("apgd", "apgd", lambda region: region.is_box),
    "local_search": Optimizer("local_search", "local_search", lambda region: len(region.integer) == region.inputs),
    "cma_es": Optimizer("cma_es", "cma_es", _everything),
    "evolution": Optimizer("scipy_methods", "evolution", _evolved),
    "botorch": Optimizer("botorch_ei", "botorch_ei", _modelled),
}
