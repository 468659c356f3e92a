"""Time around the solver: cvxpy as a user writes it, `programs.solve`, and a prepared program that changes a little.

Linear programs are those of LP Walk, dense: a random network's linear region at a random point of [0, 1]^d, and the
next one that LP Walk goes to. Mixed-integer programs are big-M models with ranges by intervals, sparse, stopped after
a few seconds. HiGHS solves all of them. Each way has its turn, round after round in one process; the table shows
medians. "Around" is what is not HiGHS's own run: modelling, and for `programs` the checks of the answer as well, which
cvxpy does not do.

    python benchmarks/program_overhead.py
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import cvxpy
import numpy as np
import torch
from _common import RESULTS, append_row, commit, machine, random_network
from rich.console import Console
from rich.table import Table

import relu_attack as ra
from relu_attack.bounds import interval
from relu_attack.encodings import encode
from relu_attack.network import region
from relu_attack.problem import Problem
from relu_attack.programs import PreparedProgram, Program, solve

REGIONS = {"10-100x2-1": (10, 100, 2), "100-100x3-1": (100, 100, 3), "1000-500x3-1": (1000, 500, 3)}
BIG_M = {"10-10x2-1": (10, 10, 2), "10-100x2-1": (10, 100, 2), "100-100x3-1": (100, 100, 3)}
MIXED_INTEGER_LIMIT = 3.0

Timed = tuple[float, float]
"""Seconds of the whole, and of the run of HiGHS in it."""


def problem_of(inputs: int, width: int, depth: int) -> Problem:
    model = random_network(50, inputs, width, depth).requires_grad_(False)
    return ra.ReLUOptimizer(model, ra.Box(0.0, 1.0, shape=(inputs,))).problem


def region_program(problem: Problem, point: torch.Tensor) -> Program:
    """Return the LP of the linear region of `point`, as LP Walk solves it."""
    piece = region(problem.network, point)
    return Program(
        objective=piece.weight[0].numpy(),
        matrix=piece.matrix.numpy(),
        row_lower=-np.inf,
        row_upper=piece.upper.numpy(),
        lower=0,
        upper=1,
        constant=float(piece.bias[0]),
    )


def next_point(problem: Problem, point: torch.Tensor) -> torch.Tensor:
    """Return the point from which LP Walk goes on: just past the best point of the region."""
    best = solve(region_program(problem, point)).x
    step = torch.from_numpy(best) - point
    return (point + 1.001 * step).clamp(0, 1)


def big_m_program(problem: Problem) -> Program:
    box = problem.domain.bounding_box()
    sides = box.lower.double().view(1, -1), box.upper.double().view(1, -1)
    ranges = interval(problem.network, *sides, problem.objective).layers
    return encode(problem, [(lower[0], upper[0]) for lower, upper in ranges]).program


def by_cvxpy(program: Program, limit: float | None) -> Timed:
    """Model and solve with cvxpy."""
    began = time.perf_counter()
    whole = np.flatnonzero(program.integral)
    x = cvxpy.Variable(program.columns, bounds=[program.lower, program.upper], integer=[whole] if len(whole) else False)
    above, below = np.isfinite(program.row_lower), np.isfinite(program.row_upper)
    equal = program.row_lower == program.row_upper
    rows = []
    for mask, sides, sign in ((below & ~equal, program.row_upper, 1), (above & ~equal, program.row_lower, -1)):
        if mask.any():
            rows.append(sign * (program.matrix[mask] @ x) <= sign * sides[mask])
    if equal.any():
        rows.append(program.matrix[equal] @ x == program.row_upper[equal])
    model = cvxpy.Problem(cvxpy.Maximize(program.objective @ x + program.constant), rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.solve(solver="HIGHS", **({} if limit is None else {"time_limit": limit}))
    return time.perf_counter() - began, float(model.solver_stats.solve_time)


def by_programs(program: Program, limit: float | None) -> Timed:
    """Do as `programs.solve` does."""
    began = time.perf_counter()
    prepared = PreparedProgram(program)
    prepared.solve(time_limit=limit)
    seconds = time.perf_counter() - began
    return seconds, run_time(prepared)


def by_change(program: Program, prepared: PreparedProgram) -> Timed:
    """Change a prepared program to this one, and solve it from the last basis."""
    before = run_time(prepared)
    began = time.perf_counter()
    prepared.change(matrix=program.matrix, row_upper=program.row_upper, objective=program.objective)
    prepared.solve()
    return time.perf_counter() - began, run_time(prepared) - before


def run_time(prepared: PreparedProgram) -> float:
    return float(prepared._highs.getRunTime())


def measure(ways: dict[str, Callable[[], Timed]], rounds: int) -> dict[str, Timed]:
    """Time each way in turn, and return the medians of what is around the solver, and of the solver.

    After the first round, which loads modules, there are `rounds` of them, or one when it takes more than a minute.
    """
    seen: dict[str, list[Timed]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, call in ways.items():
            seen[way].append(call())
        if number and sum(whole for times in seen.values() for whole, _ in times) > 60:
            break
    kept = {way: times[1:] for way, times in seen.items()}
    return {
        way: (statistics.median(whole - run for whole, run in times), statistics.median(run for _, run in times))
        for way, times in kept.items()
    }


def linear_ways(inputs: int, width: int, depth: int) -> tuple[Program, dict[str, Callable[[], Timed]]]:
    problem = problem_of(inputs, width, depth)
    point = torch.rand(inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = region_program(problem, point)
    second = region_program(problem, next_point(problem, point))
    prepared = PreparedProgram(first)
    prepared.solve()
    return first, {
        "cvxpy": lambda: by_cvxpy(first, None),
        "programs": lambda: by_programs(first, None),
        "programs, next region": lambda: by_programs(second, None),
        "prepared, next region": lambda: by_change(second, prepared),
        "prepared, back again": lambda: by_change(first, prepared),
    }


def mixed_integer_ways(inputs: int, width: int, depth: int) -> tuple[Program, dict[str, Callable[[], Timed]]]:
    program = big_m_program(problem_of(inputs, width, depth))
    return program, {
        "cvxpy": lambda: by_cvxpy(program, MIXED_INTEGER_LIMIT),
        "programs": lambda: by_programs(program, MIXED_INTEGER_LIMIT),
    }


def main() -> None:
    """Measure every size and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS / "program_overhead.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []

    def record(kind: str, size: str, program: Program, ways: dict[str, Callable[[], Timed]]) -> None:
        for way, (around, run) in measure(ways, arguments.rounds).items():
            row = {"kind": kind, "network": size, "rows": program.rows, "columns": program.columns, "way": way}
            row |= {"around_ms": round(1e3 * around, 2), "solver_ms": round(1e3 * run, 2)}
            rows.append({**row, "around/solver": round(around / run, 3)})
            print(rows[-1], flush=True)

    for size, shape in REGIONS.items():
        record("region LP", size, *linear_ways(*shape))
    for size, shape in BIG_M.items():
        record("big-M MILP", size, *mixed_integer_ways(*shape))
    table = Table("kind", "network", "rows x columns", "way", "around, ms", "HiGHS, ms", "around / HiGHS")
    for row in rows:
        shape_ = f"{row['rows']} x {row['columns']}"
        table.add_row(str(row["kind"]), str(row["network"]), shape_, *(str(entry) for entry in list(row.values())[4:]))
    Console().print(table)
    arguments.output.unlink(missing_ok=True)
    versions = f"highspy {version('highspy')}, cvxpy {version('cvxpy')}"
    for row in rows:
        more = {"rounds": arguments.rounds, "commit": commit(), "machine": f"{machine()}; {versions}"}
        append_row(arguments.output, {**row, **more})


if __name__ == "__main__":
    main()
