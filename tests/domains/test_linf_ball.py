"""Balls of the maximum norm."""

import pytest
import torch

from relu_attack.domains import LInfBall
from relu_attack.errors import DomainError


def test_a_ball_is_a_box_cut_by_the_clip_box() -> None:
    ball = LInfBall(torch.tensor([0.25, 0.5]), 0.5, clip=(0.0, 1.0))
    assert ball.lower.tolist() == [0, 0]
    assert ball.upper.tolist() == [0.75, 1]


def test_no_point_differs_by_more_than_the_radius_in_exact_arithmetic() -> None:
    center = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    ball = LInfBall(center, 8 / 255)
    radius = torch.tensor(8 / 255).double()
    assert ((ball.upper.double() - center.double()) <= radius).all()
    assert ((center.double() - ball.lower.double()) <= radius).all()
    assert ((ball.upper.double() - center.double()) > radius * (1 - 1e-5)).all()


def test_each_ball_of_a_batch_has_its_radius() -> None:
    ball = LInfBall(torch.zeros(2, 3), [1.0, 2.0])
    assert ball.upper[:, 0, 0].tolist() == [1, 2]


def test_a_ball_that_misses_the_clip_box_is_refused() -> None:
    with pytest.raises(DomainError, match="center of set 1 is farther than the radius from the clip box at index 0"):
        LInfBall(torch.tensor([[0.5, 0.5], [2.0, 0.5]]), 0.5, clip=(0.0, 1.0))
    with pytest.raises(DomainError, match=r"the center is farther .* at index 1"):
        LInfBall(torch.tensor([0.5, 3.0]), 0.5, clip=(0.0, 1.0))


def test_a_ball_that_overflows_ends_at_the_largest_number() -> None:
    most = torch.finfo(torch.float32).max
    ball = LInfBall(torch.tensor([most, -most]), most)
    assert (ball.lower.tolist(), ball.upper.tolist()) == ([0, -most], [most, 0])
