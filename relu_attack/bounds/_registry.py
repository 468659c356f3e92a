"""Table of the methods of certified bounds, and the entry points that use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from relu_attack._deadline import NEVER, Deadline
from relu_attack._registry import Registry
from relu_attack.bounds._alpha_crown import alpha_crown
from relu_attack.bounds._bounds import Bounds
from relu_attack.bounds._concretization import bounding_ends
from relu_attack.bounds._crown import crown
from relu_attack.bounds._interval import interval
from relu_attack.bounds._lp import lp
from relu_attack.bounds._lp_tightened import lp_tightened
from relu_attack.bounds._single_precision import in_single_precision
from relu_attack.domains import Domain
from relu_attack.errors import OptionError
from relu_attack.network import Network
from relu_attack.problem import Problem


class BoundFunction(Protocol):
    """Signature of a bound method: objective rows over a set or a batch of sets, as `bound_rows`."""

    def __call__(
        self, network: Network, domain: Domain, objective: torch.Tensor, *, deadline: Deadline = NEVER
    ) -> Bounds:
        """Return the bounds."""


def _interval(network: Network, domain: Domain, objective: torch.Tensor, *, deadline: Deadline = NEVER) -> Bounds:
    return interval(network, *bounding_ends(domain, network.dtype), objective, deadline=deadline)


class _ByPrograms(Protocol):
    def __call__(self, problem: Problem, *, deadline: Deadline) -> Bounds: ...


def _one_by_one(bound: _ByPrograms) -> BoundFunction:
    """Extend a method for single sets to batches."""

    def bound_each(network: Network, domain: Domain, objective: torch.Tensor, *, deadline: Deadline = NEVER) -> Bounds:
        rows = objective if objective.dim() == 3 else objective[None].expand(domain.batch or 1, -1, -1)
        if deadline.passed:
            return _interval(network, domain, objective, deadline=deadline)
        parts: list[Bounds] = []
        for index, part in enumerate(rows):
            own = deadline.share(1 / (len(rows) - index))
            if own.passed:
                rest = objective if objective.dim() == 2 else objective[index:]
                lower, upper = (end[index:] for end in bounding_ends(domain, network.dtype))
                known = interval(network, lower, upper, rest, deadline=deadline)
                return Bounds.join([*parts, known])
            parts.append(bound(Problem(network, domain.single(index), part, batched=False), deadline=own))
        return Bounds.join(parts)

    return bound_each


@dataclass(frozen=True)
class BoundMethod:
    """A method of certified bounds.

    Attributes
    ----------
    bound
        The bound function.
    in_float32
        Whether the method supports float32.
    """

    bound: BoundFunction
    in_float32: bool = False


BOUNDS: Registry[BoundMethod] = Registry(
    "bound method",
    {
        "interval": BoundMethod(_interval, in_float32=True),
        "crown": BoundMethod(crown, in_float32=True),
        "alpha_crown": BoundMethod(alpha_crown, in_float32=True),
        "lp": BoundMethod(_one_by_one(lp)),
        "lp_tightened": BoundMethod(_one_by_one(lp_tightened)),
    },
)
"""Methods of certified bounds by name; `register_bound` adds to them."""


def register_bound(name: str, bound: BoundFunction) -> None:
    """Add a method of certified bounds of your own, for this process.

    `maximize` takes it as ``bound=name``, `output_bounds` and `ReLUOptimizer.bounds` as ``method=name``; configurations
    and the command take it likewise.

    Parameters
    ----------
    name
        A new name; one that was registered before is replaced.
    bound
        ``bound(network, domain, objective, *, deadline)`` returns the `relu_attack.bounds.Bounds` of objective rows
        over one set or a batch of P sets: rows for all sets (rows, outputs), or one for each set (P, 1, outputs),
        float64. What it returns is not checked: it must hold in real arithmetic for the weights of the network.

    Raises
    ------
    OptionError
        For a name of the package itself.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> from relu_attack.bounds import bound_rows
    >>> def box_only(network, domain, objective, *, deadline):
    ...     return bound_rows(network, domain.bounding_box(), objective, "crown", deadline=deadline)
    >>> ra.register_bound("crown_of_the_box", box_only)
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> lower, upper = ra.output_bounds(model, ra.L2Ball(torch.zeros(2), 1.0), "crown_of_the_box")
    >>> bool(lower <= upper)
    True
    """
    if not callable(bound):
        raise OptionError(f"bound of {name} must be a function of network, domain and objective, got {bound!r}")
    BOUNDS.register(name, BoundMethod(bound))


def bound_rows(
    network: Network,
    domain: Domain,
    objective: torch.Tensor,
    method: str,
    *,
    deadline: Deadline = NEVER,
    dtype: torch.dtype = torch.float64,
) -> Bounds:
    """Bound objective rows over a set or a batch of P sets.

    `objective` has shape (rows, outputs), for all sets, or (P, 1, outputs); the ranges have shape (P or 1, rows), in
    float64. What is not computed by the deadline is that of a cheaper method: CROWN for programs, intervals for CROWN,
    and infinite without intervals. With `dtype` float32, bounds take half of the time and memory, hold in real
    arithmetic too, and are wider by the larger rounding; they need a method without programs, a box, and dense layers
    with weights that float32 represents, or raise OptionError.
    """
    chosen = BOUNDS.find(method)
    if dtype == torch.float64:
        return chosen.bound(network, domain, objective, deadline=deadline)
    if dtype != torch.float32 or not chosen.in_float32:
        able = ", ".join(name for name, other in BOUNDS.items() if other.in_float32)
        raise OptionError(f"bounds by {method} in {dtype}: take torch.float64, or torch.float32 with {able}")
    return chosen.bound(*in_single_precision(network, domain, objective), deadline=deadline).double()


def bound_problem(
    problem: Problem, method: str, *, deadline: Deadline = NEVER, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bound the objective of each problem over its set: lower and upper, float64, each of shape (problems,).

    The other arguments are those of `bound_rows`.
    """
    if problem.domain.batch is None:
        bounds = bound_rows(problem.network, problem.domain, problem.objective, method, deadline=deadline, dtype=dtype)
        return bounds.lower[0], bounds.upper[0]
    rows = problem.objective[:, None]
    bounds = bound_rows(problem.network, problem.domain, rows, method, deadline=deadline, dtype=dtype)
    return bounds.lower[:, 0], bounds.upper[:, 0]


def upper_bound(problem: Problem, method: str, *, deadline: Deadline = NEVER) -> torch.Tensor:
    """Return a certified upper bound of each problem, float64, shape (problems,).

    The bound is minus infinity if bounds of the outputs prove that no input of the set satisfies the output
    constraints within the feasibility tolerance. The deadline is that of `bound_rows`.
    """
    _, upper = bound_problem(problem, method, deadline=deadline)
    constraints = problem.constraints
    if constraints is None:
        return upper
    rows = bound_rows(problem.network, problem.domain, constraints.matrix, method, deadline=deadline)
    broken = (rows.lower > constraints.accepted).any(-1)
    return torch.where(broken, -torch.inf, upper)
