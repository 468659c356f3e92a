"""Half-precision samples: answers are numbers of their dtype, lie in the set exactly, and the model takes them."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.compat import Attack
from relu_attack.robustness._half import HALVES, _next, round_into


def numbers(count: int, seed: int, scale: float) -> Tensor:
    return (torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) - 0.5) * scale


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(HALVES), st.integers(0, 2**20), st.sampled_from([1e-6, 1.0, 1e4]), st.booleans())
def test_no_input_is_farther_from_its_center_than_before(
    dtype: torch.dtype, seed: int, scale: float, clipped: bool
) -> None:
    center = numbers(4, seed, scale).to(dtype).float()
    points = center + numbers(4, seed + 1, scale)
    low, high = torch.full_like(center, -torch.inf), torch.full_like(center, torch.inf)
    if clipped:
        low, high = torch.minimum(points, center), torch.maximum(points, center)
    rounded = round_into(points, center, low, high, dtype)
    assert rounded.dtype == dtype
    assert bool(((rounded.float() >= low) & (rounded.float() <= high)).all())
    for new, old, middle in zip(*(part.flatten().tolist() for part in (rounded.double(), points, center)), strict=True):
        assert abs(Fraction(new) - Fraction(middle)) <= abs(Fraction(old) - Fraction(middle))
    assert bool(((rounded.float() - points).abs() <= 2 * torch.finfo(dtype).eps * points.abs() + 1e-7).all())


@pytest.mark.parametrize("dtype", HALVES)
def test_next_numbers_are_those_of_the_bits(dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    ordered = every[every.isfinite()].double().unique()
    for up in (True, False):
        found = _next(ordered.to(dtype), up=up).double()
        assert torch.equal(found[:-1] if up else found[1:], ordered[1:] if up else ordered[:-1])


def norm_at_most(x: Tensor, center: Tensor, radius: float, norm: str) -> bool:
    """Compare a norm with a radius in fractions."""
    offsets = [abs(Fraction(a) - Fraction(b)) for a, b in zip(x.tolist(), center.tolist(), strict=True)]
    if norm == "l2":
        return sum(offset**2 for offset in offsets) <= Fraction(radius) ** 2
    return (max(offsets) if norm == "linf" else sum(offsets)) <= Fraction(radius)


def classifier(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).eval().to(dtype)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("own", [True, False], ids=["half model", "float32 model"])
@pytest.mark.parametrize("clip", [None, (0.0, 1.0), (0.1, 0.7)])
def test_answers_are_half_numbers_of_their_sets_and_margins_those_of_the_model(
    norm: str, dtype: torch.dtype, own: bool, clip: tuple[float, float] | None
) -> None:
    model = classifier(dtype if own else torch.float32)
    x = torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(1)).clamp(0.125, 0.625).to(dtype)
    label = model(x.to(model[1].weight.dtype)).argmax(1)
    worst = ra.worst_case(model, x, label, 0.1, norm=norm, clip=clip, stop_at_success=False, iterations=5, restarts=2)
    assert (worst.x.dtype, worst.x.shape) == (dtype, x.shape)
    logits = model(worst.x.to(model[1].weight.dtype)).double()
    own_logit = logits.gather(1, label[:, None])
    assert torch.equal(worst.margin, (logits - own_logit).scatter(1, label[:, None], -torch.inf).amax(1))
    assert bool((worst.margin > worst.clean_margin).any())
    for found, center in zip(worst.x.flatten(1).double(), x.flatten(1).double(), strict=True):
        assert norm_at_most(found, center, 0.1, norm)
        if clip is not None:
            assert clip[0] <= float(found.min())
            assert float(found.max()) <= clip[1]


def test_arrays_of_half_numbers_are_answered_in_them() -> None:
    x = torch.rand(2, 12).half()
    worst = ra.worst_case(classifier(torch.float32), x.numpy(), [0, 1], 0.1, iterations=2, restarts=1)
    assert worst.x.dtype == torch.float16


def test_half_samples_outside_the_clip_box_are_answered_within_it() -> None:
    x = torch.full((1, 12), 1.05).half()
    worst = ra.worst_case(classifier(torch.float32), x, [0], 0.1, iterations=3, restarts=1)
    assert bool((worst.x <= 1).all())
    assert bool(((worst.x.double() - x.double()).abs() <= 0.1).all())


@pytest.mark.parametrize("dtype", HALVES)
def test_attacks_and_training_keep_the_dtype_of_images(dtype: torch.dtype) -> None:
    model = classifier(dtype)
    x = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(2)).to(dtype)
    label = model(x).argmax(1)
    moved = Attack(model, eps=0.1, steps=3)(x, label)
    assert moved.dtype == dtype
    assert bool(((moved.double() - x.double()).abs() <= 0.1).all())
    normalized = Attack(model, eps=0.1, steps=3)
    normalized.set_normalization_used([0.5] * 3, [0.25] * 3)
    found = normalized((x - 0.5) / 0.25, label)
    assert found.dtype == dtype
    assert bool(((found.double() - ((x - 0.5) / 0.25).double()).abs() <= 0.4 + 1e-12).all())
