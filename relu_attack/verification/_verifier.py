"""Decision of claims by bounds, then ascent, then branch and bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from relu_attack._checks import LOGGER
from relu_attack._deadline import Deadline
from relu_attack.bounds import bound_rows
from relu_attack.domains import Domain
from relu_attack.network import Network
from relu_attack.result import Status, Verdict
from relu_attack.rounding import tiny, up
from relu_attack.solvers import Budget, Decision
from relu_attack.specification import Clause
from relu_attack.verification._claim import Claim
from relu_attack.verification._reference_model import ReferenceModel
from relu_attack.verification._witness import Witness, check_candidate, first_witness, search_longer, walk

BOUNDS = ("interval", "crown")
"""Bounds that are tried first, ordered by cost."""

_BOUND_SHARE = 0.5
"""Maximum share of the remaining time of such a method."""

_SHORT_SHARE, _SHORT_SHARE_ALONE = 0.25, 0.1
"""Share of the time for a first, short run of branch and bound: for several claims, or for a single one."""

_LONG_SEARCH_SHARE = 1 / 8
"""Share of the time of an undecided claim for a longer search for a witness."""

_MAX_TIGHTENINGS = 12
"""Maximum number of larger margins after the model itself did not confirm a point of the chain."""


class Decide(Protocol):
    """Branch and bound on one clause, as `relu_attack.solvers.branch_and_bound._decide.decide` does it."""

    def __call__(
        self,
        network: Network,
        domain: Domain,
        matrix: Tensor,
        offset: Tensor,
        /,
        *,
        budget: Budget,
        progress: bool,
        resume: Decision | None = None,
    ) -> Decision:
        """Return the best point and the upper bound of ``min(matrix f(x) + offset)`` over the set."""


@dataclass(eq=False)
class Finding:
    """State of one claim: its bound, and its witness if found.

    `upper` is a certified bound on the depth of the unsafe clause over the set, `decided_by` the method that proved or
    falsified the claim, and `regions` the number of nodes that branch and bound bounded. `stopped` is why that ended,
    None before it ran; a longer run resumes what a short one on a single claim left `undecided`. A claim is
    `unconfirmed` if the chain violated it at a point where the model itself does not.
    """

    claim: Claim
    upper: float = math.inf
    witness: Witness | None = None
    decided_by: str = ""
    regions: int = 0
    stopped: Status | None = None
    unconfirmed: bool = False
    undecided: Decision | None = None

    @property
    def verdict(self) -> Verdict:
        """Verdict that follows."""
        if self.witness is not None:
            return Verdict.FALSIFIED
        if self.claim.clause.excluded_by(self.upper):
            return Verdict.VERIFIED
        return Verdict.TIMEOUT if self.stopped in (None, Status.TIME_LIMIT) else Verdict.UNKNOWN

    @property
    def open(self) -> bool:
        """Whether the claim has neither a proof nor a witness."""
        return self.verdict in (Verdict.TIMEOUT, Verdict.UNKNOWN)

    def update_bound(self, upper: float, by: str) -> None:
        """Update the certified upper bound; NaN is ignored."""
        if upper < self.upper:
            self.upper = upper
            if not self.open:
                self.decided_by = by

    def falsify(self, witness: Witness, by: str) -> None:
        """Record a confirmed witness."""
        self.witness, self.decided_by = witness, by


def decide_claims(
    reference: ReferenceModel,
    claims: Sequence[Claim],
    decide: Decide,
    *,
    budget: Budget,
    seed: int,
    progress: bool,
    first: bool,
) -> list[Finding]:
    """Decide claims within a budget.

    `decide` is branch and bound; `first` is whether the first witness ends the search, since it falsifies the
    conjunction of the claims.
    """
    findings, budget = [Finding(claim) for claim in claims], budget.reserving(reference.seconds)
    try:
        for method in BOUNDS:
            within = budget.deadline.share(_BOUND_SHARE)
            _bound(reference.network, [finding for finding in findings if finding.open], method, deadline=within)
            _log(findings, method)
        _walk(reference, [finding for finding in findings if finding.open], budget=budget, seed=seed, first=first)
        if first and any(finding.witness is not None for finding in findings):
            return findings
        _log(findings, "walks")
        # One hard claim must not use up the time of the others: all get a short run, then a long one. Claims that a
        # short run leaves undecided get a longer search for witnesses first.
        alone = sum(finding.open for finding in findings) == 1
        for share in (_SHORT_SHARE_ALONE if alone else _SHORT_SHARE, 1.0):
            pending = [finding for finding in findings if finding.open and finding.stopped in (None, Status.TIME_LIMIT)]
            for place, finding in enumerate(pending):
                if budget.left() == 0 or (first and any(finding.witness is not None for finding in findings)):
                    return findings
                part = budget.part(seconds=share * budget.left() / (len(pending) - place))
                if share == 1.0:
                    _search_longer(reference, finding, budget=part, seed=seed)
                    _log(findings, "a longer search")
                    if not finding.open:
                        continue
                _branch(reference, finding, decide, budget=part, progress=progress, resumable=alone)
                _log(findings, "branch and bound")
    except KeyboardInterrupt:
        budget.interruption.happened = True
    finally:
        if budget.interruption.happened:
            for finding in findings:
                finding.stopped = Status.INTERRUPTED
    return findings


def _log(findings: Sequence[Finding], stage: str) -> None:
    LOGGER.debug("verify: after %s %d of %d claims are open", stage, sum(one.open for one in findings), len(findings))


def _walk(reference: ReferenceModel, findings: Sequence[Finding], *, budget: Budget, seed: int, first: bool) -> None:
    """Check the final points of ascents toward the unsafe clauses for witnesses."""
    ends = walk(reference.network, [finding.claim for finding in findings], budget=budget, seed=seed)
    for place, (finding, points) in enumerate(zip(findings, ends, strict=False)):
        if place and budget.left() == 0:
            return
        witness = first_witness(reference, finding.claim, points.to("cpu", torch.float64))
        if witness is not None:
            finding.falsify(witness, "walk")
            if first:
                return


def _search_longer(reference: ReferenceModel, finding: Finding, *, budget: Budget, seed: int) -> None:
    """Search for a witness against an undecided claim in a share of its time."""
    part = budget.part(seconds=_LONG_SEARCH_SHARE * budget.left())
    points = search_longer(reference.network, finding.claim, budget=part, seed=seed)
    witness = first_witness(reference, finding.claim, points.to("cpu", torch.float64))
    if witness is not None:
        finding.falsify(witness, "auto")


def _bound(network: Network, findings: Sequence[Finding], method: str, *, deadline: Deadline) -> None:
    """Bound the rows of each claim over its set, all rows over one set together."""
    groups: dict[int, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(id(finding.claim.domain), []).append(finding)
    for place, group in enumerate(groups.values()):
        if place and deadline.passed:
            return
        rows = torch.cat([-finding.claim.clause.matrix for finding in group])
        limits = torch.cat([finding.claim.clause.upper for finding in group])
        upper = bound_rows(network, group[0].claim.domain, rows, method, deadline=deadline).upper[0]
        depth = up(upper + limits)
        sizes = [len(finding.claim.clause.upper) for finding in group]
        for finding, part in zip(group, depth.split(sizes), strict=True):
            finding.update_bound(float(part.amin()), method)


def _branch(
    reference: ReferenceModel, finding: Finding, decide: Decide, *, budget: Budget, progress: bool, resumable: bool
) -> None:
    """Decide one clause by branch and bound; increase the margin while the model does not confirm the chain.

    A search that is `resumable` stays in memory with all of its nodes.
    """
    claim, margin = finding.claim, 0.0
    clause = claim.clause
    for _ in range(_MAX_TIGHTENINGS):
        if budget.left() == 0:
            finding.stopped = Status.TIME_LIMIT
            return
        offset = clause.upper - margin
        before = finding.undecided
        decision = decide(
            reference.network, claim.domain, -clause.matrix, offset, budget=budget, progress=progress, resume=before
        )
        finding.regions += decision.regions - (0 if before is None else before.regions)
        finding.undecided = decision if resumable and not margin and decision.search is not None else None
        finding.stopped = decision.status
        if decision.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        finding.update_bound(_raised(decision.upper, clause, offset), "branch_and_bound")
        if not finding.open or decision.upper < 0 or not decision.value >= 0:
            return
        found = check_candidate(reference, claim, decision.x.flatten().clone())
        if isinstance(found, Witness):
            finding.falsify(found, "branch_and_bound")
            return
        finding.unconfirmed = True
        margin = max(4 * margin, 2 * found.loss, 1e-9 * _scale(clause))


def _raised(upper: float, clause: Clause, offset: Tensor) -> float:
    """Return a bound on the depth of the clause from one with a smaller offset, rounded upward."""
    lowered = clause.upper - offset
    if not bool(lowered.any()):
        return upper
    return float(up(upper + up(lowered.amax())))


def _scale(clause: Clause) -> float:
    norm: Tensor = torch.linalg.vector_norm(clause.matrix, dim=1)
    return max(float(norm.amax()), float(clause.upper.abs().amax()), tiny(torch.float64))
