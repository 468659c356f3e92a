"""A problem made ready for walking: scaled, on a device, in a working precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.domains import Domain
from relu_attack.network import Evaluation, Network, with_excess
from relu_attack.problem import Problem

# Points of the set by which penalties are scaled, and how many times the variation of the objective the largest
# excess among them costs.
_SAMPLES = 256
_TAX = 10.0
# Relative distance that walkers keep from output constraints, for what float32 cannot tell apart.
_MARGIN = 1e-5


@dataclass(frozen=True, eq=False)
class Prepared:
    """A problem in walking coordinates u with ``x = shift + scale u``.

    Attributes
    ----------
    problem
        The problem in the user's coordinates.
    network
        One output: the objective of the row's problem, less its constant and less a penalty where the outputs break
        a constraint.
    domain
        The set in walking coordinates.
    widths
        Width of the set for each input, shape (inputs,) or (problems, 1, inputs), in walking coordinates.
    offset
        The constants, float64, shape (problems,).
    scale, shift
        Float64, shape (inputs,).
    restarts
        Walkers for each problem; the rows of a batch are problem by problem.
    """

    problem: Problem
    network: Network
    domain: Domain
    widths: Tensor
    offset: Tensor
    scale: Tensor
    shift: Tensor
    restarts: int

    @staticmethod
    def create(
        problem: Problem, *, restarts: int, device: torch.device, dtype: torch.dtype, normalized: bool
    ) -> Prepared:
        """Scale the set so that its widths are about 1 (unless not `normalized`) and fold that into the network."""
        domain = problem.domain.to(device="cpu", dtype=torch.float64)
        scale = torch.ones(domain.inputs, dtype=torch.float64)
        shift = torch.zeros_like(scale)
        if normalized:
            domain, scale, shift = domain.normalized()
        network, objective = _taxed(problem)
        network, offset = network.substitute(scale, shift).with_objective(objective)
        domain = domain.to(device=device, dtype=dtype)
        box = domain.bounding_box()
        return Prepared(
            problem,
            network.to(device=device, dtype=dtype),
            domain,
            box.upper - box.lower,
            offset,
            scale,
            shift,
            restarts,
        )

    @property
    def batch(self) -> int:
        """Number of rows: problems times restarts."""
        return self.problem.problems * self.restarts

    def judge(self, evaluation: Evaluation) -> tuple[Tensor, Tensor | None]:
        """Return the value of each walker (batch, 1), and the rows (batch, outputs) whose gradient it is to follow.

        No rows are needed where the network's one output is the objective itself.
        """
        return evaluation.outputs, None

    def by_problem(self, rows: Tensor) -> Tensor:
        """Reshape rows (batch, ...) to (problems, restarts, ...)."""
        return rows.view(self.problem.problems, self.restarts, *rows.shape[1:])

    def project(self, rows: Tensor) -> Tensor:
        """Return the nearest point of its problem's set for each row of (batch, inputs), which may be overwritten."""
        if self.domain.batch is None:
            return self.domain.project_(rows)
        return self.domain.project_(self.by_problem(rows)).view_as(rows)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Return one random point of its problem's set for each row, shape (batch, inputs)."""
        count = self.restarts if self.domain.batch is not None else self.batch
        return self.domain.sample(count, generator=generator).view(self.batch, -1)

    def to_user(self, points: Tensor) -> Tensor:
        """Bring walking points (problems, points, inputs) into the user's set and dtype, whole where needed."""
        domain = self.problem.domain
        x = self.shift + self.scale * points.to("cpu", torch.float64)
        return domain.round(domain.project(x.to(domain.device, domain.dtype)))

    def from_user(self, x: Tensor) -> Tensor:
        """Bring user's points (..., inputs) to walking coordinates."""
        u = (x.to("cpu", torch.float64) - self.shift) / self.scale
        return u.to(self.network.device, self.network.dtype)


def _taxed(problem: Problem) -> tuple[Network, Tensor]:
    """Return a network and objectives (problems, outputs) from which what breaks the output constraints is subtracted.

    The penalty is exact: it grows linearly. The largest excess over a sample of the set costs several times what the
    objective varies there.
    """
    constraints = problem.constraints
    if constraints is None:
        return problem.network, problem.objective
    scale = constraints.scale
    matrix, upper = constraints.matrix / scale[:, None], constraints.upper / scale - _MARGIN
    domain = problem.domain.to(device="cpu", dtype=torch.float64)
    points = domain.sample(_SAMPLES, generator=torch.Generator().manual_seed(0)).reshape(-1, domain.inputs)
    outputs = problem.network.values(points)
    values = outputs @ problem.objective.T
    width = values.amax(0) - values.amin(0)
    rows = outputs @ matrix.T
    excess = torch.maximum(rows.amax(0) - rows.amin(0), (rows - upper).amax(0))
    tax = _TAX * width[:, None] / torch.where(excess > 0, excess, 1.0)
    return with_excess(problem.network, matrix, upper), torch.cat([problem.objective, -tax], 1)
