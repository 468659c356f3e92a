"""Specifications of outputs: what must hold for every input of a set, written as what must not happen."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, check_is
from relu_attack._repr import one_line
from relu_attack.errors import ObjectiveError
from relu_attack.output_constraints import OutputConstraints
from relu_attack.rounding import dot_error, down, to_double, up


@dataclass(frozen=True, eq=False, repr=False)
class Clause:
    """Rows on outputs y that are unsafe when all of them hold: ``A y <= b``, or ``A y < b`` in strict rows.

    Attributes
    ----------
    matrix
        A, float64, shape (rows, outputs); at least one row.
    upper
        b, float64, shape (rows,).
    strict
        Rows in which the boundary is allowed, boolean, shape (rows,).
    """

    matrix: Tensor
    upper: Tensor
    strict: Tensor

    def __repr__(self) -> str:
        return one_line(self, rows=len(self.upper), outputs=self.matrix.shape[1])

    @staticmethod
    def of(constraints: OutputConstraints, *, strict: bool) -> Clause:
        """Return the rows of output constraints as one clause."""
        rows = constraints.matrix.shape[0]
        return Clause(constraints.matrix.clone(), constraints.upper.clone(), torch.full((rows,), strict))

    def depth(self, outputs: Tensor) -> Tensor:
        """Return how deep `outputs` (..., outputs) are inside, ``min_i (b_i - a_i y)`` in float64, shape (...).

        Below 0 some row does not hold.
        """
        return (self.upper - outputs.to("cpu", torch.float64) @ self.matrix.T).amin(-1)

    def holds(self, outputs: Tensor) -> bool:
        """Say whether every row holds for `outputs` (outputs,), exactly; never for numbers that are not finite.

        Sums that are not far enough from their limit to be compared as computed are computed in rational numbers.
        """
        if not bool(torch.isfinite(outputs).all()):
            return False
        y = to_double(outputs).cpu()
        size, operands = self.matrix.abs() @ y.abs(), self.matrix.abs().sum(1) + y.abs().sum()
        value, error = self.matrix @ y, dot_error(size, len(y), operands)
        if bool((down(value - error) > self.upper).any()):
            return False
        near = ~(up(value + error) < self.upper)
        values = [Fraction(value) for value in y.tolist()]
        rows = self.matrix[near].tolist(), self.upper[near].tolist(), self.strict[near].tolist()
        for row, limit, strict in zip(*rows, strict=True):
            terms = (Fraction(entry) * value for entry, value in zip(row, values, strict=True) if entry)
            total = sum(terms, Fraction(0))
            if total > limit or (strict and total == limit):
                return False
        return True

    def excluded_by(self, bound: float) -> bool:
        """Say whether an upper bound on the depth over a set proves that the clause holds nowhere in it."""
        return bound < 0 or (bound == 0 and bool(self.strict.all()))

    def joined(self, other: Clause) -> Clause:
        """Return the rows of both."""
        if self.matrix.shape[1] != other.matrix.shape[1]:
            raise ObjectiveError(
                f"specifications on {self.matrix.shape[1]} and on {other.matrix.shape[1]} outputs cannot be joined"
            )
        pairs = ((self.matrix, other.matrix), (self.upper, other.upper), (self.strict, other.strict))
        return Clause(*(torch.cat(pair) for pair in pairs))


class Specification:
    """What the outputs must satisfy for every input of a set.

    It is kept as what must *not* happen: the outputs violate it if all rows of one clause hold. Make one with
    `require`, `unsafe` or `label`; ``a & b`` requires both, ``a | b`` at least one of them for each input.

    Attributes
    ----------
    clauses
        The ways of violating it.

    Examples
    --------
    Output 0 stays within -1 and 2:

    >>> within = Specification.require([[1.0, 0.0], [-1.0, 0.0]], [2.0, 1.0])
    >>> [within.violated_by(torch.tensor([y, 0.0])) for y in (-1.5, -1.0, 2.0, 2.5)]
    [True, False, False, True]

    or else output 1 is negative:

    >>> negative = Specification.require([0.0, 1.0], 0.0)
    >>> (within | negative).violated_by(torch.tensor([2.5, -1.0]))
    False
    """

    def __init__(self, clauses: Iterable[Clause]) -> None:
        check_is(
            clauses, Iterable, name="clauses of a specification", wanted="a sequence of Clause", error=ObjectiveError
        )
        self.clauses = tuple(clauses)
        for clause in self.clauses:
            check_is(clause, Clause, name="a clause of a specification", wanted="a Clause", error=ObjectiveError)
        if not self.clauses:
            raise ObjectiveError("a specification needs at least one clause: without any it holds always")
        widths = {clause.matrix.shape[1] for clause in self.clauses}
        if len(widths) > 1:
            raise ObjectiveError(
                f"the clauses of a specification are on {sorted(widths)} outputs; the numbers must match"
            )

    def __repr__(self) -> str:
        rows = sum(len(clause.upper) for clause in self.clauses)
        return one_line(self, outputs=self.outputs, clauses=len(self.clauses), rows=rows)

    @staticmethod
    def require(A: ArrayLike, b: ArrayLike) -> Specification:
        """Require ``A y <= b`` for the outputs y of every input; the boundary is allowed.

        Parameters
        ----------
        A, b
            Coefficients (rows, outputs) and limits (rows,), as in `OutputConstraints`.

        Raises
        ------
        ObjectiveError
            For a wrong shape or a number that is not finite.
        """
        broken = OutputConstraints(A, b)
        rows = zip(-broken.matrix, -broken.upper, strict=True)
        return Specification(Clause(row[None], limit[None], torch.tensor([True])) for row, limit in rows)

    @staticmethod
    def unsafe(*clauses: OutputConstraints) -> Specification:
        """Forbid that all rows ``A y <= b`` of some clause hold; the boundary is forbidden too.

        Raises
        ------
        ObjectiveError
            Without clauses, or for clauses that differ in their number of outputs.
        """
        for clause in clauses:
            check_is(clause, OutputConstraints, name="unsafe", wanted="OutputConstraints", error=ObjectiveError)
        return Specification(Clause.of(clause, strict=False) for clause in clauses)

    @staticmethod
    def label(label: int, *, outputs: int) -> Specification:
        """Require that output `label` is the largest; another one as large violates it, as in the competition's files.

        Raises
        ------
        ObjectiveError
            For a label that is no output, or fewer than two outputs.

        Examples
        --------
        >>> keeps = Specification.label(1, outputs=3)
        >>> keeps.violated_by(torch.tensor([0.0, 2.0, 1.0])), keeps.violated_by(torch.tensor([0.0, 2.0, 2.0]))
        (False, True)
        """
        for name, value in (("label", label), ("outputs", outputs)):
            check_is(value, int, name=name, wanted="a whole number", error=ObjectiveError)
        if outputs < 2 or not 0 <= label < outputs:
            raise ObjectiveError(f"label is {label} of {outputs} outputs; it must be one of at least two, from 0")
        rows = -torch.eye(outputs, dtype=torch.float64)
        rows[:, label] = 1.0
        others = (index for index in range(outputs) if index != label)
        return Specification.unsafe(*(OutputConstraints(rows[other], 0.0) for other in others))

    @property
    def outputs(self) -> int:
        """Number of outputs that it speaks of."""
        return self.clauses[0].matrix.shape[1]

    def violated_by(self, outputs: Tensor) -> bool:
        """Say whether `outputs` (outputs,), taken as exact numbers, violate the specification."""
        check_is(outputs, Tensor, name="outputs", wanted="a tensor", error=ObjectiveError)
        if outputs.shape != (self.outputs,):
            raise ObjectiveError(
                f"outputs have shape {tuple(outputs.shape)}; the specification is on ({self.outputs},)"
            )
        return any(clause.holds(outputs) for clause in self.clauses)

    def __and__(self, other: Specification) -> Specification:
        _check_other(other)
        return Specification((*self.clauses, *other.clauses))

    def __or__(self, other: Specification) -> Specification:
        _check_other(other)
        pairs = itertools.product(self.clauses, other.clauses)
        return Specification(mine.joined(theirs) for mine, theirs in pairs)


def _check_other(other: object) -> None:
    check_is(other, Specification, name="what follows & or |", wanted="a Specification", error=ObjectiveError)
