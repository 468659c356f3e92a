"""The 90 random networks of arXiv 2401.03451, each maximized over [0, 1]^d by each method.

``torch.manual_seed(s)``, then default ``nn.Linear`` layers in order: d in {10, 100, 1000} inputs, 1 to 3 hidden layers
of 100 or 500 units, s in 50..54, one output. One row a network and method; a run goes on where the last one
stopped. The methods take turns on each network, so that whatever else the machine does is shared between them.

    python benchmarks/random_networks.py                              # 10 s each, 2 workers with 1 thread each
    python benchmarks/random_networks.py --device cuda --restarts 4096
    python benchmarks/random_networks.py --learning-rates             # the learning-rate study
    python benchmarks/random_networks.py --summary                    # the tables of what is there
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _common import RESULTS, append_row, commit, machine, random_network, read_rows
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

import relu_attack as ra

METHODS = ("gradient_walk", "ppga", "ppga_lr")
RATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
STUDY = [(50, 100, 500, 3), (50, 1000, 100, 3), (50, 1000, 500, 2), (50, 100, 100, 3), (50, 10, 100, 2)]
GRID = list(itertools.product(range(50, 55), (10, 100, 1000), (100, 500), (1, 2, 3)))
# Below this relative difference, two values are the same maximum.
TIE = 1e-6

Case = tuple[tuple[int, int, int, int], str, float | None]


def cases(*, study: bool) -> Iterator[Case]:
    """Yield network (seed, inputs, width, depth), method and raw learning rate, the methods taking turns."""
    if study:
        yield from itertools.product(STUDY, ("ppga", "ppga_lr"), RATES)
    else:
        yield from itertools.product(GRID, METHODS, (None,))


def key(row: dict[str, str]) -> tuple[str, ...]:
    """Name a row by what was asked."""
    return tuple(row[name] for name in ("seed", "inputs", "width", "depth", "method", "learning_rate"))


def measure(case: Case, arguments: argparse.Namespace) -> dict[str, object]:
    """Run one method on one network."""
    (seed, inputs, width, depth), method, rate = case
    torch.set_num_threads(arguments.threads)
    model = random_network(seed, inputs, width, depth)
    optimizer = ra.ReLUOptimizer(model, ra.Box(0.0, 1.0, shape=(inputs,)), device=arguments.device)
    result = optimizer.maximize(
        method, restarts=arguments.restarts, time_limit=arguments.time_limit, seed=0, learning_rate=rate
    )
    best = result.trace.values[:, 0]
    reached = result.trace.seconds[best >= best[-1] - TIE * best[-1].abs()][0]
    return {
        "seed": seed, "inputs": inputs, "width": width, "depth": depth, "method": method,
        "learning_rate": "" if rate is None else rate, "value": f"{float(result.value):.9g}",
        "seconds": round(result.runtime, 2), "seconds_to_value": round(float(reached), 2), "steps": result.iterations,
        "bound": f"{float(result.bound):.6g}", "restarts": arguments.restarts, "time_limit": arguments.time_limit,
        "threads": arguments.threads, "workers": arguments.workers, "device": arguments.device,
        "commit": arguments.commit,
        "machine": machine(),
    }  # fmt: skip


def _work(job: tuple[list[Case], argparse.Namespace]) -> list[dict[str, object]]:
    return [measure(case, job[1]) for case in job[0]]


def run(path: Path, arguments: argparse.Namespace) -> None:
    """Measure what is missing; the methods of one network run one after the other in one process."""
    done = {key(row) for row in read_rows(path)}
    missing = [
        case
        for case in cases(study=arguments.learning_rates)
        if tuple(str(entry) for entry in (*case[0], case[1], "" if case[2] is None else case[2])) not in done
    ]
    groups = [list(group) for _, group in itertools.groupby(missing, key=lambda case: case[0])]
    context = multiprocessing.get_context("spawn")
    with context.Pool(arguments.workers) as pool:
        for rows in pool.imap_unordered(_work, [(group, arguments) for group in groups]):
            for row in rows:
                append_row(path, row)
                print(", ".join(str(row[name]) for name in list(row)[:10]), flush=True)


def ranks(rows: list[dict[str, str]]) -> Table:
    """Tabulate the mean rank of each method by depth; equal values share a rank."""
    values: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for row in rows:
        values[tuple(row[name] for name in ("depth", "inputs", "width", "seed"))][row["method"]] = float(row["value"])
    table = Table("hidden layers", "inputs", "networks", *(f"rank {name}" for name in METHODS), title="Mean rank")
    groups = [*itertools.product("123", ("10", "100", "1000")), *itertools.product(("1", "2", "3", "2+3"), ("",))]
    for depth, inputs in groups:
        chosen = [
            [entry[name] for name in METHODS]
            for (network_depth, network_inputs, *_), entry in values.items()
            if network_depth in depth.split("+") and inputs in ("", network_inputs) and len(entry) == len(METHODS)
        ]
        if chosen:
            rounded = [[round((max(line) - value) / abs(max(line)) / TIE) for value in line] for line in chosen]
            mean = np.mean([rankdata(line) for line in rounded], axis=0)
            table.add_row(depth, inputs or "all", str(len(chosen)), *(f"{value:.2f}" for value in mean))
    return table


def rates(rows: list[dict[str, str]]) -> Table:
    """Tabulate each method's value by learning rate, and the loss between its best and its worst rate."""
    table = Table("network", "method", *(f"{rate:g}" for rate in RATES), "loss", title="Value by raw learning rate")
    for network, method in itertools.product(STUDY, ("ppga", "ppga_lr")):
        found = {
            float(row["learning_rate"]): float(row["value"])
            for row in rows
            if (*(int(row[name]) for name in ("seed", "inputs", "width", "depth")), row["method"]) == (*network, method)
        }
        if len(found) == len(RATES):
            best, worst = max(found.values()), min(found.values())
            name = f"{network[1]}-{network[2]}x{network[3]}-1"
            loss = (best - worst) / abs(best)
            table.add_row(name, method, *(f"{found[rate]:.5f}" for rate in RATES), f"{100 * loss:.2f} %")
    return table


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="threads of each worker")
    parser.add_argument("--workers", type=int, default=2, help="networks at a time")
    parser.add_argument("--restarts", type=int, default=64)
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--learning-rates", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    # The workers keep the code that they began with, whatever is committed meanwhile.
    arguments.commit = commit()
    name = "learning_rates" if arguments.learning_rates else "random_networks"
    path = arguments.output or RESULTS / f"{name}{'' if arguments.device == 'cpu' else '_cuda'}.csv"
    if not arguments.summary:
        run(path, arguments)
    rows = read_rows(path)
    Console(width=140).print(rates(rows) if arguments.learning_rates else ranks(rows))


if __name__ == "__main__":
    main()
