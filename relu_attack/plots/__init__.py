"""Pictures; matplotlib is imported when one is drawn."""

from relu_attack.plots.accuracy import plot_accuracy
from relu_attack.plots.images import plot_images, plot_worst_case
from relu_attack.plots.scores import draw_scores
from relu_attack.plots.trace import plot_trace

__all__ = ["draw_scores", "plot_accuracy", "plot_images", "plot_trace", "plot_worst_case"]
