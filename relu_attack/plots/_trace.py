"""Figure of the best value over time, with the bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from relu_attack._checks import check_is
from relu_attack.errors import OptionError
from relu_attack.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A bound farther away than this many heights of the curve would flatten it; it is printed in the caption instead.
_FAR = 2.0
# A run longer than this many times its first record is drawn on a logarithmic axis.
_LONG = 30.0


def plot_trace(result: Result, *, name: str = "value", unit: str = "", title: str | None = None) -> Figure:
    """Draw the best value against time, with the bound where it does not flatten the curve.

    Parameters
    ----------
    result
        Result of `maximize` or `minimize`; each problem of a batch is a line.
    name, unit
        Name and unit of the value, for the label of the axis.
    title
        Title above the axes; by default the method, the steps and the time.

    Returns
    -------
    Figure
        Figure of matplotlib; `save_figure` saves it.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    >>> figure = plot_trace(ra.maximize(model, ra.Box(0.0, 1.0, shape=(2,)), iterations=20))
    >>> figure.axes[0].get_xlabel()
    'time in seconds'
    """
    from matplotlib.figure import Figure

    check_is(result, Result, name="result", wanted="what maximize or minimize returned", error=OptionError)
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    seconds, values = result.trace.seconds.tolist(), result.trace.values
    single = values.shape[1] == 1
    width, opacity = (2.0, 1.0) if single else (0.8, 0.5)
    for column in values.T.tolist():
        axes.step(seconds, column, where="post", color="C0", linewidth=width, alpha=opacity)
    if single:
        axes.lines[0].set_label("best found")
        axes.plot(seconds[-1], values[-1, 0].item(), "o", color="C0", clip_on=False)
        _draw_bound(axes, result)
        axes.legend(loc="best", frameon=False)
    if seconds[-1] > _LONG * seconds[0] > 0:
        axes.set_xscale("log")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel("time in seconds")
    axes.set_ylabel(f"{name} ({unit})" if unit else name)
    axes.set_title(title or f"{result.method}: {result.iterations} steps in {result.runtime:.2f} s", loc="left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_bound(axes: Axes, result: Result) -> None:
    bound, value = float(result.bound), float(result.value)
    if not torch.isfinite(result.bound):
        return
    height = float(result.trace.values.max() - result.trace.values.min())
    label = f"{'certified bound' if bool(result.certified) else 'bound, not certified,'} {bound:.5g}"
    if abs(bound - value) <= _FAR * height:
        axes.axhline(bound, color="C3", linestyle="--", label=label)
    else:
        axes.plot([], [], " ", label=f"{label}, {'above' if bound > value else 'below'} this picture")
