"""Properties: sets of inputs with clauses on the outputs that violate them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.output_constraints import OutputConstraints
from relu_attack.specification import Clause


@dataclass(frozen=True, eq=False)
class Polyhedron:
    """Polyhedron ``A v <= b``; without rows it is the whole space.

    Coefficients are exact. Limits are decimals, most of which are not float64 numbers, so there are two of each.

    Attributes
    ----------
    matrix
        A, float64, shape (rows, variables).
    upper
        b rounded up, for proofs: values that satisfy the decimal rows satisfy these.
    inner_upper
        b rounded down, for witnesses: values that satisfy these satisfy the decimal rows.
    """

    matrix: Tensor
    upper: Tensor
    inner_upper: Tensor

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.matrix.shape[0]

    def constraints(self) -> OutputConstraints:
        """Return the rows with the limits for proofs; there must be at least one."""
        return OutputConstraints(self.matrix, self.upper)

    def hold(self, values: Tensor) -> bool:
        """Return whether float64 `values`, shape (variables,), satisfy the rows with the limits for witnesses, exactly.

        True is a proof that they satisfy the decimal rows. Sums are computed in rational numbers.
        """
        return Clause(self.matrix, self.inner_upper, torch.zeros(self.rows, dtype=torch.bool)).holds(values)


@dataclass(frozen=True, eq=False)
class Case:
    """A set of inputs, with the clauses on the outputs that violate the property there.

    Attributes
    ----------
    lower, upper
        The range of each input rounded inward, float64, shape (inputs,): a float64 lies in the decimal range exactly
        if it lies in this one. For witnesses.
    outer_lower, outer_upper
        The range rounded outward: it contains the decimal one. For proofs.
    snapped
        Inputs whose decimal range contains no float64, such as 0.1 to 0.1; `lower` and `upper` are the nearest one.
    input_rows
        Comparisons between inputs; None without any.
    clauses
        An input of the set violates the property if all rows of one clause hold for its outputs. A clause without rows
        always holds, so that every input of the set violates the property.
    """

    lower: Tensor
    upper: Tensor
    outer_lower: Tensor
    outer_upper: Tensor
    snapped: tuple[int, ...]
    input_rows: Polyhedron | None
    clauses: tuple[Polyhedron, ...]

    def contains(self, x: Tensor) -> bool:
        """Return whether a float64 input, shape (inputs,), lies in the set at zero tolerance."""
        inside = bool(((x >= self.lower) & (x <= self.upper)).all())
        return inside and (self.input_rows is None or self.input_rows.hold(x))


@dataclass(frozen=True, eq=False)
class Property:
    """A property: it is *violated* by an input if some case contains it and some clause there holds for its outputs.

    Attributes
    ----------
    inputs, outputs
        Number of each, as declared.
    cases
        In the order of the file. A property without cases holds.
    """

    inputs: int
    outputs: int
    cases: tuple[Case, ...]

    def violated_by(self, x: Tensor, y: Tensor) -> bool:
        """Return whether the input x, shape (inputs,), with the outputs y, shape (outputs,), violates the property.

        Both are exact numbers. True is a proof that they satisfy the formulas of the file, to the rounding
        of inputs that are `Case.snapped`; False may be wrong where they lie within the rounding of a decimal limit.
        """
        return any(case.contains(x) and any(clause.hold(y) for clause in case.clauses) for case in self.cases)
