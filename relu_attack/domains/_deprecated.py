"""Names of the release before: what `Domain` and its subclasses were written with, kept for one release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relu_attack._checks import warn
from relu_attack.domains._linear_constraints import LinearConstraints
from relu_attack.errors import RenamedWarning


def warn_renamed(old: str, new: str) -> None:
    """Warn that a name is about to go."""
    warn(f"{old} is deprecated: it is called {new} now", RenamedWarning)


@dataclass(frozen=True, kw_only=True)
class Inequalities:
    """Rows ``matrix @ x <= upper`` and ``equality_matrix @ x = equality_value``: `LinearConstraints` before."""

    matrix: Tensor
    upper: Tensor
    equality_matrix: Tensor
    equality_value: Tensor
    lower_bounds: Tensor
    upper_bounds: Tensor
    auxiliary: int = 0

    @staticmethod
    def of(rows: LinearConstraints) -> Inequalities:
        """Return the rows in this form."""
        matrix, limit, equation = rows.one_sided
        return Inequalities(
            matrix=matrix[~equation], upper=limit[~equation],
            equality_matrix=matrix[equation], equality_value=limit[equation],
            lower_bounds=rows.lower, upper_bounds=rows.upper, auxiliary=rows.auxiliary,
        )  # fmt: skip

    def rows(self) -> LinearConstraints:
        """Return the rows as `LinearConstraints`."""
        return LinearConstraints(
            torch.cat([self.matrix, self.equality_matrix]),
            torch.cat([torch.full_like(self.upper, -torch.inf), self.equality_value]),
            torch.cat([self.upper, self.equality_value]),
            lower=self.lower_bounds, upper=self.upper_bounds, auxiliary=self.auxiliary,
        )  # fmt: skip


class OldNames:
    """Methods of sets by their old names; a subclass that defines those gets the new ones."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _adapt(cls)

    def support(self: Any, direction: Tensor) -> Tensor:
        """Return `maximizer`, which is the name of it now; this one goes in the next release."""
        warn_renamed("support", "maximizer")
        found: Tensor = self.maximizer(direction)
        return found

    def inequalities(self: Any) -> Inequalities:
        """Return `linear_rows` in the form of earlier releases; this method goes in the next one."""
        warn_renamed("inequalities()", "linear_rows()")
        return Inequalities.of(self.require_linear_rows())


def _adapt(kind: type) -> None:
    """Give a subclass that defines methods by their old names the new ones."""
    own: dict[str, Any] = dict(vars(kind))
    if "support" in own and "maximizer" not in own:
        warn_renamed(f"{kind.__name__}.support", "maximizer")
        setattr(kind, "maximizer", own["support"])  # noqa: B010
    if "inequalities" in own and "linear_rows" not in own:
        warn_renamed(f"{kind.__name__}.inequalities", "linear_rows")
        if "is_polyhedral" in own:
            setattr(kind, "linear_rows", _linear_rows)  # noqa: B010


def _linear_rows(self: Any) -> LinearConstraints | None:
    rows: LinearConstraints | None = self.inequalities().rows() if self.is_polyhedral else None
    return rows
