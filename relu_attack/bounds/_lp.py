"""LP bounds: one linear program for each end over the triangle relaxation of the network, with ranges by CROWN."""

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
        One set; its objectives are bounded one by one. For a set without linear rows, programs use the bounding box,
        with the ranges of `crown` over the set itself.
    deadline
        Time limit, at which the running program is stopped. Ends that are not computed by then are those of `crown`,
        which has a fraction of the time.

    Returns
    -------
    Bounds
        Ranges of shape (1, problems) for the objectives, never wider than those of `crown` and certified: each end is
        recomputed from the multipliers of its program by weak duality. Ends for which that fails are those of `crown`,
        as are all ends if a unit has a range that is infinite or beyond 1e10, for which there is no program. The ranges
        of the layers, each of shape (1, units), are those of `crown`.

    Raises
    ------
    OptionError
        For a batch of sets.

    Notes
    -----
    The convex hull of each unit is from Ehlers, Formal Verification of Piece-Wise Linear Feed-Forward Neural Networks
    (1705.01320), section 3. Back-substitution is a feasible point of the dual of this program (Salman et al., A
    Convex Relaxation Barrier to Tight Robustness Verification of Neural Networks (1902.08722), section 4), so with
    equal ranges no choice of slopes gives a tighter bound. The gap to the exact range is their barrier.

    Examples
    --------
    relu(x + 1/2) + relu(-x) is at least 1/2; CROWN with one line below each unit proves 0.

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
