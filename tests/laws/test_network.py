"""Laws of lowering and of the kernels, for random nests of layers."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from relu_attack.network import Evaluation, Network, Workspace, lower
from tests.laws.nests import Nest, nests
from tests.network.support import points

laws = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**16)


def largest(evaluation: Evaluation) -> float:
    """Return the largest number in a pass, at least 1: what rounding errors are relative to."""
    return max(1.0, *(float(tensor.abs().max()) for tensor in (evaluation.outputs, *evaluation.preactivations)))


def assert_within(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def away_from_kinks(network: Network, x: Tensor) -> Tensor:
    """Return the rows of `x` where no unit is within 1e-9 of its kink, unless it stays there all over the region."""
    kept = []
    basis = torch.eye(network.inputs, dtype=x.dtype)
    for row in x:
        evaluation = network.forward(row[None])
        rates = network.tangent(evaluation.preactivations, basis)
        at_kink = [
            (preactivation[0].abs() < 1e-9) & (rate.abs().amax(0) > 1e-9) & (layer.slope < 1)
            for preactivation, rate, layer in zip(evaluation.preactivations, rates, network.layers, strict=False)
        ]
        if not any(bool(mask.any()) for mask in at_kink):
            kept.append(row)
    assume(kept)
    return torch.stack(kept)


@laws
@given(nest=nests(), seed=seeds)
def test_the_lowered_forward_is_the_forward_of_the_model(nest: Nest, seed: int) -> None:
    network = lower(nest.model, nest.shape).network
    x = points(nest.shape, seed=seed)
    expected = nest.model(x).detach()
    evaluation = network.forward(x.flatten(1))
    assert network.output_shape == tuple(expected.shape[1:])
    assert_within(evaluation.outputs, expected.flatten(1), 1e-12 * largest(evaluation))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch.func.jvp, when it is first used
@laws
@given(nest=nests(), seed=seeds)
def test_gradient_and_tangent_are_those_of_autograd(nest: Nest, seed: int) -> None:
    network = lower(nest.model, nest.shape).network
    rows = away_from_kinks(network, points(nest.shape, seed=seed).flatten(1))
    x = rows.reshape(-1, *nest.shape).requires_grad_()
    direction = points(nest.shape, batch=len(rows), seed=seed + 1)
    evaluation = network.forward(rows)
    objective = torch.randn(evaluation.outputs.shape, generator=torch.Generator().manual_seed(seed)).double()

    (gradient,) = torch.autograd.grad((nest.model(x).flatten(1) * objective).sum(), x, materialize_grads=True)
    found = network.gradient(evaluation.pattern, objective)
    assert_within(found, gradient.flatten(1), 1e-10 * max(1.0, float(gradient.abs().max())))

    _, rate = torch.func.jvp(nest.model, (x.detach(),), (direction,))
    tangent = network.tangent(evaluation.pattern, direction.flatten(1))
    assert_within(tangent[-1], rate.detach().flatten(1), 1e-10 * max(1.0, *(float(t.abs().max()) for t in tangent)))


@laws
@given(nest=nests(), seed=seeds)
def test_a_pattern_of_booleans_is_one_of_preactivations(nest: Nest, seed: int) -> None:
    network = lower(nest.model, nest.shape).network
    evaluation = network.forward(points(nest.shape, seed=seed).flatten(1))
    objective = torch.ones_like(evaluation.outputs)
    first = network.gradient(evaluation.pattern, objective)
    assert torch.equal(first, network.gradient(evaluation.preactivations, objective))


@laws
@given(nest=nests(), seed=seeds)
def test_a_workspace_changes_nothing_and_may_be_used_again(nest: Nest, seed: int) -> None:
    network = lower(nest.model, nest.shape).network
    workspace = Workspace(network, 4)
    for offset in range(2):
        x = points(nest.shape, seed=seed + offset).flatten(1)
        fresh, reused = network.forward(x), network.forward(x, workspace=workspace)
        objective = torch.ones_like(fresh.outputs)
        assert torch.equal(fresh.outputs, reused.outputs)
        assert all(map(torch.equal, fresh.preactivations, reused.preactivations))
        found = network.gradient(reused.preactivations, objective, workspace=workspace)
        assert torch.equal(found, network.gradient(fresh.pattern, objective))


@laws
@given(nest=nests(), seed=seeds)
def test_a_workspace_in_place_keeps_the_signs_and_the_gradient(nest: Nest, seed: int) -> None:
    network = lower(nest.model, nest.shape).network
    workspace = Workspace(network, 4, in_place=True)
    x = points(nest.shape, seed=seed).flatten(1)
    fresh, in_place = network.forward(x), network.forward(x, workspace=workspace)
    objective = torch.ones_like(fresh.outputs)
    assert torch.equal(fresh.outputs, in_place.outputs)
    assert all(map(torch.equal, fresh.pattern, in_place.pattern))
    found = network.gradient(in_place.preactivations, objective, workspace=workspace)
    assert torch.equal(found, network.gradient(fresh.pattern, objective))


@laws
@given(nest=nests(), seed=seeds)
def test_a_batch_gives_what_its_rows_give_alone(nest: Nest, seed: int) -> None:
    network = lower(nest.model, nest.shape).network
    x = away_from_kinks(network, points(nest.shape, seed=seed).flatten(1))
    together = network.forward(x)
    objective = torch.ones_like(together.outputs)
    gradients = network.gradient(together.pattern, objective)
    for index, row in enumerate(x):
        alone = network.forward(row[None])
        assert_within(alone.outputs[0], together.outputs[index], 1e-12 * largest(alone))
        gradient = network.gradient(alone.pattern, objective[:1])[0]
        assert_within(gradient, gradients[index], 1e-12 * max(1.0, float(gradients.abs().max())))


@laws
@given(nest=nests(), seed=seeds, dtype=st.sampled_from([torch.bfloat16, torch.float16, torch.float32]))
def test_models_of_other_dtypes_lower_to_their_very_weights(nest: Nest, seed: int, dtype: torch.dtype) -> None:
    rounded = copy.deepcopy(nest.model).to(dtype)
    network = lower(rounded, nest.shape).network
    assert network.dtype == torch.float64
    x = points(nest.shape, seed=seed)
    evaluation = network.forward(x.flatten(1))
    expected = rounded.double()(x).detach().flatten(1)
    assert_within(evaluation.outputs, expected, 1e-12 * largest(evaluation))


@laws
@given(nest=nests(), seed=seeds)
def test_absolute_operators_bound_every_output(nest: Nest, seed: int) -> None:
    network = lower(nest.model, nest.shape).network
    for affine in (*(layer.affine for layer in network.layers), network.output):
        x = points((affine.operator.inputs,), seed=seed)
        bound = affine.operator.absolute().apply(x.abs())
        assert bool((affine.operator.apply(x).abs() <= bound * (1 + 1e-12)).all())
