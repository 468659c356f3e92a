"""From a problem and a method's name to a checked answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike
from relu_attack.bounds import bound_problem
from relu_attack.errors import OptionError, SolverError
from relu_attack.problem import Problem
from relu_attack.result import Result, Status, Trace
from relu_attack.solvers.loop import Budget, Outcome, run
from relu_attack.solvers.prepared import Prepared
from relu_attack.solvers.starts import starting_points
from relu_attack.solvers.walk import Walk, WalkOptions

# Walkers of each problem whose best points are evaluated in float64 beside the incumbent.
_FINALISTS = 4
# Relative gap, far above the rounding that bounds account for, at which a value counts as proven.
_OPTIMALITY = 1e-9


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every method is told, beside its own options; `ReLUOptimizer.maximize` says what each means."""

    budget: Budget
    restarts: int
    seed: int
    x0: ArrayLike | None
    starts: str
    bound: str
    progress: bool
    record_path: bool
    device: torch.device
    dtype: torch.dtype
    sign: float = field(default=1.0)

    def __post_init__(self) -> None:
        if isinstance(self.restarts, bool) or not isinstance(self.restarts, int) or self.restarts < 1:
            raise OptionError(f"restarts must be a whole number of at least 1, got {self.restarts!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise OptionError(f"seed must be a whole number of at least 0 and below 2**63, got {self.seed!r}")


def search(problem: Problem, walk_class: type[Walk], name: str, options: WalkOptions, settings: Settings) -> Result:
    """Walk, then evaluate the finalists in float64, check them, and bound the problem."""
    with torch.inference_mode():
        _, upper = bound_problem(problem, settings.bound)
        prepared = Prepared.create(
            problem,
            restarts=settings.restarts,
            device=settings.device,
            dtype=settings.dtype,
            normalized=options.learning_rate is None,
        )
        generator = torch.Generator(settings.device).manual_seed(settings.seed)
        points = starting_points(
            prepared, kind=settings.starts, x0=settings.x0, generator=generator, seed=settings.seed
        )
        walk = walk_class(prepared, points, options, generator)
        outcome = run(
            walk, settings.budget, sign=settings.sign, progress=settings.progress, record_path=settings.record_path
        )
        x, value = _best(walk)
        if not bool(torch.isfinite(value).all() and torch.isfinite(walk.incumbent_value).all()):
            raise SolverError(
                f"the walk found no point with a finite value: the model overflows {settings.dtype}, "
                "or float64; scale its weights, or walk with dtype=torch.float64"
            )
        path = None if outcome.path is None else prepared.shift + prepared.scale * outcome.path.to("cpu", torch.float64)
    # Tensors made under inference mode could not be used in a caller's autograd graph.
    with torch.inference_mode(False):
        path = None if path is None else path.clone()
        return _result(problem, name, settings, outcome, x.clone(), value.clone(), upper.clone(), path)


def _best(walk: Walk) -> tuple[Tensor, Tensor]:
    """Return the best point of each problem in the user's coordinates, (problems, inputs), and its float64 value."""
    prepared = walk.prepared
    values = prepared.by_problem(walk.excursion_value)
    finalists = values.topk(min(_FINALISTS, values.shape[1]), 1).indices
    points = prepared.by_problem(walk.excursion_x)
    points = points.gather(1, finalists[:, :, None].expand(-1, -1, points.shape[2]))
    candidates = prepared.to_user(torch.cat([walk.incumbent_x[:, None], points], 1))
    value, index = prepared.problem.value(candidates).max(1)
    return candidates[torch.arange(len(index)), index.to(candidates.device)], value


def _result(
    problem: Problem,
    name: str,
    settings: Settings,
    outcome: Outcome,
    x: Tensor,
    value: Tensor,
    upper: Tensor,
    path: Tensor | None,
) -> Result:
    def plain(entry: Tensor) -> Tensor:
        return entry if problem.batched else entry[0]

    domain, sign = problem.domain, settings.sign
    exact = domain.to(device="cpu", dtype=torch.float64)
    checked = x.to("cpu", torch.float64)
    violation = exact.violation(checked[:, None])[:, 0]
    proven = bool((upper - value <= _OPTIMALITY * torch.maximum(upper.abs(), value.abs())).all())
    return Result(
        x=plain(x.view(-1, *domain.shape)),
        value=plain(sign * value),
        bound=plain(sign * torch.maximum(upper, value)),
        status=Status.OPTIMAL if proven else outcome.status,
        violation=plain(violation),
        method=name,
        iterations=outcome.iterations,
        evaluations=outcome.iterations * settings.restarts * problem.problems,
        runtime=settings.budget.elapsed(),
        trace=Trace(*(entry.clone() for entry in vars(outcome.trace).values())),
        path=path,
    )
