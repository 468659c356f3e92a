"""What the figures share: one style, one way to be saved, one set of options on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "figures"

# Pale, so that what is drawn on top can be read, in grey as well.
PALE = mpl.colors.LinearSegmentedColormap.from_list("pale", ["#ffffff", "#dbe9f1", "#a9cbe0", "#75a8cb", "#4f86b5"])
INK = "#1a1a1a"
ACCENT = "#c8102e"

STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    # The same command gives the same file: no random ids; text stays text.
    "svg.hashsalt": "relu_attack",
    "svg.fonttype": "none",
}


def use_style() -> None:
    """Draw to files only, in the style of the figures."""
    mpl.use("agg")
    mpl.rcParams.update(STYLE)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a command line with the option that every figure has."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, default=FIGURES, help="folder for the PNG and the SVG")
    return options


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write the figure as PNG and as SVG, and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        path = folder / f"{name}.{suffix}"
        figure.savefig(path, metadata=metadata)
        print(path)


def unit_square(axes: Axes) -> None:
    """Show the box [0, 1]^2 with equal scales."""
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="input $x_1$", ylabel="input $x_2$")
    ticks = (0, 0.25, 0.5, 0.75, 1)
    axes.set_xticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    axes.spines[["top", "right"]].set_visible(True)


def mark(axes: Axes, point: Sequence[float], text: str, *, offset: tuple[float, float], **style: Any) -> None:
    """Put a marker on a point and its name beside it, in points from it."""
    axes.plot(*point, linestyle="none", markeredgecolor="white", markeredgewidth=1.2, zorder=6, clip_on=False, **style)
    axes.annotate(
        text,
        point,
        offset,
        textcoords="offset points",
        zorder=7,
        color=style["color"],
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )
