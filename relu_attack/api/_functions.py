"""Questions in one call: `maximize`, `minimize`, `output_bounds`."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack._deadline import interruptible
from relu_attack._memory import named_memory_errors
from relu_attack._names import checked_names
from relu_attack.api._optimizer import WALK_DTYPE
from relu_attack.api._reading import read_problem
from relu_attack.bounds import bound_rows
from relu_attack.domains import Domain
from relu_attack.objectives import Objective
from relu_attack.output_constraints import OutputConstraints
from relu_attack.result import Result
from relu_attack.solvers import MethodOptions, Option, SearchArguments

_BESIDE = ("output_constraints", "device", "dtype")
"""Keywords of the calls here beside those of a search."""


def maximize(
    model: nn.Module,
    domain: Domain,
    objective: Objective | None = None,
    *,
    output_constraints: OutputConstraints | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = WALK_DTYPE,
    method: str | MethodOptions = SearchArguments.method,
    restarts: int | None = SearchArguments.restarts,
    iterations: int | None = SearchArguments.iterations,
    time_limit: float | None = SearchArguments.time_limit,
    memory_limit: float | None = SearchArguments.memory_limit,
    seed: int = SearchArguments.seed,
    x0: ArrayLike | None = SearchArguments.x0,
    starts: str = SearchArguments.starts,
    bound: str = SearchArguments.bound,
    progress: bool = SearchArguments.progress,
    record_path: bool = SearchArguments.record_path,
    **options: Option,
) -> Result:
    """Find the input of a set that maximizes a linear objective of a model's outputs.

    The short form of ``ReLUOptimizer(model, domain, objective).maximize()``, which describes the arguments; here the
    time limit holds for the reading of the model as well.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    >>> result = ra.maximize(model, ra.Box(0.0, 1.0, shape=(3,)), method="ppga_lr", iterations=50, seed=0)
    >>> bool(result.value <= result.bound), float(result.violation)
    (True, 0.0)
    """
    began = time.perf_counter()
    arguments = SearchArguments.among(locals())
    return _solve(model, domain, objective, output_constraints, device, dtype, arguments, began)


def minimize(
    model: nn.Module,
    domain: Domain,
    objective: Objective | None = None,
    *,
    output_constraints: OutputConstraints | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = WALK_DTYPE,
    method: str | MethodOptions = SearchArguments.method,
    restarts: int | None = SearchArguments.restarts,
    iterations: int | None = SearchArguments.iterations,
    time_limit: float | None = SearchArguments.time_limit,
    memory_limit: float | None = SearchArguments.memory_limit,
    seed: int = SearchArguments.seed,
    x0: ArrayLike | None = SearchArguments.x0,
    starts: str = SearchArguments.starts,
    bound: str = SearchArguments.bound,
    progress: bool = SearchArguments.progress,
    record_path: bool = SearchArguments.record_path,
    **options: Option,
) -> Result:
    """Find the input of a set that minimizes a linear objective of a model's outputs; see `maximize`."""
    began = time.perf_counter()
    arguments = SearchArguments.among(locals(), minimize=True)
    return _solve(model, domain, objective, output_constraints, device, dtype, arguments, began)


@checked_names()
def output_bounds(model: nn.Module, domain: Domain, method: str = SearchArguments.bound) -> tuple[Tensor, Tensor]:
    """Return certified lower and upper bounds of every output over a set.

    Parameters
    ----------
    model
        As in `ReLUOptimizer`.
    domain
        One set, or a batch of P sets.
    method
        A name in `relu_attack.bounds.BOUNDS`; intervals by default.

    Returns
    -------
    lower, upper
        Float64, shape (outputs,), or (P, outputs) for a batch of P sets. They hold in real arithmetic.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> lower, upper = ra.output_bounds(torch.nn.Sequential(torch.nn.Linear(3, 2)), ra.Box(0.0, 1.0, shape=(3,)))
    >>> bool((lower <= upper).all())
    True
    """
    with named_memory_errors(), torch.inference_mode(False), torch.no_grad():
        network = read_problem(model, domain, None, None, device=None, dtype=WALK_DTYPE).problem.network
        found = bound_rows(network, domain, torch.eye(network.outputs, dtype=torch.float64), method)
    return (found.lower, found.upper) if domain.batch is not None else (found.lower[0], found.upper[0])


def _solve(
    model: nn.Module,
    domain: Domain,
    objective: Objective | None,
    output_constraints: OutputConstraints | None,
    device: torch.device | str | None,
    dtype: torch.dtype,
    arguments: SearchArguments,
    began: float,
) -> Result:
    """Read the model and search, within the time of one call that `began` before."""
    with named_memory_errors(), interruptible() as interruption:
        search = arguments.begin(interruption, began=began, beside=_BESIDE)
        read = read_problem(
            model, domain, objective, output_constraints, device=device, dtype=dtype, deadline=search.deadline
        )
        return search.run(read.problem, device=read.device, dtype=read.dtype)
