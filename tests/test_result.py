"""Results: gap, message and summary."""

import torch

from relu_attack import Result, Status, Trace


def result(
    value: list[float] | float, bound: list[float] | float, status: Status = Status.TIME_LIMIT, scale: float = 0.0
) -> Result:
    values = torch.tensor(value, dtype=torch.float64)
    return Result(
        x=torch.zeros(2),
        value=values,
        bound=torch.tensor(bound, dtype=torch.float64),
        certified=torch.ones_like(values, dtype=torch.bool),
        scale=torch.full_like(values, scale),
        status=status,
        violation=torch.zeros_like(values),
        output_violation=torch.zeros_like(values),
        integrality=torch.zeros_like(values),
        method="ppga",
        found_by=("ppga",) * values.numel(),
        iterations=30,
        evaluations=60,
        runtime=1.234,
        trace=Trace(torch.zeros(1), torch.zeros(1), torch.zeros(1, 1)),
    )


def test_the_gap_is_the_distance_from_value_to_bound_for_either_sense() -> None:
    assert float(result(2.0, 5.0).gap) == 3.0
    assert float(result(-2.0, -5.0).gap) == 3.0


def test_the_relative_gap_is_a_share_of_the_value() -> None:
    found = result([2.0, -4.0, 0.0, 0.0], [3.0, -2.0, 0.0, 1.0]).relative_gap
    assert found.tolist() == [0.5, 0.5, 0.0, float("inf")]


def test_the_relative_gap_of_a_small_value_is_a_share_of_a_thousandth_of_the_scale() -> None:
    found = result([0.0, 1.0, -5.0], [1.0, 3.0, -4.0], scale=2000.0).relative_gap
    assert found.tolist() == [0.5, 1.0, 0.2]


def test_nothing_feasible_leaves_no_gap_where_that_is_proven_and_an_infinite_one_where_it_is_not() -> None:
    infinite = float("inf")
    for sign in (1.0, -1.0):
        found = result([-sign * infinite, -sign * infinite], [-sign * infinite, sign * 4.0])
        assert found.gap.tolist() == [0.0, infinite]
        assert found.relative_gap.tolist() == [0.0, infinite]
        assert "gap 0 (first of 2 problems)" in str(found)


def test_the_message_is_the_status_in_words() -> None:
    for status in Status:
        assert result(1.0, 2.0, status).message == status.value
    assert len({status.value for status in Status}) == len(Status)


def test_the_summary_names_method_value_bound_and_why_it_ended() -> None:
    text = str(result(2.5, 5.25))
    assert text == "ppga: value 2.5, bound 5.25, gap 2.75; 30 steps in 1.23 s; " + Status.TIME_LIMIT.value
    assert "(first of 2 problems)" in str(result([1.0, 2.0], [3.0, 4.0]))
