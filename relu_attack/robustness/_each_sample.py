"""The search of `maximize` for single samples that short walks over a batch did not break."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relu_attack.domains import Domain
from relu_attack.network import Network
from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers import Answer, Budget, Settings, choose, find_method

# Walkers of each sample, as `maximize` has them.
_WALKERS = 32
# Share of the time that is left for each class in turn, the most promising one first; the last turn has all of it.
_CLASS_SHARE = 0.5
# Seconds that a turn is worth, at least: with less the most promising class has all.
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

    Classes come with the most promising first; one of the walkers starts at `x0`, (inputs,). Each search begins from
    the worst point so far, whichever class that was found for. The last turn is for the class that leads there: where
    the search for one class ends another may lead, on a region that no search for it met. The search ends at the margin
    `goal`, infinite for the largest. Returned are the best point (1, inputs) of each search, the number of points that
    the walkers visited, and why it ended.
    """
    found, evaluations, status = list[Tensor](), 0, Status.TIME_LIMIT
    waiting, worst = list(classes), x0.reshape(1, -1).to("cpu", torch.float64)
    while status is not Status.INTERRUPTED:
        left = budget.left()
        last = not waiting or (1 - _CLASS_SHARE) * left < _MIN_SECONDS
        target = _leading(network, worst, label, classes) if last and found else waiting.pop(0)
        point, answer = _search(
            network,
            domain,
            label,
            target,
            x0=worst,
            budget=budget.part(seconds=left if last or len(classes) == 1 else _CLASS_SHARE * left),
            seed=seed + len(found),
            goal=goal,
            device=device,
            dtype=dtype,
        )
        found.append(point)
        evaluations, status = evaluations + answer.evaluations, answer.status
        worst = max(worst, point, key=lambda x: float(_margins(network, x, label)[classes].amax()))
        if last or len(classes) == 1 or float(_margins(network, worst, label).amax()) >= goal or math.isinf(left):
            break
    return found, evaluations, status


def _margins(network: Network, x: Tensor, label: int) -> Tensor:
    """Return the margin of each class at x (1, inputs), shape (classes,)."""
    outputs = network.forward(x.to("cpu", torch.float64)).outputs[0]
    return (outputs - outputs[label]).index_fill(0, torch.tensor(label), -torch.inf)


def _leading(network: Network, x: Tensor, label: int, classes: list[int]) -> int:
    """Return which of some classes has the largest margin at x (1, inputs)."""
    return classes[int(_margins(network, x, label)[classes].argmax())]


def _search(
    network: Network,
    domain: Domain,
    label: int,
    target: int,
    *,
    x0: Tensor,
    budget: Budget,
    seed: int,
    goal: float,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Answer]:
    """Maximize the margin of one class; return the best point (1, inputs) and the answer of the search."""
    method = find_method("auto")
    objective = torch.zeros(1, network.outputs, dtype=torch.float64)
    objective[0, target], objective[0, label] = 1.0, -1.0
    settings = Settings(
        budget=budget,
        restarts=_WALKERS,
        seed=seed,
        x0=x0.reshape(domain.shape),
        starts="mixed",
        bound="interval",
        progress=False,
        record_path=False,
        device=device,
        dtype=dtype,
        goal=goal,
    )
    problem = Problem(network, domain.within(budget.deadline), objective, batched=False)
    answer = method.solve(problem, method.options(), settings)
    return choose(problem, answer.candidates)[0], answer
