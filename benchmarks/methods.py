"""All methods on the 90 random networks of arXiv 2401.03451: auto with 10 s against each of the others with 60 s.

One row a network and method, with the trace of its best values; a run goes on where the last one stopped. The methods
take turns on each network, so that whatever else the machine does is shared between them.

    python benchmarks/methods.py                          # 2 workers with 1 thread each: about 4 hours
    python benchmarks/methods.py --seeds 50               # 18 networks
    python benchmarks/methods.py --summary                # the tables of what is there
    python benchmarks/methods.py --figure docs/figures/methods.png
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from collections import defaultdict
from pathlib import Path
from statistics import median

import torch
from _common import RESULTS, append_row, commit, machine, random_network, read_rows
from rich.console import Console
from rich.table import Table

import relu_attack as ra

SECONDS = {"auto": 10.0, "ppga": 60.0, "ppga_lr": 60.0, "lp_walk": 60.0, "milp_walk": 60.0, "milp": 60.0}
SIZES = list(itertools.product((10, 100, 1000), (100, 500), (1, 2, 3)))
# Below this relative difference, two values are the same.
TIE = 1e-6

Network = tuple[int, int, int, int]
Rows = dict[Network, dict[str, dict[str, str]]]


def improvements(result: ra.Result) -> str:
    """Write a trace as ``seconds:value`` pairs, one for each record that is better than the last."""
    pairs, best = [], -float("inf")
    for seconds, value in zip(result.trace.seconds.tolist(), result.trace.values[:, 0].tolist(), strict=True):
        if value > best:
            pairs.append(f"{seconds:.3f}:{value:.8g}")
            best = value
    return " ".join(pairs)


def measure(network: Network, method: str, seconds: float, workers: int) -> dict[str, object]:
    """Run one method on one network for some seconds."""
    seed, inputs, width, depth = network
    torch.set_num_threads(1)
    optimizer = ra.ReLUOptimizer(random_network(seed, inputs, width, depth), ra.Box(0.0, 1.0, shape=(inputs,)))
    result = optimizer.maximize(method, time_limit=seconds, seed=0)
    return {
        "seed": seed, "inputs": inputs, "width": width, "depth": depth, "method": method,
        "value": f"{float(result.value):.9g}", "bound": f"{float(result.bound):.6g}",
        "certified": bool(result.certified), "seconds": round(result.runtime, 2), "steps": result.iterations,
        "status": result.status.name, "found_by": result.found_by[0], "trace": improvements(result),
        "time_limit": seconds, "threads": 1, "workers": workers, "commit": commit(),
        "machine": machine(),
    }  # fmt: skip


def _work(job: tuple[Network, list[str], int]) -> list[dict[str, object]]:
    network, methods, workers = job
    return [measure(network, method, SECONDS[method], workers) for method in methods]


def run(path: Path, arguments: argparse.Namespace) -> None:
    """Measure what is missing; the methods of one network run one after the other in one process."""
    done = grouped(path)
    jobs = []
    for seed, size in itertools.product(arguments.seeds, SIZES):
        missing = [method for method in arguments.methods if method not in done.get((seed, *size), {})]
        if missing:
            jobs.append(((seed, *size), missing, arguments.workers))
    context = multiprocessing.get_context("spawn")
    with context.Pool(arguments.workers) as pool:
        for rows in pool.imap_unordered(_work, jobs):
            for row in rows:
                append_row(path, row)
                print(", ".join(str(row[name]) for name in list(row)[:12]), flush=True)


def grouped(path: Path) -> Rows:
    """Read the rows by network and method."""
    rows: Rows = defaultdict(dict)
    for row in read_rows(path):
        network = tuple(int(row[name]) for name in ("seed", "inputs", "width", "depth"))
        rows[network][row["method"]] = row  # type: ignore[index]
    return rows


def best_value(entry: dict[str, dict[str, str]]) -> float:
    """Return the best value that any method found on a network."""
    return max(float(row["value"]) for row in entry.values())


def reached(row: dict[str, str], value: float) -> float | None:
    """Return the seconds after which a run had a value, or None if it never had."""
    for pair in row["trace"].split():
        seconds, best = pair.split(":")
        if float(best) >= value - TIE * abs(value):
            return float(seconds)
    return None


def summary(rows: Rows, methods: list[str]) -> list[Table]:
    """Tabulate by size how far each method stays below the best value, its wins, and the time to LP Walk's value."""
    complete = {network: entry for network, entry in rows.items() if all(method in entry for method in methods)}
    losses = Table("network", "networks", *methods, title="Mean loss to the best value, in per cent (wins)")
    for size in SIZES:
        chosen = [entry for network, entry in complete.items() if network[1:] == size]
        if not chosen:
            continue
        cells = []
        for method in methods:
            values = [
                (float(entry[method]["value"]), max(float(row["value"]) for row in entry.values())) for entry in chosen
            ]
            loss = [100 * (best - value) / abs(best) for value, best in values]
            wins = sum(best - value <= TIE * abs(best) for value, best in values)
            cells.append(f"{sum(loss) / len(loss):.3f} ({wins})")
        losses.add_row(f"{size[0]}-{size[1]}x{size[2]}-1", str(len(chosen)), *cells)
    tables = [losses]
    if "auto" in methods and complete:
        tables.append(_bars(complete, methods))
    return tables


def _bars(complete: Rows, methods: list[str]) -> Table:
    """Tabulate what auto is asked for: as good as the others, near the best, and faster than LP Walk."""
    table = Table("question", "answer", title=f"auto (10 s) on {len(complete)} networks")
    best_other = {
        network: max(float(row["value"]) for method, row in entry.items() if method != "auto")
        for network, entry in complete.items()
    }
    auto = {network: float(entry["auto"]["value"]) for network, entry in complete.items()}
    as_good = sum(auto[n] >= best_other[n] - TIE * abs(best_other[n]) for n in complete)
    worst = max((max(best_other[n], auto[n]) - auto[n]) / abs(max(best_other[n], auto[n])) for n in complete)
    table.add_row("at least as good as all others with 60 s", f"{as_good} of {len(complete)}")
    table.add_row("largest distance to the best value", f"{100 * worst:.3f} %")
    if "lp_walk" in methods:
        for inputs in (10, 100, 1000):
            ratios = []
            for network, entry in complete.items():
                target = float(entry["lp_walk"]["value"])
                own, theirs = reached(entry["auto"], target), reached(entry["lp_walk"], target)
                if network[1] == inputs and theirs is not None:
                    ratios.append(0.0 if own is None else theirs / own)
            if ratios:
                text = f"{median(ratios):.0f} times (median), reached on {sum(r > 0 for r in ratios)} of {len(ratios)}"
                table.add_row(f"faster to LP Walk's value, d = {inputs}", text)
    return table


def draw(rows: Rows, methods: list[str], path: Path) -> None:
    """Draw how each method's loss to the best value scales with inputs, depth and width."""
    import matplotlib.pyplot as plt

    complete = {network: entry for network, entry in rows.items() if all(method in entry for method in methods)}
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
    markers, lines = "osD^vX", ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
    panels = ((1, "inputs", (10, 100, 1000)), (3, "hidden layers", (1, 2, 3)), (2, "units a layer", (100, 500)))
    for axis, (place, label, sizes) in zip(axes, panels, strict=True):
        for index, method in enumerate(methods):
            means = []
            for size in sizes:
                chosen = [entry for network, entry in complete.items() if network[place] == size]
                pairs = [(float(entry[method]["value"]), best_value(entry)) for entry in chosen]
                means.append(sum(100 * (best - value) / abs(best) for value, best in pairs) / len(pairs))
            name = f"{method}, {SECONDS[method]:.0f} s"
            axis.plot(range(len(sizes)), means, marker=markers[index], linestyle=lines[index], label=name)
        axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        axis.set_xlabel(label)
        axis.set_yscale("symlog", linthresh=1e-3)
    axes[0].set_ylabel("mean loss to the best value (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    figure.suptitle(f"How much of the best value each method misses ({len(complete)} random networks)")
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=150)


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(50, 55)))
    parser.add_argument("--methods", nargs="+", choices=SECONDS, default=list(SECONDS))
    parser.add_argument("--workers", type=int, default=2, help="networks at a time, each with one thread")
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    parser.add_argument("--figure", type=Path, help="draw how the loss scales, and measure nothing")
    parser.add_argument("--output", type=Path, default=RESULTS / "methods.csv")
    arguments = parser.parse_args()
    if not (arguments.summary or arguments.figure):
        run(arguments.output, arguments)
    rows = grouped(arguments.output)
    if arguments.figure:
        draw(rows, arguments.methods, arguments.figure)
    for table in summary(rows, arguments.methods):
        Console(width=150).print(table)


if __name__ == "__main__":
    main()
