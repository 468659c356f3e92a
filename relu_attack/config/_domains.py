"""Sections of a configuration for sets of inputs, one for each kind."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, ValidationInfo, field_validator

from relu_attack._limits import VALUE_ENTRIES
from relu_attack.config._base import Real, Section, Whole, context_of, of_kind, read_each, read_index, shown
from relu_attack.config._constraints import Constraint
from relu_attack.config._numbers import Array, Numbers
from relu_attack.config._own_classes import ClassName, make
from relu_attack.domains import BALLS, Box, Domain, Polytope
from relu_attack.errors import DomainError


def _not_too_large(shape: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(shape) > VALUE_ENTRIES:
        raise ValueError(f"has {math.prod(shape)} entries; at most {VALUE_ENTRIES} are read")
    return shape


Shape: TypeAlias = Annotated[tuple[Annotated[Whole, Field(ge=1)], ...], AfterValidator(_not_too_large)]
Names: TypeAlias = tuple[str, ...] | None

_BALLS = {f"{norm}_ball": ball for norm, ball in BALLS.items()}


def _complete(numbers: float | Array, info: ValidationInfo) -> float | Array:
    """Refuse numbers by name that leave an input out."""
    absent = np.isnan(numbers)
    names = context_of(info).names
    if names is not None and np.any(absent):
        left_out = [name for name, mask in zip(names, np.atleast_1d(absent), strict=True) if mask]
        raise ValueError(f"leaves out {', '.join(left_out)}; every input needs a number")
    return numbers


def _one_each(numbers: float | Array | None, info: ValidationInfo) -> float | Array | None:
    """Refuse a list that is longer or shorter than the list of names."""
    names = context_of(info).names
    if names is not None and np.ndim(numbers) == 1 and np.size(numbers) != len(names):  # type: ignore[arg-type]
        raise ValueError(f"has {np.size(numbers)} numbers, but there are {len(names)} inputs")  # type: ignore[arg-type]
    return numbers


def _in_order(upper: float | Array | None, info: ValidationInfo) -> float | Array | None:
    """Refuse an upper bound below the lower one, with the name of the input."""
    lower, names = info.data.get("lower"), context_of(info).names
    if lower is None or upper is None or names is None or np.ndim(lower) > 1 or np.ndim(upper) > 1:
        return upper
    pairs = zip(names, *(np.broadcast_to(bound, len(names)) for bound in (lower, upper)), strict=True)
    crossed = [f"{high:g} is below the lower bound {low:g} of {name}" for name, low, high in pairs if low > high]
    if crossed:
        raise ValueError("; ".join(crossed))
    return upper


def _read_inputs(value: Any, info: ValidationInfo) -> tuple[int, ...]:
    """Return the indices of inputs that are listed by name or by index."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of names or indices of inputs, got {shown(value)}")
    indices: list[int] = []

    def read(_: int, entry: Any) -> None:
        index = read_index(entry, context_of(info).names, "input")
        if index in indices:
            raise ValueError(f"{shown(entry)} is listed twice")
        indices.append(index)

    read_each(enumerate(value), read)
    return tuple(indices)


def _check_groups(groups: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Refuse groups of fewer than two inputs, and inputs of two groups."""
    members = [index for group in groups for index in group]
    wrong = [
        f"group {place} has {len(group)} inputs; at least 2" for place, group in enumerate(groups) if len(group) < 2
    ]
    wrong += [f"input {index} is in more than one group" for index in sorted({*members}) if members.count(index) > 1]
    if wrong:
        raise ValueError("; ".join(wrong))
    return groups


Inputs: TypeAlias = Annotated[tuple[int, ...], PlainValidator(_read_inputs)]


class BoxSection(Section):
    """A `Box`: ``lower`` and ``upper`` of each input, and ``shape`` where it does not follow from them.

    Inputs that must be whole are listed under ``integer``, choices of one among several under ``one_hot``.
    """

    kind: Literal["box"]
    lower: Numbers
    upper: Numbers
    shape: Shape | None = None
    integer: Inputs = ()
    one_hot: tuple[Inputs, ...] = ()

    _all_named = field_validator("lower", "upper")(_complete)
    _matched = field_validator("lower", "upper")(_one_each)
    _ordered = field_validator("upper")(_in_order)
    _groups = field_validator("one_hot")(_check_groups)

    def build(self, names: Names) -> Domain:
        """Return the set; raise `DomainError` when there is none."""
        shape = self.shape or _shape_of_names(names)
        try:
            return Box(self.lower, self.upper, shape=shape, integer=self.integer, one_hot=self.one_hot)
        except DomainError as reason:
            raise DomainError(_name_inputs(str(reason), names)) from None


class BallSection(Section):
    """A ball around a ``center``: ``radius``, a pair ``clip`` of lower and upper bounds, and ``shape`` of one input."""

    kind: Literal["linf_ball", "l2_ball", "l1_ball"]
    center: Numbers
    radius: Real
    clip: tuple[Numbers, Numbers] | None = None
    shape: Shape | None = None

    _all_named = field_validator("center")(_complete)
    _matched = field_validator("center")(_one_each)

    def build(self, names: Names) -> Domain:
        """Return the set; raise `DomainError` when there is none."""
        shape = self.shape or _shape_of_names(names)
        return _BALLS[self.kind](self.center, self.radius, clip=self.clip, shape=shape)


class PolytopeSection(Section):
    """A `Polytope`: constraints in words, matrices, and bounds; an input without a bound is unbounded there.

    ``integer`` and ``one_hot`` are as in a box.
    """

    kind: Literal["polytope"]
    lower: Numbers | None = None
    upper: Numbers | None = None
    constraints: tuple[Constraint, ...] = ()
    A: Numbers | None = None
    b: Numbers | None = None
    A_eq: Numbers | None = None
    b_eq: Numbers | None = None
    shape: Shape | None = None
    integer: Inputs = ()
    one_hot: tuple[Inputs, ...] = ()

    _matched = field_validator("lower", "upper")(_one_each)
    _ordered = field_validator("upper")(_in_order)
    _groups = field_validator("one_hot")(_check_groups)

    def build(self, names: Names) -> Domain:
        """Return the set; raise `DomainError` when there is none."""
        inequalities = [row for constraint in self.constraints for row in constraint.inequalities()]
        equations = [row for constraint in self.constraints for row in constraint.equations()]
        try:
            domain = Polytope(
                *_stack(self.A, self.b, inequalities),
                *_stack(self.A_eq, self.b_eq, equations),
                lower=None if self.lower is None else np.where(np.isnan(self.lower), -np.inf, self.lower),
                upper=None if self.upper is None else np.where(np.isnan(self.upper), np.inf, self.upper),
                shape=self.shape or _shape_of_names(names),
                integer=self.integer,
                one_hot=self.one_hot,
            )
        except DomainError as reason:
            raise DomainError(_name_inputs(self._in_words(str(reason)), names)) from None
        for number, constraint in enumerate(self.constraints):
            _check_divisor(domain, constraint, number)
        return domain

    def _in_words(self, message: str) -> str:
        """Put the name of a constraint behind the number of its row."""
        inequalities = [constraint.name for constraint in self.constraints for _ in constraint.inequalities()]
        equations = [constraint.name for constraint in self.constraints for _ in constraint.equations()]
        for matrix, given, names in (("A", self.A, inequalities), ("A_eq", self.A_eq, equations)):
            found = re.search(rf"\b{matrix} row (\d+)", message)
            place = -1 if found is None else int(found[1]) - (0 if given is None else len(np.atleast_1d(given)))
            if found and 0 <= place < len(names) and names[place]:
                message = message.replace(found[0], f"{found[0]} ({names[place]})", 1)
        return message


def _check_divisor(domain: Domain, constraint: Constraint, number: int) -> None:
    """Raise for a ratio whose divisor may be negative, since its rows would then be reversed."""
    if constraint.ratio is None:
        return
    divisor = torch.as_tensor(constraint.ratio.to)
    smallest = float(divisor @ domain.maximizer(-divisor))
    if smallest < -domain.tolerance * max(1.0, float(divisor.abs().max())):
        name = constraint.name or f"constraint {number}"
        raise DomainError(f"the divisor of {name} is {smallest:.3g} at a point of the set; it must not be negative")


def _stack(
    matrix: float | Array | None, values: float | Array | None, rows: list[tuple[Array, float]]
) -> tuple[Any, Any]:
    """Put the rows in words under those of a matrix; what is no matrix is left for the set to refuse."""
    if not rows or (matrix is None) != (values is None):
        return matrix, values
    coefficients, limits = np.stack([row for row, _ in rows]), np.array([limit for _, limit in rows])
    if matrix is None:
        return coefficients, limits
    above = np.asarray(matrix)
    if above.ndim != 2 or above.shape[1] != coefficients.shape[1]:
        raise DomainError(f"a matrix has shape {above.shape}; it needs {coefficients.shape[1]} columns, one an input")
    given = np.atleast_1d(np.asarray(values))
    if given.shape != above.shape[:1]:
        raise DomainError(f"the limits of a matrix have shape {given.shape}; it needs {len(above)}, one a row")
    return np.concatenate([above, coefficients]), np.concatenate([given, limits])


def _name_inputs(message: str, names: Names) -> str:
    """Put the name of an input behind its index."""

    def named(found: re.Match[str]) -> str:
        return f"{found[0]} ({names[int(found[1])]})" if names and int(found[1]) < len(names) else found[0]

    return re.sub(r"\binput (\d+)\b", named, message)


def _shape_of_names(names: Names) -> tuple[int, ...] | None:
    return None if names is None else (len(names),)


class OwnDomainSection(Section):
    """A set of a class of the user, a subclass of `Domain`; the other keys are the arguments of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: ClassName

    def build(self, names: Names) -> Domain:
        """Return the set; its code is run here."""
        return make(self.kind, self.model_extra or {}, Domain)  # type: ignore[type-abstract]


_SECTIONS: dict[str, type[Section]] = {
    "box": BoxSection,
    **dict.fromkeys(_BALLS, BallSection),
    "polytope": PolytopeSection,
}

DomainSection: TypeAlias = Annotated[
    BoxSection | BallSection | PolytopeSection | OwnDomainSection, of_kind(_SECTIONS, own=OwnDomainSection)
]
