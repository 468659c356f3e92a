"""The excess over output constraints as further outputs of the network."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from relu_attack.network import lower, with_constraint_violations
from tests.network.support import assert_close, lively, points

few = settings(max_examples=25, deadline=None, derandomize=True)


@few
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3), st.sampled_from([nn.ReLU(), nn.LeakyReLU(0.1)]))
def test_the_outputs_pass_and_each_row_adds_its_excess(seed: int, rows: int, outputs: int, after: nn.Module) -> None:
    torch.manual_seed(seed)
    model = lively(nn.Sequential(nn.Linear(3, 5), after, nn.Linear(5, outputs)))
    matrix = torch.randn(rows, outputs, dtype=torch.float64)
    upper = torch.randn(rows, dtype=torch.float64)
    network = with_constraint_violations(lower(model, (3,)).network, matrix, upper)
    x = points((3,), batch=20, seed=seed)
    with torch.no_grad():
        plain = model(x)
    assert network.output_shape == (outputs + rows,)
    assert_close(network.forward(x).outputs, torch.cat([plain, (plain @ matrix.T - upper).relu()], 1))


def test_the_gradient_is_that_of_the_excess() -> None:
    model = lively(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)))
    matrix = torch.tensor([[1.0, -2.0], [-1.0, 2.0]], dtype=torch.float64)
    upper = torch.zeros(2, dtype=torch.float64)
    network = with_constraint_violations(lower(model, (3,)).network, matrix, upper)
    weights = torch.tensor([0.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    x = points((3,), batch=12).requires_grad_()
    (expected,) = torch.autograd.grad(((model(x) @ matrix.T - upper).relu() @ weights[2:]).sum(), x)
    pattern = network.forward(x.detach()).pattern
    assert_close(network.gradient(pattern, weights.expand(12, -1)), expected)


def test_an_image_network_and_a_linear_one_have_an_excess_too() -> None:
    convolution = lively(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)))
    for model, shape in ((convolution, (1, 4, 4)), (lively(nn.Sequential(nn.Linear(2, 2))), (2,))):
        network = with_constraint_violations(
            lower(model, shape).network, torch.eye(2).double(), torch.zeros(2).double()
        )
        x = points(shape)
        with torch.no_grad():
            plain = model(x)
        assert network.input_shape == shape
        assert_close(network.forward(x.flatten(1)).outputs, torch.cat([plain, plain.relu()], 1))
