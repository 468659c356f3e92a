"""The kernels of the chain against autograd, on networks of every kind of layer."""

import itertools
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from relu_attack.network import Network, Workspace, dense_chain, lower
from relu_attack.network._affine import identity
from relu_attack.network._layers import Layer
from relu_attack.network.operators import Convolution
from tests.network.support import assert_close, lively, points

MODELS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "dense": (nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3)), (5,)),
    "leaky": (nn.Sequential(nn.Linear(5, 7), nn.LeakyReLU(0.1), nn.Linear(7, 6), nn.PReLU(6), nn.Linear(6, 3)), (5,)),
    "convolutions": (
        nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
        ),
        (1, 4, 4),
    ),
    "ends with an activation": (nn.Sequential(nn.Linear(5, 3), nn.ReLU6()), (5,)),
    "affine": (nn.Linear(5, 3), (5,)),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[int, ...], Network]:
    torch.manual_seed(0)
    model, shape = request.param
    model = lively(model)
    return model, shape, lower(model, shape).network


def objectives(batch: int, outputs: int = 3) -> Tensor:
    return torch.randn(batch, outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def gradient_of(model: nn.Module, x: Tensor, objective: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((model(x) * objective).sum(), x)
    return gradient.flatten(1)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch.func.jvp, when it is first used
def test_forward_gradient_and_tangent(case: tuple[nn.Module, tuple[int, ...], Network], device: torch.device) -> None:
    model, shape, network = case
    network = network.to(device=device)
    x, objective = points(shape, batch=6), objectives(6)
    direction = points(shape, batch=6, seed=5)
    expected, rate = torch.func.jvp(model, (x,), (direction,))
    with torch.inference_mode():
        evaluation = network.forward(x.flatten(1).to(device))
        gradient = network.gradient(evaluation.pattern, objective.to(device))
        tangent = network.tangent(evaluation.pattern, direction.flatten(1).to(device))
    assert_close(evaluation.outputs.cpu().clone(), expected.detach())
    assert_close(tangent[-1].cpu().clone(), rate.detach(), relative=1e-10)
    assert_close(gradient.cpu().clone(), gradient_of(model, x, objective), relative=1e-10)


def test_the_rates_of_the_preactivations_are_their_differences(
    case: tuple[nn.Module, tuple[int, ...], Network],
) -> None:
    _, shape, network = case
    x, direction, step = points(shape).flatten(1), points(shape, seed=5).flatten(1), 1e-7
    before, after = network.forward(x), network.forward(x + step * direction)
    rates = network.tangent(before.pattern, direction)
    for first, second, rate in zip(before.preactivations, after.preactivations, rates, strict=False):
        torch.testing.assert_close((second - first) / step, rate, rtol=1e-4, atol=1e-5)


def test_a_pattern_may_be_given_as_the_preactivations(case: tuple[nn.Module, tuple[int, ...], Network]) -> None:
    _, shape, network = case
    x, direction = points(shape).flatten(1), points(shape, seed=5).flatten(1)
    evaluation = network.forward(x)
    masks, signs = evaluation.pattern, evaluation.preactivations
    assert torch.equal(network.gradient(masks, objectives(4)), network.gradient(signs, objectives(4)))
    for first, second in zip(network.tangent(masks, direction), network.tangent(signs, direction), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_a_blended_derivative_is_its_mean_under_noise_on_the_preactivation(slope: float) -> None:
    layer = Layer(identity(5), torch.full((5,), slope, dtype=torch.float64))
    preactivation = torch.tensor([[-2.0, -0.3, 0.1, 0.5, 4.0], [-0.1, 0.2, 0.3, -0.4, 0.5]], dtype=torch.float64)
    rows = torch.tensor([[1.0, -2.0, 3.0, 4.0, 5.0]], dtype=torch.float64).expand(2, -1)
    width = torch.tensor([[0.5], [3.0]], dtype=torch.float64)
    spread = preactivation.square().mean(1, keepdim=True).sqrt()
    noise = (torch.arange(10001, dtype=torch.float64) / 10000 - 0.5)[:, None, None] * width * spread
    mean = torch.where(preactivation + noise > 0, 1.0, slope).mean(0)
    assert_close(layer.blend(rows, preactivation, width), rows * mean, relative=1e-3)


def test_a_gradient_over_a_narrow_range_is_the_gradient(case: tuple[nn.Module, tuple[int, ...], Network]) -> None:
    _, shape, network = case
    x, width = points(shape).flatten(1), torch.full((4, 1), 1e-9, dtype=torch.float64)
    preactivations = network.forward(x).preactivations
    narrow = network.gradient(preactivations, objectives(4), width=width)
    assert_close(narrow, network.gradient(preactivations, objectives(4)), relative=1e-10)
    if network.layers:
        wide = network.gradient(preactivations, objectives(4), width=2 + width)
        assert not torch.allclose(wide, narrow, rtol=1e-2)


def test_a_workspace_is_reused_and_changes_nothing(case: tuple[nn.Module, tuple[int, ...], Network]) -> None:
    _, shape, network = case
    workspace = Workspace(network, 4)
    for seed in range(3):
        x, objective = points(shape, seed=seed).flatten(1), objectives(4)
        fresh, reused = network.forward(x), network.forward(x, workspace=workspace)
        assert torch.equal(fresh.outputs, reused.outputs)
        gradient = network.gradient(fresh.pattern, objective)
        assert torch.equal(gradient, network.gradient(reused.preactivations, objective, workspace=workspace))


def storage(tensors: Iterable[Tensor | None]) -> int:
    """Return how many numbers the tensors hold in memory, what they share counted once."""
    held = {tensor.untyped_storage().data_ptr(): tensor for tensor in tensors if tensor is not None}
    return sum(tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in held.values())


@pytest.mark.parametrize("in_place", [False, True])
def test_a_workspace_holds_the_preactivations_and_three_buffers_of_the_widest_layer(in_place: bool) -> None:
    widths, batch = [3, *[20, 5, 40] * 10, 2], 4
    weights = [points((after, before), batch=1)[0] for before, after in itertools.pairwise(widths)]
    network = dense_chain(weights, [weight.new_zeros(len(weight)) for weight in weights])
    workspace = Workspace(network, batch, in_place=in_place)
    held = storage([*workspace.preactivations, *workspace.activations, *workspace.sensitivities])
    assert held <= batch * (network.units + (2 if in_place else 3) * max(widths))
    for first, second in itertools.pairwise(workspace.sensitivities):
        assert storage([first, second]) > storage([first]), "a product would write to what it reads"
    x, objective = points((3,), batch=batch), objectives(batch, 2)
    evaluation = network.forward(x, workspace=workspace)
    found = network.gradient(evaluation.preactivations, objective, workspace=workspace)
    assert torch.equal(found, network.gradient(network.forward(x).pattern, objective))


def test_a_workspace_has_no_buffers_for_operators_that_return_tensors_of_their_own() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    workspace = Workspace(lower(model, (1, 6, 6)).network, 3, in_place=True)
    assert storage([*workspace.preactivations, *workspace.sensitivities]) <= 3 * 8


def test_values_are_the_outputs_of_a_forward_pass(case: tuple[nn.Module, tuple[int, ...], Network]) -> None:
    _, shape, network = case
    x = points(shape).flatten(1)
    before = x.clone()
    assert torch.equal(network.values(x), network.forward(x).outputs)
    assert torch.equal(x, before)


def test_rates_in_place_are_the_tangent(case: tuple[nn.Module, tuple[int, ...], Network]) -> None:
    _, shape, network = case
    x, direction = points(shape).flatten(1), points(shape, seed=5).flatten(1)
    signs = network.forward(x).preactivations
    for rate, expected in zip(
        network.rates(signs, direction, in_place=True), network.tangent(signs, direction), strict=True
    ):
        assert torch.equal(rate, expected)


def test_one_objective_for_each_problem_folds_into_the_last_map(
    case: tuple[nn.Module, tuple[int, ...], Network],
) -> None:
    model, shape, network = case
    x, objective = points(shape, batch=6), objectives(2)
    folded, offset = network.with_objective(objective)
    evaluation = folded.forward(x.flatten(1))
    rows = objective.repeat_interleave(3, 0)
    values = evaluation.outputs.reshape(2, 3) + offset[:, None]
    assert_close(values.flatten(), (model(x) * rows).sum(1).detach())
    if network.layers:
        assert_close(folded.gradient(evaluation.pattern), gradient_of(model, x, rows), relative=1e-10)


def test_substitution_is_the_network_as_a_function_of_the_new_variable(
    case: tuple[nn.Module, tuple[int, ...], Network],
) -> None:
    model, shape, network = case
    scale, shift = points((network.inputs,), batch=2)
    u = points((network.inputs,), seed=7)
    x = (shift + scale * u).reshape(-1, *shape)
    assert_close(network.substitute(scale, shift).forward(u).outputs, model(x).detach())


def test_substituting_one_scale_for_all_inputs_keeps_a_convolution_one() -> None:
    network = lower(nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU()), (2, 6)).network
    scaled = network.substitute(torch.full((12,), 2.0), torch.zeros(12))
    assert isinstance(scaled.layers[0].affine.operator, Convolution)


def test_no_kernel_keeps_a_graph(case: tuple[nn.Module, tuple[int, ...], Network]) -> None:
    _, shape, network = case
    evaluation = network.forward(points(shape).flatten(1))
    assert not evaluation.outputs.requires_grad
    assert not network.gradient(evaluation.pattern, objectives(4)).requires_grad


def test_float32_walks_beside_the_float64_snapshot(case: tuple[nn.Module, tuple[int, ...], Network]) -> None:
    _, shape, network = case
    x = points(shape).flatten(1)
    single = network.to(dtype=torch.float32)
    assert single.dtype == torch.float32
    assert network.dtype == torch.float64
    assert_close(single.forward(x.float()).outputs.double(), network.forward(x).outputs, relative=1e-4)


def test_what_a_network_says_of_itself() -> None:
    network = lower(MODELS["convolutions"][0].eval(), (1, 4, 4)).network
    assert (network.inputs, network.outputs) == (16, 3)
    assert (network.input_shape, network.output_shape) == ((1, 4, 4), (3,))
    assert network.units == sum(layer.units for layer in network.layers)
    assert network.device == torch.device("cpu")
    dense = dense_chain([torch.ones(5, 2), torch.ones(1, 5)], [torch.zeros(5), torch.zeros(1)])
    assert dense.multiply_adds == 5 * 2 + 5


def test_a_unit_at_exactly_zero_counts_as_inactive() -> None:
    network = dense_chain([torch.eye(2), torch.ones(1, 2)], [torch.zeros(2), torch.zeros(1)])
    evaluation = network.forward(torch.tensor([[0.0, 1.0]]))
    assert evaluation.pattern[0].tolist() == [[False, True]]
    assert network.gradient(evaluation.pattern).tolist() == [[0.0, 1.0]]
    assert network.gradient(evaluation.preactivations).tolist() == [[0.0, 1.0]]


def test_an_affine_network_has_one_gradient() -> None:
    network = lower(nn.Linear(2, 1), (2,)).network
    assert torch.equal(network.gradient(()), network.output.operator.matrix())


def test_an_affine_network_with_an_objective_for_each_problem_has_a_gradient_for_each_walker() -> None:
    network = lower(nn.Linear(2, 3), (2,)).network
    objective = objectives(2)
    folded, _ = network.with_objective(objective)
    gradient = folded.gradient((), workspace=Workspace(folded, 6))
    assert gradient.shape == (6, 2)
    assert_close(gradient, (objective @ network.output.operator.matrix()).repeat_interleave(3, 0))
