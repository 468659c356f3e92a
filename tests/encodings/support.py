"""What the tests of the encodings share."""

import torch
from torch import nn

import relu_attack as ra
from relu_attack.bounds import bound_rows
from relu_attack.encodings import Encoding, Ranges, encode
from relu_attack.network import lower
from relu_attack.objectives import Linear, Objective
from relu_attack.problem import Problem


def problem_of(model: nn.Module, domain: ra.Domain, objective: Objective | None = None) -> Problem:
    """Return the problem of a model over a set, by default for some mix of all outputs."""
    chain = lower(model, domain.shape).network
    rows = objective or Linear(torch.linspace(1.0, 2.0, chain.outputs, dtype=torch.float64))
    return Problem.create(chain, domain, rows)


def interval_ranges(problem: Problem) -> Ranges:
    """Return the ranges of the preactivations by interval arithmetic."""
    bounds = bound_rows(problem.network, problem.domain, problem.objective, "interval")
    return [(low[0], high[0]) for low, high in bounds.layers]


def encoded(problem: Problem, *, relaxed: bool = False) -> Encoding:
    """Encode a problem with interval ranges."""
    return encode(problem, interval_ranges(problem), relaxed=relaxed)
