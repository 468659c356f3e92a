"""How much tighter CROWN is over a polytope than over its bounding box, on 20 problems.

Ten are random networks of arXiv 2401.03451 with random polytopes: dense rows that cut the unit box near its middle,
and on every other one an equation ``sum x = inputs / 2``. Ten are the concrete surrogate with the quickstart's
polytope, with other budgets and ages, and with the middle part of its ranges. The bounding box is exact: that of
`Polytope.bounding_box`, found by linear programs, is the smallest one up to what safe dual bounds lose. Reported is

    (bound over the box - bound over the polytope) / (bound over the box - best known value),

0 where the rows of the set do not help and 1 where the bound is the value. Best known is what ``auto`` finds in a few
seconds; where that is not the optimum the share is larger in truth. Layers are bounded over the same set as the
objective, polytope or box.

    python benchmarks/polytopes.py
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine, random_network
from rich.console import Console
from rich.table import Table
from torch import nn

import relu_attack as ra
from relu_attack.config import load_configuration

SIZES = [(10, 50, 2), (10, 100, 2), (20, 100, 2), (10, 50, 3), (20, 50, 2)]
SEEDS = (50, 51)
QUICKSTART = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
BUDGETS = (90.0, 80.0, 70.0, 65.0)
"""Euro a cubic metre; the quickstart's is 100."""
MIDDLES = (0.8, 0.6, 0.4)
"""Shares of the quickstart's ranges that are kept, around a mix that keeps to every limit."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model, its polytope, and what to call them."""

    network: str
    polytope: str
    model: nn.Module
    domain: ra.Polytope
    objective: ra.Objective


def random_polytope(inputs: int, rows: int, seed: int, *, equation: bool) -> ra.Polytope:
    """Cut the unit box by random rows that its middle, and a little around it, satisfies."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(rows, inputs, dtype=torch.float64, generator=generator)
    middle = torch.full((inputs,), 0.5, dtype=torch.float64)
    b = A @ middle + 0.1 * torch.linalg.vector_norm(A, dim=1)
    if not equation:
        return ra.Polytope(A, b, lower=0.0, upper=1.0)
    return ra.Polytope(A, b, torch.ones(1, inputs), [inputs / 2], lower=0.0, upper=1.0)


def random_cases() -> Iterator[Case]:
    """Return ten random networks, each with 5 to 10 rows, every other one with an equation."""
    for number, (seed, (inputs, width, depth)) in enumerate((seed, size) for seed in SEEDS for size in SIZES):
        rows, equation = 5 + number * 5 // 9, number % 2 == 1
        domain = random_polytope(inputs, rows, seed, equation=equation)
        name = f"{rows} rows" + (", sum x fixed" if equation else "")
        model = random_network(seed, inputs, width, depth).double()
        yield Case(f"{inputs}-{width}x{depth}-1, seed {seed}", name, model, domain, ra.Output(0))


def concrete_cases() -> Iterator[Case]:
    """Return the quickstart's question, and nine like it."""
    _, question = load_configuration(QUICKSTART, {})
    given, (budget, *cheaper) = question.domain.require_linear_rows(), (100.0, *BUDGETS)
    assert float(given.ub[-1]) == budget, "the last row of the quickstart is the cost"

    def case(name: str, limit: float, lower: torch.Tensor, upper: torch.Tensor) -> Case:
        b = given.ub.clone()
        b[-1] = limit
        return Case(
            "concrete", name, question.model, ra.Polytope(given.A, b, lower=lower, upper=upper), question.objective
        )

    lower, upper = given.lower, given.upper
    for limit in (budget, *cheaper):
        yield case(f"budget {limit:g}", limit, lower, upper)
    center = question.domain.project(lower + (upper - lower) / 2)
    for share in MIDDLES:
        low, high = center + share * (lower - center), center + share * (upper - center)
        yield case(f"budget 100, {share:g} of the ranges", budget, low, high)
    for age in (7.0, 90.0):
        low, high = lower.clone(), upper.clone()
        low[-1] = high[-1] = age
        yield case(f"budget 100, {age:g} days", budget, low, high)


def measure(case: Case, method: str, seconds: float) -> dict[str, object]:
    """Bound one problem over the polytope and over its box."""
    polytope = ra.ReLUOptimizer(case.model, case.domain, case.objective)
    box = ra.ReLUOptimizer(case.model, case.domain.bounding_box(), case.objective)
    bounds, times = {}, {}
    for name, optimizer in (("polytope", polytope), ("box", box)):
        began = time.process_time()
        bounds[name] = float(optimizer.bounds(method)[1])
        times[f"{name}_s"] = round(time.process_time() - began, 3)
    found = polytope.maximize("auto", time_limit=seconds, seed=0)
    value = float(found.value)
    share = (bounds["box"] - bounds["polytope"]) / (bounds["box"] - value)
    return {
        "network": case.network, "polytope": case.polytope, "method": method,
        "bound_polytope": f"{bounds['polytope']:.9g}", "bound_box": f"{bounds['box']:.9g}", "value": f"{value:.9g}",
        "value_status": found.status.name, "share_of_distance": round(share, 4), **times, "time_limit": seconds,
    }  # fmt: skip


def main() -> None:
    """Measure the 20 problems and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="crown")
    parser.add_argument("--time-limit", type=float, default=2.0, help="seconds for the best known value")
    parser.add_argument("--output", type=Path, default=RESULTS / "polytopes.csv", help="replaced")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    facts = {"threads": 1, "command": shlex.join(["python", *sys.argv]), "commit": commit(), "machine": machine()}
    rows = []
    arguments.output.unlink(missing_ok=True)
    for case in (*random_cases(), *concrete_cases()):
        rows.append(measure(case, arguments.method, arguments.time_limit))
        append_row(arguments.output, {**rows[-1], **facts})
        print(rows[-1], flush=True)
    table = Table(*(key for key in rows[0] if key not in ("method", "time_limit")))
    for row in rows:
        table.add_row(*(str(row[str(column.header)]) for column in table.columns))
    Console(width=150).print(table)
    for kind, some in (("random", rows[:10]), ("concrete", rows[10:])):
        shares = [float(str(row["share_of_distance"])) for row in some]
        print(f"{kind}: median {statistics.median(shares):.3f}, from {min(shares):.3f} to {max(shares):.3f}")


if __name__ == "__main__":
    main()
