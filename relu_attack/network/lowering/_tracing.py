"""Symbolic tracing of a module's forward by `torch.fx`: calls are recorded and not computed."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from relu_attack._checks import in_one_line
from relu_attack.errors import ReLUAttackError, UnsupportedModuleError

SOURCE_LOCATION = "place"
"""Key in the `meta` of a node: path and class of the module that calls it."""
_TRACING = threading.RLock()


@dataclass(frozen=True, eq=False)
class TracedForward:
    """A traced forward.

    In the `graph`, leaf modules stand by name, relative to `root`.
    """

    graph: fx.Graph
    root: nn.Module
    path: str

    def module(self, target: str) -> tuple[nn.Module, str]:
        """Return a module of the graph and its path in the model."""
        return self.root.get_submodule(target), _path(self.path, target)

    def tensor(self, target: str) -> Tensor:
        """Return a parameter, a buffer or another constant tensor of the graph."""
        owner, _, name = target.rpartition(".")
        found: Tensor = getattr(self.root.get_submodule(owner), name)
        return found


def trace(
    module: nn.Module, path: str, *, is_leaf: Callable[[nn.Module], bool], enter: Callable[[nn.Module, str], None]
) -> TracedForward:
    """Trace the forward of a module.

    The module takes one value; other arguments of its forward have their defaults. Modules for which `is_leaf` holds
    are recorded by name; `enter` receives each other module with its path before it is traced. UnsupportedModuleError
    is raised for a forward with control flow that depends on values, or other operations that cannot be traced.

    During tracing, torch.fx intercepts module calls of all threads: calls of other threads are forwarded, and a lock
    allows one trace at a time.
    """
    root, tracer = _Call(module), _Tracer(path, is_leaf, enter)
    try:
        with _TRACING:
            graph = tracer.trace(root)
    except ReLUAttackError:
        raise
    except Exception as reason:  # a forward may do anything with a symbolic value
        place, owner = tracer.place
        raise UnsupportedModuleError(
            f"{place} is {owner}, whose forward cannot be traced: {in_one_line(reason)}; supported: modules "
            "and functions in a fixed order, without conditions and loops on values"
        ) from reason  # a mistake in the forward has its own traceback
    return TracedForward(graph, root, path)


class _Call(nn.Module):
    """Wrapper that calls the module with one value, so that other arguments have their defaults."""

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
        return attr_val  # parameters are constants: expressions of them alone are evaluated by the model's own code

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta[SOURCE_LOCATION] = self.place
        return node

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)


class _Value(fx.Proxy):
    """A symbolic value that records ``x += y`` as in-place, unlike ``x = x + y``."""

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
    """Return the path of a submodule as a Python expression, such as ``model[3].conv``; that of "" is `path` itself."""
    names = name.split(".") if name else []
    return path + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in names)


def _path(path: str, target: str) -> str:
    """Return the path in the model of a module of the graph; names begin with that of the traced module."""
    return member(path, target.partition(".")[2])
