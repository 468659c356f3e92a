"""Candidates for witnesses, accepted only if the model itself violates the claim there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack.domains import Domain
from relu_attack.errors import SolverError
from relu_attack.network import Network, with_constraint_violations
from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers import PPGALR, Auto, Budget, Settings, find_method, ppga_lr
from relu_attack.verification._claim import Claim
from relu_attack.verification._reference_model import ReferenceModel

# Maximum walkers for each claim, row evaluations of a step over all walkers, steps, claims of a batch, and candidates
# that the model itself evaluates. Walkers aim beyond the boundary of a clause by a margin relative to its rows' scale.
_MAX_WALKERS, _MAX_ROW_EVALUATIONS = 64, 2**24
_MAX_STEPS = 50
_MAX_BATCH = 64
_TARGET_MARGIN = 1e-5
_MAX_CANDIDATES = 8


@dataclass(frozen=True, eq=False)
class Witness:
    """An input of the set and the outputs of the model itself there; flat, float64."""

    x: Tensor
    outputs: Tensor


@dataclass(frozen=True, eq=False)
class RejectedWitness:
    """A point that is no witness; `loss` is the depth in the unsafe set of the chain minus that of the model itself."""

    loss: float


def check_candidate(reference: ReferenceModel, claim: Claim, x: Tensor) -> Witness | RejectedWitness:
    """Move a point `x` (inputs,) into the set in the dtype of the model, and run the model itself there.

    The point is a witness if both the chain and the model violate the claim, evaluated exactly.
    """
    placed = claim.place(x, reference.dtype)
    if placed is None:
        return RejectedWitness(0.0)
    chain = reference.network.forward(placed[None]).outputs[0]
    answers = reference.run(placed)
    if all(claim.inner_clause.holds(outputs) for outputs in (chain, *answers)):
        return Witness(placed, answers[0])
    aimed = reference.network.forward(x[None]).outputs[0]
    loss = claim.clause.depth(aimed) - claim.inner_clause.depth(torch.stack([chain, *answers])).amin()
    return RejectedWitness(float(loss) if bool(torch.isfinite(loss)) else 0.0)


def first_witness(reference: ReferenceModel, claim: Claim, points: Tensor) -> Witness | None:
    """Compare model and chain at the deepest of `points` (points, inputs), and return the first witness among them."""
    depth = claim.clause.depth(reference.network.forward(points).outputs)
    depth = torch.where(depth.isnan(), -torch.inf, depth)
    order = depth.argsort(descending=True)
    reference.compare(points[order[:1]])
    for index in order[:_MAX_CANDIDATES].tolist():
        if depth[index] < 0:
            return None
        found = check_candidate(reference, claim, points[index])
        if isinstance(found, Witness):
            return found
    return None


def walk(network: Network, claims: Sequence[Claim], *, budget: Budget, seed: int) -> list[Tensor]:
    """Ascend toward the unsafe clauses of claims; return the final points, (points, inputs) for each claim.

    Claims that are not reached within the budget, the last ones, have none.
    """
    found: list[Tensor] = []
    for domain, group in _batches(claims):
        if budget.left() == 0:
            break
        problem = _problem(network, domain, group)
        restarts = max(min(_MAX_WALKERS, _MAX_ROW_EVALUATIONS // (problem.problems * problem.network.outputs)), 1)
        part = budget.part(seconds=budget.left() / 4, iterations=_MAX_STEPS)
        try:
            answer = ppga_lr(problem, PPGALR(), _settings(part, restarts=restarts, seed=seed))
        except SolverError:  # values overflow float32; the search that follows computes in float64
            found.extend(claim.domain.center()[None] for claim in group)
            continue
        if answer.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        found.extend(answer.candidates.clone())
    return found


def search_longer(network: Network, claim: Claim, *, budget: Budget, seed: int) -> Tensor:
    """Search for a witness against one claim as `maximize` does; return the best points, (points, inputs).

    Deep networks have witnesses that no number of short walks finds: annealed ascent and linear programs over linear
    regions do.
    """
    problem = replace(_problem(network, claim.domain, [claim]), batched=False)
    method = find_method("auto")
    try:
        # A sum of excesses is at most 0, and 0 where no row is violated.
        settings = _settings(budget, restarts=method.restarts, seed=seed, goal=0.0)
        answer = method.solve(problem, Auto(exact_units=0), settings)
    except SolverError:  # as above
        return claim.domain.center()[None]
    if answer.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return answer.candidates[0].clone()


def _settings(budget: Budget, *, restarts: int, seed: int, goal: float = math.inf) -> Settings:
    return Settings(
        budget=budget,
        restarts=restarts,
        seed=seed,
        device=torch.device("cpu"),
        dtype=torch.float32,
        goal=goal,
    )


def _batches(claims: Sequence[Claim]) -> Iterator[tuple[Domain, Sequence[Claim]]]:
    """Yield claims in order, grouped over one set, or over a batch with one set for each claim."""
    group: list[Claim] = []
    for claim in claims:
        if group:
            domain = group[0].domain
            alike = domain is claim.domain or domain.join([claim.domain]) is not None
            if len(group) == _MAX_BATCH or not alike:
                yield _joined(group), group
                group = []
        group.append(claim)
    if group:
        yield _joined(group), group


def _joined(claims: Sequence[Claim]) -> Domain:
    first, *others = (claim.domain for claim in claims)
    return first if all(other is first for other in others) else first.join(others) or first


def _problem(network: Network, domain: Domain, claims: Sequence[Claim]) -> Problem:
    """Return problems that minimize the violation of the rows of each claim's clause."""
    clauses = list({id(claim.clause): claim.clause for claim in claims}.values())
    sizes = [clause.matrix.shape[0] for clause in clauses]
    starts = {id(clause): sum(sizes[:place]) for place, clause in enumerate(clauses)}
    matrix, upper = torch.cat([clause.matrix for clause in clauses]), torch.cat([clause.upper for clause in clauses])
    norm: Tensor = torch.linalg.vector_norm(matrix, dim=1)
    size = torch.maximum(norm, upper.abs())
    scale = torch.where(size > 0, size, 1.0)
    excess = with_constraint_violations(network, matrix / scale[:, None], upper / scale - _TARGET_MARGIN)
    objective = torch.zeros(len(claims), excess.outputs, dtype=torch.float64)
    for place, claim in enumerate(claims):
        first = network.outputs + starts[id(claim.clause)]
        objective[place, first : first + claim.clause.matrix.shape[0]] = -1.0
    return Problem(excess, domain, objective, batched=True)
