"""What lowering folds is rounded, and the rounding is charged."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import torch
from torch import nn

import relu_attack as ra
from probes.base import Observed, at_least, double, linear, probe, upper_bounds

METHODS = ("interval", "crown", "alpha_crown", "lp", "lp_tightened")


def _canceling_pair() -> nn.Sequential:
    """Return f(x) = x as two float32 layers whose product cancels: 2^60 - 2^60 + 1."""
    big = 2.0**30
    first = linear([[big], [1.0], [-big]], [0, 0, 0], torch.float32)
    return nn.Sequential(first, linear([[big, 1.0, big]], [0], torch.float32))


@probe("folds", "bounds of f(x) = x on [0, 1] reach 1", "tests/laws/test_folding.py::test_linear_layers_that_cancel")
def two_layers_in_one_bounds() -> Observed:
    box = ra.Box(torch.zeros(1), torch.ones(1))
    return at_least(upper_bounds(_canceling_pair(), box, METHODS), Fraction(1))


@probe("folds", "f <= 0.5 is not verified", "tests/laws/test_folding.py::test_linear_layers_that_cancel")
def two_layers_in_one_verified() -> Observed:
    box = ra.Box(torch.zeros(1), torch.ones(1))
    found = ra.verify(_canceling_pair(), box, ra.Specification.require([1.0], 0.5), time_limit=5)
    return Observed(
        f"{found.verdict.name} by {found.decided_by or 'nothing'}", found.verdict is not ra.Verdict.VERIFIED
    )


@probe(
    "folds",
    "bounds reach the exact 0.5",
    "tests/laws/test_folding.py::test_exact_outputs_are_within_the_bounds_of_drawn_networks",
)
def biases_that_cancel() -> Observed:
    first = linear([[1.0], [1.0], [1.0]], [2.0**60, 0.5, -(2.0**60)])
    model = nn.Sequential(first, linear([[1.0, 1.0, 1.0]], [0.0]), nn.ReLU(), linear([[1.0]], [0.0]))
    return at_least(upper_bounds(model, ra.Box(double(0.0), double(0.0)), METHODS[:4]), Fraction(1, 2))


def _normalized(seed: int, size: float) -> tuple[nn.Sequential, torch.Tensor]:
    """Return Linear, BatchNorm, ReLU, Linear whose means are `size` deviations away, and an input."""
    generator = torch.Generator().manual_seed(seed)
    first, norm, last = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)
    for tensor in (first.weight, last.weight, norm.weight, last.bias, norm.bias):
        tensor.data = torch.randn(tensor.shape, generator=generator)
    first.bias.data = size * torch.randn(4, generator=generator)
    norm.running_mean = first.bias.data + torch.randn(4, generator=generator) * 0.5
    norm.running_var = torch.rand(4, generator=generator) + 0.5
    model = nn.Sequential(first, norm, nn.ReLU(), last).eval().requires_grad_(False)
    return model, torch.randn(3, generator=generator)


def _exact_normalized(model: nn.Sequential, x: torch.Tensor) -> Fraction:
    first, norm, _, last = model
    values = [Fraction(v) for v in x.tolist()]
    outputs = Fraction(last.bias.item())
    for unit in range(4):
        z = sum((Fraction(w) * v for w, v in zip(first.weight[unit].tolist(), values, strict=True)), Fraction(0))
        z += Fraction(first.bias[unit].item()) - Fraction(norm.running_mean[unit].item())
        with localcontext() as context:
            context.prec = 80
            square = Fraction(norm.running_var[unit].item()) + Fraction(norm.eps)
            root = Fraction((Decimal(square.numerator) / Decimal(square.denominator)).sqrt())
        z = z / root * Fraction(norm.weight[unit].item()) + Fraction(norm.bias[unit].item())
        outputs += Fraction(last.weight[0, unit].item()) * max(z, Fraction(0))
    return outputs


@probe(
    "folds",
    "all 45 exact values lie within their bounds",
    "tests/laws/test_folding.py::test_batch_normalization_far_from_zero",
)
def batch_normalization_far_away() -> Observed:
    outside = []
    for size in (1e2, 1e3, 1e4):
        count = 0
        for seed in range(15):
            model, x = _normalized(seed, size)
            low, high = map(float, ra.ReLUOptimizer(model, ra.Box(x, x)).bounds(method="crown"))
            count += not low <= _exact_normalized(model, x) <= high
        outside.append(count)
    return Observed(f"outside at 100, 1000, 10000 deviations: {outside} of 15 each", not any(outside))


@probe(
    "folds",
    "claims between the exact value and the fold's are not verified",
    "tests/laws/test_folding.py::test_a_claim_between_the_chain_and_the_model_is_not_verified",
)
def batch_normalization_verified() -> Observed:
    wrong = tried = 0
    for seed in range(40):
        model, x = _normalized(seed, 1e3)
        exact, box = _exact_normalized(model, x), ra.Box(x, x)
        limit = float(ra.ReLUOptimizer(model, box).bounds(method="crown")[1])
        limit += max(float(exact - Fraction(limit)), 0.0) / 2
        if Fraction(limit) < exact:
            tried += 1
            found = ra.verify(model, box, ra.Specification.require([1.0], limit), time_limit=2)
            wrong += found.verdict is ra.Verdict.VERIFIED
    return Observed(f"{wrong} of {tried} false claims verified", not wrong)


@probe(
    "folds",
    "bounds reach the exact 2e-305 where subnormal numbers are flushed",
    "tests/laws/test_folding.py::test_sums_of_products_that_are_flushed_are_in_the_bounds",
)
def flushed_products() -> Observed:
    model = nn.Sequential(nn.Linear(1000, 1, bias=False)).double().requires_grad_(False)
    model[0].weight.fill_(1e-154)
    x = torch.full((1000,), 2e-154, dtype=torch.float64)
    torch.set_flush_denormal(True)
    try:
        bounds = upper_bounds(model, ra.Box(x, x), ("interval", "crown", "lp"))
    finally:
        torch.set_flush_denormal(False)
    return at_least(bounds, 1000 * Fraction(1e-154) * Fraction(2e-154))
