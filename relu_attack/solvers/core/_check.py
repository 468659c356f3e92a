"""Validation of a method's output, and construction of the `Result`."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.errors import SolverError
from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem
from relu_attack.result import OPTIMALITY, Result, Status, Trace, relative_gap
from relu_attack.solvers.core._incumbents import rank
from relu_attack.solvers.core._settings import Answer, Settings


def check_result(problem: Problem, name: str, settings: Settings, answer: Answer) -> Result:
    """Choose the best candidate, evaluate it by the user's model, measure violations and set the status.

    Candidates, output constraints and the status are evaluated on the chain in float64, as bounds are. The value is a
    forward pass of the model itself, and the bound is never on the wrong side of it.
    """
    # Tensors made under inference mode could not be used in a caller's autograd graph.
    with torch.inference_mode(False), torch.no_grad():
        upper = answer.upper.clone()
        x, outputs, exact_value, output_violation = choose(problem, answer.candidates)
        feasible = output_violation <= TOLERANCE
        if not bool((torch.isfinite(exact_value) & torch.isfinite(output_violation)).all()):
            raise SolverError("the best point has no finite value: the model overflows float64; scale its weights")
        infeasible = ~feasible & (upper == -torch.inf)
        exact_value = torch.where(feasible, exact_value, -torch.inf)
        upper = torch.where(infeasible, upper, torch.maximum(upper, exact_value))
        gap = relative_gap(exact_value, upper, problem.scale)
        status = _status(answer.status, feasible, infeasible, gap)
        value = torch.where(feasible, problem.own_value(x, outputs), -torch.inf)
        upper = torch.where(infeasible, upper, torch.maximum(upper, value))
        exact = problem.domain.to(device="cpu", dtype=torch.float64)
        points = x.to("cpu", torch.float64)[:, None]
        sign = settings.sign

        def plain(entry: Tensor) -> Tensor:
            return entry.clone() if problem.batched else entry[0].clone()

        return Result(
            x=plain(x.view(-1, *problem.domain.shape)),
            value=plain(sign * value),
            bound=plain(sign * upper),
            certified=plain(answer.certified),
            scale=plain(problem.scale),
            status=status,
            violation=plain(exact.violation(points)[:, 0]),
            output_violation=plain(output_violation),
            integrality=plain(exact.integrality(points)[:, 0]),
            method=name,
            found_by=answer.found_by or (name,) * problem.problems,
            iterations=answer.iterations,
            evaluations=answer.evaluations,
            runtime=settings.budget.elapsed(),
            trace=Trace(*(entry.clone() for entry in vars(answer.trace).values())),
            path=None if answer.path is None else answer.path.clone(),
        )


def choose(problem: Problem, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the best candidate of each problem on the chain, feasible ones first.

    Candidates have shape (problems, candidates, inputs). Returned are points (problems, inputs), and for each the
    outputs, the objective and the violation of the output constraints by a float64 pass.
    """
    with torch.inference_mode(False), torch.no_grad():
        points = candidates.clone()
        outputs = problem.outputs(points)
        values, violations = problem.measure(outputs)
        index = rank(values, violations).argmax(1)
        every = torch.arange(problem.problems)
        return points[every, index], outputs[every, index], values[every, index], violations[every, index]


def _status(stopped: Status, feasible: Tensor, infeasible: Tensor, gap: Tensor) -> Status:
    if bool(infeasible.all()):
        return Status.INFEASIBLE
    closed = feasible & (gap <= OPTIMALITY)
    if bool((closed | infeasible).all()):
        return Status.OPTIMAL
    return stopped if bool((feasible | infeasible).all()) or stopped is Status.INTERRUPTED else Status.NOT_FOUND
