"""The exact model has the maximum of the network, the relaxation is above it, and every run is a point of both."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.encodings import Encoding, encode
from relu_attack.network import lower
from relu_attack.objectives import Output
from relu_attack.output_constraints import OutputConstraints
from relu_attack.problem import Problem
from relu_attack.programs import SolutionStatus, solve
from tests.encodings.support import encoded, interval_ranges, problem_of
from tests.laws.nests import Nest, nests
from tests.network.support import lively
from tests.problems import PROBLEMS, KnownProblem, network, random_network

few = settings(max_examples=25, deadline=None, derandomize=True)
POLYHEDRAL = [problem for problem in PROBLEMS if not isinstance(problem.domain, ra.L2Ball)]


def maximum(encoding: Encoding) -> float:
    solution = solve(encoding.program, time_limit=60.0)
    assert solution.status is SolutionStatus.OPTIMAL
    return solution.value


def assert_runs_are_points(encoding: Encoding, inputs: Tensor) -> None:
    """The start of an input is a point of the program with the value of the forward pass."""
    values = encoding.problem.value(inputs[None])[0]
    for x, value in zip(inputs, values, strict=True):
        point = encoding.start(x)
        assert encoding.program.violation(point) <= 1e-9
        assert encoding.program.integrality(point) == 0.0
        assert encoding.program.value(point) == pytest.approx(float(value), rel=1e-9, abs=1e-9)
        assert torch.equal(encoding.input(point), x.double())


@pytest.mark.parametrize("known", POLYHEDRAL, ids=str)
def test_the_exact_model_has_the_known_maximum_and_the_relaxation_is_not_below(known: KnownProblem) -> None:
    problem = problem_of(known.model, known.domain, known.objective)
    exact, relaxed = encoded(problem), encoded(problem, relaxed=True)
    solution = solve(exact.program, time_limit=60.0)
    assert solution.value == pytest.approx(known.maximum, rel=1e-6, abs=1e-6)
    assert solution.x is not None
    x = exact.input(solution.x)
    assert float(problem.value(x[None, None])) == pytest.approx(known.maximum, rel=1e-6, abs=1e-6)
    assert not relaxed.program.is_mixed_integer
    bound = solve(relaxed.program)
    assert bound.certified
    assert bound.bound >= known.maximum - 1e-12 * abs(known.maximum)


@pytest.mark.parametrize("known", POLYHEDRAL, ids=str)
def test_every_input_of_the_set_is_a_point_of_the_program(known: KnownProblem) -> None:
    problem = problem_of(known.model, known.domain, known.objective)
    inputs = known.domain.sample(5, generator=torch.Generator().manual_seed(0))
    assert_runs_are_points(encoded(problem), inputs)
    assert_runs_are_points(encoded(problem, relaxed=True), inputs)


@pytest.mark.parametrize(
    "activation", [nn.LeakyReLU(0.01), nn.LeakyReLU(0.5), nn.PReLU(6), nn.ReLU6(), nn.Hardtanh()], ids=str
)
def test_other_slopes_are_exact(activation: nn.Module) -> None:
    """A grid of two inputs comes near the maximum of the program and never above it."""
    torch.manual_seed(3)
    if isinstance(activation, nn.PReLU):
        nn.init.uniform_(activation.weight, -1.0, 2.0)
    model = nn.Sequential(nn.Linear(2, 6), activation, nn.Linear(6, 4), nn.LeakyReLU(0.3), nn.Linear(4, 1)).double()
    problem = problem_of(model, ra.Box(-2.0, 2.0, shape=(2,)))
    axis = torch.linspace(-2.0, 2.0, 161, dtype=torch.float64)
    best = float(problem.value(torch.cartesian_prod(axis, axis)[None]).max())
    top = maximum(encoded(problem))
    assert best - 1e-6 <= top <= best + 0.05
    assert maximum(encoded(problem, relaxed=True)) >= top - 1e-6
    assert_runs_are_points(encoded(problem), problem.domain.sample(5, generator=torch.Generator().manual_seed(0)))


@few
@given(nest=nests(longest=6), seed=st.integers(0, 999), relaxed=st.booleans())
def test_runs_of_any_model_are_points_and_convolutions_stay_sparse(nest: Nest, seed: int, relaxed: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(nest.shape, generator=generator, dtype=torch.float64)
    problem = problem_of(nest.model, ra.Box(center - 0.5, center + 0.5, shape=nest.shape))
    encoding = encoded(problem, relaxed=relaxed)
    assert_runs_are_points(encoding, problem.domain.sample(4, generator=generator))
    stored = sum(matrix.nnz for matrix in encoding.matrices)
    assert encoding.program.matrix.nnz <= stored + 12 * problem.network.units


def test_a_convolution_with_pooling_has_its_exact_maximum() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 1))
    problem = problem_of(lively(model), ra.Box(-1.0, 1.0, shape=(1, 3, 3)))
    encoding = encoded(problem)
    top = maximum(encoding)
    samples = torch.cat([problem.domain.sample(2000), problem.domain.corners(2000)])
    assert float(problem.value(samples[None]).max()) <= top + 1e-6
    dense = problem.network.units * problem.network.inputs
    assert encoding.matrices[0].nnz < dense / 2


def test_only_units_that_can_switch_have_a_binary_and_those_that_are_0_have_no_column() -> None:
    model = network(([[1.0], [1.0], [1.0]], [2.0, 0.0, -2.0]), ([[1.0, 1.0, 1.0]], [0.0]))
    encoding = encoded(problem_of(model, ra.Box(-1.0, 1.0, shape=(1,))))
    (activation,), (preactivation,), (binary,) = (
        encoding.activation_columns, encoding.preactivation_columns, encoding.binary_columns
    )  # fmt: skip
    assert (activation >= 0).tolist() == [True, True, False]
    assert (binary >= 0).tolist() == (preactivation >= 0).tolist() == [False, True, False]
    assert int(encoding.program.integral.sum()) == 1


def test_each_unit_and_side_has_its_own_big_m() -> None:
    model = network(([[1.0], [2.0]], [0.5, 0.0]), ([[1.0, 1.0]], [0.0]))
    encoding = encode(problem_of(model, ra.Box(-1.0, 1.0, shape=(1,))), [(torch.tensor([-0.5, -2.0]).double(),
                      torch.tensor([1.5, 2.0]).double())])  # fmt: skip
    coefficients = encoding.program.matrix.toarray()[:, encoding.binary_columns[0]]
    assert sorted(coefficients[coefficients != 0].tolist()) == [-2.0, -1.5, 0.5, 2.0]


def test_ranges_of_one_point_make_the_relaxation_the_forward_pass() -> None:
    problem = problem_of(random_network(3, 8, 8, 2, seed=4), ra.Box(-1.0, 1.0, shape=(3,)))
    x = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64)
    ranges = [(z[0], z[0]) for z in problem.network.forward(x[None]).preactivations]
    here = replace(problem, domain=ra.Box(x, x))
    assert maximum(encode(here, ranges, relaxed=True)) == pytest.approx(float(problem.value(x[None, None])), rel=1e-9)


def test_tighter_ranges_give_a_tighter_relaxation() -> None:
    problem = problem_of(random_network(3, 8, 8, 1, seed=4), ra.Box(-1.0, 1.0, shape=(3,)))
    ranges = list(interval_ranges(problem))
    inner = [(low * 0.9, high * 0.9) for low, high in ranges]
    assert maximum(encode(problem, inner, relaxed=True)) < maximum(encode(problem, ranges, relaxed=True)) - 1e-3


def test_whole_inputs_are_whole_in_the_exact_model_only() -> None:
    domain = ra.Box(0.0, 3.0, shape=(2,), integer=[1])
    problem = problem_of(network(([[1.0, -1.0]], [0.0]), ([[-1.0]], [0.5])), domain)
    assert encoded(problem).program.integral[:2].tolist() == [False, True]
    assert encoded(problem, relaxed=True).program.integral.tolist() == [False] * 4


def test_a_one_hot_group_sums_to_one() -> None:
    domain = ra.Box(0.0, 1.0, shape=(3,), one_hot=[[0, 1, 2]])
    problem = problem_of(network(([[3.0, 5.0, 4.0]], [0.0])), domain, Output(0))
    solution = solve(encoded(problem).program)
    assert solution.value == pytest.approx(5.0)
    assert solution.x is not None
    assert solution.x.tolist() == [0.0, 1.0, 0.0]


def test_output_constraints_hold_in_the_program() -> None:
    # Outputs (x, relu(x) + 1): the second at most 1.5 leaves x <= 0.5.
    model = network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, -1.0], [1.0, 0.0]], [0.0, 1.0]))
    chain = lower(model, (1,)).network
    domain = ra.Box(torch.tensor([-1.0]).double(), torch.tensor([1.0]).double())
    problem = Problem.create(chain, domain, Output(0), OutputConstraints([0.0, 1.0], 1.5))
    # Answers may exceed the limit by 1e-6 of it, so the program lets them.
    assert maximum(encoded(problem)) == pytest.approx(0.5 + 1.5e-6, abs=1e-7)
    impossible = Problem.create(chain, domain, Output(0), OutputConstraints([0.0, 1.0], 0.5))
    assert solve(encoded(impossible).program).status is SolutionStatus.INFEASIBLE


def test_a_network_without_hidden_layers_is_its_affine_map() -> None:
    problem = problem_of(network(([[2.0, -1.0]], [0.25])), ra.Box(0.0, 1.0, shape=(2,)), Output(0))
    assert maximum(encode(problem, [])) == pytest.approx(2.25)


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ((-np.inf, 1.0), r"layer 0, unit 1 is \[-inf, 1\]; a program needs finite ends, the lower one first"),
        ((2.0, 1.0), r"layer 0, unit 1 is \[2, 1\]"),
        ((np.nan, 1.0), r"layer 0, unit 1 is \[nan, 1\]"),
    ],
)
def test_a_range_that_is_no_finite_interval_is_named(ends: tuple[float, float], message: str) -> None:
    problem = problem_of(random_network(2, 2, 1, seed=0), ra.Box(0.0, 1.0, shape=(2,)))
    low, high = (torch.tensor([0.0, end], dtype=torch.float64) for end in ends)
    with pytest.raises(ra.SolverError, match=message):
        encode(problem, [(low, high + torch.tensor([1.0, 0.0]).double())])


def test_what_does_not_fit_is_refused() -> None:
    problem = problem_of(random_network(2, 2, 1, seed=0), ra.Box(0.0, 1.0, shape=(2,)))
    with pytest.raises(ra.OptionError, match="ranges for 0 layers; the network has 1 hidden ones"):
        encode(problem, [])
    one = torch.zeros(1, dtype=torch.float64)
    with pytest.raises(ra.OptionError, match=r"range of layer 0 has shape \(1,\); it must be \(2,\)"):
        encode(problem, [(one, one)])
    batch = problem_of(random_network(2, 2, 1, seed=0), ra.Box(torch.zeros(3, 2), torch.ones(3, 2)))
    with pytest.raises(ra.OptionError, match=r"batch of 3; encode one at a time, problem.single\(i\)"):
        encode(batch, [])
    ball = problem_of(random_network(2, 2, 1, seed=0), ra.L2Ball(torch.zeros(2), 1.0))
    ranges = interval_ranges(ball)
    with pytest.raises(ra.DomainError, match="not polyhedral"):
        encode(ball, ranges)
