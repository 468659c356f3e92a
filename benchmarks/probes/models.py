"""The model itself against its chain: what the trace does not see, what draws random numbers, what works in place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import relu_attack as ra
from probes.base import Observed, dense, probe, refusal


class _Asks(nn.Module):
    """Scales tensors only, which a traced value is not."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 0.25 if isinstance(x, Tensor) else x


class _Doubles(nn.ReLU):
    """Does something else than its forward."""

    def __call__(self, x: Tensor) -> Tensor:
        return 2 * super().__call__(x)


class _Noise(nn.Module):
    """Adds noise of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.005 * torch.randn(4)


class _InPlace(nn.Module):
    """Normalizes its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), *dense(12, 16, 3))

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        x /= 0.25
        return self.net(x)


def _refused_or_contains(model: nn.Module, box: ra.Box) -> Observed:
    """Expect a named refusal, or bounds and a value that are those of the model."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(3000, *box.shape, generator=generator) * (box.upper - box.lower).reshape(box.shape)
    points = points + box.lower.reshape(box.shape)
    try:
        optimizer = ra.ReLUOptimizer(model, box)
        result = optimizer.maximize(method="branch_and_bound", time_limit=2, seed=0)
        low, high = map(float, optimizer.bounds(method="crown"))
    except ra.ReLUAttackError as error:
        return Observed(f"refused: {error}", True)
    with torch.no_grad():
        reached = model(points.clone())
        own = float(model(result.x[None].float().clone()).reshape(-1)[0])
    inside = low <= float(reached.min()) and float(reached.max()) <= high
    text = f"value {float(result.value):.4f}, the model gives {own:.4f}; bounds [{low:.3f}, {high:.3f}], the model "
    text += f"reaches [{float(reached.min()):.3f}, {float(reached.max()):.3f}]"
    return Observed(text, inside and abs(own - float(result.value)) < 1e-4)


def _behind(first: nn.Module, *shape: int) -> nn.Sequential:
    return nn.Sequential(first, nn.Flatten(), *dense(torch.Size(shape).numel(), 16, 1)).eval()


@probe(
    "models",
    "refused, or the model's own numbers",
    "tests/model/test_agreement.py::test_what_is_not_the_chain_is_refused_by_name_by_every_call",
)
def a_transform_of_torchvision() -> Observed:
    from relu_attack._torchvision import import_torchvision

    import_torchvision()
    from torchvision.transforms import v2

    model = _behind(v2.Normalize([0.0] * 3, [0.25] * 3), 3, 2, 2)
    return _refused_or_contains(model, ra.Box(-1.0, 1.0, shape=(3, 2, 2)))


@probe(
    "models",
    "refused, or the model's own numbers",
    "tests/model/test_agreement.py::test_what_is_not_the_chain_is_refused_by_name_by_every_call",
)
def code_that_asks_for_tensors() -> Observed:
    return _refused_or_contains(_behind(_Asks(), 3, 2, 2), ra.Box(-1.0, 1.0, shape=(3, 2, 2)))


@probe(
    "models",
    "refused, or the model's own numbers",
    "tests/model/test_agreement.py::test_what_is_not_the_chain_is_refused_by_name_by_every_call",
)
def a_call_of_its_own() -> Observed:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), _Doubles(), nn.Linear(6, 1)).eval().requires_grad_(False)
    model[0].bias.fill_(-0.01)
    return _refused_or_contains(model, ra.Box(-1.0, 1.0, shape=(3,)))


@probe(
    "models", "refused", "tests/model/test_agreement.py::test_what_is_not_the_chain_is_refused_by_name_by_every_call"
)
def a_forward_that_draws_noise() -> Observed:
    model = nn.Sequential(_Noise(), *dense(4, 8, 2)).eval()
    return refusal(lambda: ra.ReLUOptimizer(model, ra.Box(-1.0, 1.0, shape=(4,))).maximize(iterations=5).bound)


@probe(
    "models",
    "the value is the forward pass of the float32 model at x, to the last bit",
    "tests/model/test_values.py::test_the_value_is_the_models_own_number",
)
def the_value_is_the_models() -> Observed:
    model = dense(20, 50, 50, 1)
    result = ra.maximize(model, ra.Box(torch.full((20,), -1.0), torch.ones(20)), method="ppga_lr", iterations=20)
    own = float(model(result.x[None])[0, 0])
    return Observed(f"value {float(result.value)!r}, model {own!r}", float(result.value) == own)


@probe(
    "models",
    "points within 0.1 of the samples and in [0, 1]",
    "tests/model/test_values.py::test_worst_cases_of_a_model_that_works_in_place_lie_in_their_sets",
)
def a_model_that_works_in_place() -> Observed:
    torch.manual_seed(0)
    x = torch.rand(8, 3, 2, 2)
    model = _InPlace().eval().requires_grad_(False)
    labels = model(x.clone()).argmax(1)
    found = ra.worst_case(model, x, labels, radius=0.1)
    away = float((found.x - x).abs().max())
    text = f"farthest {away:.3f} from its sample, in [{float(found.x.min()):.2f}, {float(found.x.max()):.2f}]"
    return Observed(text, away <= 0.1 and float(found.x.min()) >= 0 and float(found.x.max()) <= 1)


@probe("models", "the constant output, or a named refusal", "tests/network/test_lowering_errors.py")
def a_layer_without_units() -> Observed:
    model = nn.Sequential(nn.Linear(3, 0), nn.ReLU(), nn.Linear(0, 2)).eval()
    box, seen = ra.Box(-1.0, 1.0, shape=(3,)), []
    for method in ("ppga_lr", "milp", "branch_and_bound", "lp_walk"):
        try:
            value = float(ra.maximize(model, box, method=method, time_limit=1).value)
            seen.append((f"{method} {value:.4f}", value == float(model[2].bias[0])))
        except ra.ReLUAttackError as error:
            seen.append((f"{method}: {error}"[:60], True))
        except IndexError as error:
            seen.append((f"{method}: IndexError {error}"[:60], False))
    return Observed("; ".join(text for text, _ in seen), all(holds for _, holds in seen))


@probe("models", "half-precision samples are answered in half precision, inside", "tests/robustness/test_half.py")
def half_precision_samples() -> Observed:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval().half().requires_grad_(False)
    x = torch.rand(4, 3, 2, 2).half()
    found = ra.worst_case(model, x, model(x).argmax(1), 0.1)
    away = float((found.x.double() - x.double()).abs().max())
    return Observed(f"{found.x.dtype}, {away:.6f} away", found.x.dtype == torch.float16 and away <= 0.1)


@probe("models", "a named line that says what to give", "tests/network/test_lowering_errors.py")
def wrapped_models() -> Observed:
    model, box = dense(3, 4, 2), ra.Box(-1.0, 1.0, shape=(3,))
    seen = [
        refusal(lambda wrapped=wrapped: ra.maximize(wrapped, box, iterations=3))
        for wrapped in (nn.DataParallel(model), nn.Sequential(model, nn.Softmax(1)))
    ]
    words = (".module", "left out")
    holds = all(one.holds and word in one.text.lower() for one, word in zip(seen, words, strict=True))
    return Observed("; ".join(one.text[:110] for one in seen), holds)
