"""Linear constraints on the outputs: ``matrix f(x) <= upper``."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, as_tensor, first_index
from relu_attack._repr import one_line
from relu_attack.errors import ObjectiveError
from relu_attack.rounding import up

TOLERANCE = 1e-6
"""Relative violation up to which an answer counts as feasible, as in solvers of linear and mixed-integer programs."""


# Shares of the tolerance that points of linear and mixed-integer programs aim at; solvers keep rows to 1e-9 and 1e-7.
_LINEAR_AIM, _MIXED_INTEGER_AIM = 0.998, 0.9


class OutputConstraints:
    """Rows that the outputs of an answer must satisfy, ``A f(x) <= b``.

    Parameters
    ----------
    A
        Coefficients, shape (rows, outputs), or (outputs,) for one row.
    b
        Upper limits, shape (rows,) or a number for every row.

    Attributes
    ----------
    matrix
        Float64, shape (rows, outputs).
    upper
        Float64, shape (rows,).

    Raises
    ------
    ObjectiveError
        For a wrong shape, or a coefficient or limit that is not finite, with the index.

    Examples
    --------
    At most 0.34 of output 1, at least 2 of output 0:

    >>> constraints = OutputConstraints([[0.0, 1.0], [-1.0, 0.0]], [0.34, -2.0])
    >>> constraints.violation(torch.tensor([[3.0, 0.3], [1.0, 0.3]]))
    tensor([0.0000, 0.5000], dtype=torch.float64)
    """

    def __init__(self, A: ArrayLike, b: ArrayLike) -> None:
        matrix, upper = (
            as_tensor(value, name=f"{name} of the output constraints", error=ObjectiveError).to("cpu", torch.float64)
            for name, value in (("A", A), ("b", b))
        )
        matrix = matrix[None] if matrix.dim() == 1 else matrix
        if matrix.dim() != 2 or matrix.numel() == 0:
            raise ObjectiveError(f"A of the output constraints has shape {tuple(matrix.shape)}; give (rows, outputs)")
        if upper.dim() > 1 or upper.numel() not in (1, len(matrix)):
            raise ObjectiveError(
                f"b of the output constraints has shape {tuple(upper.shape)}; give a number or one for each of "
                f"{len(matrix)} rows"
            )
        for name, values in (("A", matrix), ("b", upper)):
            if not bool(torch.isfinite(values).all()):
                where = f" at index {first_index(~torch.isfinite(values))}" if values.dim() else ""
                raise ObjectiveError(f"{name} of the output constraints is not finite{where}")
        self.matrix = matrix.clone()
        self.upper = upper.reshape(-1).expand(len(matrix)).clone()

    def __repr__(self) -> str:
        return one_line(self, rows=self.rows, outputs=self.matrix.shape[1])

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.matrix.shape[0]

    @property
    def scale(self) -> Tensor:
        """What the violation of each row is relative to: the larger of its norm and its limit's size, shape (rows,)."""
        norm: Tensor = torch.linalg.vector_norm(self.matrix, dim=1)
        size = torch.maximum(norm, self.upper.abs())
        return torch.where(size > 0, size, 1.0)

    @property
    def accepted(self) -> Tensor:
        """Limits that the rows of an answer keep, the tolerance included, rounded upward, shape (rows,).

        An answer is feasible up to here, so that this is the set that bounds hold for.
        """
        return up(self.upper + up(TOLERANCE * self.scale))

    def aim(self, *, mixed_integer: bool) -> Tensor:
        """Limits that points of programs are to keep, shape (rows,): they use most of what bounds allow, and no more.

        What is left is room for the tolerance of a solver and the rounding of its points.
        """
        share = _MIXED_INTEGER_AIM if mixed_integer else _LINEAR_AIM
        return self.upper + share * TOLERANCE * self.scale

    def violation(self, outputs: Tensor) -> Tensor:
        """Return by how much each of `outputs` (..., outputs) breaks a row at most, relative to its scale: 0 if none.

        The answer is float64, of shape (...).
        """
        if outputs.shape[-1:] != self.matrix.shape[1:]:
            width = self.matrix.shape[1]
            raise ObjectiveError(f"outputs have shape {tuple(outputs.shape)}; the last dimension must be {width}")
        excess = outputs.to("cpu", torch.float64) @ self.matrix.T - self.upper
        return (excess / self.scale).amax(-1).clamp_min(0)
