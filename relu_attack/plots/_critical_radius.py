"""Figure of the distribution of critical radii."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from relu_attack._checks import check_is
from relu_attack.errors import OptionError
from relu_attack.plots._accuracy import NORMS
from relu_attack.robustness import CriticalRadius

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

# A curve needs no more radii than it has pixels: a vector file of all ends of 1000 samples is 3.7 times as large.
MOST_RADII = 400


def plot_critical_radius(
    found: CriticalRadius, *, unit: str = "units of the inputs", title: str | None = None
) -> Figure:
    """Draw the share of samples that resist every input within a radius, against the radius.

    The share in the worst case is a step curve between two: that of the certified ends, and that of the attacked ones;
    the zone between them is shaded.

    Parameters
    ----------
    found
        What `critical_radius` returned.
    unit
        Unit of the radius, for the label of the axis, such as ``"pixel values in [0, 1]"``.
    title
        Title above the axes; by default the number of samples, and how many have both ends within 5 %.

    Returns
    -------
    Figure
        Figure of matplotlib; `save_figure` saves it.

    Raises
    ------
    OptionError
        For anything but a result of `critical_radius`.

    Examples
    --------
    >>> import torch
    >>> import relu_attack as ra
    >>> from relu_attack.plots import plot_critical_radius
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3))
    >>> found = ra.critical_radius(model, torch.rand(5, 2), torch.tensor([0, 1, 2, 0, 1]), progress=False)
    >>> figure = plot_critical_radius(found)
    >>> figure.axes[0].get_xlabel(), [line.get_label() for line in figure.axes[0].lines]
    ('radius (maximum norm, units of the inputs)', ['attacked', 'certified'])
    """
    from matplotlib.figure import Figure

    check_is(found, CriticalRadius, name="found", wanted="what critical_radius returned", error=OptionError)
    known = torch.cat([found.lower, found.upper])
    known = known[torch.isfinite(known)]
    largest = 1.05 * float(known.max()) if len(known) and float(known.max()) > 0 else 1.0
    grid = torch.cat([known.new_zeros(1), known, known.new_full((1,), largest)]).unique().cpu()
    if len(grid) > MOST_RADII:
        grid = torch.linspace(0, largest, MOST_RADII, dtype=grid.dtype)
    attacked, certified = (_resisting(end.cpu(), grid) for end in (found.upper, found.lower))
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(grid, certified, attacked, step="post", color="0.85", linewidth=0, label="not decided")
    # Solid and dashed, dark and light: the curves differ without colour.
    axes.step(grid, attacked, where="post", color="C3", linestyle="-", linewidth=1.8, label="attacked")
    axes.step(grid, certified, where="post", color="C0", linestyle="--", linewidth=1.2, label="certified")
    axes.set(xlabel=f"radius ({NORMS[found.norm]}, {unit})", ylabel="samples that resist (per cent)")
    axes.set_xlim(0, largest)
    axes.set_ylim(-3, 103)
    axes.set_title(_caption(found) if title is None else title, loc="left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
    return figure


def _resisting(ends: Tensor, grid: Tensor) -> Tensor:
    """Return the share of samples in per cent whose end is above each radius."""
    return 100 * (ends[None] > grid[:, None]).double().mean(1)


def _caption(found: CriticalRadius) -> str:
    return f"critical radius of {len(found.upper)} samples, both ends within 5 % for {found.fraction_within(0.05):.0%}"
