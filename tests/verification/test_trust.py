"""No verdict on the word of a part: searches that lie, models that round, sets without room."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from relu_attack import Box, OutputConstraints, Polytope, Specification, Verdict, Verification
from relu_attack.domains import Domain
from relu_attack.domains._box import representable_ends
from relu_attack.network import Network
from relu_attack.result import Status
from relu_attack.solvers.branch_and_bound._decide import Decision
from relu_attack.solvers.core._budget import Budget
from relu_attack.verification import Claim, ReferenceModel, _verifier, _witness, verify_claims
from relu_attack.verification._verify import read_reference
from tests.problems import box, network

ABSOLUTE = network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0]))  # |x|
SEGMENT = box([-2.0], [3.0])


class Wrong(ReferenceModel):
    """A model that computes something else than its chain."""

    def __init__(self, original: ReferenceModel, change: Callable[[Tensor], Tensor]) -> None:
        self.network, self.dtype = original.network, original.dtype
        self._original, self._change = original, change

    def run(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._change(outputs) for outputs in self._original.run(x))


def forged(x: list[float], *, value: float, upper: float, status: Status = Status.OPTIMAL) -> _verifier.Decide:
    def decide(
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
        point = torch.tensor(x, dtype=torch.float64)
        return Decision(x=point, value=value, upper=upper, regions=1, status=status)

    return decide


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds and walks find nothing, so that branch and bound has the only word."""
    monkeypatch.setattr(_verifier, "BOUNDS", ())
    monkeypatch.setattr(_verifier, "_walk", lambda *arguments, **options: None)


def decided(
    decide: _verifier.Decide, limit: float, change: Callable[[Tensor], Tensor] | None = None, domain: Box = SEGMENT
) -> Verification:
    original = read_reference(ABSOLUTE, domain)
    if change is not None:
        original = Wrong(original, change)
    claims = [Claim.plain(domain, clause) for clause in Specification.require([1.0], limit).clauses]
    return verify_claims(original, claims, (1,), budget=Budget(time_limit=20.0), seed=0, progress=False, decide=decide)


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("x", [[9.0], [math.nan], [math.inf], [0.0], [-2.5]])
@pytest.mark.parametrize("upper", [math.inf, math.nan, 5.0])
def test_a_point_that_is_no_witness_never_falsifies(x: list[float], upper: float) -> None:
    # The set holds no input with |x| > 3.5; whatever the search claims, nothing is falsified, and nothing proven.
    answer = decided(forged(x, value=1.0, upper=upper), 3.5)
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.witness is None
    assert "the model itself confirmed none" in answer.note


@pytest.mark.usefixtures("blind")
def test_a_true_point_outside_the_set_is_brought_into_it() -> None:
    answer = decided(forged([9.0], value=1.0, upper=5.0), 2.5)
    assert answer.verdict is Verdict.FALSIFIED
    assert answer.witness is not None
    assert answer.witness.tolist() == [3.0]


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("upper", [math.nan, math.inf, 1e-300])
@pytest.mark.parametrize("status", [Status.OPTIMAL, Status.FEASIBLE, Status.ITERATION_LIMIT])
def test_without_a_bound_below_zero_nothing_is_verified(upper: float, status: Status) -> None:
    answer = decided(forged([0.0], value=-1.0, upper=upper, status=status), 3.5)
    assert answer.verdict is Verdict.UNKNOWN


@pytest.mark.usefixtures("blind")
def test_a_bound_of_zero_verifies_what_is_required() -> None:
    assert decided(forged([0.0], value=-1.0, upper=0.0), 3.0).verdict is Verdict.VERIFIED


@pytest.mark.usefixtures("blind")
def test_time_that_ran_out_is_told() -> None:
    answer = decided(forged([0.0], value=-1.0, upper=1.0, status=Status.TIME_LIMIT), 3.5)
    assert answer.verdict is Verdict.TIMEOUT


@pytest.mark.usefixtures("blind")
def test_an_interruption_is_told() -> None:
    answer = decided(forged([0.0], value=-1.0, upper=1.0, status=Status.INTERRUPTED), 3.5)
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.interrupted
    assert "interrupted" in answer.note


def shallowest(
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
    """Find of the inputs of |x| that reach zero the one that does so barely."""
    x = -offset.clone()
    found = float(x) <= 3.0
    upper = 3.0 + float(offset)
    return Decision(x=x, value=0.0 if found else upper, upper=upper, regions=1, status=Status.OPTIMAL)


@pytest.mark.usefixtures("blind")
def test_a_model_that_is_safe_where_its_chain_is_not_is_searched_deeper() -> None:
    # The model answers 0.25 less than its chain: above 2.5 it goes only where the chain is above 2.75.
    answer = decided(shallowest, 2.5, lambda outputs: outputs - 0.25)
    assert answer.verdict is Verdict.FALSIFIED
    assert answer.witness is not None
    assert float(answer.witness) > 2.75
    assert answer.regions > 1


def test_a_model_that_nowhere_breaks_what_its_chain_breaks_is_unknown() -> None:
    answer = decided(verifier_decide(), 2.5, lambda outputs: outputs - 1.0)
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.bound >= 0.5
    assert "an input violates it in float64, but the model itself confirmed none" in answer.note


def test_a_model_that_alone_breaks_it_is_no_witness_against_a_true_claim() -> None:
    answer = decided(verifier_decide(), 3.5, lambda outputs: outputs + 9.0)
    assert answer.verdict is Verdict.VERIFIED


@pytest.mark.parametrize("answer", [math.nan, math.inf])
def test_a_model_that_overflows_is_no_witness(answer: float) -> None:
    assert decided(verifier_decide(), 2.5, lambda outputs: outputs * answer).verdict is Verdict.UNKNOWN


def verifier_decide() -> _verifier.Decide:
    from relu_attack.solvers.branch_and_bound._decide import decide

    return decide


@pytest.mark.parametrize("shift", [9.0, -9.0])
def test_chain_and_model_must_both_break_the_claim(shift: float) -> None:
    original = read_reference(ABSOLUTE, SEGMENT)
    limit = 2.5 + max(shift, 0.0)
    claim = Claim.plain(SEGMENT, Specification.require([1.0], limit).clauses[0])
    point = torch.tensor([3.0], dtype=torch.float64)
    wrong = Wrong(original, lambda outputs: outputs + shift)
    assert isinstance(_witness.check_candidate(wrong, claim, point), _witness.RejectedWitness)


def test_a_set_for_witnesses_has_no_tolerance() -> None:
    def contains(claim: Claim, *x: float) -> bool:
        return claim.contains(torch.tensor(x, dtype=torch.float64))

    (clause,) = Specification.require([1.0], 0.0).clauses
    whole = Claim.plain(Box([0.0, 0.0], [2.0, 2.0], integer=[0]), clause)
    assert (contains(whole, 1.0, 0.5), contains(whole, 1.0 + 1e-12, 0.5)) == (True, False)
    above = math.nextafter(1.0, 2.0)
    square = box([0.0, 0.0], [2.0, 2.0])
    sums = Specification.unsafe(OutputConstraints([1.0, 1.0], 1.5)).clauses[0]  # x_0 + x_1 <= 1.5
    for claim in (
        replace(Claim.plain(square, clause), inner_rows=sums),
        Claim.plain(Polytope(A=[[1.0, 1.0]], b=[1.5], lower=0.0, upper=2.0, shape=(2,)), clause),
    ):
        assert (contains(claim, 1.0, 0.5), contains(claim, above, 0.5)) == (True, False)


def test_every_answer_of_a_model_must_break_the_claim() -> None:
    original = read_reference(ABSOLUTE, SEGMENT)

    class Twice(Wrong):
        def run(self, x: Tensor) -> tuple[Tensor, ...]:
            (outputs,) = original.run(x)
            return outputs, outputs - 1.0

    (clause,) = Specification.require([1.0], 2.5).clauses
    claim = Claim.plain(SEGMENT, clause)
    point = torch.tensor([3.0], dtype=torch.float64)
    assert isinstance(_witness.check_candidate(original, claim, point), _witness.Witness)
    rejected = _witness.check_candidate(Twice(original, torch.clone), claim, point)
    assert isinstance(rejected, _witness.RejectedWitness)
    assert rejected.loss == 1.0


def test_what_is_placed_has_numbers_of_the_model_inside_the_range() -> None:
    thirds = box([-1 / 3], [1 / 3])
    claim = Claim.plain(thirds, Specification.require([1.0], 0.0).clauses[0])
    for end in (-1.0, 1.0):
        placed = claim.place(torch.tensor([end], dtype=torch.float64), torch.float32)
        assert placed is not None
        assert torch.equal(placed.float().double(), placed)
        assert abs(float(placed)) <= 1 / 3
        # The next number of the dtype is outside.
        beyond = torch.nextafter(placed.float(), torch.tensor([2 * end])).double()
        assert abs(float(beyond)) > 1 / 3
    assert claim.place(torch.tensor([math.nan], dtype=torch.float64), torch.float32) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_representable_ends(dtype: torch.dtype) -> None:
    lower = torch.tensor([0.1, -0.1, 0.5, 0.1], dtype=torch.float64)
    upper = torch.tensor([0.3, 0.3, 0.5, 0.1], dtype=torch.float64)
    low, high = representable_ends(lower, upper, dtype)
    assert bool((low >= lower).all())
    assert bool((high <= upper).all())
    assert torch.equal(low.to(dtype).double(), low)
    assert torch.equal(high.to(dtype).double(), high)
    assert (low <= high).tolist() == [True, True, True, dtype is torch.float64]


def test_a_witness_meets_rows_exactly() -> None:
    # Decimal limits: the set for witnesses is smaller than the set for proofs.
    (clause,) = Specification.require([1.0], 0.0).clauses
    claim = replace(Claim.plain(SEGMENT, clause), inner=box([-1.0], [1.0]))
    placed = claim.place(torch.tensor([3.0], dtype=torch.float64), torch.float64)
    assert placed is not None
    assert placed.tolist() == [1.0]
