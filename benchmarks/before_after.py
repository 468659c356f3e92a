"""Two checkouts of the package beside each other: steps of walks, auto, verification, attacks, start of the command.

Each measurement runs in a process of its own, on one thread, for one checkout after the other and round after round;
the clock that the package reads is the processor's. The table has the median of each and their ratio, or the values
that were found. Only calls that both checkouts have are made.

    python benchmarks/before_after.py --before FOLDER                  # FOLDER: a worktree of the commit before
    python benchmarks/before_after.py --before FOLDER --shared PATH    # with 24 instances of ACAS Xu from there
    python benchmarks/before_after.py --summary
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "--measure" in sys.argv:  # before the package binds the clock
    time.perf_counter = time.process_time

import torch
from _common import RESULTS, append_row, commit, machine, random_network, read_rows
from rich.console import Console
from rich.table import Table
from torch import nn

import relu_attack as ra

WALKS = {"784-500x2-10": (784, 500, 2, 10, 256), "1000-500x3-1": (1000, 500, 3, 1, 256),
         "10-100x2-1": (10, 100, 2, 1, 64), "100-100x3-1": (100, 100, 3, 1, 64)}  # fmt: skip
NETWORKS = [(seed, *size) for seed in (50, 51) for size in itertools.product((10, 100, 1000), (100,), (2, 3))]
SECONDS, ROUNDS = 10.0, 3
COMMAND = "python benchmarks/before_after.py --before FOLDER"
ACAS_EVERY = 8  # of 186 instances


def walk_step(name: str) -> dict[str, float]:
    """Return the milliseconds of a step: the difference of a long and a short call over that of their steps."""
    size, method = name.split()
    inputs, width, depth, outputs, walkers = WALKS[size]
    optimizer = ra.ReLUOptimizer(random_network(50, inputs, width, depth, outputs), ra.Box(0.0, 1.0, shape=(inputs,)))
    steps = 30 if width == 500 else 400

    def seconds(count: int) -> float:
        began = time.process_time()
        optimizer.maximize(method, iterations=count, restarts=walkers, seed=0)
        return time.process_time() - began

    seconds(steps // 10)
    return {"milliseconds": 1e3 * min((seconds(3 * steps) - seconds(steps)) / (2 * steps) for _ in range(3))}


def auto_value(name: str) -> dict[str, float]:
    """Return what auto finds in ten seconds."""
    seed, inputs, width, depth = map(int, name.split("-"))
    domain = ra.Box(0.0, 1.0, shape=(inputs,))
    result = ra.maximize(random_network(seed, inputs, width, depth), domain, time_limit=SECONDS, seed=0)
    return {"value": float(result.value), "bound": float(result.bound)}


def acas(name: str) -> dict[str, float]:
    """Return the seconds of an instance of ACAS Xu, and whether it is decided."""
    folder, network, unsafe, limit = json.loads(name)
    began = time.process_time()
    answer = ra.verify_files(Path(folder) / network, Path(folder) / unsafe, time_limit=float(limit))
    decided = answer.verdict in (ra.Verdict.VERIFIED, ra.Verdict.FALSIFIED)
    return {"seconds": time.process_time() - began, "decided": float(decided)}


def attack(name: str) -> dict[str, float]:
    """Return the seconds of an attack on 64 samples, and the mean margin that it finds."""
    torch.manual_seed(0)
    if name == "small":
        model, shape = nn.Sequential(nn.Flatten(), *random_network(0, 20, 32, 2, 5)), (1, 4, 5)
    else:
        model, shape = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, 10),
        ), (1, 28, 28)  # fmt: skip
    model.eval().requires_grad_(False)
    x = torch.rand(64, *shape, generator=torch.Generator().manual_seed(0))
    labels, seconds = model(x).argmax(1), []
    for _ in range(3):
        began = time.process_time()
        worst = ra.worst_case(model, x, labels, 0.05, restarts=10, seed=0)
        seconds.append(time.process_time() - began)
    return {"seconds": min(seconds), "margin": float(worst.margin.mean())}


MEASURES: dict[str, Callable[[str], dict[str, float]]] = {
    "walk step": walk_step, "auto": auto_value, "ACAS Xu": acas, "worst_case": attack,
}  # fmt: skip


def start(checkout: Path) -> dict[str, float]:
    """Return the processor seconds of the command's start."""
    program = "from relu_attack.cli import main; main()"
    before = os.times()
    subprocess.run([sys.executable, "-c", program, "info", "--help"], env=environment(checkout), check=False,
                   capture_output=True)  # fmt: skip
    after = os.times()
    return {"seconds": after.children_user + after.children_system - before.children_user - before.children_system}


def environment(checkout: Path) -> dict[str, str]:
    """Return the environment in which a checkout is imported."""
    return {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}


def items(shared: Path | None) -> list[tuple[str, str, int]]:
    """Return kind, name and rounds of each measurement."""
    found = [("walk step", f"{size} {method}", ROUNDS) for size in WALKS for method in ("gradient_walk", "ppga_lr")]
    found += [("worst_case", name, ROUNDS) for name in ("small", "cnn")] + [("start", "relu-attack", 2 * ROUNDS)]
    found += [("auto", "-".join(map(str, network)), 1) for network in NETWORKS]
    if shared is not None:
        folder = shared / "vnncomp" / "acasxu"
        with (folder / "instances.csv").open() as file:
            rows = [row for row in csv.reader(file) if row][::ACAS_EVERY]
        found += [("ACAS Xu", json.dumps([str(folder), *row[:3]]), 1) for row in rows]
    return found


def run(path: Path, checkouts: dict[str, Path], shared: Path | None) -> None:
    """Measure all items, one checkout after the other."""
    for kind, name, rounds in items(shared):
        shown = " ".join(json.loads(name)[1:3]) if name.startswith("[") else name
        for number, (state, checkout) in itertools.product(range(rounds), checkouts.items()):
            found = start(checkout) if kind == "start" else _measured(kind, name, checkout)
            for figure, value in found.items():
                append_row(path, {
                    "kind": kind, "name": shown, "figure": figure, "state": state, "round": number,
                    "value": f"{value:.6g}", "threads": 1, "command": COMMAND,
                    "commit": _commit_of(checkout), "machine": machine(),
                })  # fmt: skip
        print(kind, shown, flush=True)


def _measured(kind: str, name: str, checkout: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", kind, name]
    done = subprocess.run(command, env=environment(checkout), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _commit_of(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or commit()


def summary(path: Path) -> Table:
    """Tabulate the medians of both checkouts and their ratio."""
    values: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in read_rows(path):
        values[row["kind"], row["name"], row["figure"]][row["state"]].append(float(row["value"]))
    table = Table("kind", "name", "figure", "before", "after", "after / before")
    for key, states in values.items():
        before, after = (statistics.median(states[state]) for state in ("before", "after"))
        table.add_row(*key, f"{before:.5g}", f"{after:.5g}", f"{after / before:.3f}" if before else "")
    return table


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--after", type=Path, default=Path(__file__).parent.parent)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--output", type=Path, default=RESULTS / "before_after.csv")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--measure", nargs=2)
    arguments: Any = parser.parse_args()
    if arguments.measure:
        torch.set_num_threads(1)
        kind, name = arguments.measure
        print(json.dumps(MEASURES[kind](name)))
        return
    if not arguments.summary:
        if arguments.before is None:
            parser.error("--before FOLDER is needed: a worktree of the commit before")
        run(arguments.output, {"before": arguments.before, "after": arguments.after}, arguments.shared)
    Console().print(summary(arguments.output))


if __name__ == "__main__":
    main()
