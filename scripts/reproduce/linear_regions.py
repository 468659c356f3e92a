"""Draw the linear regions of a small two-input ReLU network, its neurons' boundaries, its contours and its maximum.

python scripts/reproduce/linear_regions.py
"""

from __future__ import annotations

import matplotlib.pyplot as plt
from _figures import ACCENT, INK, PALE, mark, parser, save, unit_square, use_style
from _two_input import BOX, two_input_model
from matplotlib.lines import Line2D

from relu_attack.network import lower
from relu_attack.plots import arrange, draw_boundaries, draw_contours, draw_directions

LAYERS = (
    {"color": INK, "linewidth": 1.4, "linestyle": "-"},
    {"color": INK, "linewidth": 1.4, "linestyle": (0, (4, 2))},
)
ARROW = {"color": INK, "linestyle": "none", "marker": r"$\longrightarrow$", "markersize": 24, "markeredgewidth": 0}


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    use_style()
    arrangement = arrange(lower(two_input_model(), (2,)).network, BOX)
    figure, axes = plt.subplots(figsize=(8, 7.2))
    contours = draw_contours(axes, arrangement, levels=14, cmap=PALE)
    draw_boundaries(axes, arrangement, styles=LAYERS)
    draw_directions(axes, arrangement, length=0.15, color=INK, linewidth=1.4)
    point, value = arrangement.maximum()
    mark(axes, point, f"maximum {value:.3f}", offset=(12, -4), marker="*", markersize=20, color=ACCENT)
    unit_square(axes)
    figure.colorbar(contours, ax=axes, label="output of the network", shrink=0.8, pad=0.02)
    regions = len(arrangement.cells)
    axes.set_title(
        f"A ReLU network is linear on each of its {regions} regions;\nits maximum lies at a corner of one", pad=10
    )
    figure.legend(
        handles=[
            Line2D([], [], **LAYERS[0], label="a neuron of layer 1 switches"),
            Line2D([], [], **LAYERS[1], label="a neuron of layer 2 switches"),
            Line2D([], [], **ARROW, label="to the side where it is active;\nlength: norm of its weight"),
        ],
        loc="outside lower left",
        ncols=2,
    )
    save(figure, options.output, "linear_regions")


if __name__ == "__main__":
    main()
