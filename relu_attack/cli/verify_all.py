"""``relu-attack verify-all``: every instance of a list, with the results in a file that a later run continues."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from relu_attack._progress import progress_bar
from relu_attack.cli._messages import INTERRUPTED, on_terminal, plain_messages, say
from relu_attack.cli.optimize import Progress
from relu_attack.cli.verify import WORDS
from relu_attack.errors import FileFormatError, ReLUAttackError


@dataclass(frozen=True)
class Instance:
    """A line of the list: the files as they are named there, and the seconds."""

    onnx: str
    vnnlib: str
    timeout: float


@dataclass(frozen=True)
class Row:
    """A line of the results; `result` is a word of the competition or ``error``."""

    onnx: str
    vnnlib: str
    timeout: str
    result: str
    seconds: str = ""
    bound: str = ""
    decided_by: str = ""
    regions: str = ""
    message: str = ""


COLUMNS = [field.name for field in fields(Row)]
COUNTED = (*WORDS.values(), "error")


def verify_all(
    instances: Annotated[
        Path, typer.Argument(metavar="INSTANCES.csv", help="Lines onnx,vnnlib,timeout; paths relative to its folder.")
    ],
    results: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the results here; what is there is not run again.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="For each instance, instead of those in the list.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Makes the runs repeat.")] = 0,
    progress: Progress = None,
) -> None:
    """Verify every instance of a list, print a line for each, and count the answers; errors do not stop the rest."""
    with plain_messages():
        asked = read_instances(instances, timeout)
        known = {} if results is None else read_results(results)
        done = [
            known[instance.onnx, instance.vnnlib] for instance in asked if (instance.onnx, instance.vnnlib) in known
        ]
        missing = [instance for instance in asked if (instance.onnx, instance.vnnlib) not in known]
        if done:
            say(f"{len(done)} of {len(asked)} instances are in {results} and are not run again")
        if results is not None:
            _rewrite(results, known.values())
        counts = Counter(row.result for row in done)
        shown = on_terminal() if progress is None else progress
        stopped = False
        for instance in _shown(missing, counts, shown):
            row = _run(instance, instances.parent, seed)
            if row is None:
                stopped = True
                break
            counts[row.result] += 1
            if results is not None:
                with results.open("a", newline="", encoding="utf-8") as file:
                    csv.writer(file).writerow(asdict(row).values())
            typer.echo(f"{row.result:8} {row.seconds:>8} s  {row.onnx} {row.vnnlib}  {row.message}".rstrip())
        typer.echo(in_words(counts))
    if stopped:
        say("interrupted")
        raise typer.Exit(INTERRUPTED)


def in_words(counts: Counter[str]) -> str:
    """Return the counts of the answers, all kinds of them."""
    return ", ".join(f"{counts[word]} {word}" for word in COUNTED)


def read_instances(path: Path, timeout: float | None) -> list[Instance]:
    """Read the list of a benchmark; `timeout` replaces the one of each line."""
    found: list[Instance] = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.reader(file), start=1):
            if not line:
                continue
            try:
                onnx, vnnlib, seconds = (entry.strip() for entry in line)
                limit = float(seconds) if timeout is None else timeout
            except ValueError:
                raise FileFormatError(f"{path}, line {number}: must read onnx,vnnlib,timeout, got {line}") from None
            if not (math.isfinite(limit) and limit > 0):
                raise FileFormatError(f"{path}, line {number}: the timeout must be positive seconds, got {limit}")
            found.append(Instance(onnx, vnnlib, limit))
    return found


def read_results(path: Path) -> dict[tuple[str, str], Row]:
    """Return the results of an earlier run by their files; a line that was not written to its end is left out."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if not lines or lines[0] != COLUMNS:
        raise FileFormatError(f"{path} holds no results of verify-all: its first line must be {','.join(COLUMNS)}")
    rows = [Row(*line) for line in lines[1:] if len(line) == len(COLUMNS)]
    return {(row.onnx, row.vnnlib): row for row in rows if row.result in COUNTED}


def _rewrite(path: Path, rows: Iterable[Row]) -> None:
    """Write the head and the rows, in a file beside that takes the place of the old one once it is whole."""
    beside = path.with_name(f"{path.name}.part")
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(asdict(row).values() for row in rows)
    os.replace(beside, path)


def _run(instance: Instance, folder: Path, seed: int) -> Row | None:
    """Verify one instance; None if the user interrupts."""
    from relu_attack.io.instance import verify_files

    named = (instance.onnx, instance.vnnlib, f"{instance.timeout:g}")
    try:
        answer = verify_files(folder / instance.onnx, folder / instance.vnnlib, time_limit=instance.timeout, seed=seed)
    except KeyboardInterrupt:
        return None
    except ReLUAttackError as reason:
        return Row(*named, result="error", message=str(reason))
    except Exception as reason:  # whatever is wrong with one instance, the others are to be run
        return Row(*named, result="error", message=f"{type(reason).__name__}: {reason}")
    if answer.interrupted:
        return None
    return Row(
        *named,
        result=WORDS[answer.verdict],
        seconds=f"{answer.runtime:.3f}",
        bound=repr(answer.bound),
        decided_by=answer.decided_by,
        regions=str(answer.regions),
        message=answer.note,
    )


def _shown(instances: list[Instance], counts: Counter[str], progress: bool) -> Iterator[Instance]:
    """Yield the instances, with a bar that shows the counts where it is wanted."""
    if not (progress and instances):
        yield from instances
        return
    with progress_bar(instances, unit="instance", desc="verify") as bar:
        for instance in bar:
            bar.set_postfix_str(in_words(counts))
            yield instance
