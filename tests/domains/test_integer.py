"""Integer and categorical inputs: what is refused, how a box and a polytope round, and inputs that are held."""

import pytest
import torch

from relu_attack.domains import Box, Domain, L1Ball, L2Ball, LInfBall, Polytope
from relu_attack.errors import DomainError

both = pytest.mark.parametrize("kind", [Box, Polytope])


@both
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"integer": [4]}, r"integer has the index 4; give a list of flat indices from 0 to 3"),
        ({"integer": [-1]}, r"integer has the index -1"),
        ({"integer": [1, 1]}, r"integer has the index 1 twice"),
        ({"integer": [0.5]}, r"integer holds numbers that are no indices"),
        ({"integer": 2}, r"integer has shape \(\); give a list"),
        ({"integer": [True, False]}, r"integer is a mask of shape \(2,\); .* mask of shape \(4,\)"),
        ({"integer": ["sand"]}, r"integer is \['sand'\]; give a list"),
        ({"integer": [2]}, r"is empty: input 2 must be a whole number, but there is none between 0.2 and 0.9"),
        ({"one_hot": 3}, r"one_hot must be a list of groups, such as \[\[0, 1, 2\]\], got 3"),
        ({"one_hot": [0, 1]}, r"one_hot group 0 has shape \(\); give a list of flat indices"),
        ({"one_hot": [[0, 1], [3]]}, r"one_hot group 1 has 1 inputs; a choice needs at least 2"),
        ({"one_hot": [[0, 1], [1, 3]]}, r"input 1 is in the one_hot groups 0 and 1"),
        ({"one_hot": [[0, 3]]}, r"input 3 is in one_hot group 0, but its bounds are -2 and 2"),
        ({"one_hot": [[0, 1]], "upper": [0.5, 0.0, 1, 2]}, r"is empty: in one_hot group 0 no input may be 1"),
        ({"one_hot": [[0, 1]], "lower": [1.0, 0.5, 0, -2]}, r"is empty: in one_hot group 0 several inputs must be 1"),
    ],
)
def test_what_is_malformed_is_refused_by_name(kind: type[Box], arguments: dict[str, object], message: str) -> None:
    bounds: dict[str, object] = {"lower": [0.0, 0.0, 0.2, -2.5], "upper": [1.0, 1.0, 0.9, 2.5]}
    with pytest.raises(DomainError, match=f"{kind.__name__} {message}"):
        kind(**bounds | arguments)  # type: ignore[arg-type]


def test_a_wrong_set_of_a_batch_is_named() -> None:
    lower = torch.tensor([[0.0, 0.0], [0.0, 0.2]])
    with pytest.raises(DomainError, match="input 1 of set 1 must be a whole number, but there is none between 0"):
        Box(lower, torch.tensor([[1.0, 1.0], [1.0, 0.9]]), integer=[1])
    with pytest.raises(DomainError, match="one_hot group 0 of set 1 no input may be 1"):
        Box(torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [0.5, 0.5]]), one_hot=[[0, 1]])


@both
def test_a_mask_of_the_shape_names_the_integer_inputs_and_groups_join_them(kind: type[Box]) -> None:
    mask = torch.tensor([[False, True], [False, False]])
    domain = kind(0.0, 1.0, shape=(2, 2), integer=mask, one_hot=[[3, 2]]) if kind is Box else kind(
        lower=0.0, upper=1.0, shape=(2, 2), integer=mask, one_hot=[[3, 2]]
    )  # fmt: skip
    assert domain.integer == (1, 2, 3)
    assert domain.one_hot == ((3, 2),)


@both
def test_bounds_of_integer_inputs_are_rounded_inward(kind: type[Box]) -> None:
    rows = kind(lower=[0.2, 0.2], upper=[2.9, 2.9], integer=[0]).linear_rows()
    assert rows is not None
    assert rows.lower.tolist() == pytest.approx([1, 0.2])
    assert rows.upper.tolist() == pytest.approx([2, 2.9])


def test_integrality_survives_copies_and_not_the_walking_coordinates() -> None:
    lower = torch.zeros(2, 3)
    boxes = Box(lower, torch.tensor([[4.0, 1.0, 1.0], [2.0, 1.0, 1.0]]), integer=[0], one_hot=[[1, 2]])
    polytope = Polytope(lower=0.0, upper=[4.0, 1.0, 1.0], integer=[0], one_hot=[[1, 2]])
    for domain in (boxes, polytope):
        for copy in (domain.to(dtype=torch.float32), domain.to(dtype=torch.float32).to(dtype=torch.float64)):
            assert (copy.integer, copy.one_hot) == ((0, 1, 2), ((1, 2),))
        alone = domain.single(1)
        assert (alone.integer, alone.one_hot) == ((0, 1, 2), ((1, 2),))
        assert (domain.normalized()[0].integer, domain.normalized()[0].one_hot) == ((), ())


def test_sets_without_integer_inputs_leave_points_as_they_are() -> None:
    center = torch.tensor([0.3, 0.6])
    sets: list[Domain] = [kind(center, 0.5) for kind in (L1Ball, L2Ball, LInfBall)]
    for domain in [*sets, Box(center, 1.0), Polytope(lower=center, upper=1.0)]:
        points = domain.sample(3)
        assert domain.round(points) is points
        assert (domain.integrality(points) == 0).all()
    for domain in sets[:2]:
        with pytest.raises(DomainError, match="cannot be fixed; those of a Box or a Polytope can"):
            domain.with_fixed([0], 0.3)


def test_integrality_is_the_largest_distance_from_a_whole_point() -> None:
    box = Box([0.0, 0.0, 0.0, 0.0], [5.0, 1.0, 1.0, 1.0], integer=[0], one_hot=[[1, 2]])
    points = torch.tensor([[2.25, 1.0, 0.0, 0.5], [2.0, 0.25, 0.5, 0.5], [2.0, 1.0, 1.0, 0.5], [3.0, 0.0, 1.0, 0.5]])
    assert box.integrality(points).tolist() == [0.25, 0.5, 1.0, 0.0]


def test_a_box_rounds_to_the_nearest_whole_numbers_and_the_largest_of_a_group() -> None:
    box = Box([0.0, 0.0, 0.0, 0.0], [5.5, 1.0, 1.0, 1.0], integer=[0], one_hot=[[1, 2]])
    points = torch.tensor([[2.4, 0.2, 0.3, 0.7], [9.0, 0.0, 0.0, -1.0], [-0.3, 0.9, 1.0, 0.1]])
    assert box.round(points).tolist() == [
        pytest.approx([2, 0, 1, 0.7]),
        pytest.approx([5, 1, 0, 0.0]),
        pytest.approx([0, 0, 1, 0.1]),
    ]


def test_a_group_respects_the_inputs_that_are_held_at_0_or_1() -> None:
    box = Box([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]], one_hot=[[0, 1, 2]])
    points = torch.tensor([0.9, 0.6, 0.5]).expand(2, 1, 3)
    assert box.round(points).tolist() == [[[0, 1, 0]], [[0, 0, 1]]]


def test_a_box_with_fixed_inputs_never_moves_them() -> None:
    box = Box([0.0, 0.0, 0.0], [1.0, 2.0, 0.3], integer=[1]).with_fixed([2, 1], [0.1, 2.0])
    points = torch.cat([box.project(9 * torch.randn(20, 3)), box.sample(20), box.corners(5), box.round(box.sample(5))])
    assert (points[:, 1] == 2).all()
    assert (points[:, 2] == 0.1).all()
    batch = Box(torch.zeros(2, 2), torch.ones(2, 2)).with_fixed([1], torch.tensor([[[0.25]], [[0.75]]]))
    assert batch.center().tolist() == [[[0.5, 0.25]], [[0.5, 0.75]]]


@both
@pytest.mark.parametrize(
    ("index", "values", "message"),
    [
        ([0], 3.0, "has no point with input 0 fixed to 3; its bounds are 0 and 2"),
        ([0], 1.5, "input 0 must be a whole number, but there is none between 1.5 and 1.5"),
        ([5], 1.0, "the fixed inputs of a .* has the index 5"),
        ([0, 1], [1.0, 1.0, 1.0], r"have shape \(3,\); give \(2,\), one for each"),
        ([1], float("nan"), "the value of the fixed input 1 is not finite"),
    ],
)
def test_values_that_do_not_fit_are_refused(kind: type[Box], index: list[int], values: object, message: str) -> None:
    domain = kind(lower=[0.0, 0.0], upper=[2.0, 1.0], integer=[0])
    with pytest.raises(DomainError, match=message):
        domain.with_fixed(index, values)  # type: ignore[arg-type]


def test_a_polytope_without_a_whole_point_is_refused() -> None:
    with pytest.raises(DomainError, match=r"has points, but none with whole numbers at its integer inputs 0, 1$"):
        Polytope(A_eq=[[2.0, 2.0]], b_eq=[3.0], lower=0.0, upper=5.0, integer=[0, 1])
    with pytest.raises(DomainError, match="infeasible: one_hot group 0 cannot hold together"):
        Polytope(A=[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], b=[1.0, 0.5, 1.0], lower=0.0, upper=1.0, one_hot=[[0, 1]])


def test_a_row_of_zeros_does_not_shift_the_numbers_of_the_rows_in_a_message() -> None:
    rows = [[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]]
    with pytest.raises(DomainError, match=r"infeasible: A row [12] cannot hold"):
        Polytope(rows, [1.0, 1.0, -2.0], lower=-5.0, upper=5.0)


def test_a_group_of_a_polytope_is_an_equation_of_the_set_itself() -> None:
    polytope = Polytope(lower=0.0, upper=[1.0, 1.0, 1.0, 9.0], one_hot=[[0, 2, 1]])
    rows = polytope.linear_rows()
    assert rows.A.tolist() == [[1, 1, 1, 0]]
    assert rows.lb.tolist() == rows.ub.tolist() == [1]
    assert torch.allclose(polytope.sample(5)[:, :3].sum(-1), torch.ones(5).double())


def test_whole_numbers_that_break_a_row_are_repaired() -> None:
    screws = Polytope([[2.0, 3.0]], [7.9], lower=0.0, upper=9.0, integer=[0, 1])
    # (1, 2) is too much: (0, 2) is nearer to the point than (1, 1).
    assert screws.round(torch.tensor([[0.6, 2.2], [3.4, 0.2]])).tolist() == [[0, 2], [3, 0]]


def test_the_nearest_whole_numbers_are_found_from_any_known_ones() -> None:
    # A warm start at the point that construction finds, (1, 3, 1), comes back from HiGHS 1.16 as the optimum.
    rows = [[-0.62, -0.01, 0.0005], [0.06, 2.18, -0.28], [0.62, 0.01, -0.0005], [-0.06, -2.18, 0.28]]
    slab = Polytope(rows, [-0.23, 6.45, 2.23, -4.45], lower=0.0, upper=3.0, integer=range(3))
    assert slab.round(torch.tensor([2.9397, 2.4809, 1.4941], dtype=torch.float64)).tolist() == [3, 3, 1]


def test_other_inputs_make_up_for_whole_numbers_where_they_can() -> None:
    mix = Polytope(A_eq=[[1.0, 1.0, 1.0]], b_eq=[4.0], lower=0.0, upper=[9.0, 0.8, 0.7], integer=[0])
    points = torch.tensor([[2.9, 0.5, 0.6], [2.5, 0.8, 0.7]], dtype=torch.float64)
    # 3 leaves 1 to the others, their nearest shares; 2 would leave them more than they can take.
    assert torch.allclose(mix.round(points), torch.tensor([[3.0, 0.45, 0.55], [3.0, 0.55, 0.45]]).double())


def test_a_copy_in_float32_rounds_to_points_of_its_own() -> None:
    mix = Polytope(A_eq=[[1.0, 1.0, 1.0]], b_eq=[4.0], lower=0.0, upper=[9.0, 0.8, 0.7], integer=[0])
    copy = mix.to(dtype=torch.float32)
    rounded = copy.round(copy.sample(20))
    assert rounded.dtype == torch.float32
    assert copy.contains(rounded).all()
    assert (copy.integrality(rounded) == 0).all()


def test_whole_numbers_that_were_held_before_give_the_same_points(monkeypatch: pytest.MonkeyPatch) -> None:
    mix = Polytope(A_eq=[[1.0, 1.0, 1.0]], b_eq=[4.0], lower=0.0, upper=[9.0, 0.8, 0.7], integer=[0])
    points = torch.tensor([[2.9, 0.5, 0.6], [2.8, 0.8, 0.4]], dtype=torch.float64)
    first = mix.round(points)
    monkeypatch.setattr(mix, "with_fixed", lambda index, values: pytest.fail("made a second time"))
    assert torch.equal(mix.round(points), first)


def test_points_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DomainError, match=r"cannot round points that are not finite, at \(1, 0\)"):
        Polytope(lower=0.0, upper=[9.0, 9.0], integer=[0]).round(torch.tensor([[1.0, 2.0], [float("nan"), 1.0]]))


def test_a_polytope_with_fixed_inputs_never_moves_them() -> None:
    mix = Polytope(A_eq=[[1.0, 1.0, 1.0, 1.0]], b_eq=[4.0], lower=0.0, upper=3.0, integer=[1])
    held = mix.with_fixed([3, 1], [0.3, 2.0])
    points = torch.cat(
        [held.project(9 * torch.randn(20, 4)), held.sample(20), held.corners(5), held.round(held.sample(5))]
    )
    assert (points[:, 1] == 2).all()
    assert (points[:, 3] == 0.3).all()
    assert mix.contains(points).all()
    with pytest.raises(
        DomainError, match=r"no point with the given values of the fixed inputs \[0, 1, 2\]: .* broken by 0.5"
    ):
        mix.with_fixed([0, 1, 2], [3.0, 3.0, 0.0])


def test_values_that_are_feasible_up_to_the_tolerance_can_be_held() -> None:
    plane = Polytope(A_eq=[[1.0, 1.0, 1.0]], b_eq=[2.0], lower=0.0, upper=1.0)
    point = torch.tensor([1.0 + 9e-10, 0.5, 0.5], dtype=torch.float64)
    assert plane.contains(point)
    for index in ([0], [1, 2], [0, 1], [0, 1, 2]):
        held = plane.with_fixed(index, point[index])
        points = torch.cat([held.sample(5), held.project(torch.randn(5, 3))])
        assert (points[:, index] == point[index]).all()
        assert plane.contains(points).all()
