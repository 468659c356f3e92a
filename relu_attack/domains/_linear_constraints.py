"""Linear rows of a set: the one form in which sets, programs and proofs exchange them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, as_tensor, first_index
from relu_attack.errors import DomainError


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LinearConstraints:
    """The points x with ``lb <= A x <= ub`` and ``lower <= x <= upper``.

    The last `auxiliary` columns are variables beside the inputs: an input belongs to the set if some values of them
    complete it.

    Parameters
    ----------
    A
        Shape (rows, columns), dense or a scipy sparse array.
    lb, ub
        Shape (rows,) or a number for every row; infinite where a row has no such side, equal for an equation.
    lower, upper
        Shape (columns,) or a number for every column; infinite where there is none.
    auxiliary
        How many of the columns, the last ones, are auxiliary variables.

    Raises
    ------
    DomainError
        When a shape does not fit, a coefficient is not finite, a side or bound is NaN, or one is above its upper one.

    Notes
    -----
    The numbers are kept in float64 on the CPU, as they are given. scipy's ``LinearConstraint`` and ``Bounds`` are read
    by `of`.

    Examples
    --------
    >>> rows = LinearConstraints([[1.0, 2.0], [1.0, -1.0]], [-math.inf, 0.0], [4.0, 0.0], lower=0.0)
    >>> rows
    LinearConstraints(inputs=2, inequalities=1, equations=1)
    >>> rows.equation.tolist()
    [False, True]
    """

    A: Tensor
    lb: Tensor
    ub: Tensor
    lower: Tensor
    upper: Tensor
    auxiliary: int

    def __init__(
        self,
        A: ArrayLike,
        lb: ArrayLike = -math.inf,
        ub: ArrayLike = math.inf,
        *,
        lower: ArrayLike = -math.inf,
        upper: ArrayLike = math.inf,
        auxiliary: int = 0,
    ) -> None:
        matrix = _read("A", A).clone()
        if matrix.dim() != 2:
            raise DomainError(f"LinearConstraints A has shape {tuple(matrix.shape)}; it must be (rows, columns)")
        if not bool(torch.isfinite(matrix).all()):
            raise DomainError(f"LinearConstraints A is not finite at index {first_index(~torch.isfinite(matrix))}")
        rows, columns = matrix.shape
        if not 0 <= auxiliary <= columns:
            raise DomainError(f"LinearConstraints auxiliary is {auxiliary}; A has {columns} columns")
        sides = _read_pair(("lb", lb), ("ub", ub), rows, "row")
        bounds = _read_pair(("lower", lower), ("upper", upper), columns, "column")
        parts = dict(zip(("A", "lb", "ub", "lower", "upper"), (matrix, *sides, *bounds), strict=True))
        for name, value in {**parts, "auxiliary": auxiliary}.items():
            object.__setattr__(self, name, value)

    @staticmethod
    def trusted(
        A: Tensor, sides: tuple[Tensor, Tensor], bounds: tuple[Tensor, Tensor], *, auxiliary: int = 0
    ) -> LinearConstraints:
        """Return rows of float64 tensors that a set made itself, neither checked nor copied: they may be large."""
        rows = object.__new__(LinearConstraints)
        parts = {"A": A, "lb": sides[0], "ub": sides[1], "lower": bounds[0], "upper": bounds[1], "auxiliary": auxiliary}
        for name, value in parts.items():
            object.__setattr__(rows, name, value)
        return rows

    @staticmethod
    def of(value: object) -> LinearConstraints:
        """Return rows that are given as such, or as scipy's ``LinearConstraint`` (A, lb, ub) or ``Bounds`` (lb, ub)."""
        if isinstance(value, LinearConstraints):
            return value
        low, high, matrix = (getattr(value, name, None) for name in ("lb", "ub", "A"))
        if low is None or high is None:
            raise DomainError(
                f"{type(value).__name__} holds no linear constraints; give LinearConstraints(A, lb, ub), or scipy's "
                "LinearConstraint or Bounds"
            )
        if matrix is not None:
            return LinearConstraints(torch.atleast_2d(_read("A", matrix)), low, high)
        ends = torch.broadcast_tensors(*(torch.atleast_1d(_read(*end)) for end in (("lower", low), ("upper", high))))
        return LinearConstraints(torch.zeros(0, len(ends[0])), lower=ends[0], upper=ends[1])

    def __len__(self) -> int:
        return len(self.lb)

    def __repr__(self) -> str:
        equations = int(self.equation.sum())
        parts = [f"inputs={self.inputs}", f"inequalities={len(self) - equations}", f"equations={equations}"]
        return f"LinearConstraints({', '.join(parts + [f'auxiliary={self.auxiliary}'] * bool(self.auxiliary))})"

    @property
    def inputs(self) -> int:
        """Number of columns that are no auxiliary variables."""
        return self.A.shape[1] - self.auxiliary

    @property
    def equation(self) -> Tensor:
        """Which rows are equations, boolean, shape (rows,)."""
        return self.lb == self.ub

    @cached_property
    def one_sided(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same rows as ``matrix @ x <= limit`` and, after those, equations.

        Returns
        -------
        matrix, limit, equation
            Shapes (rows, columns), (rows,), and boolean (rows,). A row with two sides is two of them.
        """
        equal = self.equation
        above, below = ~equal & torch.isfinite(self.ub), ~equal & torch.isfinite(self.lb)
        matrix = torch.cat([self.A[above], -self.A[below], self.A[equal]])
        limit = torch.cat([self.ub[above], -self.lb[below], self.ub[equal]])
        return matrix, limit, torch.arange(len(limit)) >= len(limit) - int(equal.sum())


def _read(name: str, value: ArrayLike | Any) -> Tensor:
    return as_tensor(value, name=f"LinearConstraints {name}", error=DomainError).to("cpu", torch.float64)


def _read_pair(low: tuple[str, Any], high: tuple[str, Any], count: int, what: str) -> tuple[Tensor, Tensor]:
    """Check lower and upper sides of rows or columns and bring each to one number a row or column."""
    pair = []
    for (name, value), none in ((low, torch.inf), (high, -torch.inf)):
        numbers = _read(name, value)
        if numbers.dim() > 0 and numbers.numel() != count:
            raise DomainError(
                f"LinearConstraints {name} has shape {tuple(numbers.shape)}; give a number or one for each {what} "
                f"({count})"
            )
        numbers = numbers.expand(count) if numbers.dim() == 0 else numbers.reshape(count)
        wrong = torch.isnan(numbers) | (numbers == none)
        if bool(wrong.any()):
            raise DomainError(f"LinearConstraints {name} is {float(numbers[wrong][0])} at index {first_index(wrong)}")
        pair.append(numbers.clone())
    above = pair[0] > pair[1]
    if bool(above.any()):
        index = int(torch.nonzero(above)[0])
        raise DomainError(
            f"LinearConstraints {low[0]} is above {high[0]} at {what} {index} "
            f"({float(pair[0][index]):g} > {float(pair[1][index]):g})"
        )
    return pair[0], pair[1]


def sum_to_one(groups: tuple[tuple[int, ...], ...], inputs: int) -> LinearConstraints:
    """Return the equations that the inputs of each one-hot group sum to 1."""
    rows = torch.zeros(len(groups), inputs, dtype=torch.float64)
    for row, group in zip(rows, groups, strict=True):
        row[list(group)] = 1.0
    one, none = torch.ones(len(groups), dtype=torch.float64), torch.full((inputs,), torch.inf, dtype=torch.float64)
    return LinearConstraints.trusted(rows, (one, one), (-none, none))
