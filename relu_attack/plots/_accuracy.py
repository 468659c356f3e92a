"""Figure of certified and attacked accuracy over the radius."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from relu_attack._names import one_of
from relu_attack.errors import OptionError
from relu_attack.io import Accuracies, check_accuracies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from relu_attack.robustness import RobustAccuracy

NORMS = {"linf": "maximum norm", "l2": "Euclidean norm", "l1": "sum norm"}
# Smallest radius, as a part of the largest, with which the axis begins at zero.
_NEAR_ZERO = 0.3


def plot_accuracy(accuracies: Accuracies, *, norm: str | None = None, title: str | None = None) -> Figure:
    """Draw the accuracies of a classifier against the radius within which each sample may be moved.

    The accuracy in the worst case lies between the certified and the attacked one: the zone between them is shaded.

    Parameters
    ----------
    accuracies
        Pairs of a radius and the result of `robust_accuracy` for it, in any order.
    norm
        Norm of the radius, for the label of the axis: ``"linf"``, ``"l2"`` or ``"l1"``.
    title
        Title above the axes; by default the number of samples.

    Returns
    -------
    Figure
        Figure of matplotlib; `save_figure` saves it.

    Raises
    ------
    OptionError
        For no pairs, a radius that is repeated or not a number from 0, a radius without samples, or an unknown norm.

    Examples
    --------
    >>> import torch
    >>> import relu_attack as ra
    >>> from relu_attack.plots import plot_accuracy
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3))
    >>> batch = torch.rand(5, 2), torch.tensor([0, 1, 2, 0, 1])
    >>> found = [(radius, ra.robust_accuracy(model, [batch], radius, progress=False)) for radius in (0.0, 0.1)]
    >>> figure = plot_accuracy(found, norm="linf")
    >>> figure.axes[0].get_xlabel(), [line.get_label() for line in figure.axes[0].lines]
    ('radius (maximum norm)', ['clean', 'under attack', 'certified'])
    """
    from matplotlib.figure import Figure

    accuracies = _in_order(accuracies)
    if norm is not None:
        one_of(norm, NORMS, name="norm")
    radii, found = [radius for radius, _ in accuracies], [accuracy for _, accuracy in accuracies]
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(radii, _per_cent([one.clean for one in found]), ":", color="black", label="clean")
    attacked = _per_cent([one.attacked for one in found])
    axes.plot(radii, attacked, "o-", color="C3", label="under attack")
    proven = [(radius, one) for radius, one in accuracies if one.certified is not None]
    if proven:
        at = [radius for radius, _ in proven]
        certified = _per_cent([one.certified for _, one in proven])
        axes.plot(at, certified, "s--", color="C0", label="certified")
        between = _per_cent([one.attacked for _, one in proven])
        axes.fill_between(at, certified, between, color="0.85", linewidth=0, label="not decided")
    axes.set(xlabel="radius" if norm is None else f"radius ({NORMS[norm]})", ylabel="share of the samples (per cent)")
    axes.set_ylim(-3, 103)
    if radii[0] <= _NEAR_ZERO * radii[-1]:
        axes.set_xlim(left=0)
    axes.set_title(_count(found) if title is None else title, loc="left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
    return figure


def _in_order(accuracies: Accuracies) -> list[tuple[float, RobustAccuracy]]:
    """Return the pairs by radius; raise unless each can be drawn."""
    check_accuracies(accuracies)
    ordered = sorted(accuracies, key=lambda pair: pair[0])
    for (before, _), (after, _) in pairwise(ordered):
        if before == after:
            raise OptionError(f"radius {after:g} is there twice")
    for radius, accuracy in ordered:
        if accuracy.samples == 0:
            raise OptionError(f"no sample was counted at radius {radius:g}")
    return ordered


def _per_cent(shares: Sequence[float | None]) -> list[float]:
    return [100 * share for share in shares if share is not None]


def _count(found: Sequence[RobustAccuracy]) -> str:
    """Return a caption with the number of samples, and of those that are missing."""
    least, most = min(one.samples for one in found), max(one.samples for one in found)
    number = f"{most}" if least == most else f"{least} to {most}"
    part = "" if all(one.complete for one in found) else ", not all that were to be counted"
    return f"accuracy on {number} samples{part}"
