"""Gradient walks as methods: scale the problem, ascend, and map the finalists back to the user's set."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.errors import SolverError
from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers.ascent._affordable import affordable
from relu_attack.solvers.ascent._ascent import Ascent
from relu_attack.solvers.ascent._capture import KernelGraph
from relu_attack.solvers.ascent._driver import run_ascent
from relu_attack.solvers.ascent._initial_points import starting_points
from relu_attack.solvers.ascent._problem import ScaledProblem
from relu_attack.solvers.ascent._walk import Walk
from relu_attack.solvers.core import Answer, Recorder, Settings

# Walkers of each problem whose best points are evaluated in float64 beside the incumbent; all of them where a
# point may have to be rounded or may violate a constraint.
_FINALISTS = 4


def search(
    problem: Problem, settings: Settings, walk: Walk, *, normalized: bool = True, graph: KernelGraph | None = None
) -> Answer:
    """Ascend within a budget, from the starts of the settings.

    Parameters
    ----------
    problem
        One problem or a batch of them.
    settings
        Budget, walkers, starts, seed, device and dtype.
    walk
        Step rule and restart policy.
    normalized
        Whether to scale the set to widths of about 1.
    graph
        Records the steps of a window.
    """
    with torch.inference_mode():
        upper = settings.upper_bound(problem)
        wanted = ScaledProblem.create(
            problem, restarts=settings.restarts, device=settings.device, dtype=settings.dtype, normalized=normalized
        )
        scaled = affordable(wanted, settings.budget)
        if scaled is None:
            return _at_the_centers(problem, settings, upper)
        generator = torch.Generator(settings.device).manual_seed(settings.seed)
        starts = starting_points(scaled, kind=settings.starts, x0=settings.x0, generator=generator, seed=settings.seed)
        ascent = walk.begin(scaled, starts, generator)
        recorder = Recorder(settings.budget, upper, sign=settings.sign, progress=settings.progress)

        def record(iterations: int) -> None:
            if recorder.due:
                recorder.record(iterations, scaled.user_values(ascent.incumbent_value))

        captured = None if graph is None else ascent.capture(graph)
        outcome = run_ascent(
            ascent, settings.budget, captured=captured, on_review=record, record_path=settings.record_path
        )
        recorder.record(outcome.iterations, scaled.user_values(ascent.incumbent_value), last=True)
        candidates = finalists(ascent, scaled)
        path = None if outcome.path is None else scaled.path(outcome.path)
    return Answer(
        candidates=candidates,
        upper=upper,
        certified=torch.ones_like(upper, dtype=torch.bool),
        status=outcome.status,
        iterations=outcome.iterations,
        evaluations=outcome.iterations * scaled.batch,
        trace=recorder.trace(),
        path=path,
    )


def _at_the_centers(problem: Problem, settings: Settings, upper: Tensor) -> Answer:
    """Return the answer of a search that has no time for a step."""
    centers = problem.domain.center().reshape(-1, 1, problem.domain.inputs).expand(problem.problems, -1, -1)
    recorder = Recorder(settings.budget, upper, sign=settings.sign, progress=False)
    recorder.record(0, torch.full_like(upper, -torch.inf), last=True)
    return Answer(
        candidates=centers.clone(),
        upper=upper,
        certified=torch.ones_like(upper, dtype=torch.bool),
        status=settings.budget.spent(0) or Status.TIME_LIMIT,
        iterations=0,
        evaluations=0,
        trace=recorder.trace(),
        found_by=("center",) * problem.problems,
    )


def finalists(ascent: Ascent, scaled: ScaledProblem, *, most: int | None = None) -> Tensor:
    """Return the best points of each problem, `most` walkers' if given, in the user's set: (problems, points, inputs).

    Raises
    ------
    SolverError
        When the walkers met no finite value.
    """
    problem = scaled.problem
    if not bool(torch.isfinite(ascent.incumbent_value).all()):
        raise SolverError(
            f"the walk found no point with a finite value: the model overflows {ascent.x.dtype}, "
            "or float64; scale its weights, or walk with dtype=torch.float64"
        )
    values = scaled.by_problem(ascent.excursion_value)
    uncertain = bool(problem.domain.integer) or problem.constraints is not None
    count = min(most or (values.shape[1] if uncertain else _FINALISTS), values.shape[1])
    places = values.topk(count, 1).indices
    points = scaled.by_problem(ascent.excursion_x)
    points = points.gather(1, places[:, :, None].expand(-1, -1, points.shape[2]))
    return scaled.to_user(torch.cat([ascent.incumbent_x[:, None], points], 1))
