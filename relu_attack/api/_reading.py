"""A problem from a model, a set and an objective: checks of the parts, and of the model against its chain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from relu_attack._checks import check_model, read_device
from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains import Domain, check_domain
from relu_attack.errors import OptionError
from relu_attack.model import Model, check_agreement, comparison_points, time_to_read, within_time
from relu_attack.network import Lowering, lower
from relu_attack.objectives import Objective, Output
from relu_attack.output_constraints import OutputConstraints
from relu_attack.problem import Problem


@dataclass(frozen=True, eq=False)
class ReadProblem:
    """A problem, and where it is searched.

    `lowering` is the chain of the model, with a note for each of its modules; `device` and `dtype` are those of the
    walk.
    """

    problem: Problem
    lowering: Lowering
    device: torch.device
    dtype: torch.dtype


def read_problem(
    model: nn.Module,
    domain: Domain,
    objective: Objective | None,
    output_constraints: OutputConstraints | None,
    *,
    device: torch.device | str | None,
    dtype: torch.dtype,
    deadline: Deadline = NEVER,
) -> ReadProblem:
    """Lower a model, compare it with its chain at points of the set, and check that the parts fit.

    The other arguments are those of `ReLUOptimizer`; points of the comparison have a quarter of the time until the
    deadline, which ends the reading of a model that is not small by `TimeLimitError`.
    """
    if dtype not in (torch.float32, torch.float64):
        raise OptionError(f"dtype of the walk must be torch.float32 or torch.float64, got {dtype}")
    check_domain(domain)
    _check_objective(objective)
    if output_constraints is not None and not isinstance(output_constraints, OutputConstraints):
        raise OptionError(f"output_constraints must be OutputConstraints, got {type(output_constraints).__name__}")
    check_model(model)
    where = _device_of(model) if device is None else read_device(device)
    # Tensors made under a caller's inference mode could not be used outside it.
    with torch.inference_mode(False), torch.no_grad(), within_time(deadline):
        sampling, deadline = deadline, time_to_read(model, domain.shape, deadline)
        lowering = lower(model, domain.shape, deadline=deadline)
        network = lowering.network
        own = Model.of(model, network)
        points = comparison_points(network, domain, deadline=sampling)
        own = check_agreement(own, lowering, points, deadline=deadline)
        problem = Problem.create(network, domain, objective or Output(0), output_constraints, model=own.snapshot())
        # Each search needs it, and may not have the time for it.
        problem = replace(problem, measured_scale=problem.measure_scale(deadline=deadline))
    return ReadProblem(problem, lowering, where, dtype)


def _check_objective(objective: object) -> None:
    if objective is not None and not isinstance(objective, Objective):
        meant = f"; did you mean method={objective!r}?" if isinstance(objective, str) else ""
        kind = type(objective).__name__
        raise OptionError(f"objective must be an Output, a Linear or a Margin, got {kind}{meant}")


def _device_of(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
