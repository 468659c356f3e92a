"""What all balls refuse, and the balls L1 and L2 share."""

import pytest
import torch

from relu_attack.domains import L1Ball, L2Ball, LInfBall
from relu_attack.errors import DomainError

BALLS = [LInfBall, L2Ball, L1Ball]


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize(
    ("center", "radius", "clip", "message"),
    [
        ([0.0, 0.0], -1.0, None, "radius is -1; it must be a number of at least 0"),
        ([0.0, 0.0], float("nan"), None, "radius is nan"),
        ([[0.0], [0.0]], [1.0, -2.0], None, "radius of set 1 is -2"),
        ([0.0, 0.0], [1.0, 1.0], None, "the center is one set; give a number or one a set"),
        ([[0.0], [0.0]], [1.0, 1.0, 1.0], None, "batch of 2 sets"),
        ([0.0, float("nan")], 1.0, None, "center is not finite at index 1"),
        (0.0, 1.0, None, "center is a number; give shape"),
        (torch.zeros(0, 2), 1.0, None, "batch of 0 sets"),
        ([0.0, 0.0], 1.0, ([0.0, 1.0], [1.0, 0.5]), "clip is empty: low is above high at index 1"),
        ([0.0, 0.0], 1.0, ([0.0, float("nan")], 1.0), "clip low is NaN at index 1"),
        ([0.0, 0.0], 1.0, (0.0,), "must be a pair"),
        ([0.0, 0.0], 1.0, 1.0, "must be a pair"),
        ([0.0, 0.0], 1.0, (torch.zeros(3, 2), 1.0), "clip low is a batch of 3 sets, but the center has 1"),
        ([0.0, 0.0], 1.0, (torch.zeros(3), 1.0), "neither one input"),
    ],
)
def test_malformed_numbers_are_refused(ball: type, center: object, radius: object, clip: object, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        ball(center, radius, clip=clip)


@pytest.mark.parametrize("ball", BALLS)
def test_a_number_for_a_center_takes_a_shape(ball: type) -> None:
    assert ball(0.5, 0.1, shape=(1, 2, 2)).inputs == 4


@pytest.mark.parametrize("ball", [L2Ball, L1Ball])
def test_a_ball_that_misses_the_clip_box_is_refused(ball: type) -> None:
    with pytest.raises(DomainError, match="center of set 1 is 2 away from the clip box, more than the radius 1"):
        ball(torch.tensor([[0.5], [3.0]]), 1.0, clip=(0.0, 1.0))
    with pytest.raises(DomainError, match="the center is 2 away"):
        ball(torch.tensor([3.0]), 1.0, clip=(0.0, 1.0))


@pytest.mark.parametrize("ball", BALLS)
def test_a_ball_of_radius_zero_is_its_center(ball: type) -> None:
    center = torch.tensor([0.3, 0.7])
    one = ball(center, 0.0, clip=(0.0, 1.0))
    assert torch.equal(one.project(torch.randn(5, 2)), center.expand(5, 2))
    assert torch.equal(one.sample(3), center.expand(3, 2))
    assert torch.equal(one.maximizer(torch.ones(2)), center)
    assert (one.violation(torch.tensor([0.3, 0.8])) > 0).all()


@pytest.mark.parametrize("ball", [L2Ball, L1Ball])
def test_the_point_where_ball_and_clip_box_touch_is_the_set(ball: type) -> None:
    one = ball(torch.tensor([2.0, 0.5]), 1.0, clip=(0.0, 1.0))
    assert torch.equal(one.project(torch.tensor([[5.0, 5.0], [-5.0, 0.0]])), torch.tensor([[1.0, 0.5], [1.0, 0.5]]))


@pytest.mark.parametrize("ball", [L2Ball, L1Ball])
def test_a_batch_keeps_its_radii_and_clip_in_another_dtype(ball: type) -> None:
    clip = (torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 1.0], [0.5, 0.5, 0.5]]))
    sets = ball(torch.full((2, 3), 0.5), [0.1, 0.2], clip=clip).to(dtype=torch.float64)
    assert sets.dtype == torch.float64
    assert sets.batch == 2
    assert sets.radius.flatten().tolist() == pytest.approx([0.1, 0.2])
    assert sets.clip_high[1].max() == 0.5


def test_a_euclidean_ball_projects_by_scaling() -> None:
    ball = L2Ball(torch.zeros(2, dtype=torch.float64), 1.0)
    assert torch.allclose(ball.project(torch.tensor([3.0, 4.0])), torch.tensor([0.6, 0.8], dtype=torch.float64))
    assert ball.max_step(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.0])) == 2
    assert ball.violation(torch.tensor([3.0, 0.0])) == 2
    with pytest.raises(DomainError, match="not polyhedral"):
        ball.require_linear_rows()


def test_an_l1_ball_projects_by_a_soft_threshold() -> None:
    ball = L1Ball(torch.zeros(3, dtype=torch.float64), 1.0)
    assert torch.allclose(ball.project(torch.tensor([2.0, 1.5, 0.2])), torch.tensor([0.75, 0.25, 0.0]).double())


def test_an_l1_ball_has_rows_over_the_inputs_and_their_sizes() -> None:
    from scipy.optimize import linprog

    ball = L1Ball(torch.tensor([0.0, 0.5, 0.0]).double(), 1.0, clip=(-0.25, 0.75))
    rows = ball.linear_rows()
    assert rows is not None
    direction = torch.tensor([3.0, 2.0, -1.0]).double()
    answer = linprog(
        torch.cat([-direction, torch.zeros(rows.auxiliary)]).numpy(),
        A_ub=rows.A.numpy(), b_ub=rows.ub.numpy(),
        bounds=torch.stack([rows.lower, rows.upper], 1).numpy(),
    )  # fmt: skip
    assert -answer.fun == pytest.approx(float(direction @ ball.maximizer(direction)))
    with pytest.raises(DomainError, match="a batch of 2 sets"):
        L1Ball(torch.zeros(2, 3), 1.0).require_linear_rows()


@pytest.mark.parametrize("radius", [0.5, 20.0, 1000.0])
def test_a_bound_over_an_l1_ball_is_the_value_at_its_maximizer(radius: float) -> None:
    generator = torch.Generator().manual_seed(0)
    center, rows = (torch.rand(size, generator=generator, dtype=torch.float64) for size in ((150,), (20, 150)))
    rows = rows - 0.5
    ball = L1Ball(center, radius, clip=(0.0, 1.0))
    reached = (ball.maximizer(rows) * rows).sum(-1)
    bound = ball.upper_bound(rows)
    assert bool((bound >= reached).all())
    assert torch.allclose(bound, reached, rtol=1e-9)
