"""A module's own forward as a graph, by `torch.fx`: every call is recorded, none is computed."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from relu_attack.errors import ReLUAttackError, UnsupportedModuleError

SOURCE_LOCATION = "place"
"""Where in the `meta` of a node stands which module calls it: its path, and its class."""
_TRACING = threading.RLock()


@dataclass(frozen=True, eq=False)
class TracedForward:
    """A traced forward.

    Attributes
    ----------
    graph
        What is called, in order, with the modules that were not looked into by name.
    root
        What those names, and the names of tensors, start from.
    path
        Where in the model the module stands.
    """

    graph: fx.Graph
    root: nn.Module
    path: str

    def module(self, target: str) -> tuple[nn.Module, str]:
        """Return a module of the graph, and its path in the model."""
        return self.root.get_submodule(target), _path(self.path, target)

    def tensor(self, target: str) -> Tensor:
        """Return a parameter, a buffer or another constant tensor of the graph."""
        owner, _, name = target.rpartition(".")
        found: Tensor = getattr(self.root.get_submodule(owner), name)
        return found


def trace(
    module: nn.Module, path: str, *, is_leaf: Callable[[nn.Module], bool], enter: Callable[[nn.Module, str], None]
) -> TracedForward:
    """Record what a module's forward calls.

    Parameters
    ----------
    module
        A module that takes one value; other arguments of its forward have their defaults.
    path
        Where in the model it stands.
    is_leaf
        Which of its modules are recorded as they are; the others are looked into.
    enter
        Called with a module, and where it stands, before it is looked into.

    Raises
    ------
    UnsupportedModuleError
        For a forward that does other things, depending on the values, than call functions and modules.

    Notes
    -----
    While it runs, torch.fx stands in for the calls of all modules, in other threads too: those are passed on, and only
    one forward is traced at a time.
    """
    root, tracer = _Call(module), _Tracer(path, is_leaf, enter)
    try:
        with _TRACING:
            graph = tracer.trace(root)
    except ReLUAttackError:
        raise
    except Exception as reason:  # whatever a forward does with a value that it cannot look into
        place, owner = tracer.place
        said = " ".join(str(reason).split())
        raise UnsupportedModuleError(
            f"{place} is {owner}, whose forward cannot be traced: {type(reason).__name__}: {said}; supported: modules "
            "and functions in a fixed order, without conditions and loops on values"
        ) from reason  # it may be a mistake in the forward, whose place the user wants to see
    return TracedForward(graph, root, path)


class _Call(nn.Module):
    """Calls the module with one value, so that it is itself a call in the graph and keeps its defaults."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Any:
        return self.module(x)


class _Tracer(fx.Tracer):
    def __init__(
        self, path: str, is_leaf: Callable[[nn.Module], bool], enter: Callable[[nn.Module, str], None]
    ) -> None:
        super().__init__()
        self._path, self._is_leaf, self._enter = path, is_leaf, enter
        self._thread = threading.get_ident()
        self.place = (path, "")

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self._is_leaf(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        before, self.place = self.place, (_path(self._path, self.path_of_module(m)), type(m).__name__)
        if not self._is_leaf(m):
            self._enter(m, self.place[0])
        result = super().call_module(m, forward, args, kwargs)
        self.place = before
        return result

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val  # parameters are constants: what is computed from them alone is computed as the model does

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta[SOURCE_LOCATION] = self.place
        return node

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)


class _Value(fx.Proxy):
    """A value that tells ``x += y`` from ``x = x + y``: the former changes x wherever else it is used."""

    def _in_place(self, function: Callable[..., Any], other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.itruediv, other)


def member(path: str, name: str) -> str:
    """Return where in the model a module stands, as Python would get there from another one.

    Parameters
    ----------
    path
        Where the other one stands.
    name
        The name there, with dots; "" for the other one itself.
    """
    names = name.split(".") if name else []
    return path + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in names)


def _path(path: str, target: str) -> str:
    """Return where in the model a module of the graph stands; names begin with that of the traced module."""
    return member(path, target.partition(".")[2])
