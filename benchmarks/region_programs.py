"""What generated walls save: the linear program of a region with all walls at once, against walls as they are needed.

The two are solved in turn at the end of a gradient walk and at a random point, and must agree on the value.

    python benchmarks/region_programs.py
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _common import RESULTS, append_row, commit, machine, random_network
from rich.console import Console
from rich.table import Table

import relu_attack as ra
from relu_attack.encodings import neighborhood
from relu_attack.network import region
from relu_attack.problem import Problem
from relu_attack.programs import Program, solve
from relu_attack.solvers.region_search._constraint_generation import solve_neighborhood

SIZES = ((10, 100, 2), (100, 100, 3), (100, 500, 3), (1000, 100, 3), (1000, 500, 1), (1000, 500, 3))
ROUNDS = 5


def whole(problem: Problem, x: torch.Tensor) -> float:
    """Solve the program of the region of x with all of its walls; return its value."""
    piece = region(problem.network, x)
    weight, bias = (problem.objective @ piece.weight)[0].numpy(), float((problem.objective @ piece.bias)[0])
    upper = np.maximum(piece.upper.numpy(), piece.matrix.numpy() @ x.numpy())
    program = Program(
        objective=weight,
        matrix=piece.matrix.numpy(),
        row_lower=-np.inf,
        row_upper=upper,
        lower=0,
        upper=1,
        constant=bias,
    )
    return solve(program).value


def generated(problem: Problem, x: torch.Tensor) -> float:
    """Solve the same program by walls as they are needed; return its value."""
    pattern = [z[0] > 0 for z in problem.network.forward(x[None]).preactivations]
    hood = neighborhood(problem, x, pattern)
    optimum = solve_neighborhood(hood, solver="HIGHS", time_limit=math.inf)
    assert optimum is not None
    return hood.program.value(optimum.point)


def measure(size: tuple[int, int, int], place: str) -> dict[str, object]:
    """Time both ways at one place."""
    problem = ra.ReLUOptimizer(random_network(50, *size), ra.Box(0.0, 1.0, shape=(size[0],))).problem
    if place == "walk":
        optimizer = ra.ReLUOptimizer(random_network(50, *size), ra.Box(0.0, 1.0, shape=(size[0],)))
        x = optimizer.maximize("ppga_lr", iterations=300, seed=0).x.double()
    else:
        x = torch.rand(size[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ways: dict[str, Callable[[Problem, torch.Tensor], float]] = {"whole": whole, "generated": generated}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    values = {}
    for _ in range(ROUNDS if size[0] * size[1] < 500_000 else 2):
        for name, way in ways.items():
            began = time.perf_counter()
            values[name] = way(problem, x)
            seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(entry) for name, entry in seconds.items()}
    return {
        "network": f"{size[0]}-{size[1]}x{size[2]}-1", "walls": problem.network.units, "place": place,
        **{f"{name}_ms": round(1e3 * value, 1) for name, value in median.items()},
        "ratio": round(median["whole"] / median["generated"], 1),
        "difference": f"{abs(values['whole'] - values['generated']):.1e}", "threads": 1,
    }  # fmt: skip


def main() -> None:
    """Measure every size at both places and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "region_programs.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.unlink(missing_ok=True)
    rows = []
    for place in ("walk", "random"):
        for size in SIZES:
            rows.append(measure(size, place))
            print(rows[-1], flush=True)
            append_row(arguments.output, {**rows[-1], "commit": commit(), "machine": machine()})
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(str(entry) for entry in row.values()))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
