"""Figure of images, their worst cases, the differences, and the scores of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relu_attack._checks import check_is
from relu_attack.errors import OptionError
from relu_attack.plots._scores import TOP, draw_scores, read_names
from relu_attack.robustness import WorstCaseWithScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 8
"""Samples that are drawn, when there are more and none are named."""

# Of clean, worst case, difference with its scale, and scores.
_WIDTHS = (3.0, 3.0, 3.5, 4.4)


def plot_images(
    clean: Tensor,
    worst: Tensor,
    *,
    scores: tuple[Tensor, Tensor] | None = None,
    label: int | None = None,
    names: Sequence[str] | None = None,
    probabilities: bool = False,
    top: int = TOP,
    clean_label: str = "clean",
    worst_label: str = "worst case",
    title: str = "",
) -> Figure:
    """Draw two images and their difference side by side, and the class scores at both where they are given.

    Parameters
    ----------
    clean, worst
        Images of shape (height, width), (1, height, width) or, with color values from 0 to 1, (3, height, width).
    scores
        Logits of both images, each of shape (classes,); not drawn when None.
    label, names, probabilities, top
        Correct class, which is marked; names of the classes; whether to draw the softmax instead of the logits; and
        maximum number of classes with bars.
    clean_label, worst_label
        Titles of the images, such as the predicted class.
    title
        Title of the figure.

    Returns
    -------
    Figure
        Figure of matplotlib; `save_figure` saves it.

    Raises
    ------
    OptionError
        For shapes that differ or are not those of an image, or scores, a label or names that do not fit.

    Examples
    --------
    >>> import torch
    >>> figure = plot_images(torch.zeros(1, 4, 4), torch.eye(4)[None])
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['clean', 'worst case', 'difference, at most 1']
    """
    from matplotlib.figure import Figure

    for name, image in (("clean", clean), ("worst", worst)):
        check_is(image, Tensor, name=name, wanted="a tensor", error=OptionError)
    if scores is not None and not (isinstance(scores, tuple | list) and len(scores) == 2):
        raise OptionError(f"scores must be a pair (clean, worst), got {type(scores).__name__}")
    figure = Figure(figsize=(10.0 if scores is None else 13.5, 3.9), layout="constrained")
    widths = _WIDTHS[:3] if scores is None else _WIDTHS
    axes = figure.subplots(1, len(widths), width_ratios=widths)
    _draw_pair(axes, clean, worst, clean_label, worst_label)
    if scores is not None:
        draw_scores(axes[3], *scores, label=label, names=names, probabilities=probabilities, top=top)
        _add_legend(figure, axes[3])
    if title:
        figure.suptitle(title)
    return figure


def plot_worst_case(
    found: WorstCaseWithScores,
    *,
    samples: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    probabilities: bool = False,
    top: int = TOP,
) -> Figure:
    """Draw images and their worst cases, a row each: clean, worst case, difference and class scores.

    Parameters
    ----------
    found
        Worst cases with scores, the result of `WorstCaseWithScores.of`; samples have shape (height, width),
        (1, height, width) or, with color values from 0 to 1, (3, height, width).
    samples
        Indices of the samples to draw, from 0; by default the first eight.
    names
        Names of the classes; their numbers by default.
    probabilities
        Whether to draw the softmax instead of the logits.
    top
        Maximum number of classes with bars; the label and the predicted classes always have one.

    Returns
    -------
    Figure
        Figure of matplotlib; `save_figure` saves it.

    Raises
    ------
    OptionError
        For samples that are not images, an index without a sample, or names that do not fit.

    Examples
    --------
    >>> import torch
    >>> import relu_attack as ra
    >>> from relu_attack.plots import plot_worst_case
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> images, label = torch.rand(2, 1, 4, 4), torch.tensor([0, 1])
    >>> worst = ra.worst_case(model, images, label, radius=0.1)
    >>> figure = plot_worst_case(ra.WorstCaseWithScores.of(model, images, label, worst))
    >>> [axes.get_ylabel() for axes in figure.axes[:8:4]]
    ['sample 0', 'sample 1']
    """
    from matplotlib.figure import Figure

    wanted = "worst cases with their scores: WorstCaseWithScores.of(model, x, label, worst)"
    check_is(found, WorstCaseWithScores, name="found", wanted=wanted, error=OptionError)
    chosen = _read_samples(samples, len(found.x))
    names = read_names(names, found.clean_scores.shape[1])
    figure = Figure(figsize=(13.5, 3.3 * len(chosen) + 0.4), layout="constrained")
    rows = figure.subplots(len(chosen), 4, squeeze=False, width_ratios=_WIDTHS)
    for row, sample in zip(rows, chosen, strict=True):
        label, clean_scores, worst_scores = (
            part[sample] for part in (found.label, found.clean_scores, found.worst_scores)
        )
        clean_label = f"clean: taken for {names[int(clean_scores.argmax())]}\nlabel {names[int(label)]}"
        worst_label = f"worst case: taken for {names[int(worst_scores.argmax())]}\n{_verdict(found, sample)}"
        _draw_pair(row, found.x[sample], found.worst.x[sample], clean_label, worst_label)
        row[0].set_ylabel(f"sample {sample}")
        draw_scores(
            row[3], clean_scores, worst_scores, label=int(label), names=names, probabilities=probabilities, top=top
        )
    _add_legend(figure, rows[0, 3])
    return figure


def _read_samples(samples: Sequence[int] | None, count: int) -> list[int]:
    given = range(min(count, ROWS)) if samples is None else samples
    known = isinstance(given, Sequence) and all(isinstance(sample, int) for sample in given)
    if not known:
        raise OptionError(f"samples must be a list of whole numbers, such as [0, 3], got {samples!r}")
    chosen = list(given)
    wrong = [sample for sample in chosen if not 0 <= sample < count]
    if wrong:
        raise OptionError(f"sample {wrong[0]} is out of range; there are {count}, from 0 to {count - 1}")
    if not chosen:
        raise OptionError("no sample is to be drawn; name at least one")
    return chosen


def _verdict(found: WorstCaseWithScores, sample: int) -> str:
    """Return the verdict on a sample in words, with the margin at its worst case."""
    worst = found.worst
    margin = float(worst.margin[sample])
    if margin > 0:
        known = "broken"
    elif worst.certified_margin is not None and bool(worst.certified_margin[sample] < 0):
        known = "proven safe"
    else:
        known = "not broken"
    return f"{known}, margin {margin:.3g}"


def _draw_pair(axes: Sequence[Axes], clean: Tensor, worst: Tensor, clean_label: str, worst_label: str) -> None:
    """Draw two images on one scale, and their signed difference, in the first three axes."""
    if clean.shape != worst.shape:
        raise OptionError(
            f"the images have shapes {tuple(clean.shape)} and {tuple(worst.shape)}; they must be the same"
        )
    first, second = (_as_picture(image) for image in (clean, worst))
    difference = _largest_channel(second - first)
    shade = {"cmap": "gray", "vmin": min(first.min(), second.min()), "vmax": max(first.max(), second.max())}
    _show(axes[0], first, clean_label, **shade)
    _show(axes[1], second, worst_label, **shade)
    largest = float(np.abs(difference).max())
    limit = largest or 1.0
    # From dark to light without a turn: up and down differ in grey as well.
    drawn = _show(axes[2], difference, f"difference, at most {largest:.3g}", cmap="cividis", vmin=-limit, vmax=limit)
    axes[2].figure.colorbar(drawn, ax=axes[2], shrink=0.8, label="worst case less clean")


def _largest_channel(difference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each pixel the change of the channel that changes most, shape (height, width)."""
    if difference.ndim == 2:
        return difference
    most = np.abs(difference).argmax(2, keepdims=True)
    return np.take_along_axis(difference, most, 2)[..., 0]


def _as_picture(image: Tensor) -> npt.NDArray[np.float64]:
    """Return an image as matplotlib takes it: (height, width) or (height, width, 3)."""
    image = image.detach().to("cpu", torch.float64)
    if image.dim() == 3 and image.shape[0] == 1:
        image = image[0]
    if image.dim() == 3 and image.shape[0] == 3:
        return np.asarray(image.permute(1, 2, 0).numpy())
    if image.dim() != 2:
        raise OptionError(f"an image has shape {tuple(image.shape)}; give (height, width) or (1 or 3, height, width)")
    return np.asarray(image.numpy())


def _show(axes: Axes, picture: npt.NDArray[np.float64], title: str, **arguments: Any) -> Any:
    axes.set_title(title, fontsize="medium")
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(picture, interpolation="nearest", **arguments)


def _add_legend(figure: Figure, axes: Axes) -> None:
    """Add a legend of the two colours above the figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
