"""A call of a function or method in a forward, as its rule sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network.lowering._builder import LiveValue


class Batch:
    """The size of the batch, which is not known: it may stand where a value keeps it, and nowhere else."""

    def __repr__(self) -> str:
        return "batch"


BATCH: Final = Batch()


@dataclass(frozen=True, eq=False)
class Call:
    """A function or method that a module's forward calls.

    Attributes
    ----------
    path, owner
        The path of that module in the model, and its class.
    name
        What is called.
    arguments, options
        A `LiveValue` for what depends on the input, a tensor, a number, or tuples of them.
    """

    path: str
    owner: str
    name: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]

    def live(self, value: object) -> LiveValue:
        """Return a value that must depend on the input."""
        if not isinstance(value, LiveValue):
            raise self.unsupported(f" on a {type(value).__name__} in place of a value that depends on the input")
        return value

    def place(self, dim: object, rank: int) -> int:
        """Return which of the `rank` dimensions after the batch `dim` is."""
        place = (dim + rank if dim < 0 else dim - 1) if isinstance(dim, int) else -1
        if not 0 <= place < rank:
            raise self.unsupported(f" along dimension {dim}; supported: one after the batch, up to {rank}")
        return place

    def unsupported(self, reason: str) -> UnsupportedModuleError:
        """Return the error of a call that has no form here, for a rule to raise."""
        return UnsupportedModuleError(f"{self.path} ({self.owner}) calls {self.name}{reason}")

    def wrong(self, reason: str) -> ModelError:
        """Return the error of a call that does not fit, for a rule to raise."""
        return ModelError(f"{self.path} ({self.owner}) calls {self.name}{reason}")


def advice(name: str) -> str:
    """Return what may be done about a function that has no form here, where it is the last one of a model; or ""."""
    word = name.lower().replace("_", "")
    if word in ("softmax", "softmax2d", "logsoftmax"):
        return " (as the last step it may be left out: the largest output stays the largest)"
    if word in ("sigmoid", "logsigmoid", "tanh"):
        return " (as the last step it may be left out: it is increasing)"
    return ""


# Takes the call, the builder, and then what the function takes.
CallRule: TypeAlias = Callable[..., None]
