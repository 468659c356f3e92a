"""Verdicts are never wrong: random networks against their exact maximum, by fractions."""

from fractions import Fraction

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_attack as ra
from relu_attack import Specification, Verdict
from tests import exact
from tests.problems import random_network

few = settings(max_examples=25, deadline=None, derandomize=True)
SQUARE = ra.Box(torch.tensor([-1.0, -0.5], dtype=torch.float64), torch.tensor([0.75, 1.0], dtype=torch.float64))
# How far the limit is from the maximum, relative to it.
SHIFTS = st.sampled_from([-0.5, -1e-2, -1e-4, -1e-7, 1e-7, 1e-4, 1e-2, 0.5])


@few
@given(st.integers(0, 10**6), st.sampled_from([(2, 4, 1), (2, 5, 4, 1)]), SHIFTS, st.sampled_from([1e-6, 1.0, 1e6]))
def test_a_limit_on_either_side_of_the_maximum(seed: int, widths: tuple[int, ...], shift: float, scale: float) -> None:
    model = random_network(*widths, seed=seed)
    with torch.no_grad():
        model[-1].weight.mul_(scale), model[-1].bias.mul_(scale)
    maximum = exact.maximum(exact.layers_of(model), SQUARE.lower, SQUARE.upper)
    limit = float(maximum) + shift * max(abs(float(maximum)), scale)
    answer = ra.verify(model, SQUARE, Specification.require([1.0], limit), time_limit=10.0)
    wrong = Verdict.FALSIFIED if maximum <= Fraction(limit) else Verdict.VERIFIED
    assert answer.verdict is not wrong
    assert Fraction(answer.bound) >= maximum - Fraction(limit)
    if answer.witness is not None:
        assert bool(SQUARE.contains(answer.witness, tolerance=0.0))
        (value,) = exact.forward(exact.layers_of(model), answer.witness)
        assert value > Fraction(limit) - abs(Fraction(limit)) / 10**12
    if abs(shift) >= 1e-4:
        assert answer.verdict in (Verdict.VERIFIED, Verdict.FALSIFIED)


@few
@given(st.integers(0, 10**6), st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))
def test_both_and_either(seed: int, first: float, second: float) -> None:
    model = random_network(2, 5, 2, seed=seed)
    one, other = Specification.require([1.0, 0.0], first), Specification.require([0.0, 1.0], second)
    verdicts = {
        name: ra.verify(model, SQUARE, specification, time_limit=10.0).verdict
        for name, specification in {"one": one, "other": other, "both": one & other, "either": one | other}.items()
    }
    open_ = {Verdict.UNKNOWN, Verdict.TIMEOUT}
    if not open_.intersection(verdicts.values()):
        holds = {name: verdict is Verdict.VERIFIED for name, verdict in verdicts.items()}
        assert holds["both"] == (holds["one"] and holds["other"])
        assert holds["either"] or not (holds["one"] or holds["other"])
