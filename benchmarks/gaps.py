"""How far auto closes the gap on the 90 random networks of arXiv 2401.03451 in a minute, at one commit and another.

One row a network and label; a run goes on where the last one stopped. To measure an older commit, check it out into a
folder of its own and put that folder first on ``PYTHONPATH``.

    python benchmarks/gaps.py --label after                          # 2 workers with 1 thread each: 45 minutes
    PYTHONPATH=../before python benchmarks/gaps.py --label before
    python benchmarks/gaps.py --summary                              # the table of what is there
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from pathlib import Path
from statistics import median

from _common import RESULTS, append_row, read_rows
from methods import SIZES, Network, measure
from rich.console import Console
from rich.table import Table

SECONDS = 60.0
Row = dict[str, str]


def measure_gap(network: Network, label: str, workers: int) -> dict[str, object]:
    """Run auto for a minute; the row has the label first."""
    return {"label": label, **measure(network, "auto", SECONDS, workers)}


def _work(job: tuple[Network, str, int]) -> dict[str, object]:
    return measure_gap(*job)


def run(arguments: argparse.Namespace) -> None:
    """Measure the networks whose row is missing."""
    done = {(row["label"], network_of(row)) for row in read_rows(arguments.output)}
    networks = [(seed, *size) for seed, size in itertools.product(arguments.seeds, SIZES)]
    jobs = [
        (network, arguments.label, arguments.workers) for network in networks if (arguments.label, network) not in done
    ]
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        for row in pool.imap_unordered(_work, jobs):
            append_row(arguments.output, row)
            print(", ".join(str(value) for value in list(row.values())[:10]), flush=True)


def network_of(row: Row) -> Network:
    """Return seed, inputs, width and depth."""
    return int(row["seed"]), int(row["inputs"]), int(row["width"]), int(row["depth"])


def gap(row: Row) -> float:
    """Return the relative gap, ``(bound - value) / |value|``; 0 where closed, as bounds are written in six digits."""
    value = float(row["value"])
    return 0.0 if is_closed(row) else (float(row["bound"]) - value) / abs(value)


def is_closed(row: Row) -> bool:
    """Tell whether the value was proven, to a relative gap of 1e-6."""
    return row["status"] == "OPTIMAL"


def summary(rows: list[Row]) -> Table:
    """Tabulate the median gap and the number of closed networks by size, on networks that every label has."""
    labels = list(dict.fromkeys(row["label"] for row in rows))
    found = {(row["label"], network_of(row)): row for row in rows}
    networks = dict.fromkeys(map(network_of, rows))
    shared = [network for network in networks if all((label, network) in found for label in labels)]
    columns = [f"{text}, {label}" for text in ("median gap", "closed", "certified") for label in labels]
    table = Table("network", "networks", *columns, title=f"auto with {SECONDS:.0f} s on {len(shared)} networks")
    for size in [*SIZES, None]:
        chosen = [network for network in shared if size is None or network[1:] == size]
        if not chosen:
            continue
        groups = [[found[label, network] for network in chosen] for label in labels]
        name = "all" if size is None else f"{size[0]}-{size[1]}x{size[2]}-1"
        table.add_row(
            name,
            str(len(chosen)),
            *[f"{100 * median(map(gap, group)):.4g} %" for group in groups],
            *[str(sum(map(is_closed, group))) for group in groups],
            *[str(sum(row["certified"] == "True" for row in group)) for group in groups],
        )
    return table


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", help="what to call the commit that is measured")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(50, 55)))
    parser.add_argument("--workers", type=int, default=2, help="networks at a time, each with one thread")
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    parser.add_argument("--output", type=Path, default=RESULTS / "gaps.csv")
    arguments = parser.parse_args()
    if not arguments.summary:
        if arguments.label is None:
            parser.error("--label is missing: it names the commit that is measured, for example --label after")
        run(arguments)
    Console(width=170).print(summary(read_rows(arguments.output)))


if __name__ == "__main__":
    main()
