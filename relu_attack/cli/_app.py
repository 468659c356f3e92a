"""Registration of the subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from relu_attack.cli._bounds import bounds
from relu_attack.cli._compare import compare
from relu_attack.cli._info import info
from relu_attack.cli._optimize import Sense, command
from relu_attack.cli._plot import plot
from relu_attack.cli._verify import verify
from relu_attack.cli._verify_all import verify_all

app = typer.Typer(
    name="relu-attack",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_OVERRIDES = "Options on the line replace what the file says; --set is read as if it stood in the file."
PURPOSES: dict[Sense, str] = {
    "maximize": "Find the best input, and say how good it is.",
    "minimize": "Find the input with the smallest value.",
}
for sense, purpose in PURPOSES.items():
    app.command(sense, help=f"{purpose} {_OVERRIDES}", short_help=purpose)(command(sense))
app.command("bounds")(bounds)
app.command("compare")(compare)
app.command("info")(info)
app.command("plot")(plot)
app.command("verify")(verify)
app.command("verify-all")(verify_all)


def _show_version(wanted: bool) -> None:
    if wanted:
        from relu_attack._version import __version__

        typer.echo(f"relu-attack {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Find the best input of a trained ReLU network over a set, with a certified bound."""
