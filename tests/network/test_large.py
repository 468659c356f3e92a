"""Networks of torchvision, and matrices that are too large to hold them twice."""

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack._torchvision import import_torchvision
from relu_attack.bounds import interval
from relu_attack.network import Network, dense_chain, lower
from relu_attack.network.lowering import _linear
from relu_attack.network.operators import Dense, UpcastDense, _upcast_dense

RADIUS = 8 / 255


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    """Return the features of torchvision's AlexNet, on the smallest images that they take, and a small classifier."""
    torch.manual_seed(0)
    with torch.device("meta"):
        features = import_torchvision().models.alexnet(weights=None).features
    features.to_empty(device="cpu")
    for module in features:
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    classifier = nn.Sequential(nn.Dropout(), nn.Linear(256, 20), nn.ReLU(inplace=True), nn.Linear(20, 5))
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier).eval()


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.rand(3, 63, 63, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def margin(model: nn.Module, x: Tensor) -> float:
    logits = model(x[None])[0].double()
    return float(logits[1] - logits[0])


@pytest.mark.parametrize("method", ["gradient_walk", "ppga", "ppga_lr"])
def test_a_walk_rises_over_the_middle_of_the_ball_and_its_value_is_the_model_s(
    model: nn.Sequential, image: Tensor, method: str
) -> None:
    ball = ra.LInfBall(image, RADIUS, clip=(0.0, 1.0))
    result = ra.maximize(model, ball, ra.Margin(1, 0), method=method, iterations=12, restarts=2, starts="center")
    assert float(result.value) > margin(model, image)
    assert float(result.value) == margin(model, result.x)
    assert bool(((result.x - image).abs() <= RADIUS).all())
    assert float(result.value) <= float(result.bound)


def test_worst_case_rises_over_the_sample_and_its_margin_is_the_model_s(model: nn.Sequential, image: Tensor) -> None:
    with torch.no_grad():
        label = model(image[None]).argmax(1)
    worst = ra.worst_case(model, image[None], label, RADIUS, iterations=8, restarts=2, stop_at_success=False)
    assert float(worst.margin) > float(worst.clean_margin)
    with torch.no_grad():
        logits = model(worst.x)[0].double()
    wrong = torch.cat([logits[: int(label)], logits[int(label) + 1 :]])
    assert float(worst.margin) == float(wrong.amax() - logits[label])


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Sequential, Network, Network]:
    """Return a model, its chain with matrices in their own precision, and its chain with copies in float64."""
    monkeypatch.setattr(_linear, "_LARGE", 30)
    monkeypatch.setattr(_upcast_dense, "_BLOCK", 16)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))
    kept = lower(model, (5,)).network
    layers = [module for module in model if isinstance(module, nn.Linear)]
    copies = dense_chain(
        [layer.weight.detach().double() for layer in layers], [layer.bias.detach().double() for layer in layers]
    )
    return model, kept, copies


def test_a_large_matrix_stays_in_its_own_precision_once(pair: tuple[nn.Sequential, Network, Network]) -> None:
    model, kept, _ = pair
    first, second = kept.layers[0].affine.operator, kept.to(dtype=torch.float32).layers[0].affine.operator
    assert isinstance(first, UpcastDense)
    assert isinstance(second, Dense)
    assert isinstance(kept.output.operator, Dense)  # it is small
    assert first.weight.data_ptr() == second.weight.data_ptr() != model[0].weight.data_ptr()


def test_a_large_matrix_is_a_snapshot_too(pair: tuple[nn.Sequential, Network, Network]) -> None:
    model, kept, _ = pair
    x = torch.ones(1, 5, dtype=torch.float64)
    before = kept.forward(x).outputs
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(kept.forward(x).outputs, before)


def test_values_gradients_and_bounds_are_those_of_a_copy_in_float64(
    pair: tuple[nn.Sequential, Network, Network],
) -> None:
    _, kept, copies = pair
    assert kept.dtype == torch.float64
    x = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    objective = torch.eye(3, dtype=torch.float64)
    ours, theirs = kept.forward(x), copies.forward(x)
    torch.testing.assert_close(ours.outputs, theirs.outputs, rtol=0, atol=1e-14)
    for row in objective:
        rows = row.expand(4, -1)
        torch.testing.assert_close(kept.gradient(ours.pattern, rows), copies.gradient(theirs.pattern, rows))
    found, wanted = (interval(network, x - 0.1, x + 0.1, objective) for network in (kept, copies))
    torch.testing.assert_close(found.upper, wanted.upper, rtol=0, atol=1e-13)
    box = ra.Box(0.0, 1.0, shape=(5,))
    for method in ("crown", "alpha_crown", "lp"):
        _, upper = ra.output_bounds(pair[0], box, method)
        assert bool((upper >= copies.forward(x).outputs.amax(0)).all())
