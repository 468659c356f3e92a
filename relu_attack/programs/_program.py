"""A linear or mixed-integer program as arrays, with evaluation and dual bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy  # scipy.sparse is loaded where it is first used: most calls need no program
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.programs._implied import implied_bounds
from relu_attack.rounding import MatrixProducts, up, weak_duality

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """Maximize ``objective . x + constant`` with ``row_lower <= matrix x <= row_upper`` and ``lower <= x <= upper``.

    Attributes
    ----------
    objective
        Shape (columns,).
    matrix
        Shape (rows, columns); dense or sparse, stored as a CSR array.
    row_lower, row_upper
        Shape (rows,) or a number for every row; infinite where there is none, equal for an equation.
    lower, upper
        Shape (columns,) or a number for every column; infinite where there is none.
    integral
        Columns that must be integers, boolean, shape (columns,); none by default.
    constant
        Constant term of the objective.
    names
        One name for each column, for messages and files.

    Raises
    ------
    OptionError
        For a wrong shape, NaN, an infinite coefficient, or a lower bound above its upper bound, with the index.

    Examples
    --------
    >>> program = Program(objective=[1, 1], matrix=[[1, 2]], row_lower=-np.inf, row_upper=4, lower=0, upper=3)
    >>> program.value([3, 0.5]), program.violation([3, 0.5])
    (3.5, 0.0)
    >>> 3.5 <= program.dual_bound([0.5]) < 3.5 + 1e-12
    True
    """

    objective: Array
    matrix: Any  # a csr_array; its type parameters differ between versions of scipy
    row_lower: Array
    row_upper: Array
    lower: Array
    upper: Array
    integral: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((), dtype=bool))
    constant: float = 0.0
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        objective = np.asarray(self.objective, dtype=np.float64)
        if objective.ndim != 1:
            raise OptionError(f"objective of the program has shape {objective.shape}; it must be (columns,)")
        matrix = _read_matrix(self.matrix, len(objective))
        rows, columns = matrix.shape
        _set(self, "matrix", matrix)
        for name, count in (("row_lower", rows), ("row_upper", rows), ("lower", columns), ("upper", columns)):
            _set(self, name, _read_vector(name, getattr(self, name), count))
        _set(self, "objective", _read_vector("objective", objective, columns))
        _set(self, "integral", _read_vector("integral", self.integral, columns, dtype=np.dtype(bool)))
        if not math.isfinite(self.constant) or not np.isfinite(self.objective).all():
            raise OptionError("objective of the program is not finite; every coefficient must be a number")
        for low, high in (("row_lower", "row_upper"), ("lower", "upper")):
            _check_sides(low, getattr(self, low), high, getattr(self, high))
        if self.names is not None and len(self.names) != columns:
            raise OptionError(f"names of the program has {len(self.names)} entries; give one for each of {columns}")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.matrix.shape[0])

    @property
    def columns(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])

    @property
    def is_mixed_integer(self) -> bool:
        """Whether some column must be an integer."""
        return bool(self.integral.any())

    @cached_property
    def row_norms(self) -> Array:
        """Euclidean norm of each row, shape (rows,)."""
        start, norms = self.matrix.indptr, np.zeros(self.rows)
        filled = np.diff(start) > 0
        if filled.any():
            norms[filled] = np.sqrt(np.add.reduceat(self.matrix.data**2, start[:-1][filled]))
        return norms

    def value(self, x: ArrayLike) -> float:
        """Return the objective at `x`, shape (columns,)."""
        return float(self.objective @ self._point(x)) + self.constant

    def violation(self, x: ArrayLike) -> float:
        """Return the largest violation of a row or bound at `x` (columns,), relative to its scale; infinite for NaN.

        The scale of a row is the larger of its norm and the bound's size; that of a column the larger of 1 and the
        bound's size. Integrality is separate, see `integrality`.
        """
        point = self._point(x)
        if not np.isfinite(point).all():
            return math.inf
        activity = self.matrix @ point
        one = np.ones(self.columns)
        sides = (
            (self.row_lower - activity, self.row_norms, self.row_lower),
            (activity - self.row_upper, self.row_norms, self.row_upper),
            (self.lower - point, one, self.lower),
            (point - self.upper, one, self.upper),
        )
        return max((_relative_excess(*side) for side in sides), default=0.0)

    def integrality(self, x: ArrayLike) -> float:
        """Return the largest distance of an integral column of `x` (columns,) from an integer."""
        values = self._point(x)[self.integral]
        return float(np.abs(values - np.round(values)).max(initial=0.0))

    def dual_bound(self, multipliers: ArrayLike, *, tolerance: float = 0.0) -> float:
        """Return an upper bound of the optimum by weak duality, valid for any multipliers.

        Parameters
        ----------
        multipliers
            One for each row, shape (rows,): a positive one multiplies `row_upper`, a negative one `row_lower`. One of
            an infinite side, or that is not finite, counts as 0.
        tolerance
            Reduced costs up to this, relative to the sum of the sizes of their terms, count as 0 in columns without a
            bound. With a positive tolerance the result is an estimate and no proof.

        Returns
        -------
        float
            At least the value of every feasible point of the relaxation, in real arithmetic; infinite if a column
            without a bound has a reduced cost that is nonzero within rounding.

        Raises
        ------
        OptionError
            For a wrong shape.

        Notes
        -----
        `rounding.weak_duality` with the column bounds, infinite ones replaced by those that the rows imply.
        """
        given = self._multipliers(multipliers)
        lower, upper = self._bounds
        if tolerance > 0:
            used = np.where(np.isfinite(np.where(given > 0, self.row_upper, self.row_lower)), given, 0.0)
            size = np.abs(self.objective) + self._absolute_transpose @ np.abs(used)
            small = np.abs(self.objective - self._transpose @ used) <= tolerance * size
            lower, upper = (np.where(small & np.isinf(end), 0.0, end) for end in (lower, upper))
        bound = self._weak_duality(self.objective, given, lower, upper)
        return float(up(torch.tensor(bound + self.constant, dtype=torch.float64)))

    def proves_infeasible(self, multipliers: ArrayLike) -> bool:
        """Return whether `multipliers` (rows,) prove that no point satisfies the rows and bounds (Farkas).

        They do if they bound a zero objective below zero, rounding included. Any multiple proves the same, so they are
        scaled to a size at which nothing underflows.
        """
        given = self._multipliers(multipliers)
        given = given / 2.0 ** math.frexp(float(np.abs(given).max(initial=0.0)))[1]
        return self._weak_duality(np.zeros(self.columns), given, *self._bounds) < 0

    def _multipliers(self, given: ArrayLike) -> Array:
        multipliers = np.asarray(given, dtype=np.float64)
        if multipliers.shape != (self.rows,):
            raise OptionError(f"multipliers have shape {multipliers.shape}; give one for each of {self.rows} rows")
        return np.where(np.isfinite(multipliers), multipliers, 0.0)

    def _weak_duality(self, objective: Array, multipliers: Array, lower: Array, upper: Array) -> float:
        # A column without coefficients in the objective and in the weighted rows contributes nothing.
        unknown = (objective == 0) & (self._pattern.T @ (multipliers != 0) == 0)
        c, y = torch.tensor(objective)[None], torch.tensor(multipliers)[None]
        sides = torch.tensor(np.stack([self.row_lower, self.row_upper]))
        box = torch.tensor(np.where(unknown, 0.0, [lower, upper]))
        found = weak_duality(c, y, self._products, (sides[0], sides[1]), (box[0], box[1]))
        return float(found[0])

    @cached_property
    def _bounds(self) -> tuple[Array, Array]:
        return implied_bounds(self.matrix, self.row_lower, self.row_upper, self.lower, self.upper)

    @cached_property
    def _transpose(self) -> Any:
        return self.matrix.T.tocsr()

    @cached_property
    def _absolute_transpose(self) -> Any:
        return abs(self._transpose)

    @cached_property
    def _pattern(self) -> Any:
        pattern = self.matrix.copy()
        pattern.data = (pattern.data != 0).astype(np.int64)
        return pattern

    @cached_property
    def _products(self) -> MatrixProducts:
        def product(matrix: Any) -> Callable[[Tensor], Tensor]:
            return lambda y: torch.as_tensor((matrix @ y.numpy().T).T)

        longest = int(np.diff(self._transpose.indptr).max(initial=0))
        return MatrixProducts(product(self._transpose), product(self._absolute_transpose), longest)

    def _point(self, x: ArrayLike) -> Array:
        point = np.asarray(x, dtype=np.float64)
        if point.shape != (self.columns,):
            raise OptionError(f"the point has shape {point.shape}; the program has {self.columns} columns")
        return point


def _set(program: Program, name: str, value: object) -> None:
    object.__setattr__(program, name, value)


def _read_matrix(matrix: Any, columns: int) -> Any:
    # A matrix in this form stays the same object: `PreparedProgram` compares objects to find changes.
    ready = isinstance(matrix, scipy.sparse.csr_array) and matrix.dtype == np.float64 and matrix.has_canonical_format
    if not ready:
        given: Any = matrix if scipy.sparse.issparse(matrix) else np.asarray(matrix, dtype=np.float64)
        if given.ndim != 2:
            raise OptionError(f"matrix of the program has shape {given.shape}; it must be (rows, columns)")
        matrix = scipy.sparse.csr_array(given).astype(np.float64)
        matrix.sum_duplicates()
    if matrix.shape[1] != columns:
        raise OptionError(f"matrix of the program has {matrix.shape[1]} columns, but the objective has {columns}")
    wrong = ~np.isfinite(matrix.data)
    if wrong.any():
        entry = int(np.flatnonzero(wrong)[0])
        row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
        raise OptionError(f"matrix of the program is not finite at ({row}, {int(matrix.indices[entry])})")
    return matrix


def _read_vector(name: str, value: object, count: int, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(value, dtype=dtype or np.float64)
    if array.shape not in ((), (count,)):
        raise OptionError(f"{name} of the program has shape {array.shape}; give a number or one for each of {count}")
    array = np.broadcast_to(array, (count,)).copy()
    array.flags.writeable = False
    return array


def _check_sides(low_name: str, low: Array, high_name: str, high: Array) -> None:
    for name, side, none in ((low_name, low, -math.inf), (high_name, high, math.inf)):
        wrong = np.isnan(side) | (side == -none)
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise OptionError(f"{name} of the program is {side[index]:g} at index {index}; no bound is {none:g}")
    if (low > high).any():
        index = int(np.flatnonzero(low > high)[0])
        raise OptionError(
            f"{low_name} of the program is above {high_name} at index {index} ({low[index]:g} > {high[index]:g})"
        )


def _relative_excess(excess: Array, size: Array, bound: Array) -> float:
    broken = excess > 0
    if not broken.any():
        return 0.0
    scale = np.maximum(size[broken], np.abs(bound[broken]))
    # A row of zeros with the bound 0 holds; any other scale is positive.
    return float((excess[broken] / np.where(scale > 0, scale, 1.0)).max())
