"""How the arguments of a polytope are read: each mistake is named with its row or index."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, as_tensor, first_index
from relu_attack.domains import _integrality
from relu_attack.domains._arrangement import read_shape
from relu_attack.domains._linear_constraints import LinearConstraints, sum_to_one
from relu_attack.domains.polytope._form import PolytopeForm, RowNames
from relu_attack.errors import DomainError

Labels: TypeAlias = list[str]
# A matrix, or constraints: `LinearConstraints`, scipy's ``LinearConstraint`` or ``Bounds``, or a list of these.
Rows: TypeAlias = "ArrayLike | LinearConstraints | Sequence[Any] | Any | None"
_SHARED = "; a batch of polytopes has one matrix, and a right side for each set"


@dataclass(frozen=True, kw_only=True)
class Given:
    """The rows and bounds of a polytope as arguments; `labels` name the inequalities and the equations in messages."""

    A: ArrayLike | None
    b: ArrayLike | None
    A_eq: ArrayLike | None
    b_eq: ArrayLike | None
    lower: ArrayLike | None
    upper: ArrayLike | None
    labels: tuple[Labels, Labels] | None = None

    @staticmethod
    def of(
        A: Rows, b: Rows, A_eq: ArrayLike | None, b_eq: ArrayLike | None, lower: ArrayLike | None,
        upper: ArrayLike | None,
    ) -> Given:  # fmt: skip
        """Return the arguments of a polytope, those that are constraints taken apart."""
        constraints = [*_constraints(A), *_constraints(b)]
        if not constraints:
            return Given(A=A, b=b, A_eq=A_eq, b_eq=b_eq, lower=lower, upper=upper)  # type: ignore[arg-type]
        arrays = [
            name
            for name, value in (("A", A), ("b", b), ("A_eq", A_eq), ("b_eq", b_eq))
            if value is not None and not _constraints(value)
        ]
        if arrays:
            raise DomainError(
                f"Polytope has linear constraints, which bring their sides, beside {arrays[0]}; give either of them"
            )
        return _taken_apart(constraints, lower, upper)

    @property
    def is_empty(self) -> bool:
        """Whether no argument is given."""
        return all(part is None for part in (self.A, self.b, self.A_eq, self.b_eq, self.lower, self.upper))


def _constraints(value: object) -> list[LinearConstraints]:
    """Return the constraints that an argument consists of, none where it is an array."""
    if isinstance(value, list | tuple):
        parts = [_constraints(part) for part in value]
        if not any(parts):
            return []
        if not all(parts):
            raise DomainError("Polytope has linear constraints beside other values in one list; give constraints only")
        return [one for part in parts for one in part]
    known = isinstance(value, LinearConstraints) or (hasattr(value, "lb") and hasattr(value, "ub"))
    return [LinearConstraints.of(value)] if known else []


def _taken_apart(constraints: list[LinearConstraints], lower: ArrayLike | None, upper: ArrayLike | None) -> Given:
    inputs = max(one.inputs for one in constraints)
    parts: list[list[Tensor]] = [[], [], [], []]
    labels: tuple[Labels, Labels] = ([], [])
    bounds = list(read_bounds(lower, upper, inputs))
    for place, one in enumerate(constraints):
        name = f"constraint {place} " if len(constraints) > 1 else "constraint "
        if one.auxiliary:
            raise DomainError(f"Polytope {name}has auxiliary variables; give rows over the inputs alone")
        if one.inputs != inputs and (len(one) or one.inputs != 1):  # one pair of numbers bounds every input
            raise DomainError(f"Polytope {name}has {one.inputs} inputs, but another one has {inputs}")
        matrix, limit, equation = one.one_sided
        kinds = (~equation, equation)
        for side, chosen in enumerate(kinds):
            parts[2 * side].append(matrix[chosen].reshape(-1, inputs))
            parts[2 * side + 1].append(limit[chosen])
        equal = one.equation
        above, below = ~equal & torch.isfinite(one.ub), ~equal & torch.isfinite(one.lb)
        for into, index in ((0, above), (0, below), (1, equal)):
            labels[into].extend(f"{name}row {int(row)}" for row in torch.nonzero(index))
        bounds = [torch.maximum(bounds[0], one.lower), torch.minimum(bounds[1], one.upper)]
    A, b, A_eq, b_eq = (torch.cat(part) for part in parts)
    return Given(A=A, b=b, A_eq=A_eq, b_eq=b_eq, lower=bounds[0], upper=bounds[1], labels=labels)


def read_polytope(
    given: Given, integer: tuple[int, ...], one_hot: tuple[tuple[int, ...], ...], inputs: int
) -> tuple[LinearConstraints, PolytopeForm, RowNames]:
    """Check the arguments of a polytope; return its rows as they are given, as rows of norm 1, and their names.

    The first have the order that `LinearConstraints.one_sided` has: inequalities with an upper side, then equations.
    Bounds of integer inputs are whole, and the groups have their equations, in both.
    """
    matrix, value = read_rows("A", "b", given.A, given.b, inputs)
    equality_matrix, equality_value = read_rows("A_eq", "b_eq", given.A_eq, given.b_eq, inputs)
    low, high = _integrality.whole_bounds("Polytope", *read_bounds(given.lower, given.upper, inputs), integer)
    _integrality.check_groups("Polytope", low, high, one_hot)
    groups = sum_to_one(one_hot, inputs)
    labels = given.labels or (
        [f"A row {row}" for row in range(len(value))],
        [f"A_eq row {row}" for row in range(len(equality_value))],
    )
    rows, values, names = normalize_rows(labels[0], matrix, value, equation=False)
    equations, equation_values, equation_names = normalize_rows(
        labels[1], equality_matrix, equality_value, equation=True
    )
    sides = torch.cat([equality_value, groups.ub])
    kept = LinearConstraints(
        torch.cat([matrix, equality_matrix, groups.A]),
        torch.cat([torch.full_like(value, -torch.inf), sides]), torch.cat([value, sides]), lower=low, upper=high,
    )  # fmt: skip
    group_names = [f"one_hot group {number}" for number in range(len(one_hot))]
    group_rows, ones, _ = normalize_rows(group_names, groups.A, groups.ub, equation=True)
    form = PolytopeForm(
        A=rows.numpy(), b=values.numpy(),
        E=torch.cat([equations, group_rows]).numpy(), e=torch.cat([equation_values, ones]).numpy(),
        low=low.numpy(), high=high.numpy(),
    )  # fmt: skip
    return kept, form, (names, equation_names + group_names)


def form_of(given: LinearConstraints) -> PolytopeForm:
    """Return rows in the order of `read_polytope` as they are, not of norm 1, as a form."""
    equal = given.equation
    parts = (given.A[~equal], given.ub[~equal], given.A[equal], given.ub[equal], given.lower, given.upper)
    return PolytopeForm(*(part.numpy() for part in parts))


def in_coordinates(given: LinearConstraints, shift: Tensor, scale: Tensor) -> LinearConstraints:
    """Return rows over u with ``x = shift + scale u``, to rounding."""
    moved = given.A @ shift
    return LinearConstraints(
        given.A * scale, given.lb - moved, given.ub - moved,
        lower=(given.lower - shift) / scale, upper=(given.upper - shift) / scale,
    )  # fmt: skip


def count_inputs(given: Given, shape: tuple[int, ...] | None) -> int:
    """Return the number of inputs, by whichever argument has it."""
    if shape is not None:
        return math.prod(read_shape(shape, name="Polytope"))
    for name in ("A", "A_eq", "lower", "upper"):
        value, is_matrix = getattr(given, name), name.startswith("A")
        if value is not None:
            tensor = as_tensor(value, name=f"Polytope {name}", error=DomainError)
            if tensor.dim() == 2 or (tensor.dim() == 1 and not is_matrix):
                return tensor.shape[-1]
            if is_matrix or tensor.dim() > 2:
                wanted = f"(rows, inputs){_SHARED}" if is_matrix else "(inputs,), or (batch, inputs) for a batch"
                raise DomainError(f"Polytope {name} has shape {tuple(tensor.shape)}, it must be {wanted}")
    raise DomainError("Polytope needs A, A_eq, bounds with an entry for each input, or shape=(inputs,)")


def count_sets(given: Given, shape: tuple[int, ...] | None) -> int | None:
    """Return how many sets the arguments of a polytope are for; None for one that is no batch."""
    sides = _sides_of_sets(given, count_inputs(given, shape), shape)
    if not sides:
        return None
    (first, values), *others = sides.items()
    for name, other in others:
        if len(other) != len(values):
            raise DomainError(f"Polytope {first} is for {len(values)} sets, but {name} for {len(other)}")
    if len(values) == 0:
        raise DomainError(f"Polytope {first} is for a batch of 0 sets; at least one is needed")
    return len(values)


def each_set(given: Given, sets: int, shape: tuple[int, ...] | None) -> Iterator[Given]:
    """Yield the arguments of each of some sets, which share what is no batch of sides or bounds."""
    several = _sides_of_sets(given, count_inputs(given, shape), shape)
    for index in range(sets):
        own: dict[str, Any] = {name: values[index] for name, values in several.items()}
        yield replace(given, **own)


def _sides_of_sets(given: Given, inputs: int, shape: tuple[int, ...] | None) -> dict[str, Tensor]:
    """Return those right sides and bounds that are a batch, by name."""
    found = {}
    one_input = {(inputs,), (inputs,) if shape is None else tuple(shape)}
    for name in ("b", "b_eq", "lower", "upper"):
        value = getattr(given, name)
        if value is None:
            continue
        tensor = as_tensor(value, name=f"Polytope {name}", error=DomainError)
        dimensions = tuple(tensor.shape)
        if name.startswith("b"):
            batched = len(dimensions) == 2
        else:
            batched = dimensions not in one_input and dimensions[1:] in one_input
        if batched:
            found[name] = tensor
    return found


def read_rows(
    name: str, value_name: str, matrix: ArrayLike | None, value: ArrayLike | None, inputs: int
) -> tuple[Tensor, Tensor]:
    """Check a matrix and its right-hand side; none of both is no rows."""
    if matrix is None and value is None:
        return torch.zeros(0, inputs, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    if matrix is None or value is None:
        missing, given = (name, value_name) if matrix is None else (value_name, name)
        raise DomainError(f"Polytope has {given} but no {missing}; give both")
    rows = as_tensor(matrix, name=f"Polytope {name}", error=DomainError).to("cpu", torch.float64)
    values = as_tensor(value, name=f"Polytope {value_name}", error=DomainError).to("cpu", torch.float64)
    if rows.dim() != 2 or rows.shape[1] != inputs:
        batched = _SHARED if rows.dim() > 2 else ""
        raise DomainError(
            f"Polytope {name} has shape {tuple(rows.shape)}, it must be (rows, inputs) with {inputs} inputs{batched}"
        )
    values = values.expand(len(rows)) if values.dim() == 0 else values
    if tuple(values.shape) != (len(rows),):
        raise DomainError(
            f"Polytope {value_name} has shape {tuple(values.shape)}, but {name} has {len(rows)} rows; one number a row"
        )
    for what, tensor in ((name, rows), (value_name, values)):
        if not torch.isfinite(tensor).all():
            raise DomainError(f"Polytope {what} is not finite at index {first_index(~torch.isfinite(tensor))}")
    return rows.clone(), values.clone()


def read_bounds(lower: ArrayLike | None, upper: ArrayLike | None, inputs: int) -> tuple[Tensor, Tensor]:
    """Check the bounds and bring them to one number for each input; infinite where there is none."""
    bounds = []
    for name, value, none in (("lower", lower, -math.inf), ("upper", upper, math.inf)):
        bound = as_tensor(none if value is None else value, name=f"Polytope {name}", error=DomainError)
        bound = bound.to("cpu", torch.float64)
        if bound.dim() > 0 and bound.numel() != inputs:
            raise DomainError(
                f"Polytope {name} has shape {tuple(bound.shape)}; give a number or one for each of the {inputs} inputs"
            )
        bound = bound.expand(inputs) if bound.dim() == 0 else bound.reshape(inputs)
        wrong = torch.isnan(bound) | (bound == -none)
        if wrong.any():
            raise DomainError(f"Polytope {name} is {bound[wrong][0].item():g} at index {first_index(wrong)}")
        bounds.append(bound.clone())
    low, high = bounds
    if (low > high).any():
        index = int(torch.nonzero(low > high)[0])
        raise DomainError(
            f"Polytope is empty: lower is above upper at index {index} ({low[index].item():g} > {high[index].item():g})"
        )
    return low, high


def require_within(low: Tensor, high: Tensor, indices: list[int], values: Tensor, tolerance: float) -> None:
    """Refuse values of the inputs `indices` that leave their bounds by more than a relative tolerance."""
    outside = torch.maximum(low - values, values - high) > tolerance * larger_size(low, high)
    if outside.any():
        place = int(torch.nonzero(outside)[0])
        raise DomainError(
            f"Polytope has no point with input {indices[place]} fixed to {values[place].item():g}; "
            f"its bounds are {low[place].item():g} and {high[place].item():g}"
        )


def larger_size(low: Tensor, high: Tensor) -> Tensor:
    """Return the scale of what leaves the bounds: the larger of their sizes and 1."""
    sizes = [torch.where(torch.isfinite(bound), bound.abs(), 1.0) for bound in (low, high)]
    return torch.maximum(*sizes).clamp_min(1)


def normalize_rows(labels: Labels, rows: Tensor, values: Tensor, *, equation: bool) -> tuple[Tensor, Tensor, Labels]:
    """Scale rows to norm 1; leave out zero rows that hold, and refuse one that cannot by its label."""
    norm = torch.linalg.vector_norm(rows, dim=1)
    zero = norm == 0
    broken = zero & ((values != 0) if equation else (values < 0))
    if broken.any():
        index = int(torch.nonzero(broken)[0])
        relation = "=" if equation else "<="
        raise DomainError(
            f"Polytope is infeasible: {labels[index]} is all zeros, and 0 {relation} {values[index].item():g} is false"
        )
    left = [labels[int(index)] for index in torch.nonzero(~zero)]
    return rows[~zero] / norm[~zero, None], values[~zero] / norm[~zero], left
