"""How the arguments of a polytope are read: each mistake is named with its row or index."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, as_tensor, first_index
from relu_attack.domains import _integrality
from relu_attack.domains._domain import Inequalities, read_shape
from relu_attack.domains._polytope_form import PolytopeForm, RowNames
from relu_attack.errors import DomainError


def read_polytope(
    A: ArrayLike | None,
    b: ArrayLike | None,
    A_eq: ArrayLike | None,
    b_eq: ArrayLike | None,
    lower: ArrayLike | None,
    upper: ArrayLike | None,
    integer: tuple[int, ...],
    one_hot: tuple[tuple[int, ...], ...],
    inputs: int,
) -> tuple[Inequalities, PolytopeForm, RowNames]:
    """Check the arguments of a polytope; return its rows as they are given, as rows of norm 1, and their names.

    Bounds of integer inputs are whole, and the groups have their equations, in both.
    """
    matrix, value = read_rows("A", "b", A, b, inputs)
    equality_matrix, equality_value = read_rows("A_eq", "b_eq", A_eq, b_eq, inputs)
    low, high = _integrality.whole_bounds("Polytope", *read_bounds(lower, upper, inputs), integer)
    _integrality.check_groups("Polytope", low, high, one_hot)
    groups, ones = _read_groups(one_hot, inputs)
    rows, values, names = normalize_rows("A", matrix, value, equation=False)
    equations, equation_values, equation_names = normalize_rows("A_eq", equality_matrix, equality_value, equation=True)
    given = Inequalities(
        matrix=matrix, upper=value, equality_matrix=torch.cat([equality_matrix, groups]),
        equality_value=torch.cat([equality_value, ones]), lower_bounds=low, upper_bounds=high,
    )  # fmt: skip
    groups, ones, _ = normalize_rows("one_hot group", groups, ones, equation=True)
    form = PolytopeForm(
        A=rows.numpy(), b=values.numpy(),
        E=torch.cat([equations, groups]).numpy(), e=torch.cat([equation_values, ones]).numpy(),
        low=low.numpy(), high=high.numpy(),
    )  # fmt: skip
    return given, form, (names, equation_names + [f"one_hot group {number}" for number in range(len(one_hot))])


def count_inputs(
    A: ArrayLike | None,
    A_eq: ArrayLike | None,
    lower: ArrayLike | None,
    upper: ArrayLike | None,
    shape: tuple[int, ...] | None,
) -> int:
    """Tell the number of inputs from whatever is given."""
    if shape is not None:
        return math.prod(read_shape(shape, name="Polytope"))
    for name, value, dimensions in (("A", A, 2), ("A_eq", A_eq, 2), ("lower", lower, 1), ("upper", upper, 1)):
        if value is not None:
            tensor = as_tensor(value, name=f"Polytope {name}", error=DomainError)
            if tensor.dim() == dimensions:
                return tensor.shape[-1]
            if dimensions == 2 or tensor.dim() > 1:
                wanted = "(rows, inputs)" if dimensions == 2 else "(inputs,)"
                raise DomainError(
                    f"Polytope {name} has shape {tuple(tensor.shape)}, it must be {wanted}; "
                    "a Polytope is one set, a batch of polytopes is not supported"
                )
    raise DomainError("Polytope needs A, A_eq, bounds with an entry for each input, or shape=(inputs,)")


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
        batched = "; a Polytope is one set, a batch of polytopes is not supported" if rows.dim() > 2 else ""
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


def normalize_rows(name: str, rows: Tensor, values: Tensor, *, equation: bool) -> tuple[Tensor, Tensor, list[str]]:
    """Scale rows to norm 1, and name them; leave out zero rows that hold, and refuse one that cannot by its name."""
    norm = torch.linalg.vector_norm(rows, dim=1)
    zero = norm == 0
    broken = zero & ((values != 0) if equation else (values < 0))
    if broken.any():
        index = int(torch.nonzero(broken)[0])
        relation = "=" if equation else "<="
        raise DomainError(
            f"Polytope is infeasible: {name} row {index} is all zeros, "
            f"and 0 {relation} {values[index].item():g} is false"
        )
    names = [f"{name} row {int(index)}" for index in torch.nonzero(~zero)]
    return rows[~zero] / norm[~zero, None], values[~zero] / norm[~zero], names


def _read_groups(one_hot: tuple[tuple[int, ...], ...], inputs: int) -> tuple[Tensor, Tensor]:
    """Return the equations that the inputs of each group sum to 1."""
    rows = torch.zeros(len(one_hot), inputs, dtype=torch.float64)
    for row, group in zip(rows, one_hot, strict=True):
        row[list(group)] = 1.0
    return rows, torch.ones(len(one_hot), dtype=torch.float64)
