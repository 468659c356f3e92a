"""Reading a model counts: what has no time left to read its model ends with one named line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack._deadline import Deadline, Interruption, OutOfTimeError
from relu_attack.bounds import bound_rows
from relu_attack.model import Model, check_agreement, comparison_points, run_module, within_time
from relu_attack.network import lower
from relu_attack.result import Status, Verdict
from relu_attack.rounding import gamma
from relu_attack.solvers import Budget, SearchArguments, decide
from tests.problems import random_network

PASSED = Deadline(at=-1.0)
SHAPE = (3, 64, 64)
SET = ra.Box(0.0, 1.0, shape=SHAPE)


def large() -> nn.Sequential:
    """Return a network with more numbers than those that are read whatever the time is."""
    torch.manual_seed(0)
    hidden = nn.Linear(3 * 64 * 64, 100)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(100, 3)).eval()


def calls(model: nn.Module) -> Iterator[Callable[[], object]]:
    """Ask with a limit that ends before the model is read."""
    x, label = torch.full((2, *SHAPE), 0.5), torch.tensor([0, 1])
    yield lambda: ra.maximize(model, SET, time_limit=1e-9)
    yield lambda: ra.minimize(model, SET, method="ppga_lr", iterations=3, time_limit=1e-9)
    yield lambda: ra.worst_case(model, x, label, 0.1, time_limit=1e-9)
    yield lambda: ra.worst_case(model, x, label, 0.1, time_limit=1e-9, certify=True)
    yield lambda: ra.check_bounds(model, SET, -100.0, 100.0, time_limit=1e-9)


def test_a_limit_that_ends_while_the_model_is_read_is_named() -> None:
    for ask in calls(large()):
        with pytest.raises(ra.TimeLimitError, match=r"^the time limit ended while the model was read") as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, TimeoutError)


def test_verify_has_no_time_left_to_read_the_model() -> None:
    answer = ra.verify(large(), SET, ra.Specification.require([1.0, 0.0, 0.0], 1e6), time_limit=1e-9)
    assert answer.verdict is Verdict.TIMEOUT
    assert answer.note == "the time went into reading the model"


def test_an_optimizer_reads_without_a_limit() -> None:
    result = ra.ReLUOptimizer(large(), SET).maximize(time_limit=1e-9)
    assert bool(SET.contains(result.x.flatten()))
    assert result.value <= result.bound


def test_the_check_of_an_answer_that_takes_longer_than_the_limit_is_named() -> None:
    problem = ra.ReLUOptimizer(random_network(3, 5, 1, seed=0), ra.Box(0.0, 1.0, shape=(3,))).problem
    assert problem.model is not None
    slow = replace(problem, model=replace(problem.model, seconds=60.0))
    search = SearchArguments(time_limit=10.0).begin(Interruption(), began=time.perf_counter())
    with pytest.raises(ra.TimeLimitError, match=r"evaluation and check of an answer take about 60 s; give a larger"):
        search.run(slow, device=torch.device("cpu"), dtype=torch.float32)


def test_modules_of_a_forward_pass_and_perturbed_passes_read_the_clock() -> None:
    entered: list[nn.Module] = []

    class Recording(nn.Identity):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            entered.append(self)
            return x

    with pytest.raises(OutOfTimeError):
        run_module(nn.Sequential(Recording(), Recording()), torch.zeros(1, 2), deadline=PASSED)
    assert not entered
    run_module(nn.Sequential(Recording(), Recording()), torch.zeros(1, 2))  # and no clock is left behind
    assert len(entered) == 2


def test_lowering_and_the_comparison_read_the_clock() -> None:
    model = random_network(3, 5, 1, seed=0)
    with pytest.raises(OutOfTimeError):
        lower(model, (3,), deadline=PASSED)
    lowering = lower(model, (3,))
    points = comparison_points(lowering.network, ra.Box(0.0, 1.0, shape=(3,)))
    with pytest.raises(OutOfTimeError):
        check_agreement(Model.of(model, lowering.network), lowering, points, deadline=PASSED)
    with pytest.raises(OutOfTimeError):
        lowering.network.values(points, deadline=PASSED)


def test_an_interruption_while_the_model_is_read_is_no_time_limit() -> None:
    with pytest.raises(KeyboardInterrupt), within_time(Deadline(interruption=Interruption(happened=True))):
        raise OutOfTimeError


def test_intervals_of_a_large_network_end_at_the_deadline() -> None:
    with torch.no_grad():
        network = lower(nn.Sequential(nn.Conv2d(3, 64, 7), nn.ReLU(), nn.Conv2d(64, 1, 122)), (3, 128, 128)).network
    box = ra.Box(0.0, 1.0, shape=(3, 128, 128))
    for method in ("interval", "crown"):
        bounds = bound_rows(network, box, torch.ones(1, 1, dtype=torch.float64), method, deadline=PASSED)
        assert bounds.lower.item() == -torch.inf
        assert bounds.upper.item() == torch.inf
        assert all(bool(torch.isinf(end).all()) for layer in bounds.layers for end in layer)


def test_a_tree_search_without_time_for_its_root_has_no_bound_and_goes_on_with_a_later_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = lower(random_network(3, 8, 1, seed=0), (3,)).network
    box, row = ra.Box(0.0, 1.0, shape=(3,)), torch.ones(1, 1, dtype=torch.float64)
    monkeypatch.setattr("relu_attack.solvers.branch_and_bound._search._BOUND_PASSES", 1e9)
    budget = Budget(time_limit=1e-9)
    first = decide(network, box, row, torch.full((1,), -1e6, dtype=torch.float64), budget=budget)
    assert (first.status, first.upper, first.regions) == (Status.TIME_LIMIT, torch.inf, 0)
    again = Budget(time_limit=1e9)
    second = decide(network, box, row, torch.full((1,), -1e6, dtype=torch.float64), budget=again, resume=first)
    assert second.status is Status.OPTIMAL
    assert second.upper < 0


def test_a_known_scale_is_that_of_the_problem_and_of_its_parts() -> None:
    box = ra.Box(torch.zeros(4, 3), torch.rand(4, 3, generator=torch.Generator().manual_seed(0)))
    problem = ra.ReLUOptimizer(random_network(3, 5, 2, seed=0), box, ra.Output([0, 1, 0, 1])).problem
    assert problem.measured_scale is not None
    fresh = replace(problem, measured_scale=None)
    assert torch.equal(problem.scale, fresh.scale)
    assert torch.equal(problem.negated().scale, fresh.negated().scale)
    for index in range(4):
        torch.testing.assert_close(problem.single(index).scale, fresh.single(index).scale, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("bias", [True, False])
def test_batch_normalization_is_lowered_for_each_channel(bias: bool) -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4).eval()
    with torch.no_grad():
        for numbers in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            assert numbers is not None
            numbers.uniform_(0.5, 2.0)
    affine = lower(nn.Sequential(convolution, norm, nn.ReLU()), (3, 8, 8)).network.layers[0].affine
    assert affine.loss is not None
    # Divisor, weight and their products with the convolution: seven roundings in all at most.
    assert 0 < affine.loss.relative <= 1.01 * gamma(7, torch.float64)
    if not bias:
        assert affine.constants.shape == (4, 36)
        assert affine.constants.stride()[1] == 0
