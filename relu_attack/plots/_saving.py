"""Saving of figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from relu_attack._files import write_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
"""Fine enough for print, and below a megabyte."""


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure atomically: an existing file is replaced once the new one is complete.

    Parameters
    ----------
    figure
        Figure of matplotlib.
    path
        Name of a file that ends in ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    """
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.removeprefix("."), dpi=DOTS_PER_INCH)
    write_files({path: content.getvalue()})
