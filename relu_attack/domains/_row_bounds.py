"""The largest values of linear functions over rows and a box, from above: many functions at once, by weak duality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains._halfspaces import Halfspaces, HasRows
from relu_attack.domains._interior_point import GAP, interior_point
from relu_attack.programs import PreparedProgram, Program

# With more rows than this the systems of equations cost as much as programs.
MOST_ROWS = 40


class Ends(Protocol):
    """A box, by its ends."""

    lower: Tensor
    upper: Tensor


class HasRowsAndBox(HasRows, Protocol):
    """A set that may have linear rows, with a box around it."""

    def bounding_box(self) -> Ends:
        """Return a box that holds the set."""


@dataclass(frozen=True, eq=False)
class RowsInBox(Halfspaces):
    """Rows, of which the last are equations, within a box.

    The box, `lower` and `upper`, is finite and contains the set.
    """

    lower: Tensor
    upper: Tensor

    @staticmethod
    def around(domain: HasRowsAndBox) -> RowsInBox:
        """Return the rows of one set and the box around it."""
        rows, box = Halfspaces.of(domain), domain.bounding_box()
        return RowsInBox(rows.matrix, rows.limit, rows.equation, box.lower.reshape(-1), box.upper.reshape(-1))

    @property
    def box(self) -> tuple[Tensor, Tensor]:
        """Ends of the box."""
        return self.lower, self.upper

    def multipliers(self, objective: Tensor, *, deadline: Deadline = NEVER) -> tuple[Tensor, Tensor]:
        """Return multipliers for `bound`, (functions, rows), and for which functions no others would do better.

        After the deadline they are the best of that moment.
        """
        width = self.upper - self.lower
        matrix, scaled = self.matrix * width, objective * width
        length, scale = torch.linalg.vector_norm(matrix, dim=1), scaled.abs().amax(1, keepdim=True)
        length, scale = torch.where(length > 0, length, 1.0), torch.where(scale > 0, scale, 1.0)
        value = (self.limit - self.matrix @ self.lower) / length
        equations = int(self.equation.sum())
        found, gap = interior_point(matrix / length[:, None], value, equations, scaled / scale, deadline=deadline)
        return found * scale / length, gap <= 10 * GAP

    def upper_bound(self, objective: Tensor, *, deadline: Deadline = NEVER) -> Tensor:
        """Bound ``objective . x`` from above, (functions,), for functions (functions, inputs).

        The multipliers are those of the interior-point method; programs find them where there are many rows, or where
        that method does not come close. The bound is infinite for what is not begun by the deadline.
        """
        if deadline.passed:
            return objective.new_full(objective.shape[:1], torch.inf)
        if len(self) > MOST_ROWS:
            return self._by_programs(objective, deadline)
        multipliers, close = self.multipliers(objective, deadline=deadline)
        bound = self.bound(objective, multipliers, self.box)
        left = ~close & torch.isfinite(objective).all(1)
        if bool(left.any()):
            bound[left] = torch.fmin(bound[left], self._by_programs(objective[left], deadline))
        return bound

    def _by_programs(self, objective: Tensor, deadline: Deadline) -> Tensor:
        limit, bounds = self.limit.numpy(), []
        program = Program(
            objective=np.zeros(len(self.lower)),
            matrix=self.matrix.numpy(),
            row_lower=np.where(self.equation.numpy(), limit, -np.inf),
            row_upper=limit,
            lower=self.lower.numpy(),
            upper=self.upper.numpy(),
        )
        prepared = PreparedProgram(program)
        for row in objective.detach().numpy():
            left = deadline.left
            if left == 0:
                bounds.append(np.inf)
                continue
            prepared.change(objective=row)
            solution = prepared.solve(time_limit=None if math.isinf(left) else left)
            bounds.append(solution.bound if solution.certified else np.inf)
        return torch.tensor(bounds, dtype=torch.float64)
