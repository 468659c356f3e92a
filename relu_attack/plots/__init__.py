"""Pictures; matplotlib is imported when one is drawn."""

from relu_attack.plots.images import plot_images
from relu_attack.plots.trace import plot_trace

__all__ = ["plot_images", "plot_trace"]
