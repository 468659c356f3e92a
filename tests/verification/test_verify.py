"""`verify`: every verdict on networks whose range is known, the boundary, and what a witness is."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack import Specification, Verdict
from relu_attack.network import lower
from relu_attack.solvers.branch_and_bound._decide import decide
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.core._budget import Budget
from tests.problems import box, network, random_network

# |x| = relu(x) + relu(-x); its range over [-2, 3] is [0, 3].
ABSOLUTE = network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0]))
SEGMENT = box([-2.0], [3.0])
# (|x|, |x| - 1): the outputs move together.
TOGETHER = network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]))


def at_most(limit: float) -> Specification:
    return Specification.require([1.0], limit)


@pytest.mark.parametrize(
    ("limit", "verdict"), [(3.5, "VERIFIED"), (3.0001, "VERIFIED"), (2.9999, "FALSIFIED"), (-1.0, "FALSIFIED")]
)
def test_a_known_range(limit: float, verdict: str) -> None:
    answer = ra.verify(ABSOLUTE, SEGMENT, at_most(limit))
    assert answer.verdict is Verdict[verdict]
    assert answer.bound >= 3.0 - limit
    assert (answer.witness is None) == (answer.verdict is Verdict.VERIFIED)


def test_a_bound_below_zero_is_what_verifies() -> None:
    answer = ra.verify(ABSOLUTE, SEGMENT, at_most(3.5))
    assert -0.5 <= answer.bound < 0
    assert answer.decided_by
    assert answer.regions >= 0


def test_a_witness_lies_in_the_set_and_the_model_breaks_the_specification_there() -> None:
    model = random_network(3, 8, 8, 2, seed=4, dtype=torch.float32)
    cube = ra.Box(-1.0, 1.0, shape=(3,))
    top = ra.maximize(model, cube, seed=0, iterations=100)
    answer = ra.verify(model, cube, Specification.require([1.0, 0.0], float(top.value) - 0.01))
    assert answer.verdict is Verdict.FALSIFIED
    assert answer.witness is not None
    assert answer.outputs is not None
    assert answer.witness.dtype is torch.float32
    assert answer.witness.shape == (3,)
    assert bool(cube.contains(answer.witness, tolerance=0.0))
    with torch.no_grad():
        assert torch.equal(model(answer.witness[None])[0].double(), answer.outputs)
    assert float(answer.outputs[0]) > float(top.value) - 0.01


def test_the_boundary_of_what_is_unsafe_is_a_violation() -> None:
    unsafe = Specification.unsafe(ra.OutputConstraints([-1.0], -3.0))  # |x| >= 3
    answer = ra.verify(ABSOLUTE, SEGMENT, unsafe)
    assert answer.verdict is Verdict.FALSIFIED
    assert answer.witness is not None
    assert answer.witness.tolist() == [3.0]


def test_the_boundary_of_what_is_required_is_never_called_a_violation() -> None:
    # The maximum is the limit itself: true, and not to be proven with bounds that are rounded outward.
    answer = ra.verify(ABSOLUTE, SEGMENT, at_most(3.0), time_limit=5.0)
    assert answer.verdict in (Verdict.UNKNOWN, Verdict.VERIFIED)
    assert answer.witness is None


def test_all_rows_of_a_clause_must_hold_at_one_input() -> None:
    # |x| <= 1 is possible, and |x| - 1 >= 1.5 is possible, but not both at one input.
    both = ra.OutputConstraints([[1.0, 0.0], [0.0, -1.0]], [1.0, -1.5])
    assert ra.verify(TOGETHER, SEGMENT, Specification.unsafe(both)).verdict is Verdict.VERIFIED
    either = (ra.OutputConstraints(both.matrix[row], both.upper[row]) for row in range(2))
    assert ra.verify(TOGETHER, SEGMENT, Specification.unsafe(*either)).verdict is Verdict.FALSIFIED


@pytest.mark.parametrize(("limit", "verdict"), [(1.75, "FALSIFIED"), (0.9, "VERIFIED")])
def test_branch_and_bound_takes_a_clause_of_very_many_rows(limit: float, verdict: str) -> None:
    # |x| <= limit and |x| - 1 >= 2 - limit, each with a thousand looser rows.
    row = torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64).repeat(1000, 1)
    upper = torch.tensor([limit, limit - 2], dtype=torch.float64).repeat(1000) + 1e-3 * (torch.arange(2000) // 2)
    clause = Specification.unsafe(ra.OutputConstraints(row, upper))
    # A mixture for each row alone would take the square of their number.
    assert MinOfRows(-row, upper).combinations(torch.ones(3, 2000, dtype=torch.float64))[1].shape == (3, 1, 2000)
    chain = lower(TOGETHER, (1,)).network
    found = decide(chain, SEGMENT, -row, upper, budget=Budget(time_limit=60.0, iterations=200))
    assert (found.value >= 0) == (verdict == "FALSIFIED")
    assert (found.upper < 0) == (verdict == "VERIFIED")
    assert ra.verify(TOGETHER, SEGMENT, clause).verdict.name == verdict


def test_one_clause_that_can_hold_falsifies_many_that_cannot() -> None:
    never = [ra.OutputConstraints([-1.0], -float(limit)) for limit in range(4, 9)]  # |x| >= 4, 5, ...
    assert ra.verify(ABSOLUTE, SEGMENT, Specification.unsafe(*never)).verdict is Verdict.VERIFIED
    can = ra.OutputConstraints([1.0], 0.001)
    assert ra.verify(ABSOLUTE, SEGMENT, Specification.unsafe(*never, can)).verdict is Verdict.FALSIFIED


SETS: list[Callable[[], ra.Domain]] = [
    lambda: ra.L2Ball(torch.tensor([0.25, 0.0], dtype=torch.float64), 1.0),
    lambda: ra.L1Ball(torch.tensor([0.25, 0.0], dtype=torch.float64), 1.0),
    lambda: ra.LInfBall(torch.tensor([0.25, 0.0], dtype=torch.float64), 1.0),
    lambda: ra.Polytope(A=[[1.0, 1.0]], b=[1.0], lower=-1.0, upper=1.25, shape=(2,)),
    lambda: ra.Polytope(A_eq=[[1.0, 1.0]], b_eq=[0.25], lower=-1.0, upper=1.25, shape=(2,)),
]


@pytest.mark.slow
@pytest.mark.parametrize("make", SETS)
def test_every_kind_of_set(make: Callable[[], ra.Domain]) -> None:
    # |x_0| is at most 1.25 on each of them, at (1.25, *).
    domain = make()
    model = network(([[1.0, 0.0], [-1.0, 0.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0]))
    assert ra.verify(model, domain, at_most(1.3)).verdict is Verdict.VERIFIED
    answer = ra.verify(model.float(), domain, at_most(1.2))
    assert answer.verdict is Verdict.FALSIFIED
    assert answer.witness is not None
    assert bool(domain.contains(answer.witness.double()))
    if domain.tolerance == 0:
        assert float(domain.violation(answer.witness.double())) == 0
    assert model(answer.witness[None].float()).item() > 1.2


def test_whole_inputs_are_whole_in_a_witness() -> None:
    domain = ra.Box([0.0, 0.0], [2.5, 1.0], integer=[0])
    model = network(([[1.0, 1.0]], [0.0]), ([[1.0]], [0.0]))
    answer = ra.verify(model, domain, at_most(2.75))
    assert answer.verdict is Verdict.FALSIFIED
    assert answer.witness is not None
    assert answer.witness[0] == 2.0


def test_an_input_without_a_number_of_the_model_keeps_its_own_and_the_note_says_so() -> None:
    point = box([0.1, 0.0], [0.1, 1.0])
    model = network(([[1.0, 1.0]], [0.0]), ([[1.0]], [0.0])).float()
    answer = ra.verify(model, point, at_most(0.5))
    assert answer.witness is not None
    assert answer.witness.dtype is torch.float64
    assert answer.witness[0] == 0.1
    assert "the set holds no torch.float32 number" in answer.note


def test_labels() -> None:
    model = network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]))
    positive = box([0.1], [3.0])
    assert ra.verify(model, positive, Specification.label(0, outputs=2)).verdict is Verdict.VERIFIED
    assert ra.verify(model, SEGMENT, Specification.label(0, outputs=2)).verdict is Verdict.FALSIFIED


def test_an_image_comes_back_as_an_image() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    ball = ra.LInfBall(torch.full((1, 4, 4), 0.5), 0.1, clip=(0.0, 1.0))
    answer = ra.verify(model, ball, Specification.require([1.0, 0.0], -10.0))
    assert answer.witness is not None
    assert answer.witness.shape == (1, 4, 4)


def test_a_linear_model_needs_no_search() -> None:
    model = network(([[2.0, -1.0]], [0.5]))
    square = box([0.0, 0.0], [1.0, 1.0])
    assert ra.verify(model, square, at_most(2.6)).decided_by == "interval"
    assert ra.verify(model, square, at_most(2.4)).verdict is Verdict.FALSIFIED


def test_the_answer_in_words() -> None:
    answer = ra.verify(ABSOLUTE, SEGMENT, at_most(3.5))
    assert str(answer).startswith(f"VERIFIED by {answer.decided_by} in ")
    assert answer.message == Verdict.VERIFIED.value


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (
            ra.ObjectiveError,
            "on 2 outputs, but the model has 1",
            (ABSOLUTE, SEGMENT, Specification.label(0, outputs=2)),
        ),
        (ra.OptionError, "domain must be a Box", (ABSOLUTE, None, at_most(1.0))),
        (ra.ModelError, "nn.Module or an OnnxModel, got str", ("net.onnx", SEGMENT, at_most(1.0))),
        (
            ra.DomainError,
            r"one set can be verified at a time, got a batch of 2; give domain.single\(index\)",
            (ABSOLUTE, ra.Box(torch.zeros(2, 1), torch.ones(2, 1)), at_most(1.0)),
        ),
    ],
)
def test_what_is_refused(error: type[Exception], message: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(error, match=message):
        ra.verify(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0.0, -1.0, torch.nan])
def test_a_time_limit_must_be_positive(limit: float) -> None:
    with pytest.raises(ra.OptionError, match="time_limit must be a positive number of seconds"):
        ra.verify(ABSOLUTE, SEGMENT, at_most(1.0), time_limit=limit)


def test_after_the_deadline_no_further_claim_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of claims, such as the cases of a property file, take no more time than there is."""
    looked: list[object] = []
    monkeypatch.setattr("relu_attack.verification._verifier.first_witness", lambda *arguments: looked.append(arguments))
    many = Specification.unsafe(*(ra.OutputConstraints([-1.0], -2.5 - k / 100) for k in range(50)))
    assert ra.verify(ABSOLUTE, SEGMENT, many, time_limit=1e-9).verdict is Verdict.TIMEOUT
    assert len(looked) <= 1
