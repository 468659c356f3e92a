"""Digests: SHA-256 of all that the forward pass of a model reads, of sets of inputs, and of objectives.

Certificates and records hold the digests of what they are of, and a model that is kept between calls is compared by the
same contents. Equal contents have the same digest in another process and on another device.
"""

from __future__ import annotations

import argparse
import dis
import enum
import functools
import hashlib
import numbers
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from pathlib import PurePath

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

# Of these only the names of classes and functions count: their code is that of an installed version.
_LIBRARIES = frozenset({"torch", "numpy", "pytorch_lightning", "lightning", "relu_attack"}) | sys.stdlib_module_names
_NAMESPACES = (types.SimpleNamespace, argparse.Namespace)
_PLAIN = (
    types.NoneType, numbers.Number, str, bytes, PurePath,
    torch.dtype, torch.Size, torch.memory_format, slice, range, types.EllipsisType,
)  # fmt: skip
_STATES = ("training", "_parameters", "_buffers", "_modules")
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_BOOKKEEPING = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Digests:
    """What a certificate or a record is of, each part as a SHA-256 in hexadecimal.

    That of the `model` covers all that the forward pass reads: classes and code of the modules, their modes,
    parameters, buffers (also those that are not saved) and other attributes. `domain` are the sets of inputs by the
    numbers that they were given as; `objective` is what is bounded or counted on them.
    """

    model: str
    domain: str
    objective: str


@dataclass(frozen=True, eq=False)
class Contents:
    """All that some values consist of.

    `description` is the SHA-256 of everything but the numbers in `tensors`, each of which stands there once.
    """

    description: str
    tensors: tuple[Tensor, ...]

    @staticmethod
    def of(*values: object) -> Contents:
        """Read models, sets, objectives, arrays, numbers, and sequences and mappings of these."""
        reader = _Reader()
        reader.read(values)
        return Contents(reader.hash.hexdigest(), tuple(reader.tensors))

    def copy(self) -> Contents:
        """Return the same with copies of the tensors, so that contents of a later time can be compared."""
        return Contents(self.description, tuple(tensor.clone() for tensor in self.tensors))

    def equals(self, other: Contents) -> bool:
        """Return whether the contents are the same, and on the same devices."""
        return self.description == other.description and all(
            one.device == two.device and torch.equal(one, two)
            for one, two in zip(self.tensors, other.tensors, strict=True)
        )

    def digest(self) -> str:
        """Return the SHA-256 of the contents in hexadecimal."""
        found = hashlib.sha256(self.description.encode())
        for tensor in self.tensors:
            found.update(_numbers(tensor))
        return found.hexdigest()


def digest(*values: object) -> str:
    """Return the SHA-256 of the contents of values in hexadecimal.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 1), nn.LeakyReLU(0.1))
    >>> before = digest(model)
    >>> model[1].negative_slope = 0.2
    >>> digest(model) == before
    False
    """
    return Contents.of(*values).digest()


def _numbers(tensor: Tensor) -> memoryview:
    dense = tensor.dequantize() if tensor.is_quantized else tensor
    dense = dense if dense.layout == torch.strided else dense.to_dense()
    flat = dense.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.stride() != (1,):  # a single number that was expanded counts as contiguous
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().data


class _Reader:
    """Walks through values; a module, an object, a function or a tensor that was met before is named by its number."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.tensors: list[Tensor] = []
        self._met: dict[int, tuple[int, object]] = {}  # holds the objects too, so that no id is used a second time
        self._inside: list[object] = []  # containers that are being read: one may hold itself
        self._methods_read: set[tuple[type, str]] = set()

    def _say(self, *words: object) -> None:
        for word in words:
            encoded = str(word).encode()
            self.hash.update(f"{len(encoded)}:".encode() + encoded)

    def _is_known(self, value: object) -> bool:
        known = self._met.get(id(value))
        if known is None:
            self._met[id(value)] = (len(self._met), value)
            return False
        self._say("again", known[0])
        return True

    def read(self, value: object) -> None:
        """Describe a value, and all that it holds."""
        if isinstance(value, enum.Enum):
            self._say(_name(type(value)), value.name)
        elif isinstance(value, float):
            self._say("float", value.hex())
        elif isinstance(value, np.ndarray | np.generic):
            self._array(np.asarray(value))
        elif isinstance(value, _PLAIN):
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, torch.device):
            self._say("device")
        elif isinstance(value, Mapping | Set | Sequence) and not isinstance(value, nn.Module):
            self._container(value)
        elif not self._is_known(value):
            self._thing(value)

    def _container(self, value: Mapping[object, object] | Set[object] | Sequence[object]) -> None:
        if any(value is outer for outer in self._inside):
            self._say("within itself")
            return
        self._inside.append(value)
        if isinstance(value, Mapping):
            self._say("mapping", len(value))
            self._each(part for pair in value.items() for part in pair)
        else:
            self._say("sequence", len(value))
            self._each(sorted(value, key=repr) if isinstance(value, Set) else value)
        self._inside.pop()

    def _thing(self, value: object) -> None:
        match value:
            case UninitializedParameter() | UninitializedBuffer():
                self._say("uninitialized")
            case Tensor():
                self._say("tensor", value.dtype, tuple(value.shape))
                self.tensors.append(value.detach())
            case nn.Module():
                self._module(value)
            case type():
                self._class(value)
            case types.FunctionType():
                self._function(value)
            case types.MethodType():
                self._each((value.__func__, value.__self__))
            case functools.partial():
                self._each((value.func, value.args, value.keywords))
            case staticmethod() | classmethod():
                self.read(value.__func__)
            case property():
                self._each((value.fget, value.fset))
            case _ if hasattr(value, "__array__"):
                self._array(np.asarray(value))
            case _:
                self._object(value)

    def _each(self, values: Iterable[object]) -> None:
        for value in values:
            self.read(value)

    def _array(self, array: np.ndarray) -> None:
        self._say("array", array.dtype, array.shape)
        if array.dtype.hasobject:
            self.read(array.tolist())
        else:
            self.hash.update(np.ascontiguousarray(array).tobytes())

    def _attributes(self, attributes: Mapping[str, object]) -> None:
        for name in sorted(attributes):
            self._say(name)
            self.read(attributes[name])

    def _module(self, module: nn.Module) -> None:
        kind, attributes = type(module), vars(module)
        self._say("module", _name(kind))
        for name in _STATES:
            self.read(attributes[name])
        for name in _HOOKS:
            self._each(attributes[name].values())
        skipped = _BOOKKEEPING | _bookkeeping_of_lightning(kind)
        self._attributes({name: value for name, value in attributes.items() if name not in skipped})
        self._methods(kind, ("forward", "__call__", "__getattr__"))

    def _object(self, value: object) -> None:
        kind = type(value)
        self._say("object", _name(kind), getattr(value, "__name__", ""))
        if kind.__module__.partition(".")[0] == "relu_attack":
            self._attributes(_given(value))
        elif isinstance(value, _NAMESPACES) or is_dataclass(value) or not _is_library(kind):
            self._class(kind)
            self._attributes(_state(value))

    def _class(self, kind: type) -> None:
        self._say("class", _name(kind))
        for base in _own_classes(kind):
            self._methods(kind, vars(base))

    def _methods(self, kind: type, names: Iterable[str]) -> None:
        """Describe what the user's classes define under some names, and what is used there of the same classes."""
        for name in names:
            if (kind, name) in self._methods_read or name in ("__dict__", "__weakref__", "__doc__", "__module__"):
                continue
            self._methods_read.add((kind, name))
            for base in _own_classes(kind):  # a method may call that of the class above
                if name in vars(base):
                    member = vars(base)[name]
                    self._say(_name(base), name)
                    self.read(member)
                    for code in _codes(member):
                        self._methods(kind, code.co_names)

    def _function(self, function: types.FunctionType) -> None:
        self._say("function", _name(function))
        if _is_library(function):
            return
        code = function.__code__
        self._each((function.__defaults__, function.__kwdefaults__))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if name != "__class__":  # of super(): the class whose method this is
                self._each(_content(cell))
        for part in _nested(code):
            self._say(part.co_code.hex(), *part.co_names)
            self._each(constant for constant in part.co_consts if not isinstance(constant, types.CodeType))
            for instruction in dis.get_instructions(part):
                value = function.__globals__.get(instruction.argval) if instruction.opname == "LOAD_GLOBAL" else None
                if not isinstance(value, types.ModuleType):
                    self.read(value)


def _name(thing: type | types.FunctionType) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _is_library(thing: type | types.FunctionType) -> bool:
    return str(thing.__module__).partition(".")[0] in _LIBRARIES


def _own_classes(kind: type) -> list[type]:
    return [base for base in kind.__mro__ if not _is_library(base)]


def _codes(member: object) -> Iterator[types.CodeType]:
    parts = (member.fget,) if isinstance(member, property) else (getattr(member, "__func__", member),)
    for part in parts:
        if isinstance(part, types.FunctionType):
            yield from _nested(part.__code__)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _content(cell: types.CellType) -> list[object]:
    try:
        return [cell.cell_contents]
    except ValueError:  # a variable that has no value yet
        return []


def _state(value: object) -> dict[str, object]:
    """Return the attributes of an object, without those that are computed from others when they are asked for."""
    slots = [name for base in type(value).__mro__ for name in _slots(base) if hasattr(value, name)]
    attributes = {**{name: getattr(value, name) for name in slots}, **getattr(value, "__dict__", {})}
    computed = {
        name
        for base in type(value).__mro__
        for name, member in vars(base).items()
        if isinstance(member, functools.cached_property)
    }
    return {name: part for name, part in attributes.items() if name not in computed}


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _given(value: object) -> dict[str, object]:
    """Return what an object of this package was given as: what its class names, its fields or its public attributes."""
    identity: tuple[str, ...] | None = getattr(type(value), "_identity", None)
    if identity is not None:
        return {name: getattr(value, name) for name in identity}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return {name: part for name, part in _state(value).items() if not name.startswith("_")}


def _bookkeeping_of_lightning(kind: type) -> frozenset[str]:
    base = next((base for base in kind.__mro__ if base.__name__ == "LightningModule"), None)
    return frozenset() if base is None else frozenset(vars(base()))
