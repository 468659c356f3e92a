"""Balls as walkers meet them: points stay inside to roundings, and close to the nearest ones."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relu_attack.domains import L1Ball, L2Ball, WalkedSet
from relu_attack.domains._ball import ClippedBall
from relu_attack.domains._walked_ball import WalkedBall

WALKERS, INPUTS = 6, 40


def ball(kind: type[ClippedBall], *, batch: int | None, clipped: bool, seed: int, radius: float = 2.0) -> ClippedBall:
    """A normalized ball, or a batch, around random digits: some inputs are at the ends of the clip box."""
    generator = torch.Generator().manual_seed(seed)
    center = (1.4 * torch.rand(batch or 1, INPUTS, generator=generator) - 0.2).clamp(0, 1)
    clip = (0.0, 1.0) if clipped else None
    sets = kind(center if batch else center[0], radius, clip=clip)
    return sets.to(dtype=torch.float64).normalized()[0].to(dtype=torch.float32)


kinds = st.sampled_from([L1Ball, L2Ball])
batches = st.sampled_from([None, 1, 3])


@given(kinds, batches, st.booleans(), st.integers(0, 100), st.sampled_from([1e-3, 0.1, 3.0, 100.0]))
@settings(max_examples=60, deadline=None)
def test_walkers_stay_in_the_ball(kind: type, batch: int | None, clipped: bool, seed: int, step: float) -> None:
    sets, generator = ball(kind, batch=batch, clipped=clipped, seed=seed), torch.Generator().manual_seed(seed)
    walked = sets.walked(WALKERS, products=1000)
    assert isinstance(walked, WalkedBall)
    x = walked.begin(walked.sample(generator))
    for _ in range(5):
        assert float(sets.violation(x.view(-1, WALKERS, INPUTS) if batch else x).max()) < 1e-5
        x = x + step * torch.randn(x.shape, generator=generator)
        walked.project_(x)
    assert walked.violation is None
    inside = walked.sample(generator)
    kept = inside.clone()
    walked.project_(kept)
    assert torch.allclose(kept, inside, atol=1e-5)


@given(kinds, batches, st.booleans(), st.integers(0, 100), st.sampled_from([0.02, 0.3, 3.0]))
@example(L1Ball, 3, True, 0, 0.3)  # Newton steps alone go to and fro on these
@example(L1Ball, None, True, 75, 0.3)
@settings(max_examples=40, deadline=None)
def test_projections_are_nearly_the_nearest(
    kind: type, batch: int | None, clipped: bool, seed: int, step: float
) -> None:
    sets, generator = ball(kind, batch=batch, clipped=clipped, seed=seed), torch.Generator().manual_seed(seed)
    walked = sets.walked(WALKERS, products=1000)
    points = walked.sample(generator) + step * torch.randn((batch or 1) * WALKERS, INPUTS, generator=generator)
    for _ in range(8):  # what is remembered of one projection serves the next one of the same walker
        found = walked.brought_in(points)
    exact = sets.project(points.view(-1, WALKERS, INPUTS) if batch else points).view_as(points)
    nearest = (exact - points).norm(dim=1)
    assert bool(((found - points).norm(dim=1) <= 1.01 * nearest + 1e-5).all())


@pytest.mark.parametrize("kind", [L1Ball, L2Ball])
def test_radius_zero_and_a_center_outside_the_clip_box(kind: type[ClippedBall]) -> None:
    point = kind(torch.full((3,), 0.5), 0.0, clip=(0.0, 1.0))
    walked = point.walked(2, products=1)
    x = torch.randn(2, 3)
    walked.project_(x)
    assert torch.equal(x, torch.full((2, 3), 0.5))
    outside = kind(torch.full((3,), -0.1), 1.0, clip=(0.0, 1.0))
    assert type(outside.walked(2, products=1)) is WalkedSet
