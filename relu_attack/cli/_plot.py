"""``relu-attack plot``: figure of a saved answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relu_attack.cli._messages import plain_messages
from relu_attack.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PlotOptions:
    """Options for figures of worst cases; other answers have none."""

    samples: list[int] | None
    names: list[str] | None
    probabilities: bool

    def reject_unsupported(self, what: str) -> None:
        """Raise if an option is given, since it would have no effect."""
        for name, given in (("samples", self.samples), ("classes", self.names), ("probabilities", self.probabilities)):
            if given:
                raise OptionError(f"--{name} is for worst cases; this file holds {what}")


def plot(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="Saved answer: common name of its two files, or either of them.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of the figure: .png, .svg or .pdf; RESULT.png by default."),
    ] = None,
    samples: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="For worst cases: indices of samples, from 0, separated by commas."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="NAMES", help="For worst cases: names of all classes, separated by commas.")
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="For worst cases: draw the softmax instead of the logits.")
    ] = False,
) -> None:
    """Draw a saved answer: value against time, worst cases with their class scores, or accuracy against radius."""
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    options = PlotOptions(_read_numbers(samples), names, probabilities)
    with plain_messages():
        from relu_attack.io import read_summary
        from relu_attack.plots import save_figure

        summary = read_summary(result)
        path = _beside(result) if output is None else output
        _check_picture(path)
        draw = _drawer(summary["format"], result)
        save_figure(draw(result, summary["settings"], options), path)
        typer.echo(f"wrote {path.resolve()}")


def _read_numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        message = f"{text!r} must be whole numbers separated by commas, such as 0,3,8"
        raise typer.BadParameter(message, param_hint="--samples") from None


def _beside(result: Path) -> Path:
    return result.with_name(f"{result.name.removesuffix('.json').removesuffix('.safetensors')}.png")


def _check_picture(path: Path) -> None:
    """Raise unless a picture can be written there."""
    from relu_attack.config import PICTURES

    if path.suffix not in PICTURES:
        raise OptionError(f"{path} must end in {', '.join(PICTURES)}")
    if not path.parent.is_dir():
        raise OptionError(f"{path.parent} is not a folder; make it before drawing {path.name} there")


def _drawer(form: str, result: Path) -> Callable[[Path, dict[str, Any], PlotOptions], Figure]:
    """Return what draws a file of that format."""
    from relu_attack.io import ACCURACIES, RESULT, WORST_CASE

    drawers = {RESULT: _draw_result, WORST_CASE: _draw_worst_case, ACCURACIES: _draw_accuracies}
    for kind, draw in drawers.items():
        if form == kind.format:
            return draw
    known = ", ".join(repr(kind.format) for kind in drawers)
    raise OptionError(f"{result} has the format {form!r}; what can be drawn are {known}")


def _draw_result(result: Path, settings: dict[str, Any], options: PlotOptions) -> Figure:
    from relu_attack.io import load_result
    from relu_attack.plots import plot_trace

    options.reject_unsupported("a result")
    objective = settings.get("objective")
    words = objective if isinstance(objective, dict) else {}
    return plot_trace(load_result(result), **{key: str(words[key]) for key in ("name", "unit") if key in words})


def _draw_worst_case(result: Path, settings: dict[str, Any], options: PlotOptions) -> Figure:
    from relu_attack.io import load_worst_case
    from relu_attack.plots import plot_worst_case

    return plot_worst_case(
        load_worst_case(result), samples=options.samples, names=options.names, probabilities=options.probabilities
    )


def _draw_accuracies(result: Path, settings: dict[str, Any], options: PlotOptions) -> Figure:
    from relu_attack.io import load_accuracies
    from relu_attack.plots import plot_accuracy

    options.reject_unsupported("accuracies over radii")
    norm = settings.get("norm")
    return plot_accuracy(load_accuracies(result), norm=None if norm is None else str(norm))
