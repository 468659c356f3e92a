"""Figures of traces, worst cases, accuracies and linear regions; importing this package does not import matplotlib."""

from relu_attack.plots._accuracy import plot_accuracy
from relu_attack.plots._critical_radius import plot_critical_radius
from relu_attack.plots._images import plot_images, plot_worst_case
from relu_attack.plots._regions import (
    Arrangement,
    Boundary,
    Cell,
    arrange,
    draw_boundaries,
    draw_contours,
    draw_directions,
)
from relu_attack.plots._saving import save_figure
from relu_attack.plots._scores import draw_scores, read_names
from relu_attack.plots._trace import plot_trace

__all__ = [
    "Arrangement",
    "Boundary",
    "Cell",
    "arrange",
    "draw_boundaries",
    "draw_contours",
    "draw_directions",
    "draw_scores",
    "plot_accuracy",
    "plot_critical_radius",
    "plot_images",
    "plot_trace",
    "plot_worst_case",
    "read_names",
    "save_figure",
]
