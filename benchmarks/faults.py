"""Faults that were found, before and after: each probe in a process of its own, which is killed after a while.

python benchmarks/faults.py                                        # the table, with what happens now as "after"
PYTHONPATH=OLDER_CHECKOUT python benchmarks/faults.py --before     # what happened before
python benchmarks/faults.py --only the_box_of_an_l2_ball           # one of them
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import torch
from _common import RESULTS, commit, machine, read_rows
from probes import PROBES, Probe
from tqdm import tqdm

FIELDS = (
    "probe",
    "kind",
    "expected",
    "before",
    "held_before",
    "after",
    "holds",
    "test",
    "commit_before",
    "commit",
    "machine",
)


def observe(probe: Probe, seconds: float) -> tuple[str, bool]:
    """Run a probe in a process of its own and return what happened, and whether that is what is expected."""
    command = [sys.executable, __file__, "--run", probe.name]
    began = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return f"not back after {seconds:g} s", False
    try:
        text, holds = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return f"ended with {done.returncode} after {time.perf_counter() - began:.0f} s: {last}"[:160], False
    return re.sub(r"/\S*/", "", text), holds  # folders differ from run to run


def described(probe: Probe) -> dict[str, str]:
    """Return the columns that do not depend on what happens."""
    about = {"probe": probe.name, "kind": probe.kind, "expected": probe.expected, "test": probe.test}
    return about | {"machine": machine()}


def main() -> None:
    """Run the probes and write their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", action="store_true", help="write the columns of the older checkout")
    parser.add_argument("--only", nargs="*", choices=PROBES, help="these probes; by default all")
    parser.add_argument("--seconds", type=float, default=120.0, help="after which a probe is killed")
    parser.add_argument("--output", type=Path, default=RESULTS / "faults.csv")
    parser.add_argument("--run", choices=PROBES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        torch.set_num_threads(1)
        seen = PROBES[options.run].run()
        print(json.dumps([" ".join(seen.text.split()), bool(seen.holds)]))
        return
    rows = {row["probe"]: row for row in read_rows(options.output)}
    state = ("before", "held_before", "commit_before") if options.before else ("after", "holds", "commit")
    for name in tqdm(options.only or PROBES, unit="probe"):
        probe = PROBES[name]
        text, holds = observe(probe, options.seconds)
        row = rows.setdefault(name, dict.fromkeys(FIELDS, ""))
        row |= dict(zip(state, (text, "yes" if holds else "NO", commit()), strict=True))
        rows[name] = row
        tqdm.write(f"{'ok' if holds else 'NO':3} {name}: {text}")
        with options.output.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=FIELDS)
            writer.writeheader()
            writer.writerows(rows[known] | described(PROBES[known]) for known in PROBES if known in rows)


if __name__ == "__main__":
    main()
