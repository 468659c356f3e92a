"""The sets of inputs in a configuration, one section a kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from relu_attack.config.base import Real, Section, Whole, context_of, suggest
from relu_attack.config.constraints import Constraint
from relu_attack.config.numbers import Array, Numbers
from relu_attack.domains import Box, Domain, L1Ball, L2Ball, LInfBall, Polytope
from relu_attack.errors import DomainError

Shape: TypeAlias = tuple[Annotated[Whole, Field(ge=1)], ...]
Names: TypeAlias = tuple[str, ...] | None

_BALLS: dict[str, type[LInfBall | L2Ball | L1Ball]] = {"linf_ball": LInfBall, "l2_ball": L2Ball, "l1_ball": L1Ball}


def _complete(numbers: float | Array, info: ValidationInfo) -> float | Array:
    """Refuse numbers by name that leave an input out."""
    absent = np.isnan(numbers)
    names = context_of(info).names
    if names is not None and np.any(absent):
        left_out = [name for name, mask in zip(names, np.atleast_1d(absent), strict=True) if mask]
        raise ValueError(f"leaves out {', '.join(left_out)}; every input needs a number")
    return numbers


class BoxSection(Section):
    """A `Box`: ``lower`` and ``upper`` of each input, and ``shape`` of one input where the numbers do not tell."""

    kind: Literal["box"]
    lower: Numbers
    upper: Numbers
    shape: Shape | None = None

    _all_named = field_validator("lower", "upper")(_complete)

    def build(self, names: Names) -> Domain:
        """Return the set; raise `DomainError` when there is none."""
        return Box(self.lower, self.upper, shape=self.shape or _shape_of_names(names))


class BallSection(Section):
    """A ball around a ``center``: ``radius``, a pair ``clip`` of lower and upper bounds, and ``shape`` of one input."""

    kind: Literal["linf_ball", "l2_ball", "l1_ball"]
    center: Numbers
    radius: Real
    clip: tuple[Numbers, Numbers] | None = None
    shape: Shape | None = None

    _all_named = field_validator("center")(_complete)

    def build(self, names: Names) -> Domain:
        """Return the set; raise `DomainError` when there is none."""
        shape = self.shape or _shape_of_names(names)
        return _BALLS[self.kind](self.center, self.radius, clip=self.clip, shape=shape)


class PolytopeSection(Section):
    """A `Polytope`: constraints in words, matrices, and bounds; an input without a bound is unbounded there."""

    kind: Literal["polytope"]
    lower: Numbers | None = None
    upper: Numbers | None = None
    constraints: tuple[Constraint, ...] = ()
    A: Numbers | None = None
    b: Numbers | None = None
    A_eq: Numbers | None = None
    b_eq: Numbers | None = None
    shape: Shape | None = None

    def build(self, names: Names) -> Domain:
        """Return the set; raise `DomainError` when there is none."""
        inequalities = [row for constraint in self.constraints for row in constraint.inequalities()]
        equations = [row for constraint in self.constraints for row in constraint.equations()]
        return Polytope(
            *_stack(self.A, self.b, inequalities),
            *_stack(self.A_eq, self.b_eq, equations),
            lower=None if self.lower is None else np.where(np.isnan(self.lower), -np.inf, self.lower),
            upper=None if self.upper is None else np.where(np.isnan(self.upper), np.inf, self.upper),
            shape=self.shape or _shape_of_names(names),
        )


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
    return np.concatenate([above, coefficients]), np.concatenate([np.atleast_1d(np.asarray(values)), limits])


def _shape_of_names(names: Names) -> tuple[int, ...] | None:
    return None if names is None else (len(names),)


_SECTIONS: dict[str, type[BoxSection | BallSection | PolytopeSection]] = {
    "box": BoxSection,
    **dict.fromkeys(_BALLS, BallSection),
    "polytope": PolytopeSection,
}


def _choose(value: Any, info: ValidationInfo) -> Any:
    # Chosen here, so that the errors are those of one kind.
    if not isinstance(value, dict) or "kind" not in value:
        raise ValueError(f"must be a mapping with a key kind: {', '.join(_SECTIONS)}")
    if value["kind"] not in _SECTIONS:
        raise ValueError(f"has the kind {value['kind']!r}; {suggest(value['kind'], _SECTIONS)}")
    return _SECTIONS[value["kind"]].model_validate(value, context=info.context)


DomainSection: TypeAlias = Annotated[BoxSection | BallSection | PolytopeSection, BeforeValidator(_choose)]
