"""Where walkers begin."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, as_tensor, warn
from relu_attack._names import one_of
from relu_attack.errors import DomainError, OptionError
from relu_attack.problem import Problem
from relu_attack.solvers.ascent._problem import ScaledProblem
from relu_attack.solvers.core import Settings

STARTS = ("mixed", "random", "corners", "center")


def given_points(scaled: ScaledProblem, x0: ArrayLike) -> Tensor:
    """Read the user's points, project those outside the set with a warning.

    Parameters
    ----------
    scaled
        The problem.
    x0
        Points in the user's coordinates: the shape of one input, (points, \\*shape), or for a batch of P problems
        (P, \\*shape) or (P, points, \\*shape).

    Returns
    -------
    Tensor
        Walking coordinates, shape (problems, points, inputs).

    Raises
    ------
    DomainError
        When the points have the wrong shape or are not finite.
    """
    domain, problems = scaled.problem.domain, scaled.problems
    points = as_tensor(x0, name="x0", error=DomainError).to("cpu", torch.float64)
    leading = _leading(tuple(points.shape), domain.shape, domain.inputs)
    if leading is None or len(leading) > 2 or points.numel() == 0:
        raise DomainError(
            f"x0 has shape {tuple(points.shape)}; one input has shape {domain.shape}, several (points, *{domain.shape})"
        )
    if not bool(torch.isfinite(points).all()):
        raise DomainError("x0 has an entry that is NaN or infinite; every coordinate must be a number")
    if len(leading) == 2 or (scaled.problem.batched and leading == (problems,)):
        if leading[0] != problems:
            raise DomainError(f"x0 has shape {tuple(points.shape)}, but there are {problems} problems")
        points = points.reshape(problems, -1, domain.inputs)
    else:
        points = points.reshape(1, -1, domain.inputs)
    exact = domain.to(device="cpu", dtype=torch.float64)
    outside = ~exact.contains(points, tolerance=1e-9)
    if bool(outside.any()):
        warn(f"{int(outside.sum())} of {outside.numel()} points of x0 lie outside the set and are projected onto it")
    return scaled.from_user(exact.project(points)).expand(problems, -1, -1)


def settings_for_each(problem: Problem, settings: Settings) -> list[Settings]:
    """Return the settings of each problem of a batch as a problem of its own: with its own points to begin from.

    Raises
    ------
    DomainError
        As `given_points`.
    """
    if settings.x0 is None:
        return [settings] * problem.problems
    scaled = ScaledProblem.create(
        problem, restarts=1, device=torch.device("cpu"), dtype=torch.float64, normalized=False
    )
    return [replace(settings, x0=points) for points in given_points(scaled, settings.x0)]


def _leading(shape: tuple[int, ...], event: tuple[int, ...], inputs: int) -> tuple[int, ...] | None:
    for tail in (event, (inputs,)):
        if len(shape) >= len(tail) and shape[len(shape) - len(tail) :] == tail:
            return shape[: len(shape) - len(tail)]
    return None


def starting_points(
    scaled: ScaledProblem, *, kind: str, x0: ArrayLike | None, generator: torch.Generator, seed: int
) -> Tensor:
    """Return one start for each walker, shape (batch, inputs).

    Parameters
    ----------
    scaled
        The problem.
    kind
        ``"mixed"``: the centre, a quarter corners, the rest random; or all of one kind. Random starts are spread evenly
        over the whole numbers of each integer input and the choices of each one-hot group.
    x0
        Points of the user, which come first; `kind` fills the other walkers.
    generator, seed
        Source of randomness on the walk's device, and the seed for what is drawn on the CPU.

    Raises
    ------
    OptionError, DomainError
        For an unknown kind, or points that do not fit.
    """
    one_of(kind, STARTS, name="starts")
    problems, restarts = scaled.problems, scaled.restarts
    walked = scaled.walked()
    starts = scaled.by_problem(walked.sample(generator)).clone()
    if scaled.problem.domain.integer:
        starts = _spread(scaled, starts, torch.Generator().manual_seed(seed))
    if kind in ("corners", "mixed"):
        count = restarts if kind == "corners" else restarts // 4
        if count:
            starts[:, :count] = walked.corners(count, torch.Generator().manual_seed(seed))
    if kind == "center":
        starts[:] = walked.center()
    elif kind == "mixed" and restarts > 1:
        starts[:, -1:] = walked.center()
    if x0 is not None:
        points = given_points(scaled, x0)
        if points.shape[1] > restarts:
            raise OptionError(
                f"x0 has {points.shape[1]} points for each problem, but restarts is {restarts}; "
                f"give restarts={points.shape[1]} or more"
            )
        starts[:, : points.shape[1]] = points
    return starts.view(problems * restarts, -1)


def _spread(scaled: ScaledProblem, starts: Tensor, generator: torch.Generator) -> Tensor:
    """Spread starts (problems, restarts, inputs) over whole numbers and choices: Latin hypercube sampling."""
    domain, restarts = scaled.problem.domain.to(device="cpu", dtype=torch.float64), starts.shape[1]
    x = scaled.shift + scaled.scale * starts.to("cpu", torch.float64)
    box = domain.bounding_box()
    lower, upper = box.lower.ceil(), box.upper.floor()
    grouped = {member for group in domain.one_hot for member in group}

    def shares() -> Tensor:
        """Return one number in [0, 1) from each of as many equal parts as there are starts, in random order."""
        drawn = torch.rand(restarts, generator=generator, dtype=torch.float64)
        return (torch.randperm(restarts, generator=generator) + drawn) / restarts

    for index in (index for index in domain.integer if index not in grouped):
        low, high = lower[..., index], upper[..., index]
        x[..., index] = low + (shares() * (high - low + 1)).floor()
    for group in domain.one_hot:
        choice = (shares() * len(group)).long()
        x[..., list(group)] = torch.eye(len(group), dtype=torch.float64)[choice]
    return scaled.from_user(x)
