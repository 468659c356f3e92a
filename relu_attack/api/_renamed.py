"""Old names of public calls, for one release."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor, nn

from relu_attack import bounds
from relu_attack._checks import warn
from relu_attack.api._functions import output_bounds
from relu_attack.domains import Domain
from relu_attack.errors import RenamedWarning
from relu_attack.solvers import SearchArguments


class _CallableRoom(ModuleType):
    """The package `relu_attack.bounds`, which can be called as the function was that once had its name."""

    def __call__(self, model: nn.Module, domain: Domain, method: str = SearchArguments.bound) -> tuple[Tensor, Tensor]:
        warn("relu_attack.bounds(...) is called relu_attack.output_bounds(...) now", RenamedWarning)
        return output_bounds(model, domain, method)


bounds.__class__ = _CallableRoom
