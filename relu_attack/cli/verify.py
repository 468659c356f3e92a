"""``relu-attack verify``: whether an ONNX network can violate a property in VNN-LIB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relu_attack.cli._messages import INTERRUPTED, on_terminal, plain_messages
from relu_attack.cli.optimize import Progress
from relu_attack.result import Verdict
from relu_attack.verification import TIME_LIMIT

if TYPE_CHECKING:
    from relu_attack.result import Verification

WORDS = {
    Verdict.VERIFIED: "unsat",
    Verdict.FALSIFIED: "sat",
    Verdict.UNKNOWN: "unknown",
    Verdict.TIMEOUT: "timeout",
}
"""The competition's words: whether the formulas of the file, which describe a violation, can be satisfied."""


def verify(
    network: Annotated[Path, typer.Argument(metavar="NET.onnx", help="The network; .onnx.gz too.")],
    unsafe: Annotated[Path, typer.Argument(metavar="PROP.vnnlib", help="What violates it; .vnnlib.gz too.")],
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For reading and searching.")] = TIME_LIMIT,
    witness: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the witness here as well.")] = None,
    seed: Annotated[int, typer.Option(help="Makes the run repeat.")] = 0,
    progress: Progress = None,
) -> None:
    """Say whether a network violates a property: print unsat, sat, unknown or timeout, the witness, and details."""
    from relu_attack.io.instance import verify_files
    from relu_attack.io.vnnlib import format_witness, write_witness

    with plain_messages():
        shown = on_terminal() if progress is None else progress
        answer = verify_files(network, unsafe, time_limit=timeout, seed=seed, progress=shown)
        typer.echo(WORDS[answer.verdict])
        if answer.witness is not None and answer.outputs is not None:
            typer.echo(format_witness(answer.witness, answer.outputs))
            if witness is not None:
                write_witness(witness, answer.witness, answer.outputs)
        for name, text in _details(answer):
            typer.echo(f"{name}: {text}")
    if answer.interrupted:
        raise typer.Exit(INTERRUPTED)


def _details(answer: Verification) -> list[tuple[str, str]]:
    return [
        ("verdict", f"{answer.verdict.name}, {answer.message}"),
        ("bound", f"{answer.bound:.6g}, no input enters the unsafe set deeper"),
        ("decided by", answer.decided_by or "nothing"),
        ("regions", str(answer.regions)),
        ("seconds", f"{answer.runtime:.2f}"),
    ]
