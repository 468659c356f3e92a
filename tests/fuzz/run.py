"""Fuzzing for any number of hours: ``python -m tests.fuzz.run --hours 1``, and one problem again by its seed."""

from __future__ import annotations

import argparse
import collections
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks._common import append_row, commit, machine
from relu_attack.errors import ReLUAttackError
from tests.fuzz.checks import ALWAYS, SOMETIMES, Check, Drawn, checks_of, draw


@dataclass(frozen=True)
class Outcome:
    """What became of a case, which is one check of one problem: its faults, and the named error that refused it."""

    seed: int
    check: str
    label: str
    faults: tuple[str, ...]
    refused: str = ""


def run_problem(seed: int) -> Iterator[Outcome]:
    """Draw a problem and run its checks, each a case; anything but a named error is a fault."""
    drawn = draw(seed)
    for name, check in checks_of(drawn).items():
        faults, refused = _run(check, drawn)
        yield Outcome(seed, name, drawn.label, faults, refused)


def _run(check: Check, drawn: Drawn) -> tuple[tuple[str, ...], str]:
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("error")
            return tuple(check(drawn)), ""
    except ReLUAttackError as refusal:
        message = str(refusal)
        lines = () if message and "\n" not in message else (f"a message of several lines: {message!r}",)
        return lines, f"{type(refusal).__name__}: {message}"
    except Exception:  # a crash is what the fuzzer looks for
        return (traceback.format_exc(),), ""


def run_problems(seeds: Iterable[int], report: Callable[[Outcome], None]) -> collections.Counter[str]:
    """Run the cases of problems, report those with faults, and count cases by check, refusals and faults."""
    counts: collections.Counter[str] = collections.Counter()
    for seed in seeds:
        for outcome in run_problem(seed):
            counts["cases"] += 1
            counts.update([outcome.check, *(["refused"] if outcome.refused else [])])
            if outcome.faults:
                counts["faults"] += 1
                report(outcome)
    return counts


def main() -> int:
    """Run the cases that were asked for; the exit status is 1 where one has a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0, help="how long to go on")
    parser.add_argument("--problems", type=int, default=None, help="how many problems at most, each of several cases")
    parser.add_argument("--report", type=Path, help="a CSV file that gets a row with what was run and the counts")
    parser.add_argument("--seed", type=int, default=None, help="the first seed; by default that of the clock")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    first = time.time_ns() % 10**12 if arguments.seed is None else arguments.seed
    end = time.monotonic() + 3600 * arguments.hours
    counts: collections.Counter[str] = collections.Counter()
    with tqdm(total=arguments.problems, unit="problem", desc=f"fuzzing from seed {first}") as bar:

        def report(outcome: Outcome) -> None:
            bar.write(f"seed {outcome.seed}: {outcome.check} of {outcome.label}:")
            bar.write("  " + "\n  ".join(outcome.faults))

        done = 0
        while time.monotonic() < end and (arguments.problems is None or done < arguments.problems):
            counts.update(run_problems([first + done], report))
            done += 1
            bar.update()
            bar.set_postfix(cases=counts["cases"], faults=counts["faults"], refused=counts["refused"])
    row = {"first_seed": first, "problems": done, **{key: counts[key] for key in ("cases", "faults", "refused")}}
    row |= {"checks": " ".join(f"{name}={counts[name]}" for name in (*ALWAYS, *SOMETIMES))}
    print(", ".join(f"{key} {value}" for key, value in row.items()))
    if arguments.report:
        append_row(arguments.report, row | {"commit": commit(), "machine": machine()})
    return int(counts["faults"] > 0)


if __name__ == "__main__":
    sys.exit(main())
