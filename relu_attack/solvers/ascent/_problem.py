"""What an ascent works on: a network, a set and a target, with walkers for each problem; and user problems as such."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.domains import Domain, WalkedSet
from relu_attack.network import Network, with_constraint_violations
from relu_attack.problem import Problem
from relu_attack.solvers.ascent._target import OUTPUT, Target

# Points of the set by which penalties are scaled, and how many times the variation of the objective the largest
# excess among them costs.
_SAMPLES = 256
_PENALTY_FACTOR = 10.0
# Relative distance that walkers keep from output constraints, for what float32 cannot resolve.
_MARGIN = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class AscentProblem:
    """A batch of P problems for R walkers each; rows of a batch are problem by problem.

    Attributes
    ----------
    network
        The network in the dtype and on the device of the ascent.
    domain
        The set, or P sets, likewise.
    widths
        Width of the set for each input, shape (inputs,) or (P, 1, inputs).
    problems, restarts
        P and R.
    target
        What the outputs are worth, and which gradient to follow.
    """

    network: Network
    domain: Domain
    widths: Tensor
    problems: int
    restarts: int
    target: Target = OUTPUT

    @property
    def batch(self) -> int:
        """Number of rows: problems times restarts."""
        return self.problems * self.restarts

    def by_problem(self, rows: Tensor) -> Tensor:
        """Reshape rows (batch, ...) to (problems, restarts, ...)."""
        return rows.view(self.problems, self.restarts, *rows.shape[1:])

    def walked(self) -> WalkedSet:
        """Return the set, or the sets, as one ascent meets them."""
        walkers = self.restarts if self.domain.batch is not None else self.batch
        return self.domain.walked(walkers, products=2 * self.network.multiply_adds)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScaledProblem(AscentProblem):
    """A user's problem in coordinates u of the ascent, with ``x = shift + scale u``.

    The network has one output: the objective of the row's problem, less its constant and less a penalty where the
    outputs violate a constraint.

    Attributes
    ----------
    problem
        The problem in the user's coordinates.
    offset
        The constants, float64, shape (problems,).
    scale, shift
        Float64, shape (inputs,).
    """

    problem: Problem
    offset: Tensor
    scale: Tensor
    shift: Tensor

    @staticmethod
    def create(
        problem: Problem, *, restarts: int, device: torch.device, dtype: torch.dtype, normalized: bool
    ) -> ScaledProblem:
        """Scale the set so that its widths are about 1 (unless not `normalized`) and fold that into the network."""
        domain = problem.domain.to(device="cpu", dtype=torch.float64)
        scale = torch.ones(domain.inputs, dtype=torch.float64)
        shift = torch.zeros_like(scale)
        if normalized:
            domain, scale, shift = domain.normalized()
        network, objective = _penalized(problem)
        network, offset = network.substitute(scale, shift).with_objective(objective)
        domain = domain.to(device=device, dtype=dtype)
        return ScaledProblem(
            network=network.to(device=device, dtype=dtype),
            domain=domain,
            widths=domain.widths(),
            problems=problem.problems,
            restarts=restarts,
            problem=problem,
            offset=offset,
            scale=scale,
            shift=shift,
        )

    def user_values(self, values: Tensor) -> Tensor:
        """Return objectives in the user's terms, float64 on the CPU, for values (problems,) of the target."""
        return values.to("cpu", torch.float64) + self.offset

    def to_user(self, points: Tensor) -> Tensor:
        """Map points (problems, points, inputs) to the user's set and dtype; round integer inputs."""
        domain = self.problem.domain
        x = self.shift + self.scale * points.to("cpu", torch.float64)
        return domain.round(domain.project(x.to(domain.device, domain.dtype)))

    def path(self, points: Tensor) -> Tensor:
        """Map recorded points (iterations, problems, restarts, inputs) to the user's set, float64 on the CPU."""
        x = self.shift + self.scale * points.to("cpu", torch.float64)
        return self.problem.domain.to(device="cpu", dtype=torch.float64).project(x)

    def from_user(self, x: Tensor) -> Tensor:
        """Map user points (..., inputs) to the coordinates of the ascent."""
        u = (x.to("cpu", torch.float64) - self.shift) / self.scale
        return u.to(self.network.device, self.network.dtype)


def _penalized(problem: Problem) -> tuple[Network, Tensor]:
    """Return a network and objectives (problems, outputs) with a penalty where the outputs violate a constraint.

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
    penalty = _PENALTY_FACTOR * width[:, None] / torch.where(excess > 0, excess, 1.0)
    return with_constraint_violations(problem.network, matrix, upper), torch.cat([problem.objective, -penalty], 1)
