"""Critical radii: two step curves of the samples that resist, and the zone that is not decided."""

import math

import pytest
import torch

from relu_attack import CriticalRadius, OptionError, Status
from relu_attack.plots import plot_critical_radius


def radii(upper: list[float], lower: list[float], norm: str = "linf") -> CriticalRadius:
    ends = [torch.tensor(end, dtype=torch.float64) for end in (upper, lower)]
    label = torch.zeros(len(upper), dtype=torch.int64)
    x = torch.zeros(len(upper), 2)
    return CriticalRadius(ends[0], ends[1], x, label, norm, torch.zeros(len(upper)), Status.FEASIBLE, 1.0)


FOUND = radii([0.0, 0.1, 0.2, math.inf], [0.0, 0.05, 0.2, 0.1])


def test_curves_are_the_shares_of_the_ends_above_each_radius() -> None:
    (axes,) = plot_critical_radius(FOUND, unit="pixels").axes
    attacked, certified = axes.lines
    assert [attacked.get_label(), certified.get_label()] == ["attacked", "certified"]
    grid = attacked.get_xdata().tolist()
    assert grid == pytest.approx([0.0, 0.05, 0.1, 0.2, 0.21])
    assert attacked.get_ydata().tolist() == [75.0, 75.0, 50.0, 25.0, 25.0]
    assert certified.get_ydata().tolist() == [75.0, 50.0, 25.0, 0.0, 0.0]
    assert axes.get_xlabel() == "radius (maximum norm, pixels)"
    assert axes.get_ylabel() == "samples that resist (per cent)"
    assert axes.get_title(loc="left") == "critical radius of 4 samples, both ends within 5 % for 50%"


def test_curves_differ_without_colour_and_the_zone_between_them_is_shaded() -> None:
    (axes,) = plot_critical_radius(FOUND).axes
    assert len({(line.get_linestyle(), line.get_linewidth()) for line in axes.lines}) == 2
    assert [zone.get_label() for zone in axes.collections] == ["not decided"]


def test_radii_of_zero_are_drawn() -> None:
    (axes,) = plot_critical_radius(radii([0.0], [0.0], "l2"), title="none").axes
    assert axes.lines[0].get_ydata().tolist() == [0.0, 0.0]
    assert axes.get_title(loc="left") == "none"


def test_another_result_is_refused() -> None:
    with pytest.raises(OptionError, match="what critical_radius returned"):
        plot_critical_radius([FOUND])  # type: ignore[arg-type]
