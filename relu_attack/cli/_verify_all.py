"""``relu-attack verify-all``: every instance of a list, with the results in a file that a later run continues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relu_attack._progress import progress_bar
from relu_attack.cli._messages import BAD_INPUT, INTERRUPTED, plain_messages, print_error, shows_progress
from relu_attack.cli._optimize import Progress
from relu_attack.cli._verify import WORDS, WholeSeed, check_timeout
from relu_attack.errors import FileFormatError, ReLUAttackError

if TYPE_CHECKING:
    from relu_attack.cli._instances import Identity, Instance, InstanceRow


def verify_all(
    instances: Annotated[
        Path,
        typer.Argument(metavar="INSTANCES.csv", help="Lines onnx,vnnlib,timeout with paths relative to its folder."),
    ],
    results: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="File of the results; those of the same files that it holds are kept."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Time limit of each instance, instead of those in the list.")
    ] = None,
    seed: WholeSeed = 0,
    progress: Progress = None,
) -> None:
    """Verify every instance of a list, print a line for each, and count the answers; errors do not stop the rest."""
    check_timeout(timeout)
    with plain_messages():
        from relu_attack._files import held
        from relu_attack.cli._instances import read_instances

        asked = read_instances(instances, timeout)
        with nullcontext() if results is None else held(results):
            run = Run(instances.parent, results, seed)
            known = run.resume(asked)
            missing = [instance for instance, row in zip(asked, known, strict=True) if row is None]
            shown = _shown(missing, run.counts, shows_progress(progress))
            finished = all(run.verify(instance) for instance in shown)
        typer.echo(in_words(run.counts))
        if not finished:
            print_error("interrupted")
            raise typer.Exit(INTERRUPTED)
        if run.counts["error"]:
            print_error(f"{run.counts['error']} of {len(asked)} instances ended in an error")
        if run.counts["error"] or run.unwritten:
            raise typer.Exit(BAD_INPUT)


class Run:
    """The run of a list: its results, in memory and in a file, if there is one."""

    def __init__(self, folder: Path, results: Path | None, seed: int) -> None:
        self._folder, self._results, self._seed = folder, results, seed
        self._rows: dict[tuple[str, str], InstanceRow] = {}
        self.counts: Counter[str] = Counter()
        self.unwritten = False

    def resume(self, asked: list[Instance]) -> list[InstanceRow | None]:
        """Return the row of each instance that an earlier run has answered, and write those that still hold."""
        if self._results is None:
            return [None] * len(asked)
        from relu_attack.cli._instances import Identity, read_results, write_results

        self._rows = read_results(self._results)
        found: list[InstanceRow | None] = []
        stale, digests = 0, dict[str, str]()
        for instance in asked:
            row = self._rows.get((instance.onnx, instance.vnnlib))
            if row is not None and not row.answers(instance, Identity.of(instance, self._folder, digests)):
                del self._rows[row.key]
                row, stale = None, stale + 1
            found.append(row)
        self.counts.update(row.result for row in found if row is not None)
        kept = sum(row is not None for row in found)
        if kept:
            print_error(f"{kept} of {len(asked)} instances are in {self._results} and are not run again")
        if stale:
            print_error(
                f"{stale} of {len(asked)} are there for other files, another version or less time, and are run again"
            )
        write_results(self._results, self._rows.values())
        return found

    def verify(self, instance: Instance) -> bool:
        """Verify one instance, print and write its row; return False if the user interrupts."""
        from relu_attack.cli._instances import Identity

        row = _row(instance, self._folder, self._seed, Identity.of(instance, self._folder))
        if row is None:
            return False
        self.counts[row.result] += 1
        self._rows[row.key] = row
        self._write()
        typer.echo(f"{row.result:8} {row.seconds:>8} s  {row.onnx} {row.vnnlib}  {row.message}".rstrip())
        return True

    def _write(self) -> None:
        """Write all rows; after a failure, report it and retry with the next row."""
        if self._results is None:
            return
        from relu_attack.cli._instances import write_results

        try:
            write_results(self._results, self._rows.values())
            self.unwritten = False
        except FileFormatError as reason:
            if not self.unwritten:
                print_error(f"{reason}; the run goes on")
            self.unwritten = True


def in_words(counts: Counter[str]) -> str:
    """Return the number of answers of each kind."""
    return ", ".join(f"{counts[word]} {word}" for word in (*WORDS.values(), "error"))


def _row(instance: Instance, folder: Path, seed: int, identity: Identity) -> InstanceRow | None:
    """Verify one instance; None if the user interrupts."""
    from relu_attack.cli._instances import InstanceRow
    from relu_attack.io import verify_files

    named = (instance.onnx, instance.vnnlib, f"{instance.timeout:g}")
    try:
        answer = verify_files(folder / instance.onnx, folder / instance.vnnlib, time_limit=instance.timeout, seed=seed)
    except KeyboardInterrupt:
        return None
    except ReLUAttackError as reason:
        return InstanceRow(*named, result="error", message=" ".join(str(reason).split()), **vars(identity))
    except Exception as reason:  # whatever is wrong with one instance, the others are to be run
        message = " ".join(f"{type(reason).__name__}: {reason}".split())
        return InstanceRow(*named, result="error", message=message, **vars(identity))
    if answer.interrupted:
        return None
    return InstanceRow(
        *named,
        result=WORDS[answer.verdict],
        seconds=f"{answer.runtime:.3f}",
        bound=repr(answer.bound),
        decided_by=answer.decided_by,
        regions=str(answer.regions),
        message=answer.note,
        **vars(identity),
    )


def _shown(instances: list[Instance], counts: Counter[str], progress: bool) -> Iterator[Instance]:
    """Yield the instances, with a progress bar of the counts if requested."""
    if not (progress and instances):
        yield from instances
        return
    with progress_bar(instances, unit="instance", desc="verify") as bar:
        for instance in bar:
            bar.set_postfix_str(in_words(counts))
            yield instance
