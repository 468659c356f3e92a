"""Bounds by one linear program for each end: the triangle relaxation of the whole network, its ranges by CROWN."""

from __future__ import annotations

from dataclasses import replace

import torch

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._bounds import Bounds
from relu_attack.bounds._crown import crown
from relu_attack.bounds._interval import activation_range
from relu_attack.bounds._triangle_program import CROWN, TriangleRelaxation, has_program
from relu_attack.errors import OptionError
from relu_attack.problem import Problem


def lp(problem: Problem, *, deadline: Deadline = NEVER) -> Bounds:
    """Bound objectives over one set by linear programs.

    Parameters
    ----------
    problem
        One set; its objectives are bounded one by one. Programs see the box around a set without linear rows only, but
        what `crown` found over the set itself holds for their units.
    deadline
        When no program is started any more and the one that runs is stopped. Ends that are not done by then are those
        of `crown`, which stops after its share of the time.

    Returns
    -------
    Bounds
        Ranges of shape (1, problems) for the objectives, never wider than those of `crown` and certified: each end is
        rebuilt from the multipliers of its program by weak duality. Where that fails the end is `crown`'s, and all ends
        are where a unit has an infinite range, or one beyond 1e10: there is no program then. The ranges of the layers,
        each of shape (1, units), are `crown`'s.

    Raises
    ------
    OptionError
        For a batch of sets.

    Notes
    -----
    The convex hull of each unit is from Ehlers, Formal Verification of Piece-Wise Linear Feed-Forward Neural Networks
    (1705.01320), section 3. Back-substitution takes feasible points of the dual of this program: Salman et al., A
    Convex Relaxation Barrier to Tight Robustness Verification of Neural Networks (1902.08722), section 4; so with the
    same ranges no choice of lines gives a tighter bound. What lies between it and the exact range is their barrier.

    Examples
    --------
    relu(x + 1/2) + relu(-x) is at least 1/2; CROWN takes one line below each unit and says 0.

    >>> from relu_attack import Box, Linear
    >>> from relu_attack.network import dense_chain
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> weights = [torch.cat([one, -one]), torch.ones(1, 2, dtype=torch.float64)]
    >>> chain = dense_chain(weights, [torch.tensor([0.5, 0.0], dtype=torch.float64), 0 * one[0]])
    >>> bounds = lp(Problem.create(chain, Box(-one[0], one[0]), Linear(one[0])))
    >>> round(bounds.lower.item(), 9), round(bounds.upper.item(), 9)
    (0.5, 1.5)
    """
    domain = problem.domain.to(device="cpu", dtype=torch.float64)
    if domain.batch is not None:
        raise OptionError(f"the domain is a batch of {domain.batch} sets; take one at a time, problem.single(i)")
    network, objective = problem.network, problem.objective
    known = replace(crown(network, domain, objective, deadline=deadline.share(CROWN)), method="lp")
    if deadline.passed or not has_program(known.layers):
        return known
    box = domain.bounding_box()
    ends = activation_range(network.layers[-1], *known.layers[-1]) if known.layers else (box.lower, box.upper)
    size = torch.maximum(*(end.abs().reshape(-1) for end in ends))
    seen = domain if domain.is_polyhedral else box
    rows = TriangleRelaxation.of_objective(network, seen, list(known.layers), size, objective, deadline)
    if rows is None:
        return known
    every = torch.ones(len(objective), dtype=torch.bool)
    lower, upper = rows.tighten((known.lower, known.upper), every, deadline, until_stable=False)
    return replace(known, lower=lower, upper=upper)
