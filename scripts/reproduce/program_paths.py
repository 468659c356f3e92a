"""Draw the paths of LP Walk and MILP Walk beside Gradient Walk's on the small two-input network, from the start A.

python scripts/reproduce/program_paths.py

Each is shown up to its first local maximum, at which the package would begin anew elsewhere. A step of LP Walk goes to
the best point of a linear region; a step of MILP Walk to the best point of all regions that differ in the units nearest
to zero, by default ten: here all nine of them, so that one step finds the global maximum. Gradient Walk takes steps of
0.02 of the box's diagonal, so that its path can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
from _figures import ACCENT, INK, PALE, mark, parser, save, unit_square, use_style
from _two_input import BOX, START, two_input_model
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import relu_attack as ra
from relu_attack.network import lower
from relu_attack.plots import Arrangement, arrange, draw_boundaries, draw_contours

STEP = 0.02
EDGES = {"color": INK, "linewidth": 0.5, "alpha": 0.35}
BEST = {"linestyle": "none", "marker": "P", "markersize": 11, "markeredgecolor": "white"}


@dataclass(frozen=True)
class Panel:
    """One walk: its method, its options, what it shows."""

    method: str
    title: str
    steps: int
    options: dict[str, float] = field(default_factory=dict)


PANELS = (
    Panel("gradient_walk", "Gradient Walk: many short steps,\ndown to a zigzag at the top", 60, {"step": STEP}),
    Panel("lp_walk", "LP Walk: each region is left\nat its best point", 40),
    Panel("milp_walk", "MILP Walk: the best of many\nregions in one step", 10),
)


def walk(panel: Panel) -> np.ndarray:
    """Return the path up to its first maximum, shape (points, 2)."""
    optimizer = ra.ReLUOptimizer(two_input_model(), BOX)
    result = optimizer.maximize(
        panel.method, restarts=1, iterations=panel.steps, seed=0, x0=START, record_path=True, **panel.options
    )
    assert result.path is not None
    path = result.path[:, 0, 0].double()
    values = optimizer.problem.value(path[None])[0].numpy()
    if panel.method == "gradient_walk":
        # A projected gradient step is never longer than its relative step times the box's diagonal; a restart is.
        jumps = np.linalg.norm(np.diff(path.numpy(), axis=0), axis=1) > STEP * np.sqrt(2) * 1.001
        return path.numpy()[: int(jumps.argmax()) + 1 if jumps.any() else None]
    # A program gives no less than where it began, so a value that falls is a new start; one that stays gained nothing.
    kept = [0]
    for place in range(1, len(values)):
        if values[place] < values[kept[-1]] - 1e-9:
            break
        if values[place] > values[kept[-1]] + 1e-9:
            kept.append(place)
    return path.numpy()[kept]


def draw_panel(axes: Axes, panel: Panel, arrangement: Arrangement, values: np.ndarray, path: np.ndarray) -> None:
    draw_contours(axes, arrangement, levels=14, cmap=PALE)
    draw_boundaries(axes, arrangement, styles=(EDGES, EDGES), labels=False)
    axes.plot(*path.T, color=INK, linewidth=1.2, marker="o", markersize=4, zorder=4, clip_on=False)
    axes.plot(
        *arrangement.maximum()[0],
        linestyle="none",
        marker="*",
        markersize=21,
        color="white",
        markeredgecolor=INK,
        zorder=5,
    )
    mark(axes, START, "A", offset=(-16, -14), marker="s", markersize=9, color=INK)
    axes.plot(*path[values.argmax()], color=ACCENT, **BEST, zorder=6)
    axes.set_title(panel.title)
    best = f"{values.max():.3f}".replace("-", "\N{MINUS SIGN}")
    steps = f"{len(path) - 1} step{'s' if len(path) > 2 else ''}"
    axes.set_xlabel(f"input $x_1$\n{steps}, best value {best}")


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    use_style()
    network = lower(two_input_model(), (2,)).network
    arrangement = arrange(network, BOX)
    figure, panels = plt.subplots(1, len(PANELS), figsize=(11, 5.0), sharex=True, sharey=True)
    for axes, panel in zip(panels, PANELS, strict=True):
        unit_square(axes)
        path = walk(panel)
        values = network.forward(BOX.lower.new_tensor(path)).outputs[:, 0].numpy()
        draw_panel(axes, panel, arrangement, values, path)
        axes.label_outer()
    handles = [
        Line2D([], [], linestyle="none", marker="*", markersize=15, color="white", markeredgecolor=INK),
        Line2D([], [], color=ACCENT, **BEST),
        Line2D([], [], color=INK, linewidth=1.2, marker="o", markersize=4),
        Patch(color=PALE(0.9)),
    ]
    labels = [f"global maximum {arrangement.maximum()[1]:.3f}", "end of the walk", "step", "darker: larger output"]
    figure.legend(handles, labels, loc="outside lower center", ncols=4, columnspacing=1.2, handletextpad=0.5)
    save(figure, options.output, "program_paths")


if __name__ == "__main__":
    main()
