"""Accuracies against the radius: lines through the shares in per cent, and the zone that is not decided."""

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from relu_attack import OptionError, RobustAccuracy
from relu_attack.plots import plot_accuracy


def accuracy(clean: float, attacked: float, certified: float | None, *, samples: int = 4) -> RobustAccuracy:
    none = torch.zeros(samples, dtype=torch.float64)
    return RobustAccuracy(clean, attacked, certified, samples, none, none, none, complete=samples == 4)


# Not in the order of the radii.
PAIRS = [(0.2, accuracy(0.75, 0.25, 0.0)), (0.0, accuracy(0.75, 0.75, 0.75)), (0.1, accuracy(0.75, 0.5, 0.25))]


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    return {str(line.get_label()): list(zip(*map(list, line.get_data()), strict=True)) for line in axes.lines}


def test_lines_go_through_the_shares_in_order_of_the_radius() -> None:
    (axes,) = plot_accuracy(PAIRS, norm="l2").axes
    assert lines(axes) == {
        "clean": [(0.0, 75.0), (0.1, 75.0), (0.2, 75.0)],
        "under attack": [(0.0, 75.0), (0.1, 50.0), (0.2, 25.0)],
        "certified": [(0.0, 75.0), (0.1, 25.0), (0.2, 0.0)],
    }
    assert axes.get_xlabel() == "radius (Euclidean norm)"
    assert axes.get_ylabel() == "share of the samples (per cent)"
    assert axes.get_title(loc="left") == "accuracy on 4 samples"


def test_lines_differ_without_colour() -> None:
    (axes,) = plot_accuracy(PAIRS).axes
    assert len({(line.get_linestyle(), line.get_marker()) for line in axes.lines}) == 3


def test_the_zone_between_certified_and_attacked_is_shaded() -> None:
    (axes,) = plot_accuracy(PAIRS).axes
    (zone,) = axes.collections
    assert zone.get_label() == "not decided"
    corners = {tuple(np.round(corner, 9)) for corner in zone.get_paths()[0].vertices}
    assert corners == {(0.0, 75.0), (0.1, 50.0), (0.2, 25.0), (0.2, 0.0), (0.1, 25.0)}


def test_without_a_certificate_nothing_is_certified_and_no_zone_is_shaded() -> None:
    (axes,) = plot_accuracy([(0.1, accuracy(0.75, 0.5, None)), (0.2, accuracy(0.75, 0.25, None))]).axes
    assert list(lines(axes)) == ["clean", "under attack"]
    assert not axes.collections
    assert axes.get_xlabel() == "radius"


def test_certificates_of_some_radii_are_drawn_there() -> None:
    (axes,) = plot_accuracy([PAIRS[1], (0.1, accuracy(0.75, 0.5, None)), PAIRS[0]]).axes
    assert lines(axes)["certified"] == [(0.0, 75.0), (0.2, 0.0)]


def test_an_unfinished_count_is_told() -> None:
    (axes,) = plot_accuracy([*PAIRS, (0.3, accuracy(0.5, 0.5, 0.0, samples=2))]).axes
    assert axes.get_title(loc="left") == "accuracy on 2 to 4 samples, not all that were to be counted"


@pytest.mark.parametrize(
    ("pairs", "norm", "words"),
    [
        ([], None, "there are no accuracies"),
        ([(-0.1, PAIRS[0][1])], None, "finite number from 0, got -0.1"),
        ([(float("nan"), PAIRS[0][1])], None, "finite number from 0, got nan"),
        ([PAIRS[0], PAIRS[0]], None, "radius 0.2 is there twice"),
        ([(0.1, accuracy(0.0, 0.0, None, samples=0))], None, "no sample was counted at radius 0.1"),
        (PAIRS, "max", "norm is 'max'; it must be one of linf, l2, l1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    pairs: list[tuple[float, RobustAccuracy]], norm: str | None, words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        plot_accuracy(pairs, norm=norm)
