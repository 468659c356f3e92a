"""A clean image beside the worst-case one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from relu_attack.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_images(
    clean: Tensor, worst: Tensor, *, clean_label: str = "clean", worst_label: str = "worst case", title: str = ""
) -> Figure:
    """Draw two images and their difference side by side.

    Parameters
    ----------
    clean, worst
        Shape (height, width), (1, height, width) or, in colors from 0 to 1, (3, height, width).
    clean_label, worst_label
        Above the images, such as the predicted class and its score.
    title
        Above all.

    Returns
    -------
    Figure
        Save it with ``savefig``.

    Raises
    ------
    OptionError
        When the shapes differ or are not those of an image.

    Examples
    --------
    >>> import torch
    >>> figure = plot_images(torch.zeros(1, 4, 4), torch.eye(4)[None])
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['clean', 'worst case', 'difference, at most 1']
    """
    from matplotlib.figure import Figure

    if clean.shape != worst.shape:
        raise OptionError(
            f"the images have shapes {tuple(clean.shape)} and {tuple(worst.shape)}; they must be the same"
        )
    first, second = (_as_picture(image) for image in (clean, worst))
    difference = second - first
    if difference.ndim == 3:
        difference = difference.mean(2)
    largest = float((worst - clean).abs().max())
    figure = Figure(figsize=(10.0, 3.9), layout="constrained")
    axes = figure.subplots(1, 3)
    shade = {"cmap": "gray", "vmin": min(first.min(), second.min()), "vmax": max(first.max(), second.max())}
    _show(axes[0], first, clean_label, **shade)
    _show(axes[1], second, worst_label, **shade)
    limit = float(np.abs(difference).max()) or 1.0
    drawn = _show(axes[2], difference, f"difference, at most {largest:.3g}", cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(drawn, ax=axes[2], shrink=0.8, label="worst case less clean")
    if title:
        figure.suptitle(title)
    return figure


def _as_picture(image: Tensor) -> Any:
    """Return an image as matplotlib takes it: (height, width) or (height, width, 3)."""
    image = image.detach().to("cpu", torch.float64)
    if image.dim() == 3 and image.shape[0] == 1:
        image = image[0]
    if image.dim() == 3 and image.shape[0] == 3:
        return image.permute(1, 2, 0).numpy()
    if image.dim() != 2:
        raise OptionError(f"an image has shape {tuple(image.shape)}; give (height, width) or (1 or 3, height, width)")
    return image.numpy()


def _show(axes: Axes, picture: Any, title: str, **arguments: Any) -> Any:
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(picture, interpolation="nearest", **arguments)
