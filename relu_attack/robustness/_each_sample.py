"""The search of `maximize` for single samples that short walks over a batch did not break."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relu_attack.domains import Domain
from relu_attack.network import Network
from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers import Budget, Settings, choose, find_method

# Walkers of each sample, as `maximize` has them.
_WALKERS = 32
# Share of the time of a sample for its most promising class; of what is left, that for the next one, and so on.
_CLASS_SHARE = 0.6
# Seconds that a class is worth, at least: with less the most promising one has all.
_MIN_SECONDS = 0.5


def search_sample(
    network: Network,
    domain: Domain,
    label: int,
    classes: list[int],
    *,
    x0: Tensor,
    budget: Budget,
    seed: int,
    goal: float,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[list[Tensor], int, Status]:
    """Maximize the margins of some classes over the set of one sample, one after the other.

    Classes come with the most promising first; one of the walkers starts at `x0`, (inputs,). The search ends at the
    margin `goal`, infinite for the largest. Returned are the best point (1, inputs) of each class that was searched,
    the number of points that the walkers visited, and why it ended.
    """
    found, evaluations, status = list[Tensor](), 0, Status.TIME_LIMIT
    method = find_method("auto")
    for number, target in enumerate(classes):
        left = budget.left()
        last = number + 1 == len(classes) or (1 - _CLASS_SHARE) * left < _MIN_SECONDS
        objective = torch.zeros(1, network.outputs, dtype=torch.float64)
        objective[0, target], objective[0, label] = 1.0, -1.0
        settings = Settings(
            budget=budget.part(seconds=left if last else _CLASS_SHARE * left),
            restarts=_WALKERS,
            seed=seed,
            x0=x0.reshape(domain.shape),
            device=device,
            dtype=dtype,
            goal=goal,
        )
        problem = Problem(network, domain.within(settings.budget.deadline), objective, batched=False)
        answer = method.solve(problem, method.options(), settings)
        point, _, value, _ = choose(problem, answer.candidates)
        found.append(point)
        evaluations, status = evaluations + answer.evaluations, answer.status
        if last or status is Status.INTERRUPTED or float(value) >= goal or math.isinf(left):
            break
    return found, evaluations, status
