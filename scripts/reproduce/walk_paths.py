"""Draw the paths of Gradient Walk, PPGA and PPGA_LR on the small two-input network, from the start A.

python scripts/reproduce/walk_paths.py

One walker each, all with seed 0. Gradient Walk is shown up to its first stall, from which the package would restart it
at a random point. Gradient Walk and PPGA take short steps, `STEP` of the box's diagonal, so that the path can be seen;
PPGA_LR begins with steps of at most the diagonal and halves them (its defaults: ten diagonals, 0.3); it goes back to
its best point whenever a window of ten steps has gained nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
from _figures import ACCENT, INK, PALE, mark, parser, save, unit_square, use_style
from _two_input import BOX, START, two_input_model
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import relu_attack as ra
from relu_attack.network import lower
from relu_attack.plots import Arrangement, arrange, draw_boundaries, draw_contours

SEED = 0
STEP = 0.02
EDGES = {"color": INK, "linewidth": 0.5, "alpha": 0.35}
BEST = {"linestyle": "none", "marker": "P", "markersize": 11, "markeredgecolor": "white"}
TIME = plt.get_cmap("inferno_r")


@dataclass(frozen=True)
class Panel:
    """One walk: its method, its budget, its options, what it shows."""

    method: str
    steps: int
    title: str
    options: dict[str, float] = field(default_factory=dict)
    first_excursion: bool = False


PANELS = (
    Panel("gradient_walk", 60, "Gradient Walk stops\nat the first maximum", {"step": STEP}, first_excursion=True),
    Panel("ppga", 150, "PPGA's perturbations lead\non to the global maximum", {"step": STEP}),
    Panel("ppga_lr", 75, "PPGA_LR explores wide,\nthen narrows", {"longest_step": 1.0, "trim": 0.5}),
)


def walk(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Return the path, shape (steps, 2), and which of its moves are perturbations, known by their length."""
    optimizer = ra.ReLUOptimizer(two_input_model(), BOX)
    result = optimizer.maximize(
        panel.method,
        restarts=1,
        iterations=panel.steps,
        seed=SEED,
        x0=START,
        record_path=True,
        **panel.options,
    )
    assert result.path is not None
    path = result.path[:, 0, 0].double().numpy()
    # A projected gradient step is never longer than its relative step times the box's diagonal.
    longest = panel.options.get("step", np.inf) * np.sqrt(2) * 1.001
    jumps = np.linalg.norm(np.diff(path, axis=0), axis=1) > longest
    if panel.first_excursion and jumps.any():
        end = int(jumps.argmax()) + 1
        return path[:end], jumps[: end - 1]
    return path, jumps


def draw_panel(
    axes: Axes, panel: Panel, arrangement: Arrangement, values: np.ndarray, path: np.ndarray, jumps: np.ndarray
) -> None:
    draw_contours(axes, arrangement, levels=14, cmap=PALE)
    draw_boundaries(axes, arrangement, styles=(EDGES, EDGES), labels=False)
    for start, end, jump in zip(path[:-1], path[1:], jumps, strict=True):
        axes.plot(*zip(start, end, strict=True), color=INK, linewidth=0.9, linestyle=":" if jump else "-", zorder=3)
    shade = np.linspace(0.05, 0.95, len(path))
    axes.scatter(*path.T, c=TIME(shade), s=26, edgecolors=INK, linewidths=0.6, zorder=4, clip_on=False)
    maxima = arrangement.local_maxima()
    axes.plot(*maxima[0][0], linestyle="none", marker="*", markersize=21, color="white", markeredgecolor=INK, zorder=5)
    mark(axes, START, "A", offset=(-16, -14), marker="s", markersize=9, color=INK)
    axes.plot(*path[values.argmax()], color=ACCENT, **BEST, zorder=6)
    axes.set_title(panel.title)
    best = f"{values.max():.3f}".replace("-", "\N{MINUS SIGN}")
    axes.set_xlabel(f"input $x_1$\n{len(path)} steps, best value {best}")


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    use_style()
    network = lower(two_input_model(), (2,)).network
    arrangement = arrange(network, BOX)
    figure, panels = plt.subplots(1, len(PANELS), figsize=(11, 4.65), sharex=True, sharey=True)
    for axes, panel in zip(panels, PANELS, strict=True):
        unit_square(axes)
        path, jumps = walk(panel)
        values = network.forward(BOX.lower.new_tensor(path)).outputs[:, 0].numpy()
        draw_panel(axes, panel, arrangement, values, path, jumps)
        axes.label_outer()
    bar = figure.colorbar(ScalarMappable(cmap=TIME), ax=panels, shrink=0.7, pad=0.01, label="along the path")
    bar.set_ticks((0, 1), labels=("first\nstep", "last\nstep"))
    handles = [
        Line2D([], [], linestyle="none", marker="*", markersize=15, color="white", markeredgecolor=INK),
        Line2D([], [], color=ACCENT, **BEST),
        Line2D([], [], color=INK, linewidth=0.9),
        Line2D([], [], color=INK, linewidth=0.9, linestyle=":"),
    ]
    handles.append(Patch(color=PALE(0.9)))
    top = f"global maximum {arrangement.maximum()[1]:.3f}"
    labels = [top, "best point of the walk", "step", "perturbation", "darker: larger output"]
    figure.legend(handles, labels, loc="outside lower center", ncols=5, columnspacing=1.2, handletextpad=0.5)
    save(figure, options.output, "walk_paths")


if __name__ == "__main__":
    main()
