"""``relu-attack verify``: whether an ONNX network can violate a property in VNN-LIB."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relu_attack._limits import SEED
from relu_attack.cli._messages import INTERRUPTED, plain_messages, shows_progress
from relu_attack.cli._optimize import AsJson, Progress
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

Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="Time limit for reading and searching.")]
WholeSeed = Annotated[int, typer.Option(min=0, max=SEED, help="Seed of the random numbers.")]


def verify(
    network: Annotated[Path, typer.Argument(metavar="NET.onnx", help="Network; also .onnx.gz.")],
    unsafe: Annotated[Path, typer.Argument(metavar="PROP.vnnlib", help="Violation of the property; also .vnnlib.gz.")],
    timeout: Timeout = TIME_LIMIT,
    witness: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the witness here as well.")] = None,
    seed: WholeSeed = 0,
    as_json: AsJson = False,
    progress: Progress = None,
) -> None:
    """Verify a property of a network: print unsat, sat, unknown or timeout, the witness, and details."""
    check_timeout(timeout)
    with plain_messages():
        from relu_attack.io import format_witness, verify_files, write_witness

        answer = verify_files(network, unsafe, time_limit=timeout, seed=seed, progress=shows_progress(progress))
        found = None
        if answer.witness is not None and answer.outputs is not None:
            found = answer.witness, answer.outputs
        if as_json:
            typer.echo(json.dumps(_to_json(answer), indent=2))
        else:
            typer.echo(WORDS[answer.verdict])
            if found is not None:
                typer.echo(format_witness(*found))
            for name, text in _details(answer):
                typer.echo(f"{name}: {text}")
        if found is not None and witness is not None:
            write_witness(witness, *found)
    if answer.interrupted:
        raise typer.Exit(INTERRUPTED)


def check_timeout(timeout: float | None) -> None:
    """Raise unless a timeout is a positive number of seconds or None."""
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise typer.BadParameter(f"must be a positive number of seconds, got {timeout:g}", param_hint="--timeout")


def _details(answer: Verification) -> list[tuple[str, str]]:
    return [
        ("verdict", f"{answer.verdict.name}, {answer.message}"),
        ("bound", f"{answer.bound:.6g}, no input enters the unsafe set deeper"),
        ("decided by", answer.decided_by or "nothing"),
        ("regions", str(answer.regions)),
        ("seconds", f"{answer.runtime:.2f}"),
    ]


def _to_json(answer: Verification) -> dict[str, Any]:
    def numbers(values: Any) -> list[float] | None:
        return None if values is None else values.detach().double().flatten().tolist()

    return {
        "result": WORDS[answer.verdict],
        "verdict": answer.verdict.name,
        "message": answer.message,
        "witness": numbers(answer.witness),
        "outputs": numbers(answer.outputs),
        "bound": answer.bound if math.isfinite(answer.bound) else str(answer.bound),
        "decided_by": answer.decided_by,
        "regions": answer.regions,
        "seconds": answer.runtime,
        "note": answer.note,
    }
