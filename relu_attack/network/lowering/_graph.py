"""Lowering of modules with a forward of their own: a walk over the traced graph with liveness of its values."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from torch import fx, nn

from relu_attack.errors import UnsupportedModuleError
from relu_attack.network.lowering import _arithmetic, _indexing
from relu_attack.network.lowering._builder import Builder, LiveValue
from relu_attack.network.lowering._call import BATCH, Call, CallRule, advice
from relu_attack.network.lowering._registry import layer_functions
from relu_attack.network.lowering._tracing import SOURCE_LOCATION, TracedForward

Lower: TypeAlias = Callable[[nn.Module, Builder, str], None]
"""Lowers a module, which stands at a path, from the current value on."""

RULES: dict[object, CallRule] = {**_arithmetic.RULES, **_indexing.RULES}
ON_SIZES = (operator.add, operator.sub, operator.mul, operator.floordiv, operator.getitem)
"""Operators on the sizes of a value."""

TAKE_BATCH = (*_indexing.KEEP_BATCH, operator.getitem)
"""Functions that accept a batch-size argument."""

_SIGNS = "+, -, *, /, [:, ...]"


def lower_graph(traced: TracedForward, builder: Builder, lower_module: Lower) -> None:
    """Lower a traced forward from the current value on."""
    found: dict[fx.Node, Any] = {}
    ends = _last_uses(traced.graph)
    for node in traced.graph.nodes:
        arguments, options = fx.node.map_arg((node.args, node.kwargs), found.__getitem__)
        for ended in ends.get(node, ()):
            if isinstance(found[ended], LiveValue):
                builder.free(found[ended])
        builder.path, owner = node.meta[SOURCE_LOCATION]
        match node.op:
            case "placeholder":
                result: Any = builder.current()
            case "get_attr":
                result = traced.tensor(node.target)
            case "call_module":
                module, path = traced.module(node.target)
                result = _call_module(module, path, arguments, options, builder, lower_module)
            case "output":
                builder.switch_to(_output(arguments[0], builder.path))
                continue
            case _:
                key = _key(node)
                given = arguments[:1] if node.target is getattr else arguments
                result = _call(Call(builder.path, owner, _name(key), given, options), key, builder, lower_module)
        found[node] = result
        if isinstance(result, LiveValue) and any(not _is_query(user) for user in node.users):
            builder.save(result)


def _last_uses(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """Return for each node the values that no later node reads; queries of a shape do not count."""
    last = {value: node for node in graph.nodes if not _is_query(node) for value in node.all_input_nodes}
    ends: dict[fx.Node, list[fx.Node]] = {}
    for value, node in last.items():
        ends.setdefault(node, []).append(value)
    return ends


def _key(node: fx.Node) -> Any:
    """Return the key of a node in the tables: a function, or the name of a method or an attribute."""
    return node.args[1] if node.target is getattr else node.target


def _name(key: Any) -> str:
    return key if isinstance(key, str) else str(key.__name__)


def _is_query(node: fx.Node) -> bool:
    return _key(node) in _indexing.QUERIES


def _output(value: object, path: str) -> LiveValue:
    if not isinstance(value, LiveValue):
        raise UnsupportedModuleError(
            f"{path} returns a {type(value).__name__}; supported: one tensor that depends on the input"
        )
    return value


def _call_module(
    module: nn.Module, path: str, arguments: Any, options: Any, builder: Builder, lower_module: Lower
) -> LiveValue:
    if options or len(arguments) != 1 or not isinstance(arguments[0], LiveValue):
        raise UnsupportedModuleError(
            f"{path} ({type(module).__name__}) is called with other things than one value that depends on the input"
        )
    builder.switch_to(arguments[0])
    lower_module(module, builder, path)
    return builder.current()


def _call(call: Call, key: Any, builder: Builder, lower_module: Lower) -> Any:
    """Lower a call and return its value, or the sizes that it asks for."""
    given: list[object] = []
    fx.node.map_aggregate((call.arguments, dict(call.options)), given.append)
    live = sum(isinstance(part, LiveValue) for part in given)
    if any(part is BATCH for part in given) and key not in TAKE_BATCH:
        raise call.unsupported(" on the size of the batch, which is not known; supported: view and reshape")
    if not live and key in ON_SIZES:
        return _compute(call, key)
    if key in _indexing.QUERIES:
        return _indexing.answer_query(call)
    modules = layer_functions()
    if not live or not (key in modules or key in RULES):
        names = {_name(known) for known in (*modules, *RULES) if known not in vars(operator).values()}
        supported = ", ".join(sorted(name for name in names if not name.endswith("_")))
        raise call.unsupported(f", which has no exact form here{advice(call.name)}; supported: {_SIGNS}, {supported}")
    if key in modules:
        if live > 1:
            raise call.unsupported(f" on {live} values that depend on the input; supported: one")
        return _call_as_module(call, modules[key], builder, lower_module)
    try:
        bound = inspect.signature(RULES[key]).bind(call, builder, *call.arguments, **call.options)
    except TypeError as reason:
        raise call.unsupported(f" with arguments that have no form here: {reason}") from None
    RULES[key](*bound.args, **bound.kwargs)
    return builder.current()


def _compute(call: Call, key: Callable[..., object]) -> object:
    try:
        return key(*call.arguments)
    except (ArithmeticError, IndexError, TypeError) as reason:
        raise call.wrong(f" on {call.arguments}: {reason}") from None


def _call_as_module(call: Call, make: Callable[..., nn.Module], builder: Builder, lower_module: Lower) -> LiveValue:
    options = dict(call.options)
    value, *arguments = call.arguments or (options.pop("input", None),)
    try:
        module = make(*arguments, **options)
    except (AssertionError, TypeError, ValueError) as reason:
        raise call.unsupported(f" with arguments that have no form here: {reason}") from None
    builder.switch_to(call.live(value))
    lower_module(module, builder, call.path)
    return builder.current()
