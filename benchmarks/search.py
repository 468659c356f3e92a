"""Values that `auto` and `ppga_lr` find on trained networks, against other optimizers at equal time.

The problems are made by `problems/` from kinds and seeds: the tuning seeds are for choosing constants, the reporting
seeds for the results alone. Each run is a process of its own with one thread; its clock is the processor's, and it is
killed `--guard` seconds after its limit. A point counts if it is inside the set, to 1e-8 of the scale of the row; its
value is the model's forward pass in float64. Peers (`peers/optimizers.py`) run once, with the largest limit, and are
read off at each; they need scipy, cma_es and botorch their packages, in the interpreter `--peer-python`. To make the
kinds with digits takes the extra ``train``.

    python -m venv PEERS && PEERS/bin/pip install torch numpy scipy cma botorch

    python benchmarks/search.py --kinds slabs30 --methods auto pgd --limits 5         # one problem, two methods
    python benchmarks/search.py --limits 5 --seeds 0                                  # the tuning seeds
    python benchmarks/search.py --reporting --peer-python PEERS/bin/python            # what is reported: hours
    python benchmarks/search.py --summary
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

if "--run" in sys.argv:  # before the package binds the clock
    time.perf_counter = time.process_time

import torch
from peers.optimizers import OPTIMIZERS
from peers.tracker import INSIDE, Tracker, allowed
from problems import KINDS, REPORTING, TUNING, Problem, Region, load, prepare

OWN = ("auto", "ppga_lr", "gradient_walk", "ppga", "lp_walk")
METHODS = ("auto", "ppga_lr", *OPTIMIZERS)
LIMITS, SEEDS, GUARD = (5.0, 20.0), (0, 1, 2), 30.0
# Processor seconds for imports and the reading of the problem; loss that counts as none, of the best value.
START, TIE = 20.0, 1e-3


def own_set(region: Region) -> Any:
    """Return the package's set."""
    import relu_attack as ra

    bounds = {"lower": torch.tensor(region.lower), "upper": torch.tensor(region.upper)}
    whole = {"integer": [i for i in region.integer if not any(i in group for group in region.one_hot)]}
    whole["one_hot"] = [list(group) for group in region.one_hot]
    if region.norm:
        ball = {"l1": ra.L1Ball, "l2": ra.L2Ball}[region.norm]
        clip = (bounds["lower"].view(region.shape), bounds["upper"].view(region.shape)) if region.bounded else None
        return ball(torch.tensor(region.center).view(region.shape), region.radius, clip=clip, shape=region.shape)
    if len(region.A) or len(region.A_eq):
        rows = {"A": region.A, "b": region.b} if len(region.A) else {}
        rows |= {"A_eq": region.A_eq, "b_eq": region.b_eq} if len(region.A_eq) else {}
        return ra.Polytope(**rows, **bounds, **whole, shape=region.shape)
    return ra.Box(*(end.view(region.shape) for end in bounds.values()), shape=region.shape, **whole)


def run_own(problem: Problem, method: str, limit: float, seed: int) -> dict[str, Any]:
    """Run a method of the package."""
    import relu_attack as ra

    domain = own_set(problem.region)
    objective = ra.Output(problem.plus) if problem.minus is None else ra.Margin(problem.plus, problem.minus)
    began = time.process_time()
    try:
        found = ra.maximize(problem.model, domain, objective, method=method, time_limit=limit, seed=seed)
    except ra.ReLUAttackError as error:
        return {"seconds": time.process_time() - began, "outcome": f"{type(error).__name__}: {error}"[:100]}
    seconds, x = time.process_time() - began, found.x.double().flatten().numpy()
    violation = float(problem.region.violation(x))
    outcome = "late" if seconds > allowed(limit) else "outside" if violation > INSIDE else "ended"
    row = {"seconds": seconds, "value": problem.value(x), "violation": violation, "outcome": outcome}
    return {**row, "steps": found.iterations, "found_by": found.found_by[0]}


def run_peer(problem: Problem, method: str, limits: list[float], seed: int) -> list[dict[str, Any]]:
    """Run a peer with the largest limit; return what it had at each."""
    torch.manual_seed(seed)
    optimize = OPTIMIZERS[method].imported()
    tracker = Tracker(problem, max(limits), seed)
    optimize(tracker)
    rows = []
    for limit in limits:
        values = [value for seconds, value in tracker.trace if seconds <= allowed(limit)]
        seconds = min(limit, tracker.seconds) if limit < max(limits) else tracker.seconds
        outcome = {"outcome": "ended"} if values else {"outcome": "no point"}
        rows.append({"seconds": seconds, **outcome, **({"value": values[-1]} if values else {})})
    return rows


def child(text: str) -> None:
    """Run what the parent asked for, and print it."""
    name, method, limits, seed, seconds = json.loads(text)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    torch.set_num_threads(1)
    problem = load(name)
    if method in OWN:
        print(json.dumps([run_own(problem, method, limits[0], seed)]))
    else:
        print(json.dumps(run_peer(problem, method, limits, seed)))


def measure(name: str, method: str, limits: list[float], seed: int, python: str, guard: float) -> list[dict[str, Any]]:
    """Run a method in a process of its own, which is killed some seconds after its limit."""
    text = json.dumps([name, method, limits, seed, START + max(limits) + guard])
    answer = subprocess.run([python, __file__, "--run", text], capture_output=True, text=True, check=False)
    lines = answer.stdout.strip().splitlines()
    if answer.returncode == 0 and lines:
        found: list[dict[str, Any]] = json.loads(lines[-1])
        return found
    last = (answer.stderr.strip().splitlines() or ["?"])[-1][:100]
    if "ModuleNotFoundError" in last:
        raise SystemExit(f"{method}: {last}; give --peer-python an interpreter that has it")
    return [{"outcome": "killed" if answer.returncode < 0 else last}] * len(limits)


def run(arguments: argparse.Namespace) -> None:
    """Measure what is missing in the file."""
    from _common import append_row, commit, machine, read_rows

    done = {tuple(row[key] for key in ("problem", "seed", "method", "limit")) for row in read_rows(arguments.output)}
    facts = {"command": shlex.join(["python", *sys.argv]), "commit": commit(), "machine": machine()}
    columns = ("seconds", "value", "violation", "outcome", "steps", "found_by")
    problem_seeds = arguments.problem_seeds or (REPORTING if arguments.reporting else TUNING)
    for kind, number in itertools.product(arguments.kinds, problem_seeds):
        name = f"{kind}-{number}"
        prepare(name)
        problem = load(name)
        optimum = "" if problem.optimum is None else problem.optimum
        for seed, method in itertools.product(arguments.seeds, arguments.methods):
            own = method in OWN
            if not own and not OPTIMIZERS[method].takes(problem.region):
                continue
            limits = sorted(limit for limit in arguments.limits if (name, str(seed), method, str(limit)) not in done)
            for some in [[limit] for limit in limits] if own else [limits] if limits else []:
                python = sys.executable if own else arguments.peer_python
                found = measure(name, method, some, seed, python, arguments.guard)
                for limit, row in zip(some, found, strict=True):
                    given = {key: row.get(key, "") for key in columns}
                    given["seconds"] = round(row["seconds"], 2) if "seconds" in row else ""
                    entry = {"problem": name, "seed": seed, "method": method, "limit": limit, **given}
                    append_row(arguments.output, {**entry, "optimum": optimum, **facts})
                    print(*(value for value in entry.values() if value != ""), flush=True)


Table = dict[tuple[str, float], dict[str, dict[int, float]]]


def values_of(rows: list[dict[str, str]]) -> Table:
    """Return the values that count by problem and limit, method and seed; none counts as minus infinity."""
    found: Table = {}
    for row in rows:
        value = float(row["value"]) if row["value"] and row["outcome"] == "ended" else -float("inf")
        key = (row["problem"], float(row["limit"]))
        found.setdefault(key, {}).setdefault(row["method"], {})[int(row["seed"])] = value
    return found


def summary(rows: list[dict[str, str]], own: str) -> None:
    """Print the loss of each method to the best value known of a problem, and on which share one of ours is best."""
    from rich.console import Console
    from rich.table import Table as Shown

    found = values_of(rows)
    methods = [name for name in (*OWN, *OPTIMIZERS) if any(name in entry for entry in found.values())]
    best: dict[str, float] = {}
    for (name, _), entry in found.items():
        best[name] = max(best.get(name, -float("inf")), *(v for values in entry.values() for v in values.values()))
    for row in rows:
        best[row["problem"]] = max(best[row["problem"]], float(row["optimum"] or "-inf"))
    table = Shown("problem", "limit", "best known", *methods, f"{own} to best other", title="Loss to the best known, %")
    wins, total = 0, 0
    for (name, limit), entry in found.items():
        size, cells = max(abs(best[name]), 1e-300), []
        for method in methods:
            loss = median(best[name] - value for value in entry[method].values()) if method in entry else None
            cells.append("" if loss is None else f"{100 * loss / size:.3f}")
        losses = []
        for seed, value in entry.get(own, {}).items():
            others = [values[seed] for method, values in entry.items() if method not in OWN and seed in values]
            losses.append((max(others, default=value) - value) / size)
        wins, total = wins + sum(loss <= TIE for loss in losses), total + len(losses)
        behind = f"{100 * median(losses):+.3f}" if losses else ""
        table.add_row(name, f"{limit:g}", f"{best[name]:.6g}", *cells, behind)
    Console(width=200).print(table)
    if total:
        print(f"{own} is best or within {100 * TIE:g} % of the best other in {wins} of {total} runs")


def main() -> None:
    """Measure what is missing and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--reporting", action="store_true", help="the reporting seeds instead of the tuning seeds")
    parser.add_argument("--problem-seeds", type=int, nargs="+", help="some of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the methods")
    parser.add_argument("--methods", nargs="+", choices=(*OWN, *OPTIMIZERS), default=METHODS)
    parser.add_argument("--limits", type=float, nargs="+", default=LIMITS)
    parser.add_argument("--guard", type=float, default=GUARD, help="processor seconds beyond the limit")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter with the packages of the peers")
    parser.add_argument("--own", default="auto", choices=OWN, help="whose share of best values the summary counts")
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "search.csv")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        child(arguments.run)
        return
    if not arguments.summary:
        run(arguments)
    from _common import read_rows

    summary(read_rows(arguments.output), arguments.own)


if __name__ == "__main__":
    main()
