"""`check_bounds`: a verdict for each claimed bound of each output."""

import pytest
import torch

import relu_attack as ra
from relu_attack import Verdict
from tests.problems import box, network

# (|x|, -x): over [-2, 3] the ranges are [0, 3] and [-3, 2].
MODEL = network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0], [-1.0, 1.0]], [0.0, 0.0]))
SEGMENT = box([-2.0], [3.0])


def test_each_bound_has_its_own_verdict() -> None:
    checked = ra.check_bounds(MODEL, SEGMENT, [-0.1, -2.9], [2.9, 2.1])
    verdicts = [answer.verdict.name for answer in (*checked.lower, *checked.upper)]
    assert verdicts == ["VERIFIED", "FALSIFIED", "FALSIFIED", "VERIFIED"]
    assert checked.verdict is Verdict.FALSIFIED
    low, high = checked.lower[1], checked.upper[0]
    assert low.witness is not None
    assert low.outputs is not None
    assert low.outputs[1] < -2.9
    assert high.outputs is not None
    assert high.outputs[0] > 2.9
    # By how much they are broken at most, and at least: the ranges are 0.1 beyond the claims.
    assert low.bound >= 0.1 - 1e-9
    assert high.bound >= 0.1 - 1e-9


def test_bounds_that_hold_together() -> None:
    checked = ra.check_bounds(MODEL, SEGMENT, [-0.01, -3.01], [3.01, 2.01])
    assert checked.verdict is Verdict.VERIFIED
    assert all(answer.bound < 0 for answer in (*checked.lower, *checked.upper))


def test_the_bounds_of_this_package_are_never_falsified() -> None:
    lower, upper = ra.output_bounds(MODEL, SEGMENT)
    checked = ra.check_bounds(MODEL, SEGMENT, lower, upper, time_limit=5.0)
    assert all(answer.witness is None for answer in (*checked.lower, *checked.upper))


def test_nothing_is_claimed_where_a_bound_is_infinite() -> None:
    checked = ra.check_bounds(MODEL, SEGMENT, -torch.inf, [torch.inf, 2.1])
    assert checked.verdict is Verdict.VERIFIED
    assert checked.lower[0].bound == -torch.inf


def test_a_number_is_for_every_output() -> None:
    assert ra.check_bounds(MODEL, SEGMENT, -4.0, 4.0).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ([0.0], 1.0, r"the lower bounds have shape \(1,\), but the model has 2 outputs"),
        (0.0, [1.0, torch.nan], "the upper bound is nan at index 1; no number satisfies it"),
        ([0.0, torch.inf], 1.0, "the lower bound is inf at index 1; no number satisfies it"),
        (0.0, -torch.inf, "the upper bound is -inf at index 0; no number satisfies it"),
        (0.0, "x", "the upper bounds must be a tensor"),
    ],
)
def test_what_is_refused(lower: object, upper: object, message: str) -> None:
    with pytest.raises(ra.ObjectiveError, match=message):
        ra.check_bounds(MODEL, SEGMENT, lower, upper)  # type: ignore[arg-type]
