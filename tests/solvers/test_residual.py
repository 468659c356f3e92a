"""Methods on residual networks of images: no engine knows of skip connections, and all go through them."""

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack._torchvision import import_torchvision
from tests.network.residual import small_resnet
from tests.network.support import lively


def image(seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_answers(model: nn.Module, result: ra.Result, domain: ra.Domain) -> None:
    """Check the point, the value and the bound, with the model itself."""
    with torch.no_grad():
        value = model(result.x.double().view(1, 1, 8, 8))[0, 0]
        inside = model(domain.sample(100, generator=torch.Generator().manual_seed(1)).view(-1, 1, 8, 8))[:, 0]
    assert bool(domain.contains(result.x.reshape(1, -1)).all())
    assert float(result.value) == pytest.approx(float(value), rel=1e-12)
    assert float(result.bound) >= float(result.value)
    assert float(result.value) >= float(inside.max())


@pytest.mark.parametrize(
    ("method", "steps"), [("ppga", 30), ("ppga_lr", 30), ("lp_walk", 3), ("milp_walk", 2), ("branch_and_bound", 3)]
)
def test_methods_on_a_small_resnet(method: str, steps: int) -> None:
    model, domain = small_resnet(), ra.LInfBall(image()[0], 0.02, clip=(0, 1))
    result = ra.maximize(model, domain, method=method, iterations=steps, restarts=8, seed=0)
    assert_answers(model, result, domain)


@pytest.mark.filterwarnings("ignore::relu_attack._torchvision.TorchvisionWarning")
def test_a_block_of_torchvision() -> None:
    torch.manual_seed(0)
    block = import_torchvision().models.resnet.BasicBlock
    down = nn.Sequential(nn.Conv2d(2, 3, 1, 2, bias=False), nn.BatchNorm2d(3))
    body = [nn.Conv2d(1, 2, 3, 2, 1), nn.ReLU(), block(2, 2), block(2, 3, 2, down)]
    model = lively(nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)))
    domain = ra.LInfBall(image()[0], 0.02, clip=(0, 1))
    for method in ("ppga_lr", "milp"):
        result = ra.maximize(model, domain, method=method, iterations=None if method == "milp" else 30, seed=0)
        assert_answers(model, result, domain)


def test_worst_cases_of_a_small_resnet() -> None:
    model, x = small_resnet(), torch.cat([image(seed) for seed in range(4)])
    with torch.no_grad():
        label = model(x).argmax(1)
    found = ra.worst_case(model, x, label, radius=0.05, clip=(0, 1), certify=True, iterations=10, restarts=2)
    with torch.no_grad():
        logits = model(found.x)
    own = logits.gather(1, label[:, None])
    margin = (logits.scatter(1, label[:, None], -torch.inf) - own).amax(1)
    torch.testing.assert_close(found.margin.double(), margin, rtol=0, atol=1e-9)
    assert bool((found.certified_margin >= found.margin).all())


def test_a_residual_claim_is_proven_and_a_false_one_is_refuted() -> None:
    model, ball = small_resnet(), ra.LInfBall(image()[0], 0.01, clip=(0, 1))
    bounds = ra.output_bounds(model, ball, method="crown")
    high, low = float(bounds[1].flatten()[0]), float(bounds[0].flatten()[0])
    proven = ra.verify(model, ball, ra.Specification.require([1.0, 0.0, 0.0], high + 1e-3))
    refuted = ra.verify(model, ball, ra.Specification.require([1.0, 0.0, 0.0], low - 1e-3))
    assert (proven.verdict, refuted.verdict) == (ra.Verdict.VERIFIED, ra.Verdict.FALSIFIED)
