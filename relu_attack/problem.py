"""The problem: maximize a linear objective of a network over a set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

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
    """

    network: Network
    domain: Domain
    objective: Tensor
    batched: bool
    constraints: OutputConstraints | None = None
    model: Model | None = None

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

        A gap beside a value of 0 is relative to this. It is the larger of ``|c| (|A| |z| + |b|)`` at two points of the
        bounding box, the same for every method, with the last preactivations z and the last affine map A, b.
        """
        box, network = self.domain.to(device="cpu", dtype=torch.float64).bounding_box(), self.network
        share = torch.rand(network.inputs, generator=torch.Generator().manual_seed(_SEED), dtype=torch.float64)
        points = torch.lerp(box.lower, box.upper, torch.stack([share, 1 - share]))
        terms = points.reshape(-1, network.inputs)
        if network.layers:
            terms = replace(network, layers=network.layers[:-1], output=network.layers[-1].affine).values(terms)
        sizes = network.output.operator.absolute().apply(terms.abs(), bias=network.output.bias.abs())
        size = (sizes.view(-1, 2, network.outputs) * self.objective.abs()[:, None]).sum(-1).amax(1)
        return torch.where(torch.isfinite(size), size, 0.0)

    def negated(self) -> Problem:
        """Return the problem of maximizing the negated objective."""
        return replace(self, objective=-self.objective)

    def single(self, index: int) -> Problem:
        """Return problem `index` of the batch as a problem of its own, with a set of its own."""
        return replace(
            self, domain=self.domain.single(index), objective=self.objective[index : index + 1], batched=False
        )

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
        flat = points.reshape(-1, self.network.inputs).to("cpu", torch.float64)
        outputs = self.network.values(flat).view(self.problems, -1, self.network.outputs)
        value = (outputs * self.objective[:, None]).sum(-1)
        return value, torch.zeros_like(value) if self.constraints is None else self.constraints.violation(outputs)

    def own_value(self, points: Tensor) -> Tensor:
        """Evaluate the objective by the user's model itself.

        Parameters
        ----------
        points
            One for each problem, shape (problems, inputs), which the model rounds to its dtype.

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
        outputs = self.model.checked_outputs(points, where="at the best input found").cpu()
        return (outputs * self.objective).sum(-1)
