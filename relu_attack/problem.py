"""The problem: maximize a linear objective of a network over a set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains import Domain
from relu_attack.errors import DomainError, ObjectiveError
from relu_attack.model import Model
from relu_attack.network import Network
from relu_attack.objectives import Objective
from relu_attack.output_constraints import OutputConstraints

# Of the points by which the scale of an objective is measured.
_SEED = 0


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem or a batch of P problems, ``max { c . f(x) : x in X }``; every solver maximizes.

    Attributes
    ----------
    network
        The chain in float64 on the CPU; shared by all problems.
    domain
        One set for all problems, or a batch of P sets.
    objective
        Float64, shape (P, outputs).
    batched
        Whether answers carry a leading dimension of size P.
    constraints
        Rows that the outputs of an answer must satisfy, the same for all problems; None for none.
    model
        The user's model, whose forward pass gives the values of answers; None where the chain itself is the model.
    measured_scale
        `scale` if it was measured before; None else.
    """

    network: Network
    domain: Domain
    objective: Tensor
    batched: bool
    constraints: OutputConstraints | None = None
    model: Model | None = None
    measured_scale: Tensor | None = None

    @staticmethod
    def create(
        network: Network,
        domain: Domain,
        objective: Objective,
        constraints: OutputConstraints | None = None,
        *,
        model: Model | None = None,
    ) -> Problem:
        """Match sets and objectives: one of them may be single and is then shared.

        Raises
        ------
        DomainError, ObjectiveError
            When the set does not fit the inputs, the constraints the outputs, or the two batches differ in size.
        """
        if domain.inputs != network.inputs:
            raise DomainError(f"the domain has {domain.inputs} inputs, but the model takes {network.inputs}")
        rows, rows_batched = objective.rows(network.outputs)
        if domain.batch is not None and len(rows) not in (1, domain.batch):
            raise ObjectiveError(
                f"there are {len(rows)} objectives for a batch of {domain.batch} sets; give one, or one for each set"
            )
        if constraints is not None and constraints.matrix.shape[1] != network.outputs:
            raise ObjectiveError(
                f"the output constraints have {constraints.matrix.shape[1]} columns, "
                f"but the model has {network.outputs} outputs"
            )
        problems = domain.batch or len(rows)
        batched = rows_batched or domain.batch is not None
        return Problem(network, domain, rows.expand(problems, -1), batched, constraints, model)

    @property
    def problems(self) -> int:
        """Number of problems P."""
        return self.objective.shape[0]

    @cached_property
    def scale(self) -> Tensor:
        """How large the terms of the objective are over the set, float64, shape (problems,).

        A gap beside a value of 0 is relative to this. It is the larger of ``|c| (|A| |z| + |b|)`` at two points of a
        box around the set, the same for every method, with the last preactivations z and the last affine map A, b.
        """
        return self.measure_scale() if self.measured_scale is None else self.measured_scale

    def measure_scale(self, *, deadline: Deadline = NEVER) -> Tensor:
        """Measure `scale`; raise `OutOfTimeError` beyond the deadline."""
        box, network = self.domain.to(device="cpu", dtype=torch.float64).outer_box(), self.network
        share = torch.rand(network.inputs, generator=torch.Generator().manual_seed(_SEED), dtype=torch.float64)
        points = torch.lerp(box.lower, box.upper, torch.stack([share, 1 - share]))
        terms = points.reshape(-1, network.inputs)
        if network.layers:
            before = replace(network, layers=network.layers[:-1], output=network.layers[-1].affine)
            terms = before.values(terms, deadline=deadline)
        sizes = network.output.operator.absolute().apply(terms.abs(), bias=network.output.bias.abs())
        size = (sizes.view(-1, 2, network.outputs) * self.objective.abs()[:, None]).sum(-1).amax(1)
        return torch.where(torch.isfinite(size), size, 0.0)

    def negated(self) -> Problem:
        """Return the problem of maximizing the negated objective."""
        return replace(self, objective=-self.objective)  # of the same scale

    def single(self, index: int) -> Problem:
        """Return problem `index` of the batch as a problem of its own, with a set of its own."""
        own = slice(index, index + 1)
        known = None if self.measured_scale is None else self.measured_scale[own]
        domain, objective = self.domain.single(index), self.objective[own]
        return replace(self, domain=domain, objective=objective, batched=False, measured_scale=known)

    def value(self, points: Tensor) -> Tensor:
        """Return the objective at `points` (problems, points, inputs): float64, shape (problems, points)."""
        return self.evaluate(points)[0]

    def evaluate(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate objective and output constraints by a float64 forward pass.

        Parameters
        ----------
        points
            Shape (problems, points, inputs).

        Returns
        -------
        value, violation
            Float64, each of shape (problems, points): the objective, and by how much the outputs break a constraint at
            most, relative to its scale; 0 without constraints.
        """
        return self.measure(self.outputs(points))

    def outputs(self, points: Tensor) -> Tensor:
        """Return the outputs of the chain at `points` (problems, points, inputs), (problems, points, outputs)."""
        flat = points.reshape(-1, self.network.inputs).to("cpu", torch.float64)
        return self.network.values(flat).view(self.problems, -1, self.network.outputs)

    def measure(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return objective and violation, as `evaluate` does, of outputs of shape (problems, points, outputs)."""
        value = (outputs * self.objective[:, None]).sum(-1)
        return value, torch.zeros_like(value) if self.constraints is None else self.constraints.violation(outputs)

    @property
    def seconds(self) -> float:
        """How long the evaluation and the check of an answer to one problem take, by measurement; 0 if unknown."""
        return 0.0 if self.model is None else self.model.seconds

    def own_value(self, points: Tensor, expected: Tensor | None = None) -> Tensor:
        """Evaluate the objective by the user's model itself.

        Parameters
        ----------
        points
            One for each problem, shape (problems, inputs), which the model rounds to its dtype.
        expected
            Outputs of the chain there if they are known, shape (problems, outputs).

        Returns
        -------
        Tensor
            Float64 on the CPU, shape (problems,).

        Raises
        ------
        ModelError
            When the model answers something else than its chain, beyond the rounding of its forward pass.
        """
        if self.model is None:
            return self.value(points[:, None])[:, 0]
        where = "at the best input found"
        outputs = self.model.checked_outputs(points, where=where, expected=expected).cpu()
        return (outputs * self.objective).sum(-1)
