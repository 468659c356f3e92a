"""Horizontal bars of the class scores of an input and of its worst case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relu_attack._checks import check_is
from relu_attack.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

TOP = 10
"""Classes that have bars, when there are more."""

# Light and dark, so that they differ in grey as well.
_CLEAN, _WORST = "#b9cfdd", "#c8102e"
_HEIGHT = 0.4


def read_names(names: Sequence[str] | None, classes: int) -> list[str]:
    """Return the name of each class, its number by default; raise `OptionError` when their number is wrong."""
    if names is None:
        return [str(index) for index in range(classes)]
    if len(names) != classes:
        raise OptionError(f"there are {len(names)} names of classes, but {classes} scores")
    return [str(name) for name in names]


def draw_scores(
    axes: Axes,
    clean: Tensor,
    worst: Tensor,
    *,
    label: int | None = None,
    names: Sequence[str] | None = None,
    probabilities: bool = False,
    top: int = TOP,
) -> None:
    """Draw two bars for each class, with marks of the label and the winner at the worst case and the largest values.

    The scores are logits at the input and at its worst case, (classes,), or their softmax with `probabilities`. With
    more classes than `top`, those with the largest scores at either input have bars, the largest score at the worst
    case first; the label and the winners always have one. OptionError is raised when the arguments do not fit each
    other.
    """
    for scores in (clean, worst):
        check_is(scores, Tensor, name="scores", wanted="a tensor", error=OptionError)
    check_is(top, int, name="top", wanted="a whole number", error=OptionError)
    clean, worst = (scores.detach().to("cpu", torch.float64) for scores in (clean, worst))
    if clean.dim() != 1 or clean.shape != worst.shape or not len(clean):
        raise OptionError(f"scores have shapes {tuple(clean.shape)} and {tuple(worst.shape)}; give (classes,) twice")
    if not bool(torch.isfinite(torch.cat([clean, worst])).all()):
        raise OptionError("scores must be finite to be drawn")
    if label is not None and not 0 <= label < len(clean):
        raise OptionError(f"label {label} is out of range; there are {len(clean)} classes")
    if top < 1:
        raise OptionError(f"top must be at least 1, got {top}")
    names = read_names(names, len(clean))
    if probabilities:
        clean, worst = clean.softmax(0), worst.softmax(0)
    shown = choose(clean, worst, label, top)
    for scores, side, color, series in ((clean, -1, _CLEAN, "clean"), (worst, 1, _WORST, "worst case")):
        places = [place + side * _HEIGHT / 2 for place in range(len(shown))]
        bars = axes.barh(
            places, scores[shown].tolist(), _HEIGHT, color=color, edgecolor="black", linewidth=0.5, label=series
        )
        _annotate_value(axes, bars[shown.index(int(scores.argmax()))], -2.5 * side)
    words = {label: ["label"]} if label is not None else {}
    words.setdefault(int(worst.argmax()), []).append("winner")
    axes.set_yticks(
        range(len(shown)),
        [names[index] + (f" ({', '.join(words[index])})" if index in words else "") for index in shown],
    )
    for text, index in zip(axes.get_yticklabels(), shown, strict=True):
        text.set_fontweight("bold" if index == label else "normal")
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.locator_params(axis="x", nbins=6)
    axes.set_title("class scores", fontsize="medium")
    axes.set_xlabel("probability" if probabilities else "logit")
    axes.spines[["top", "right"]].set_visible(False)


def choose(clean: Tensor, worst: Tensor, label: int | None, top: int) -> list[int]:
    """Return the classes that are drawn, in order from above."""
    classes = len(clean)
    if classes <= top:
        return list(range(classes))
    needed = {int(clean.argmax()), int(worst.argmax())} | (set() if label is None else {label})
    order = torch.maximum(clean, worst).argsort(descending=True, stable=True).tolist()
    others = [index for index in order if index not in needed]
    chosen = [*needed, *others[: max(top - len(needed), 0)]]
    return sorted(chosen, key=lambda index: (-float(worst[index]), index))


def _annotate_value(axes: Axes, bar: Rectangle, raised: float) -> None:
    """Write the value of a bar at its end, raised by some points so that two on one class do not meet."""
    width = bar.get_width()
    axes.annotate(
        f"{width:.3g}",
        (width, bar.get_y() + _HEIGHT / 2),
        (3 if width >= 0 else -3, raised),
        textcoords="offset points",
        horizontalalignment="left" if width >= 0 else "right",
        verticalalignment="center",
        fontsize="x-small",
        fontweight="bold",
    )
