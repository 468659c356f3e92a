"""Cost of a walk's step over a polytope: against the step over its box plus the bare products with its rows.

64 walkers, a network with two layers of 256, one thread, processor time. The ratio is

    step over the polytope / (step over the box of its bounds + A x and A^T y of all walkers)

where a step is the slope of the trace of `ppga_lr`, so that setting up counts for nothing, and the three are measured
in turn in one process. `auto` and `ppga_lr` then have 5 s each: steps a second over polytope and box, whether the call
ended within ``limit + max(5 %, 0.3 s)``, and by how much the returned point violates a row or bound, relative to what
the row ranges over between the bounds, at most the larger of |b| and 1 for a row of norm 1. Every part runs in a
process of its own that is killed `--guard` processor seconds after its limit.

    python benchmarks/polytope_steps.py                                           # 36 polytopes: up to an hour
    python benchmarks/polytope_steps.py --inputs 200 --rows 50 --kinds dense thin --parts steps
    PYTHONPATH=OTHER python benchmarks/polytope_steps.py --state before           # another commit beside this one
    python benchmarks/polytope_steps.py --summary
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if "--case" in sys.argv:  # before the package binds the clock
    time.perf_counter = time.process_time

import numpy as np
import torch
from _common import RESULTS, append_row, commit, machine, random_network, read_rows
from rich.console import Console
from rich.table import Table
from scipy import sparse

import relu_attack as ra

INPUTS, ROWS, KINDS = (20, 200, 1000), (5, 50, 500), ("dense", "sparse", "equations", "thin")
PARTS = ("steps", "auto", "ppga_lr")
WALKERS, WIDTH, DEPTH = 64, 256, 2
LIMIT, ROUNDS, POLYTOPE_SECONDS, BOX_SECONDS, PRODUCT_SECONDS = 5.0, 3, 2.0, 0.5, 0.1
# Room of a row at the middle point, over its norm; width of a slab over that of the box along it; filled entries.
ROOM, SLAB, FILLED = 0.1, 1e-3, 0.05


@dataclass(frozen=True)
class Case:
    """How many inputs and rows a polytope has, and of which kind it is."""

    inputs: int
    rows: int
    kind: str

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return A, b, A_eq, b_eq of a part of the unit box."""
        generator = np.random.default_rng([self.inputs, self.rows, KINDS.index(self.kind)])
        A = generator.normal(size=(self.rows, self.inputs))
        if self.kind == "sparse":
            filled = max(3, round(FILLED * self.inputs))
            order = generator.random(A.shape).argsort(1)
            A = np.where(order < filled, A, 0.0)
        A /= np.linalg.norm(A, axis=1, keepdims=True)
        middle = generator.uniform(0.3, 0.7, self.inputs)
        b = A @ middle + ROOM
        equations = 0
        if self.kind == "equations":
            equations = max(1, min(self.rows // 5, self.inputs // 4))
        if self.kind == "thin":  # the first two rows are the sides of a slab
            A[1] = -A[0]
            half = SLAB * np.abs(A[0]).sum() / 2
            b[:2] = A[:2] @ middle + half
        return A[equations:], b[equations:], A[:equations], A[:equations] @ middle

    def polytope(self) -> tuple[ra.Polytope, str]:
        """Return the set, made from sparse rows where they are few and accepted, and what it was made from."""
        A, b, A_eq, b_eq = self.arrays()
        if self.kind == "sparse":
            try:
                return ra.Polytope(sparse.csr_array(A), b, lower=0.0, upper=1.0), "sparse"
            except ra.ReLUAttackError:
                pass
        equations = {"A_eq": A_eq, "b_eq": b_eq} if len(A_eq) else {}
        return ra.Polytope(A, b, **equations, lower=0.0, upper=1.0), "dense"

    def violation(self, x: np.ndarray) -> float:
        """Return the largest violation of a row or bound, relative to its scale."""
        A, b, A_eq, b_eq = self.arrays()
        rows, sides = np.vstack([A, A_eq]), np.concatenate([b, b_eq])
        scale = np.minimum(np.abs(rows).sum(1), np.maximum(np.abs(sides), 1.0))
        excess = rows @ x - sides
        excess[len(A) :] = np.abs(excess[len(A) :])
        return float(max((excess / scale).max(), (-x).max(), (x - 1).max(), 0.0))


def run(method: str, domain: ra.Domain, limit: float, seed: int = 0) -> ra.Result:
    """Run a method on the network for some seconds."""
    model = random_network(0, domain.inputs, WIDTH, DEPTH)
    return ra.maximize(model, domain, method=method, restarts=WALKERS, time_limit=limit, seed=seed)


def step_seconds(result: ra.Result) -> float:
    """Return the seconds of a step: the slope of the trace between its first and its last review."""
    seconds, steps = result.trace.seconds, result.trace.iterations
    last = -2 if len(steps) > 2 else -1  # the last record is of the end, which closes more than a step
    if len(steps) < 2 or steps[last] == steps[0]:  # too few steps to leave out what comes before them
        return float(seconds[-1] / steps[-1])
    return float((seconds[last] - seconds[0]) / (steps[last] - steps[0]))


def product_seconds(case: Case) -> float:
    """Return the seconds of the products with the rows, there and back, by dense or sparse rows, the faster."""
    A, _, A_eq, _ = case.arrays()
    dense = torch.tensor(np.vstack([A, A_eq]), dtype=torch.float32)
    x, y = torch.rand(dense.shape[1], WALKERS), torch.rand(len(dense), WALKERS)
    pairs = [(dense, dense.T.contiguous())]
    if case.kind == "sparse":
        pairs.append((dense.to_sparse_csr(), dense.T.contiguous().to_sparse_csr()))
    found = []
    for rows, columns in pairs:
        rows @ x, columns @ y
        began, count = time.process_time(), 0
        while time.process_time() - began < PRODUCT_SECONDS:
            rows @ x, columns @ y
            count += 1
        found.append((time.process_time() - began) / count)
    return min(found)


def steps_part(case: Case) -> None:
    """Measure the three in turn; a line is printed after each round, so that a guard loses the last one only."""
    began = time.process_time()
    domain, given = case.polytope()
    made = time.process_time() - began
    box = ra.Box(0.0, 1.0, shape=(case.inputs,))
    rounds: list[tuple[float, float, float]] = []
    for seed in range(ROUNDS):
        polytope = step_seconds(run("ppga_lr", domain, POLYTOPE_SECONDS, seed))
        rounds.append((polytope, step_seconds(run("ppga_lr", box, BOX_SECONDS, seed)), product_seconds(case)))
        ratio = statistics.median(one / (two + three) for one, two, three in rounds)
        middle = [statistics.median(column) for column in zip(*rounds, strict=True)]
        names = ("polytope_us", "box_us", "products_us")
        row = {"ratio": round(ratio, 2)} | {n: round(1e6 * m, 1) for n, m in zip(names, middle, strict=True)}
        print(json.dumps({**row, "made_s": round(made, 2), "given": given, "rounds": len(rounds)}), flush=True)


def method_part(case: Case, method: str, limit: float) -> None:
    """Run a method over the polytope, and then over the box."""
    domain, _ = case.polytope()
    began = time.process_time()
    try:
        found = run(method, domain, limit)
    except ra.ReLUAttackError as error:
        seconds = time.process_time() - began
        print(json.dumps({"outcome": f"{type(error).__name__}: {error}"[:120], "seconds": round(seconds, 2)}))
        return
    seconds = time.process_time() - began
    kept = seconds <= limit + max(0.05 * limit, 0.3)
    row: dict[str, Any] = {
        "outcome": "ended", "seconds": round(seconds, 2), "kept": kept, "value": f"{float(found.value):.9g}",
        "violation": f"{case.violation(found.x.double().numpy()):.1e}", "steps": found.iterations,
        "steps_per_s": round(found.iterations / seconds, 1),
    }  # fmt: skip
    print(json.dumps(row), flush=True)
    box = run(method, ra.Box(0.0, 1.0, shape=(case.inputs,)), BOX_SECONDS)
    print(json.dumps({**row, "steps_per_s_box": round(box.iterations / box.runtime, 1)}))


def measure(case: Case, part: str, limit: float, guard: float) -> dict[str, Any]:
    """Run a part in a process of its own; return the last line it printed before it ended or was killed."""
    limited = ROUNDS * (POLYTOPE_SECONDS + BOX_SECONDS) if part == "steps" else limit + BOX_SECONDS
    allowed = round(limited + guard)
    text = json.dumps([asdict(case), part, limit, allowed])
    answer = subprocess.run([sys.executable, __file__, "--case", text], capture_output=True, text=True, check=False)
    lines = answer.stdout.strip().splitlines()
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if answer.returncode < 0:
        found.setdefault("outcome", f"killed after {allowed} s")
    elif answer.returncode:
        found["outcome"] = (answer.stderr.strip().splitlines() or ["?"])[-1][:120]
    return found


COLUMNS = ("ratio", "polytope_us", "box_us", "products_us", "made_s", "given", "rounds", "outcome")
METHOD_COLUMNS = ("steps", "steps_per_s", "steps_per_s_box", "seconds", "kept", "violation", "value", "outcome")


def measure_case(case: Case, parts: list[str], limit: float, guard: float) -> dict[str, Any]:
    """Measure all parts of a case; a column whose part was not measured is empty."""
    row: dict[str, Any] = asdict(case)
    for part in PARTS:
        found = measure(case, part, limit, guard) if part in parts else {"outcome": ""}
        for name in COLUMNS if part == "steps" else METHOD_COLUMNS:
            default = "ended" if name == "outcome" else ""
            row[name if part == "steps" else f"{part}_{name}"] = found.get(name, default)
    return row


def table(rows: list[dict[str, Any]]) -> Table:
    """Tabulate what was measured."""
    shown = {
        "ratio": "ratio",
        "polytope_us": "polytope us",
        "box_us": "box us",
        "products_us": "rows us",
        "made_s": "made s",
    }
    names = {
        "steps_per_s": "steps/s",
        "steps_per_s_box": "on box",
        "seconds": "s",
        "kept": "kept",
        "violation": "violation",
    }
    shown |= {f"{method}_{key}": f"{method} {name}" for method in PARTS[1:] for key, name in names.items()}
    result = Table("inputs", "rows", "kind", *shown.values())
    for row in rows:
        cells = (str(row[name] if row[name] != "" else "-") for name in shown)
        result.add_row(str(row["inputs"]), str(row["rows"]), row["kind"], *cells)
    return result


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the median and the largest ratio, and how many limits were kept and points inside."""
    ratios = [float(row["ratio"]) for row in rows if row["ratio"] != ""]
    lines = [f"{len(rows)} polytopes; none measured within the guard: {len(rows) - len(ratios)}"]
    if ratios:
        lines.append(f"ratio: median {statistics.median(ratios):.2f}, largest {max(ratios):.2f}")
    for method in PARTS[1:]:
        kept = sum(str(row[f"{method}_kept"]) == "True" for row in rows)
        inside = sum(row[f"{method}_violation"] != "" and float(row[f"{method}_violation"]) <= 1e-9 for row in rows)
        lines.append(f"{method}: limit kept in {kept}, point inside to 1e-9 in {inside}, of {len(rows)}")
    return "\n".join(lines)


def main() -> None:
    """Measure the table, or one part of one case of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, nargs="+", default=INPUTS)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of auto and ppga_lr")
    parser.add_argument("--guard", type=float, default=30.0, help="processor seconds beyond the limit")
    parser.add_argument("--state", default="after", help="what the rows are called: before or after")
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    parser.add_argument("--output", type=Path, default=RESULTS / "polytope_steps.csv", help="appended to")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.case:
        case, part, limit, allowed = json.loads(arguments.case)
        resource.setrlimit(resource.RLIMIT_CPU, (allowed, allowed))
        if part == "steps":
            steps_part(Case(**case))
        else:
            method_part(Case(**case), part, limit)
        return
    if not arguments.summary:
        facts = {"threads": 1, "limit": arguments.limit, "command": shlex.join(["python", *sys.argv])}
        facts |= {"commit": commit(), "machine": machine()}
        for key in itertools.product(arguments.inputs, arguments.rows, arguments.kinds):
            row = measure_case(Case(*key), arguments.parts, arguments.limit, arguments.guard)
            append_row(arguments.output, {"state": arguments.state, **row, **facts})
            print(json.dumps({name: value for name, value in row.items() if value != ""}), flush=True)
    rows = [row for row in read_rows(arguments.output) if row["state"] == arguments.state]
    Console(width=200).print(table(rows))
    print(summary(rows))


if __name__ == "__main__":
    main()
