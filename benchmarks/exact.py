"""What exact methods prove: small networks closed by milp, root cuts, and the concrete surrogate.

python benchmarks/exact.py --small       # 4 + 15 small random networks: milp with 60 s, auto with 10 s
python benchmarks/exact.py --cuts        # the bound of the root with and without cuts, on 10 networks
python benchmarks/exact.py --surrogate   # the quickstart's question: the proven optimum, and what a walk misses
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine, random_network, read_rows
from rich.console import Console
from rich.table import Table

import relu_attack as ra
from relu_attack.bounds import lp_tightened
from relu_attack.config import load_configuration
from relu_attack.encodings import encode, tighten_root

# Networks of arXiv 2401.03451's recipe: seed, inputs, width, depth.
FIRST = [(50, 10, 50, 1), (50, 10, 100, 1), (50, 10, 50, 2), (50, 10, 100, 2)]
MORE = [(seed, inputs, 50, 1) for seed in (51, 52, 53) for inputs in (5, 10, 20)]
MORE += [(seed, 5, 50, 2) for seed in (50, 51, 52)] + [(seed, 10, 20, 3) for seed in (50, 51, 52)]
CUTS = [
    (seed, 10, width, depth) for seed in (50, 51) for width, depth in ((50, 1), (100, 1), (50, 2), (100, 2), (50, 3))
]
QUICKSTART = Path(__file__).parent.parent / "configs" / "quickstart.yaml"


def optimizer(network: tuple[int, int, int, int]) -> ra.ReLUOptimizer:
    """Return the network over the unit box."""
    return ra.ReLUOptimizer(random_network(*network), ra.Box(0.0, 1.0, shape=(network[1],)))


def small() -> Iterator[dict[str, object]]:
    """Close small networks by milp, and compare auto's value."""
    for network in FIRST + MORE:
        question = optimizer(network)
        for method, seconds in (("milp", 60.0), ("auto", 10.0)):
            result = question.maximize(method, time_limit=seconds, seed=0)
            yield _row(network, method, seconds, result)


def surrogate() -> Iterator[dict[str, object]]:
    """Answer the quickstart's question by a walk, by milp and by auto."""
    _, question = load_configuration(QUICKSTART, {})
    concrete = ra.ReLUOptimizer(question.model, question.domain, question.objective)
    for method, seconds in (("ppga_lr", 10.0), ("lp_walk", 10.0), ("milp", 60.0), ("auto", 10.0)):
        yield _row(("concrete", 8, 32, 2), method, seconds, concrete.maximize(method, time_limit=seconds, seed=0))


def _row(network: tuple[object, ...], method: str, seconds: float, result: ra.Result) -> dict[str, object]:
    return {
        **dict(zip(("seed", "inputs", "width", "depth"), network, strict=True)), "method": method,
        "value": f"{float(result.value):.12g}", "bound": f"{float(result.bound):.12g}", "status": result.status.name,
        "certified": bool(result.certified), "found_by": result.found_by[0], "seconds": round(result.runtime, 2),
        "time_limit": seconds,
    }  # fmt: skip


def cuts() -> Iterator[dict[str, object]]:
    """Bound the root of the exact model with ranges by linear programs, without and with cuts."""
    for network in CUTS:
        question = optimizer(network)
        best = float(question.maximize("auto", time_limit=5.0, seed=0).value)
        bounds = lp_tightened(question.problem)
        began = time.perf_counter()
        root = tighten_root(encode(question.problem, [(low[0], high[0]) for low, high in bounds.layers]))
        yield {
            **dict(zip(("seed", "inputs", "width", "depth"), network, strict=True)), "best_value": f"{best:.9g}",
            "bound_without": f"{root.before:.9g}", "bound_with": f"{root.after:.9g}",
            "share_of_gap_closed": round((root.before - root.after) / (root.before - best), 4),
            "cuts": root.cuts, "rounds": root.rounds, "seconds": round(time.perf_counter() - began, 2),
        }  # fmt: skip


STUDIES = {"small": small, "cuts": cuts, "surrogate": surrogate}


def main() -> None:
    """Run the studies that are asked for, and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in STUDIES:
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, study in STUDIES.items():
        path = RESULTS / f"exact_{name}.csv"
        if not getattr(arguments, name):
            continue
        if not arguments.summary:
            path.unlink(missing_ok=True)
            measured = commit()
            for row in study():
                append_row(path, {**row, "threads": 1, "commit": measured, "machine": machine()})
                print(row, flush=True)
        rows = read_rows(path)
        table = Table(*(key for key in rows[0] if key not in ("threads", "commit", "machine")), title=name)
        for entry in rows:
            table.add_row(*(entry[column.header] for column in table.columns))  # type: ignore[index]
        Console(width=150).print(table)


if __name__ == "__main__":
    main()
