"""`ReLUOptimizer`: a model, a set and an objective that are read once, and searched as often as is wanted."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack._deadline import interruptible
from relu_attack._memory import named_memory_errors
from relu_attack._names import checked_names
from relu_attack._repr import one_line
from relu_attack.api._reading import read_problem
from relu_attack.bounds import bound_problem
from relu_attack.domains import Domain
from relu_attack.objectives import Objective
from relu_attack.output_constraints import OutputConstraints
from relu_attack.result import Result
from relu_attack.solvers import MethodOptions, Option, SearchArguments

WALK_DTYPE = torch.float32
"""Precision of the walk, unless another is asked for."""


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
    UnsupportedModuleError, ModelError, DomainError, ObjectiveError, OptionError
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

    @checked_names()
    def __init__(
        self,
        model: nn.Module,
        domain: Domain,
        objective: Objective | None = None,
        *,
        output_constraints: OutputConstraints | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = WALK_DTYPE,
    ) -> None:
        with named_memory_errors():
            read = read_problem(model, domain, objective, output_constraints, device=device, dtype=dtype)
        self.problem, self.lowering = read.problem, read.lowering
        self.device, self.dtype = read.device, read.dtype

    def __repr__(self) -> str:
        problem = self.problem
        return one_line(
            self,
            inputs=problem.network.inputs,
            units=problem.network.units,
            outputs=problem.network.outputs,
            domain=problem.domain,
            problems=problem.problems if problem.batched else None,
            output_constraints=problem.constraints,
            device=self.device,
            dtype=self.dtype,
        )

    def maximize(
        self,
        method: str | MethodOptions = SearchArguments.method,
        *,
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
        """Find the best input.

        Parameters
        ----------
        method
            ``"auto"``, a mix that is best in most cases; the walks ``"gradient_walk"``, ``"ppga"``, ``"ppga_lr"``,
            ``"lp_walk"``, ``"milp_walk"``; ``"milp"`` or ``"branch_and_bound"``, exact; or the options of one of them,
            such as ``PPGALR(step=0.05)``.
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
            Method of the certified bound, a name in `relu_attack.bounds.BOUNDS`.
        progress
            Whether to show a bar with the best value.
        record_path
            Whether the result keeps each step of each walker, for pictures; not with `auto` and `milp`.
        options
            Options of the method by name, such as ``learning_rate=0.1``, where the method is a word.

        Returns
        -------
        Result
            The best input found, its value and the bound. Ctrl-C, or SIGTERM, returns the best so far.

        Raises
        ------
        OptionError, DomainError
            For an option or an `x0` that cannot be used. An unknown name is an `ArgumentError`, which is a `TypeError`
            as well, and says which name comes nearest.
        MemoryLimitError
            When not even one walker for each problem fits into memory.
        """
        began = time.perf_counter()
        arguments = SearchArguments.among(locals())
        return self._search(arguments, began)

    def minimize(
        self,
        method: str | MethodOptions = SearchArguments.method,
        *,
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
        """Find the input with the smallest objective; arguments as in `maximize`, and the bound is one from below."""
        began = time.perf_counter()
        arguments = SearchArguments.among(locals(), minimize=True)
        return self._search(arguments, began)

    def _search(self, arguments: SearchArguments, began: float) -> Result:
        with named_memory_errors(), interruptible() as interruption:
            search = arguments.begin(interruption, began=began)
            return search.run(self.problem, device=self.device, dtype=self.dtype)

    @checked_names()
    def bounds(
        self, method: str = SearchArguments.bound, *, dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor]:
        """Return certified lower and upper bounds of the objective over the set, each of shape () or (P,), float64.

        They hold in real arithmetic, whether computed in float64 or, over a box and by a method without programs, in
        float32, where a model of that dtype takes half of the time.
        """
        with named_memory_errors(), torch.inference_mode(False), torch.no_grad():
            lower, upper = bound_problem(self.problem, method, dtype=dtype)
        return (lower, upper) if self.problem.batched else (lower[0], upper[0])
