"""The front door: `ReLUOptimizer`, `maximize`, `minimize`, `bounds`."""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack._deadline import Interruption, interruptible
from relu_attack._memory import named_memory_errors
from relu_attack.bounds import bound_problem, bound_rows
from relu_attack.domains import Domain, check_domain
from relu_attack.errors import ModelError, OptionError
from relu_attack.model import Model, check_agreement, comparison_points
from relu_attack.network import lower
from relu_attack.objectives import Objective, Output
from relu_attack.output_constraints import OutputConstraints
from relu_attack.problem import Problem
from relu_attack.result import Result
from relu_attack.solvers import Settings, find_method, make_options, optimize


class ReLUOptimizer:
    """A trained piecewise-linear model, a set of inputs and an objective over the outputs.

    Parameters
    ----------
    model
        An ``nn.Sequential`` of supported modules, or a module whose own forward calls such, as residual networks do; in
        evaluation mode where that matters. Its weights are copied: later training does not change this optimizer.
    domain
        The set of inputs, or a batch of sets.
    objective
        What to maximize: `Output`, `Linear` or `Margin`, possibly a batch; output 0 by default. A batch of P sets
        and a batch of P objectives make P problems, solved together.
    output_constraints
        Rows that the outputs of an answer must satisfy, for all problems; none by default.
    device
        Where to walk; by default where the model's weights are.
    dtype
        Precision of the walk, float32 by default; values, violations and bounds are float64 in any case.

    Raises
    ------
    UnsupportedModuleError, ModelError, DomainError, ObjectiveError
        When the model has no exact form here, or the parts do not fit.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from relu_attack import Box, ReLUOptimizer
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> _ = nn.init.eye_(model[0].weight), nn.init.zeros_(model[0].bias)
    >>> _ = nn.init.ones_(model[2].weight), nn.init.zeros_(model[2].bias)
    >>> result = ReLUOptimizer(model, Box(-1.0, 1.0, shape=(2,))).maximize(seed=0)
    >>> result.x.tolist(), round(float(result.value), 6), round(float(result.bound), 6)
    ([1.0, 1.0], 2.0, 2.0)
    """

    def __init__(
        self,
        model: nn.Module,
        domain: Domain,
        objective: Objective | None = None,
        *,
        output_constraints: OutputConstraints | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise OptionError(f"dtype of the walk must be torch.float32 or torch.float64, got {dtype}")
        check_domain(domain)
        if objective is not None and not isinstance(objective, Objective):
            raise OptionError(f"objective must be an Output, a Linear or a Margin, got {type(objective).__name__}")
        if output_constraints is not None and not isinstance(output_constraints, OutputConstraints):
            raise OptionError(f"output_constraints must be OutputConstraints, got {type(output_constraints).__name__}")
        if not isinstance(model, nn.Module):
            raise ModelError(f"model must be an nn.Module, got {type(model).__name__}")
        self.device = _device_of(model) if device is None else _read_device(device)
        self.dtype = dtype
        self._sign = 1.0
        self._began: float | None = None
        # Tensors made under a caller's inference mode could not be used outside it.
        with named_memory_errors(), torch.inference_mode(False), torch.no_grad():
            self.lowering = lower(model, domain.shape)
            network, own = self.lowering.network, Model.of(model, self.lowering.network)
            check_agreement(own, self.lowering, comparison_points(network, domain))
            self.problem = Problem.create(
                network, domain, objective or Output(0), output_constraints, model=own.snapshot()
            )

    def maximize(
        self,
        method: str = "auto",
        *,
        restarts: int | None = None,
        iterations: int | None = None,
        time_limit: float | None = None,
        memory_limit: float | None = None,
        seed: int = 0,
        x0: ArrayLike | None = None,
        starts: str = "mixed",
        bound: str = "interval",
        progress: bool = False,
        record_path: bool = False,
        **options: float | str | None,
    ) -> Result:
        """Find the best input.

        Parameters
        ----------
        method
            ``"auto"``, a mix that is best in most cases; the walks ``"gradient_walk"``, ``"ppga"``, ``"ppga_lr"``,
            ``"lp_walk"``, ``"milp_walk"``; or ``"milp"``, exact.
        restarts
            Walkers for each problem, all in one batch; by default 32 of `auto` and 64 of the other methods.
        iterations
            Steps of each walker (`lp_walk`, `milp_walk`: programs).
        time_limit
            Seconds, for all that the call does: the bound, and in `relu_attack.maximize` the reading of the model.
            Without it and `iterations`, gradient walks do 1000 steps, `milp` has 60 seconds, and the others 10.
        memory_limit
            Bytes that a program, a batch of walkers or the boxes of branch and bound may take at a time, such as 8e9;
            by default 0.8 of what the machine has free. What does not fit is left out, and the bound is the looser one.
        seed
            Makes the run repeat on the same machine with the same number of threads, when `iterations` ends it.
        x0
            Points to begin from, in the user's coordinates; those outside the set are projected, with a warning.
        starts
            The other walkers begin ``"mixed"``, ``"random"``, at ``"corners"`` or at the ``"center"``.
        bound
            Method of the certified bound.
        progress
            Whether to show a bar with the best value.
        record_path
            Whether the result keeps each step of each walker, for pictures; not with `auto` and `milp`.
        options
            Options of the method, such as ``learning_rate``; see the options class of each method.

        Returns
        -------
        Result
            The best input found, its value and the bound. Ctrl-C, or SIGTERM, returns the best so far.

        Raises
        ------
        OptionError, DomainError
            For an option or an `x0` that cannot be used.
        MemoryLimitError
            When not even one walker for each problem fits into memory.
        """
        began = time.perf_counter() if self._began is None else self._began
        chosen = find_method(method)
        with named_memory_errors(), interruptible() as interruption:
            settings = Settings(
                budget=chosen.budget(
                    iterations=iterations,
                    time_limit=time_limit,
                    began=began,
                    interruption=interruption,
                    memory_limit=memory_limit,
                ),
                restarts=chosen.restarts if restarts is None else restarts,
                seed=seed,
                x0=x0,
                starts=starts,
                bound=bound,
                progress=progress,
                record_path=record_path,
                device=self.device,
                dtype=self.dtype,
                sign=self._sign,
            )
            return optimize(self.problem, method, make_options(method, options), settings)

    def minimize(self, *positional: str, **arguments: Any) -> Result:
        """Find the input with the smallest objective; arguments as in `maximize`, the bound is one from below."""
        negated = copy.copy(self)
        negated.problem, negated._sign = self.problem.negated(), -self._sign
        return negated.maximize(*positional, **arguments)

    def _since(self, began: float) -> ReLUOptimizer:
        """Return this optimizer for a call that `began` before it was made."""
        later = copy.copy(self)
        later._began = began
        return later

    def bounds(self, method: str = "interval", *, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Return certified lower and upper bounds of the objective over the set, each of shape () or (P,), float64.

        They hold in real arithmetic, whether computed in float64 or, over a box and by a method without programs, in
        float32, where a model of that dtype takes half of the time.
        """
        with named_memory_errors(), torch.inference_mode(False), torch.no_grad():
            lower, upper = bound_problem(self.problem, method, dtype=dtype)
        return (lower, upper) if self.problem.batched else (lower[0], upper[0])


def maximize(
    model: nn.Module,
    domain: Domain,
    objective: Objective | None = None,
    *,
    output_constraints: OutputConstraints | None = None,
    device: torch.device | str | None = None,
    **arguments: Any,
) -> Result:
    """Find the input of a set that maximizes a linear objective of a model's outputs.

    The short form of ``ReLUOptimizer(model, domain, objective, device=device).maximize(**arguments)``.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    >>> result = ra.maximize(model, ra.Box(0.0, 1.0, shape=(3,)), method="ppga_lr", iterations=50, seed=0)
    >>> bool(result.value <= result.bound), float(result.violation)
    (True, 0.0)
    """
    began = time.perf_counter()
    with named_memory_errors(), interruptible() as interruption:
        domain = _within(domain, arguments, began, interruption)
        optimizer = ReLUOptimizer(model, domain, objective, output_constraints=output_constraints, device=device)
        return optimizer._since(began).maximize(**arguments)


def minimize(
    model: nn.Module,
    domain: Domain,
    objective: Objective | None = None,
    *,
    output_constraints: OutputConstraints | None = None,
    device: torch.device | str | None = None,
    **arguments: Any,
) -> Result:
    """Find the input of a set that minimizes a linear objective of a model's outputs; see `maximize`."""
    began = time.perf_counter()
    with named_memory_errors(), interruptible() as interruption:
        domain = _within(domain, arguments, began, interruption)
        optimizer = ReLUOptimizer(model, domain, objective, output_constraints=output_constraints, device=device)
        return optimizer._since(began).minimize(**arguments)


def bounds(model: nn.Module, domain: Domain, method: str = "interval") -> tuple[Tensor, Tensor]:
    """Return certified lower and upper bounds of every output over a set.

    Returns
    -------
    lower, upper
        Float64, shape (outputs,), or (P, outputs) for a batch of P sets. They hold in real arithmetic.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> lower, upper = ra.bounds(torch.nn.Sequential(torch.nn.Linear(3, 2)), ra.Box(0.0, 1.0, shape=(3,)))
    >>> bool((lower <= upper).all())
    True
    """
    network = ReLUOptimizer(model, domain).problem.network
    with named_memory_errors(), torch.inference_mode(False), torch.no_grad():
        found = bound_rows(network, domain, torch.eye(network.outputs, dtype=torch.float64), method)
    return (found.lower, found.upper) if domain.batch is not None else (found.lower[0], found.upper[0])


def _within(domain: Any, arguments: dict[str, Any], began: float, interruption: Interruption) -> Any:
    """Return the set for a call with these arguments, whose time counts before there is an optimizer."""
    if not isinstance(domain, Domain):
        return domain
    limits = {name: arguments.get(name) for name in ("iterations", "time_limit")}
    budget = find_method(arguments.get("method", "auto")).budget(**limits, began=began, interruption=interruption)
    return domain.within(budget.deadline)


def _read_device(device: torch.device | str) -> torch.device:
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except Exception:  # torch raises what its build for the device does: RuntimeError, AssertionError, ...
        known = ", ".join(_devices())
        raise OptionError(f"device is {device!r}; it must be a device of torch that is here: {known}") from None
    if found.type == "meta":
        raise OptionError("device is 'meta', which holds no numbers; use 'cpu' or another one")
    return found


def _devices() -> list[str]:
    return ["'cpu'", *(f"'cuda:{number}'" for number in range(torch.cuda.device_count()))]


def _device_of(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
