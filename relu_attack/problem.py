"""The problem: maximize a linear objective of a network over a set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.domains import Domain
from relu_attack.errors import DomainError, ObjectiveError
from relu_attack.network import Network
from relu_attack.objectives import Objective


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
    """

    network: Network
    domain: Domain
    objective: Tensor
    batched: bool

    @staticmethod
    def create(network: Network, domain: Domain, objective: Objective) -> Problem:
        """Match sets and objectives: one of them may be single and is then shared.

        Raises
        ------
        DomainError, ObjectiveError
            When the set does not fit the inputs or the two batches differ in size.
        """
        if domain.inputs != network.inputs:
            raise DomainError(f"the domain has {domain.inputs} inputs, but the model takes {network.inputs}")
        rows, rows_batched = objective.rows(network.outputs)
        if domain.batch is not None and len(rows) not in (1, domain.batch):
            raise ObjectiveError(
                f"there are {len(rows)} objectives for a batch of {domain.batch} sets; give one, or one for each set"
            )
        problems = domain.batch or len(rows)
        return Problem(network, domain, rows.expand(problems, -1), rows_batched or domain.batch is not None)

    @property
    def problems(self) -> int:
        """Number of problems P."""
        return self.objective.shape[0]

    def negated(self) -> Problem:
        """Return the problem of maximizing the negated objective."""
        return Problem(self.network, self.domain, -self.objective, self.batched)

    def value(self, points: Tensor) -> Tensor:
        """Evaluate the objective by a float64 forward pass.

        Parameters
        ----------
        points
            Shape (problems, points, inputs).

        Returns
        -------
        Tensor
            Float64, shape (problems, points).
        """
        flat = points.reshape(-1, self.network.inputs).to("cpu", torch.float64)
        outputs = self.network.forward(flat).outputs.view(self.problems, -1, self.network.outputs)
        return (outputs * self.objective[:, None]).sum(-1)
