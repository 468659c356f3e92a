"""A call of a function or method in a traced forward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network.lowering._builder import LiveValue


class Batch:
    """The unknown size of the batch: allowed only where an operation preserves the batch dimension."""

    def __repr__(self) -> str:
        return "batch"


BATCH: Final = Batch()


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a function or method in the forward of a module.

    Among `arguments` and `options` are tensors, numbers, a `LiveValue` for each value that depends on the input, and
    tuples of them. `path` and `owner` are the path of the module in the model, and its class.
    """

    path: str
    owner: str
    name: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]

    def live(self, value: object) -> LiveValue:
        """Return an argument that must depend on the input."""
        if not isinstance(value, LiveValue):
            raise self.unsupported(f" on a {type(value).__name__} in place of a value that depends on the input")
        return value

    def place(self, dim: object, rank: int) -> int:
        """Return the index of dimension `dim` among the `rank` dimensions after the batch."""
        place = (dim + rank if dim < 0 else dim - 1) if isinstance(dim, int) else -1
        if not 0 <= place < rank:
            raise self.unsupported(f" along dimension {dim}; supported: one after the batch, up to {rank}")
        return place

    def unsupported(self, reason: str) -> UnsupportedModuleError:
        """Return the error of a call without an exact form, for a rule to raise."""
        return UnsupportedModuleError(f"{self.path} ({self.owner}) calls {self.name}{reason}")

    def wrong(self, reason: str) -> ModelError:
        """Return the error of a call with arguments that do not fit, for a rule to raise."""
        return ModelError(f"{self.path} ({self.owner}) calls {self.name}{reason}")


def advice(name: str) -> str:
    """Return a hint for a final function that may be left out, such as softmax; or ""."""
    word = name.lower().replace("_", "")
    if word in ("softmax", "softmax2d", "logsoftmax"):
        return " (as the last step it may be left out: the largest output stays the largest)"
    if word in ("sigmoid", "logsigmoid", "tanh"):
        return " (as the last step it may be left out: it is increasing)"
    return ""


# Takes the call, the builder, and the arguments of the function.
CallRule: TypeAlias = Callable[..., None]
