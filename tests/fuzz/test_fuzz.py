"""A share of the fuzzer in every run of the tests: the same cases each time, so that a failure is that of a change.

One problem again: ``python -m tests.fuzz.run --problems 1 --seed SEED``. For hours: ``make fuzz HOURS=8``.
"""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from relu_attack import Box
from tests.fuzz.oracle import Residual, Scaled, exact_outputs
from tests.fuzz.run import run_problem, run_problems

CHUNKS, PROBLEMS = 12, 20


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_drawn_case_has_a_fault(chunk: int) -> None:
    faults: list[object] = []
    counts = run_problems(range(chunk * PROBLEMS, (chunk + 1) * PROBLEMS), faults.append)
    assert not faults, "\n".join(map(str, faults))
    assert counts["cases"] >= 9 * PROBLEMS


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(2**31, 2**40))
def test_no_case_that_hypothesis_draws_has_a_fault(seed: int) -> None:
    assert not [outcome for outcome in run_problem(seed) if outcome.faults]


@pytest.mark.slow
def test_a_bound_below_an_exact_value_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzzer can fail: a box that leaves out its upper ends is found within a few cases."""

    def shrunk(self: Box) -> Box:
        return Box(self.lower, self.lower, shape=self.shape)

    monkeypatch.setattr(Box, "bounding_box", shrunk)
    faults: list[object] = []
    run_problems(range(10), faults.append)
    assert faults


def test_the_oracle_agrees_with_torch_on_numbers_that_both_hold_exactly() -> None:
    """Weights, inputs and results are small multiples of 1/8, so that float64 rounds nothing."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        Scaled(torch.full((2, 6), 0.5), torch.full((2, 6), 0.25)),
        nn.Conv1d(2, 3, 2, padding=1),
        nn.BatchNorm1d(3, eps=0.0),
        nn.Hardtanh(-8.0, 16.0),
        nn.MaxPool1d(2, stride=1),
        nn.AvgPool1d(2, stride=2),
        nn.PReLU(3),
        nn.Flatten(),
        Residual(nn.Sequential(nn.Linear(9, 2), nn.LeakyReLU(0.5), nn.Linear(2, 9), nn.Dropout())),
        nn.ReLU(),
        nn.Linear(9, 2),
    )
    model = model.double().eval().requires_grad_(False)
    for tensor in model.parameters():
        tensor.copy_(torch.randint(-3, 4, tensor.shape, generator=generator))
    x = torch.randint(-4, 5, (2, 6), generator=generator) / 8
    outputs = exact_outputs(model, [Fraction(v) for v in x.flatten().tolist()], (2, 6))
    assert outputs == [Fraction(v) for v in model(x.double()[None])[0].tolist()]
