"""Cuts hold for every run, separation finds the worst one, and rounds at the root only lower the bound."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import relu_attack as ra
from relu_attack.encodings import Encoding, encode, separate, tighten_root
from relu_attack.programs import solve
from tests.encodings.support import encoded, interval_ranges, problem_of
from tests.laws.nests import Nest, nests
from tests.problems import random_network

few = settings(max_examples=25, deadline=None, derandomize=True)


def leaky_model(seed: int, slope: float) -> nn.Sequential:
    torch.manual_seed(seed)
    activation = nn.ReLU() if slope == 0 else nn.LeakyReLU(slope)
    return nn.Sequential(nn.Linear(3, 5), activation, nn.Linear(5, 4), activation, nn.Linear(4, 1)).double()


def fractional_point(encoding: Encoding, seed: int) -> np.ndarray:
    """Return a random point inside the bounds of the columns, on no row."""
    share = np.random.default_rng(seed).random(encoding.program.columns)
    return encoding.program.lower + share * (encoding.program.upper - encoding.program.lower)


def worst_excess(encoding: Encoding, layer: int, unit: int, point: np.ndarray) -> float:
    """Return by how much the unit breaks its worst cut, by trying every subset of its inputs."""
    part = encoding.problem.network.layers[layer]
    weights, bias = part.affine.operator.matrix()[unit].numpy(), float(part.affine.bias[unit])
    if layer:
        before = encoding.problem.network.layers[layer - 1]
        low, high = (before.activate(end[None])[0].numpy() for end in encoding.ranges[layer - 1])
        columns = encoding.activation_columns[layer - 1]
    else:
        low, high = encoding.input_box
        columns = np.arange(encoding.inputs)
    values = [point[column] if column >= 0 else 0.0 for column in columns]
    s = point[encoding.binary_columns[layer][unit]]
    slope = float(part.slope[unit])
    left = point[encoding.activation_columns[layer][unit]]
    left -= slope * point[encoding.preactivation_columns[layer][unit]]
    worst = -np.inf
    for subset in itertools.product([False, True], repeat=len(weights)):
        right = bias * s
        for chosen, w, h, lowest, highest in zip(subset, weights, values, low, high, strict=True):
            least, most = sorted((w * lowest, w * highest))
            right += w * h - least * (1 - s) if chosen else most * s
        worst = max(worst, left - (1 - slope) * right)
    return worst


@few
@given(seed=st.integers(0, 999), slope=st.sampled_from([0.0, 0.01, 0.5]))
def test_separation_finds_the_most_violated_of_all_subsets(seed: int, slope: float) -> None:
    encoding = encoded(problem_of(leaky_model(seed, slope), ra.Box(-1.0, 1.5, shape=(3,))))
    point = fractional_point(encoding, seed)
    cuts = separate(encoding, point)
    excess = cuts.matrix @ point - cuts.upper
    found = {int(np.intersect1d(row.indices, np.concatenate(encoding.binary_columns))[0]): value
             for row, value in zip((cuts.matrix[[i]] for i in range(len(excess))), excess, strict=True)}  # fmt: skip
    for layer, binary in enumerate(encoding.binary_columns):
        for unit in np.flatnonzero(binary >= 0):
            worst = worst_excess(encoding, layer, unit, point)
            if worst > 1e-4:
                assert found.pop(int(binary[unit])) == pytest.approx(worst, rel=1e-9, abs=1e-9)
            else:
                found.pop(int(binary[unit]), None)
    assert not found


@pytest.mark.slow
@few
@given(nest=nests(longest=6), seed=st.integers(0, 999))
def test_no_run_of_the_network_breaks_a_cut(nest: Nest, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(nest.shape, generator=generator, dtype=torch.float64)
    encoding = encoded(problem_of(nest.model, ra.Box(center - 0.5, center + 0.5, shape=nest.shape)))
    cuts = [separate(encoding, fractional_point(encoding, seed + trial)) for trial in range(4)]
    for x in encoding.problem.domain.sample(6, generator=generator):
        point = encoding.start(x)
        for cut in cuts:
            scale = 1.0 + np.abs(cut.upper) + abs(cut.matrix) @ np.abs(point)
            assert bool((cut.matrix @ point - cut.upper <= 1e-12 * scale).all())


def test_cuts_come_the_most_violated_first_and_break_the_point() -> None:
    encoding = encoded(problem_of(random_network(4, 12, 10, 1, seed=1), ra.Box(-1.0, 1.0, shape=(4,))))
    point = fractional_point(encoding, 0)
    cuts = separate(encoding, point)
    assert len(cuts.upper) > 5
    assert bool((np.diff(cuts.violation) <= 0).all())
    norms = np.sqrt((cuts.matrix * cuts.matrix).sum(axis=1))
    np.testing.assert_allclose((cuts.matrix @ point - cuts.upper) / norms, cuts.violation, rtol=1e-9)
    first = separate(encoding, point, limit=3)
    np.testing.assert_array_equal(first.violation, cuts.violation[:3])
    np.testing.assert_array_equal(first.matrix.toarray(), cuts.matrix.toarray()[:3])


def test_a_relaxation_and_a_run_of_the_network_have_no_cuts() -> None:
    problem = problem_of(random_network(4, 12, 10, 1, seed=1), ra.Box(-1.0, 1.0, shape=(4,)))
    exact, relaxed = encoded(problem), encoded(problem, relaxed=True)
    assert len(separate(exact, exact.start(torch.zeros(4))).upper) == 0
    assert len(separate(relaxed, fractional_point(relaxed, 0)).upper) == 0


def test_rounds_at_the_root_lower_the_bound_and_keep_the_maximum() -> None:
    problem = problem_of(random_network(3, 9, 6, 1, seed=2), ra.Box(-1.0, 1.0, shape=(3,)))
    plain = encoded(problem)
    one, root = tighten_root(plain, rounds=1), tighten_root(plain)
    top = solve(plain.program).value
    assert top <= root.after < one.after < root.before
    assert root.before == pytest.approx(one.before)
    assert root.before - root.after > 0.1 * (root.before - top)
    assert root.rounds > one.rounds == 1
    program = root.encoding.program
    assert program.rows == plain.program.rows + root.cuts
    assert program.is_mixed_integer
    assert solve(program).value == pytest.approx(top, rel=1e-6)


def test_the_cuts_that_stay_give_the_bound_by_themselves() -> None:
    encoding = encoded(problem_of(random_network(4, 16, 12, 1, seed=3), ra.Box(-1.0, 1.0, shape=(4,))))
    root = tighten_root(encoding)
    again = tighten_root(root.encoding, rounds=0)
    assert again.before == pytest.approx(root.after, rel=1e-7)
    assert again.cuts == again.rounds == 0


def test_the_number_of_cuts_is_limited() -> None:
    encoding = encoded(problem_of(random_network(4, 16, 12, 1, seed=3), ra.Box(-1.0, 1.0, shape=(4,))))
    root = tighten_root(encoding, limit=5)
    assert root.cuts <= 5
    assert tighten_root(encoding).after < root.after < root.before


def test_without_time_nothing_is_solved_and_the_bound_still_holds() -> None:
    encoding = encoded(problem_of(random_network(4, 16, 12, 1, seed=3), ra.Box(-1.0, 1.0, shape=(4,))))
    root = tighten_root(encoding, time_limit=1e-9)
    assert root.rounds == root.cuts == 0
    assert root.after >= tighten_root(encoding).after


def test_a_network_without_units_that_switch_needs_no_cuts() -> None:
    problem = problem_of(random_network(2, 3, 1, seed=0), ra.Box(0.0, 1e-6, shape=(2,)))
    root = tighten_root(encode(problem, interval_ranges(problem)))
    assert root.cuts == 0
    assert root.before == root.after
