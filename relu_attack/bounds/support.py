"""The largest value of linear functions over a set, from above: where linear bounds become numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from relu_attack.domains import Box, Domain, L2Ball, Polytope
from relu_attack.encodings import encode
from relu_attack.network import Network, identity
from relu_attack.problem import Problem
from relu_attack.programs import PreparedProgram


@dataclass(frozen=True, eq=False)
class Support:
    """The support function of sets, and where it is attained.

    Attributes
    ----------
    largest
        Takes coefficients (boxes, rows, inputs) and returns ``max coefficients . x`` from above, shape (boxes, rows).
    point
        Takes the same and returns points that attain it nearly, (boxes, rows, inputs): a hint, which no bound
        relies on.
    """

    largest: Callable[[Tensor], Tensor]
    point: Callable[[Tensor], Tensor]

    def __call__(self, coefficients: Tensor) -> Tensor:
        """Return ``max coefficients . x`` from above, shape (boxes, rows)."""
        return self.largest(coefficients)


def box_support(lower: Tensor, upper: Tensor) -> Support:
    """Return the support function of boxes (boxes, inputs), sound to rounding."""
    eps, tiny = torch.finfo(lower.dtype).eps, torch.finfo(lower.dtype).tiny
    center = lower + (upper - lower) / 2
    radius = torch.maximum(center - lower, upper - center) * (1 + 2 * eps)
    size = (center.abs() + radius) * (1 + eps)
    factor = 2 * (lower.shape[1] + 8) * eps

    def support(coefficients: Tensor) -> Tensor:
        absolute = coefficients.abs()
        value = coefficients @ center[..., None] + absolute @ radius[..., None]
        slack: Tensor = factor * (absolute @ size[..., None]) + tiny * (1 + size.sum(1)[:, None, None])
        return (value + slack)[..., 0]

    def point(coefficients: Tensor) -> Tensor:
        return torch.where(coefficients > 0, upper[:, None], lower[:, None])

    return Support(support, point)


def set_support(domain: Domain) -> Support:
    """Return the support function of a set or a batch of P sets, sound to rounding.

    Exact for boxes. For a `Polytope` or an `L1Ball` each row is a linear program, its bound rebuilt by weak duality;
    for an `L2Ball` it is the smaller of the box's and that of the ball without the clip.
    """
    domain = domain.to(device="cpu", dtype=torch.float64)
    box = domain.bounding_box()
    around = box_support(box.lower.reshape(-1, domain.inputs), box.upper.reshape(-1, domain.inputs))
    if isinstance(domain, Box) and not domain.one_hot:
        return around
    inner = [
        _ball_support(one) if isinstance(one, L2Ball) else _program_support(one)
        for one in (domain.single(index) for index in range(domain.batch or 1))
    ]

    def support(coefficients: Tensor) -> Tensor:
        parts = [one(rows) for one, rows in zip(inner, coefficients, strict=True)]
        return torch.minimum(around(coefficients), torch.stack(parts))

    def point(coefficients: Tensor) -> Tensor:
        return domain.support(coefficients)

    # A linear program for each row is too much for a hint.
    return Support(support, around.point if isinstance(domain, Polytope) else point)


def _ball_support(ball: L2Ball) -> Callable[[Tensor], Tensor]:
    center, radius = ball.center_point.reshape(-1), ball.radius.reshape(())
    factor = 2 * (len(center) + 8) * torch.finfo(center.dtype).eps

    def support(rows: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(rows, dim=-1)
        slack = factor * (rows.abs() @ center.abs() + radius * length) + torch.finfo(center.dtype).tiny
        bound: Tensor = rows @ center + radius * length + slack
        return bound

    return support


def _program_support(domain: Domain) -> Callable[[Tensor], Tensor]:
    """Return the support function of one set with linear rows, for rows (rows, inputs)."""
    alone = Network((), identity(domain.inputs), domain.shape, (domain.inputs,))
    direction = torch.zeros(1, domain.inputs, dtype=torch.float64)
    program = encode(Problem(alone, domain, direction, batched=False), [], relaxed=True).program
    prepared, columns = PreparedProgram(program), program.columns

    def support(rows: Tensor) -> Tensor:
        bounds = []
        for row in rows.detach().numpy():
            prepared.change(objective=np.concatenate([row, np.zeros(columns - len(row))]))
            solution = prepared.solve()
            bounds.append(solution.bound if solution.certified else np.inf)
        return torch.tensor(bounds, dtype=torch.float64)

    return support
