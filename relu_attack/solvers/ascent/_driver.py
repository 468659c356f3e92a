"""Gradient walks as methods: prepare, walk, and bring the finalists back to the user's set."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.errors import SolverError
from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers.ascent._affordable import affordable
from relu_attack.solvers.ascent._base import Walk, WalkOptions
from relu_attack.solvers.ascent._initial_points import starting_points
from relu_attack.solvers.ascent._loop import run
from relu_attack.solvers.ascent._scaled_problem import Prepared
from relu_attack.solvers.core import Answer, Recorder, Settings

# Walkers of each problem whose best points are evaluated in float64 beside the incumbent; all of them where a
# point may have to be rounded or may break a constraint.
_FINALISTS = 4


def search(problem: Problem, options: WalkOptions, settings: Settings, *, walk_class: type[Walk]) -> Answer:
    """Walk by one of the gradient walks within a budget."""
    with torch.inference_mode():
        upper = settings.upper_bound(problem)
        prepared = Prepared.create(
            problem,
            restarts=settings.restarts,
            device=settings.device,
            dtype=settings.dtype,
            normalized=options.learning_rate is None,
        )
        walking = affordable(prepared, settings.budget)
        if walking is None:
            return _at_the_centers(problem, settings, upper)
        prepared = walking
        generator = torch.Generator(settings.device).manual_seed(settings.seed)
        points = starting_points(
            prepared, kind=settings.starts, x0=settings.x0, generator=generator, seed=settings.seed
        )
        walk = walk_class(prepared, points, options, generator)
        recorder = Recorder(settings.budget, upper, sign=settings.sign, progress=settings.progress)
        outcome = run(walk, settings.budget, recorder, record_path=settings.record_path)
        candidates = finalists(walk)
        path = None if outcome.path is None else prepared.shift + prepared.scale * outcome.path.to("cpu", torch.float64)
    return Answer(
        candidates=candidates,
        upper=upper,
        certified=torch.ones_like(upper, dtype=torch.bool),
        status=outcome.status,
        iterations=outcome.iterations,
        evaluations=outcome.iterations * prepared.batch,
        trace=outcome.trace,
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


def finalists(walk: Walk) -> Tensor:
    """Return the best points of each problem in the user's set, shape (problems, points, inputs).

    Raises
    ------
    SolverError
        When the walk met no finite value.
    """
    prepared = walk.prepared
    problem = prepared.problem
    if not bool(torch.isfinite(walk.incumbent_value).all()):
        raise SolverError(
            f"the walk found no point with a finite value: the model overflows {walk.x.dtype}, "
            "or float64; scale its weights, or walk with dtype=torch.float64"
        )
    values = prepared.by_problem(walk.excursion_value)
    uncertain = bool(problem.domain.integer) or problem.constraints is not None
    places = values.topk(values.shape[1] if uncertain else min(_FINALISTS, values.shape[1]), 1).indices
    points = prepared.by_problem(walk.excursion_x)
    points = points.gather(1, places[:, :, None].expand(-1, -1, points.shape[2]))
    return prepared.to_user(torch.cat([walk.incumbent_x[:, None], points], 1))
