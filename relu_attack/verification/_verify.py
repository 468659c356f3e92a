"""The functions `verify` and `check_bounds`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from relu_attack._checks import LOGGER, ArrayLike, as_tensor, check_is, first_index, whole_number
from relu_attack._deadline import NEVER, Deadline, Interruption, OutOfTimeError, interruptible
from relu_attack._memory import memory_limit_of, named_memory_errors
from relu_attack._names import checked_names
from relu_attack.domains import Domain, check_domain
from relu_attack.errors import DomainError, ModelError, ObjectiveError
from relu_attack.model import Model, check_agreement, comparison_points, time_to_read, within_time
from relu_attack.network import lower as lower_module
from relu_attack.result import CheckedBounds, Status, Verdict, Verification
from relu_attack.solvers import Budget, SearchArguments
from relu_attack.solvers import decide as branch_and_bound
from relu_attack.specification import Clause, Specification
from relu_attack.verification._claim import Claim
from relu_attack.verification._reference_model import Module, ReferenceModel
from relu_attack.verification._verifier import Decide, Finding, decide_claims

TIME_LIMIT = 60.0
"""Default time limit in seconds."""


@checked_names()
def verify(
    model: nn.Module | ReferenceModel,
    domain: Domain,
    specification: Specification,
    *,
    time_limit: float = TIME_LIMIT,
    memory_limit: float | None = SearchArguments.memory_limit,
    seed: int = SearchArguments.seed,
    progress: bool = SearchArguments.progress,
) -> Verification:
    """Verify or falsify a specification of the outputs of a model over a set of inputs.

    Bounds are tried first, then ascent, then branch and bound. A proof holds in real arithmetic for the stored weights.
    A witness lies in the set at zero tolerance, in the model's own dtype, and the model itself, run again, violates
    the specification there; a point at which only the chain in float64 violates it is no witness.

    Parameters
    ----------
    model
        A model as `ReLUOptimizer` takes it, in evaluation mode, or one from `relu_attack.io.read_onnx`.
    domain
        One set of inputs.
    specification
        Property of the outputs.
    time_limit
        Seconds.
    memory_limit
        Bytes that may be allocated at a time; by default 0.8 of the free memory.
    seed
        Seed of the search, which then repeats unless time ends it.
    progress
        Whether to show the progress of branch and bound.

    Returns
    -------
    Verification
        The verdict, with the witness if there is one; UNKNOWN after Ctrl-C, and TIMEOUT where the time limit ends
        while the model is read.

    Raises
    ------
    UnsupportedModuleError, ModelError, DomainError, ObjectiveError, OptionError
        If the model cannot be lowered exactly, or the parts do not fit.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    >>> with torch.no_grad():  # |x|
    ...     for weights, values in zip(model.parameters(), ([[1.0], [-1.0]], [0.0, 0.0], [[1.0, 1.0]], [0.0])):
    ...         _ = weights.copy_(torch.tensor(values))
    >>> box = ra.Box(torch.tensor([-1.0]), torch.tensor([2.0]))
    >>> ra.verify(model, box, ra.Specification.require([1.0], 2.5)).verdict.name
    'VERIFIED'
    >>> answer = ra.verify(model, box, ra.Specification.require([1.0], 1.5))
    >>> answer.verdict.name, bool(model(answer.witness) > 1.5)
    ('FALSIFIED', True)
    """
    with _begun(time_limit, memory_limit, seed) as budget:
        try:
            reference, exact = _read(model, domain, budget)
        except OutOfTimeError:
            return nothing_known(budget, "the model")
        wanted = "a Specification, such as Specification.require(A, b)"
        check_is(specification, Specification, name="specification", wanted=wanted, error=ObjectiveError)
        if specification.outputs != reference.network.outputs:
            raise ObjectiveError(
                f"the specification is on {specification.outputs} outputs, but the model has "
                f"{reference.network.outputs}"
            )
        claims = [Claim.plain(exact, clause) for clause in specification.clauses]
        answer = verify_claims(reference, claims, exact.shape, budget=budget, seed=seed, progress=progress)
        LOGGER.info("verify: %s", answer)
        return answer


def verify_claims(
    reference: ReferenceModel,
    claims: Sequence[Claim],
    shape: tuple[int, ...],
    *,
    budget: Budget,
    seed: int,
    progress: bool,
    decide: Decide = branch_and_bound,
) -> Verification:
    """Verify or falsify a conjunction of claims; a witness against one of them falsifies it.

    Parameters
    ----------
    reference
        The model and its chain.
    claims
        Claims that must all hold; an empty list is verified.
    shape
        The shape of the witness.
    budget, seed, progress
        As in `verify`.
    decide
        Branch and bound.
    """
    with torch.inference_mode(False), torch.no_grad():
        findings = decide_claims(reference, claims, decide, budget=budget, seed=seed, progress=progress, first=True)
        return _answer(reference, findings, shape, budget)


@checked_names()
def check_bounds(
    model: nn.Module | ReferenceModel,
    domain: Domain,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    time_limit: float = TIME_LIMIT,
    memory_limit: float | None = SearchArguments.memory_limit,
    seed: int = SearchArguments.seed,
    progress: bool = SearchArguments.progress,
) -> CheckedBounds:
    """Verify or falsify each claimed bound on an output over a set of inputs.

    Parameters
    ----------
    model, domain, seed, progress
        As in `verify`.
    lower, upper
        The claims ``lower <= f(x) <= upper``, each shape (outputs,) or a number for every output; infinite where
        nothing is claimed.
    time_limit
        Seconds for all bounds together.
    memory_limit
        As in `verify`.

    Returns
    -------
    CheckedBounds
        One verification for each bound; `Verification.bound` limits its largest violation.

    Raises
    ------
    ObjectiveError
        For bounds that do not fit the outputs, are NaN, or that no number satisfies.
    TimeLimitError
        When the time limit ends before the model is read.
    UnsupportedModuleError, ModelError, DomainError, OptionError
        As `verify` does.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    >>> with torch.no_grad():
    ...     _ = model[0].weight.fill_(2.0), model[0].bias.fill_(0.0)
    >>> checked = ra.check_bounds(model, ra.Box(0.0, 1.0, shape=(1,)), -0.5, 1.5)
    >>> checked.lower[0].verdict.name, checked.upper[0].verdict.name
    ('VERIFIED', 'FALSIFIED')
    """
    with _begun(time_limit, memory_limit, seed) as budget:
        with within_time(budget.deadline):
            reference, exact = _read(model, domain, budget)
        outputs = reference.network.outputs
        claimed = _read_bounds(lower, "lower", outputs), _read_bounds(upper, "upper", outputs)
        signs = torch.eye(outputs, dtype=torch.float64)
        clauses = [
            # Violated where y < l, and where -y < -u.
            Clause(sign * signs[place][None], sign * limits[place][None], torch.tensor([True]))
            for sign, limits in zip((1.0, -1.0), claimed, strict=True)
            for place in range(outputs)
        ]
        asked = [index for index, clause in enumerate(clauses) if bool(torch.isfinite(clause.upper).all())]
        claims = [Claim.plain(exact, clauses[index]) for index in asked]
        findings = decide_claims(
            reference, claims, branch_and_bound, budget=budget, seed=seed, progress=progress, first=False
        )
        known = dict(zip(asked, findings, strict=True))
        answers = [
            _answer(reference, [known[index]] if index in known else [], exact.shape, budget)
            for index in range(2 * outputs)
        ]
    return CheckedBounds(tuple(answers[:outputs]), tuple(answers[outputs:]))


@contextmanager
def _begun(time_limit: float, memory_limit: float | None, seed: int) -> Iterator[Budget]:
    """Check the limits and the seed of a call that begins, and give its budget."""
    began = time.perf_counter()
    with named_memory_errors(), interruptible() as interruption, torch.inference_mode(False), torch.no_grad():
        budget = make_budget(time_limit, memory_limit, began, interruption)
        whole_number(seed, name="seed", least=0)
        yield budget


def _read(model: nn.Module | ReferenceModel, domain: Domain, budget: Budget) -> tuple[ReferenceModel, Domain]:
    """Return the model of a call, and its set in float64 on the CPU; raise `OutOfTimeError` beyond its limit."""
    domain = domain.within(budget.deadline) if isinstance(domain, Domain) else domain
    reference = read_reference(model, domain, deadline=budget.deadline)
    return reference, domain.to(device="cpu", dtype=torch.float64)


def make_budget(time_limit: float, memory_limit: float | None, began: float, interruption: Interruption) -> Budget:
    """Return the budget of a call, given its limits."""
    memory = memory_limit_of(memory_limit)
    return Budget(time_limit=time_limit, began=began, interruption=interruption, memory_limit=memory)


def nothing_known(budget: Budget, what: str) -> Verification:
    """Return the result of a call that ends while `what` is read."""
    interrupted = budget.interruption.happened
    return Verification(
        verdict=Verdict.UNKNOWN if interrupted else Verdict.TIMEOUT,
        witness=None,
        outputs=None,
        bound=math.inf,
        decided_by="",
        regions=0,
        runtime=budget.elapsed(),
        note=f"interrupted while reading {what}" if interrupted else f"the time went into reading {what}",
        interrupted=interrupted,
    )


def read_reference(model: nn.Module | ReferenceModel, domain: Domain, *, deadline: Deadline = NEVER) -> ReferenceModel:
    """Return the model with its chain, compared over the set; raise `OutOfTimeError` beyond the deadline."""
    check_domain(domain)
    if domain.batch is not None:
        raise DomainError(
            f"one set can be verified at a time, got a batch of {domain.batch}; give domain.single(index)"
        )
    if isinstance(model, ReferenceModel):
        if model.network.inputs != domain.inputs:
            raise DomainError(f"the domain has {domain.inputs} inputs, but the model takes {model.network.inputs}")
        return model
    if not isinstance(model, nn.Module):
        raise ModelError(f"model must be an nn.Module or an OnnxModel, got {type(model).__name__}")
    reading = time_to_read(model, domain.shape, deadline)
    lowering = lower_module(model, domain.shape, deadline=reading)
    own = Model.of(model, lowering.network)
    points = comparison_points(lowering.network, domain, deadline=deadline)
    own = check_agreement(own, lowering, points, deadline=reading)
    return Module(own.network, own.dtype, own)


def _read_bounds(claimed: ArrayLike, name: str, outputs: int) -> Tensor:
    bounds = as_tensor(claimed, name=f"the {name} bounds", error=ObjectiveError)
    bounds = bounds.to("cpu", torch.float64)
    if tuple(bounds.shape) not in ((), (outputs,)):
        raise ObjectiveError(
            f"the {name} bounds have shape {tuple(bounds.shape)}, but the model has {outputs} outputs; "
            "give a number, or one for each output"
        )
    bounds = bounds.expand(outputs)
    wrong = bounds.isnan() | (bounds == (torch.inf if name == "lower" else -torch.inf))
    if bool(wrong.any()):
        raise ObjectiveError(
            f"the {name} bound is {float(bounds[wrong][0])} at index {first_index(wrong)}; no number satisfies it"
        )
    return bounds


def _answer(
    reference: ReferenceModel, findings: Sequence[Finding], shape: tuple[int, ...], budget: Budget
) -> Verification:
    """Combine the findings on claims that must all hold."""
    known = {finding.verdict for finding in findings} or {Verdict.VERIFIED}
    order = (Verdict.FALSIFIED, Verdict.TIMEOUT, Verdict.UNKNOWN, Verdict.VERIFIED)
    verdict = next(verdict for verdict in order if verdict in known)
    falsified = next((finding for finding in findings if finding.witness is not None), None)
    last = falsified or max(findings, key=lambda finding: finding.upper, default=None)
    interrupted = any(finding.stopped is Status.INTERRUPTED for finding in findings)
    witness, outputs, notes = None, None, []
    if falsified is not None and falsified.witness is not None:
        x = falsified.witness.x
        rounded = x.to(reference.dtype)
        same = torch.equal(rounded.double(), x)
        witness, outputs = (rounded if same else x).clone().view(shape), falsified.witness.outputs.clone()
        notes = [reference.note]
        if not same:
            notes.append(f"the set holds no {reference.dtype} number for some inputs: the model rounded the witness")
    elif verdict is not Verdict.VERIFIED:
        if any(finding.unconfirmed for finding in findings):
            notes.append("an input violates it in float64, but the model itself confirmed none")
        if interrupted:
            notes.append("interrupted")
    return Verification(
        verdict=verdict,
        witness=witness,
        outputs=outputs,
        bound=max((finding.upper for finding in findings), default=-math.inf),
        decided_by=last.decided_by if last is not None else "",
        regions=sum(finding.regions for finding in findings),
        runtime=budget.elapsed(),
        note="; ".join(note for note in notes if note),
        interrupted=interrupted,
    )
