"""Enumeration: all points of a set whose inputs are whole numbers, choices of one-hot groups, or fixed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relu_attack.bounds import evaluation_error
from relu_attack.domains import Domain
from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem
from relu_attack.rounding import dot_error, up
from relu_attack.solvers.auto._changes import one_sided_rows
from relu_attack.solvers.core import Budget, Incumbents

ENUMERATION = "enumeration"
"""Name of the enumeration among the exact methods."""

# Maximum number of points.
_MAX_POINTS = 2**20
# Products per second of a slow core, and what a point costs beside the network, in products.
_PRODUCTS_PER_SECOND, _PRODUCTS_PER_INPUT = 4e9, 10
# Share of the remaining time that an enumeration may be expected to take.
_TIME_SHARE = 0.5
# Products between two readings of the clock, about a tenth of a second of one core, and the memory at a time, in bytes.
_MAX_PRODUCTS, _MAX_BYTES = 2**28, 2**25


def enumerable(problem: Problem, seconds: float) -> bool:
    """Return whether all points of every problem can be tried in half of the seconds that are given."""
    count = _count(problem.domain)
    work = count * problem.problems * _work(problem)
    return count <= _MAX_POINTS and work <= _TIME_SHARE * _PRODUCTS_PER_SECOND * seconds


def _work(problem: Problem) -> int:
    return problem.network.multiply_adds + _PRODUCTS_PER_INPUT * problem.network.inputs


def _count(domain: Domain) -> float:
    """Return the number of points, of the largest set of a batch; infinite where an input is continuous."""
    box, grouped = domain.bounding_box(), {member for group in domain.one_hot for member in group}
    alone = [index for index in domain.integer if index not in grouped]
    others = torch.ones(domain.inputs, dtype=torch.bool)
    others[list(domain.integer)] = False
    lower, upper = (end.reshape(-1, domain.inputs).to("cpu", torch.float64) for end in (box.lower, box.upper))
    if bool((lower[:, others] < upper[:, others]).any()):
        return math.inf
    widths = (upper[:, alone].floor() - lower[:, alone].ceil() + 1).clamp_min(0).prod(1)
    return math.prod(len(group) for group in domain.one_hot) * float(widths.max())


class Enumeration:
    """All points of one problem, whose best value bounds the objective once all have been tried.

    What is bounded are the values in real arithmetic: the best of the computed ones, and the error of a forward pass.
    Points count where they may lie in the set, or where the set counts them as inside.

    Parameters
    ----------
    incumbents, index
        Receive the best point and the bound, and the number of the problem.
    """

    def __init__(self, incumbents: Incumbents, index: int) -> None:
        self._incumbents, self._index = incumbents, index
        self._problem = problem = incumbents.single(index)
        self._domain = domain = problem.domain.to(device="cpu", dtype=torch.float64)
        box, constraints = domain.bounding_box(), problem.constraints
        lower, upper = box.lower.reshape(-1), box.upper.reshape(-1)
        self._base, self._parts = lower.clone(), _parts(domain, lower, upper)
        self._count = math.prod(len(values) for _, values in self._parts)
        self._done, self._best = 0, -math.inf
        self._rows = problem.objective if constraints is None else torch.cat([problem.objective, constraints.matrix])
        self._error = evaluation_error(problem.network, lower, upper, self._rows)
        size = torch.maximum(lower.abs(), upper.abs())
        self._matrix, limit = one_sided_rows(domain)
        terms = self._matrix.abs() @ size + limit.abs()
        operands = self._matrix.abs().sum(1) + size.sum()
        self._limit = up(limit + dot_error(terms, domain.inputs + 2, operands))

    def advance(self, budget: Budget) -> bool:
        """Try points within a budget; return whether all have been tried."""
        layers, memory = self._problem.network.layers, min(_MAX_BYTES, budget.memory_limit / 4)
        numbers = max([len(self._base), len(self._rows), *(layer.units for layer in layers)]) + len(self._limit)
        size = max(min(_MAX_PRODUCTS // _work(self._problem), int(memory / (8 * numbers))), 1)
        with torch.inference_mode():
            while self._done < self._count:
                if budget.spent(0) is not None:
                    return False
                self._try(torch.arange(self._done, min(self._done + size, self._count)))
                self._done += size
            upper = up(self._error[0] + torch.tensor(self._best, dtype=torch.float64))
        # Minus infinity, where no point is feasible, stays.
        self._incumbents.bound(self._index, float(upper) if math.isfinite(self._best) else self._best, certified=True)
        return True

    def _try(self, numbers: Tensor) -> None:
        """Evaluate the points of these numbers, and offer the best of them."""
        points = self._base.expand(len(numbers), -1).clone()
        for inputs, values in self._parts:
            points[:, inputs] = values[numbers % len(values)]
            numbers = numbers // len(values)
        problem, incumbents, index = self._problem, self._incumbents, self._index
        outputs = problem.outputs(points[None])[0]
        products = outputs @ self._rows.T
        possible = (points @ self._matrix.T <= self._limit).all(1)
        inside = self._domain.contains(points)
        feasible = torch.ones(len(points), dtype=torch.bool)
        if problem.constraints is not None:
            accepted = up(problem.constraints.accepted + self._error[1:])
            possible &= (products[:, 1:] <= accepted).all(1)
            feasible = problem.constraints.violation(outputs) <= TOLERANCE
        value = products[:, 0].nan_to_num(nan=math.inf)
        self._best = max(self._best, float(torch.where(possible | (inside & feasible), value, -math.inf).amax()))
        found = torch.where(inside & feasible, products[:, 0], -math.inf)
        place = int(found.argmax())
        least = float(incumbents.value[index]) if incumbents.is_feasible(index) else -math.inf
        if float(found[place]) > least:
            incumbents.offer(index, points[place][None], ENUMERATION)


def _parts(domain: Domain, lower: Tensor, upper: Tensor) -> list[tuple[list[int], Tensor]]:
    """Return the inputs of each group and each other integer input, and the values that they take, (values, inputs)."""
    parts = []
    for group in domain.one_hot:
        choices = torch.eye(len(group), dtype=torch.float64)
        possible = ((choices >= lower[list(group)]) & (choices <= upper[list(group)])).all(1)
        parts.append((list(group), choices[possible]))
    grouped = {member for group in domain.one_hot for member in group}
    for index in (index for index in domain.integer if index not in grouped):
        first, last = math.ceil(float(lower[index])), math.floor(float(upper[index]))
        parts.append(([index], torch.arange(first, last + 1, dtype=torch.float64)[:, None]))
    return parts
