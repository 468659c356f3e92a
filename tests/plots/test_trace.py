"""The picture of value against time shows the values, and the bound where there is room for it."""

import dataclasses

import pytest
import torch
from matplotlib.axes import Axes

from relu_attack import Result, Status, Trace
from relu_attack.plots import plot_trace


def result(bound: float, *, problems: int = 1) -> Result:
    single = torch.tensor(3.0, dtype=torch.float64)
    values = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64).expand(-1, problems)
    entry = single if problems == 1 else single.expand(problems)
    return Result(
        x=torch.zeros(2),
        value=entry,
        bound=torch.full_like(entry, bound),
        certified=torch.ones_like(entry, dtype=torch.bool),
        scale=torch.ones_like(entry),
        status=Status.TIME_LIMIT,
        violation=torch.zeros_like(entry),
        output_violation=torch.zeros_like(entry),
        integrality=torch.zeros_like(entry),
        method="ppga",
        found_by=("ppga",) * problems,
        iterations=30,
        evaluations=30,
        runtime=0.3,
        trace=Trace(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([10, 20, 30]), values),
    )


def legend(axes: Axes) -> list[str]:
    shown = axes.get_legend()
    return [] if shown is None else [text.get_text() for text in shown.get_texts()]


def test_the_values_are_drawn_with_name_and_unit() -> None:
    (axes,) = plot_trace(result(4.0), name="strength", unit="MPa").axes
    assert list(axes.lines[0].get_ydata()) == [1.0, 2.0, 3.0]
    assert axes.get_ylabel() == "strength (MPa)"
    assert axes.get_title(loc="left") == "ppga: 30 steps in 0.30 s"


def test_a_near_bound_is_a_line() -> None:
    (axes,) = plot_trace(result(4.0)).axes
    assert 4.0 in [line.get_ydata()[0] for line in axes.lines if len(line.get_ydata())]
    assert "certified bound 4" in legend(axes)


def test_a_bound_that_is_not_certified_is_not_called_so() -> None:
    uncertain = dataclasses.replace(result(4.0), certified=torch.tensor(False))
    assert "bound, not certified, 4" in legend(plot_trace(uncertain).axes[0])


@pytest.mark.parametrize(("bound", "side"), [(400.0, "above"), (-400.0, "below")])
def test_a_far_bound_is_told_in_words_and_does_not_flatten_the_curve(bound: float, side: str) -> None:
    (axes,) = plot_trace(result(bound)).axes
    assert f"certified bound {bound:.5g}, {side} this picture" in legend(axes)
    assert axes.get_ylim()[1] < 4


def test_an_infinite_bound_is_left_out() -> None:
    (axes,) = plot_trace(result(float("inf"))).axes
    assert legend(axes) == ["best found"]


def test_a_batch_has_a_line_a_problem() -> None:
    (axes,) = plot_trace(result(4.0, problems=5)).axes
    assert len(axes.lines) == 5


def test_a_long_run_has_a_logarithmic_axis() -> None:
    short = result(4.0)
    trace = dataclasses.replace(short.trace, seconds=torch.tensor([0.1, 1.0, 60.0]))
    (axes,) = plot_trace(dataclasses.replace(short, trace=trace)).axes
    assert axes.get_xscale() == "log"
