"""Values that each step rule reaches with each restart policy, alone, on the tuning problems of `search.py`.

All run in turn in one process with one thread; the clock is the processor's. A value is the model's forward pass in
float64 at a point that is projected onto the set exactly. The table shows by how much the medians over problems of a
group are below the best value that any of them reached, in per cent of its size.

    python benchmarks/ablation.py                       # the tuning problems without whole numbers: ten minutes
    python benchmarks/ablation.py --kinds simplex500 --seconds 1
    python benchmarks/ablation.py --summary
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from statistics import median

if __name__ == "__main__":  # before the package binds the clock
    time.perf_counter = time.process_time

import torch
from _common import RESULTS, append_row, commit, machine, read_rows
from problems import KINDS, TUNING, Problem, load, prepare
from rich.console import Console
from rich.table import Table
from search import own_set

import relu_attack as ra
from relu_attack.solvers.ascent import (
    ANNEALED_ASCENT,
    PPGA,
    PPGALR,
    RESTARTED_ASCENT,
    AdaptiveStep,
    AnnealedStep,
    Crossover,
    GaussianPerturbation,
    GradientWalk,
    ScaledProblem,
    Walk,
    finalists,
    run_ascent,
)
from relu_attack.solvers.core import Budget

WALKERS, SECONDS, SEEDS = 64, 2.5, (0,)
COMPOSITIONS = {
    "annealed, crossover": ANNEALED_ASCENT,
    "annealed, random": RESTARTED_ASCENT,
    "annealed, perturbed": Walk(
        step_rule=AnnealedStep, restarts=lambda: GaussianPerturbation(PPGA()), window=PPGA.window
    ),
    "adaptive, crossover": Walk(
        step_rule=lambda: AdaptiveStep(PPGALR()),
        restarts=lambda: Crossover(PPGA()),
        window=PPGALR.window,
        tolerance=PPGALR.tolerance,
    ),
    "adaptive, perturbed": Walk.of(PPGALR()),
    "fixed, perturbed": Walk.of(PPGA()),
    "fixed, random": Walk.of(GradientWalk()),
}
GROUPS = ("polytopes", "boxes", "balls", "classifiers")


def value_of(problem: Problem, walk: Walk, seconds: float, seed: int) -> tuple[float, int]:
    """Return the best value of a composition, and its steps."""
    objective = ra.Output(problem.plus) if problem.minus is None else ra.Margin(problem.plus, problem.minus)
    found = ra.ReLUOptimizer(problem.model, own_set(problem.region), objective).problem
    began = time.process_time()
    with torch.inference_mode():
        scaled = ScaledProblem.create(
            found, restarts=WALKERS, device=torch.device("cpu"), dtype=torch.float32, normalized=True
        )
        generator = torch.Generator().manual_seed(seed)
        ascent = walk.begin(scaled, scaled.walked().sample(generator), generator)
        outcome = run_ascent(ascent, Budget(time_limit=seconds, began=began))
        points = found.domain.project(finalists(ascent, scaled)[0].double())
    return max(problem.value(x.numpy()) for x in points), outcome.iterations


def group_of(problem: Problem) -> str:
    """Return which group a problem is of."""
    if problem.minus is not None:
        return "classifiers"
    region = problem.region
    return "balls" if region.norm else "polytopes" if len(region.A) + len(region.A_eq) else "boxes"


def table(rows: list[dict[str, str]]) -> Table:
    """Tabulate the median loss of each composition in each group, and on how many problems it is best to 0.01 %."""
    values: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        key = (row["group"], row["problem"], row["seed"])
        values.setdefault(key, {})[row["composition"]] = float(row["value"])
    losses: dict[str, list[dict[str, float]]] = {group: [] for group in GROUPS}
    for (group, _, _), found in values.items():
        best = max(found.values())
        losses[group].append({name: 100 * (best - value) / abs(best) for name, value in found.items()})
    shown = Table("group", "problems", *COMPOSITIONS, title="Median loss to the best of them, %; best to 0.01 % on")
    for group in GROUPS:
        own, cells = losses[group], []
        for name in COMPOSITIONS:
            known = [found[name] for found in own if name in found]
            cells.append(f"{median(known):.3f}; {sum(loss <= 0.01 for loss in known)}" if known else "")
        shown.add_row(group, str(len(own)), *cells)
    return shown


def main() -> None:
    """Measure what is missing in the file and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--problem-seeds", type=int, nargs="+", default=TUNING[:1])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    parser.add_argument("--output", type=Path, default=RESULTS / "ablation.csv", help="appended to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    facts = {"command": shlex.join(["python", *sys.argv]), "commit": commit(), "machine": machine()}
    done = {(row["problem"], row["seed"], row["composition"]) for row in read_rows(arguments.output)}
    for kind in [] if arguments.summary else arguments.kinds:
        for name in (f"{kind}-{number}" for number in arguments.problem_seeds):
            prepare(name)
            problem = load(name)
            if problem.region.integer:  # walks alone do not search over whole numbers
                continue
            for seed in arguments.seeds:
                for composition, walk in COMPOSITIONS.items():
                    if (name, str(seed), composition) in done:
                        continue
                    value, steps = value_of(problem, walk, arguments.seconds, seed)
                    row = {
                        "group": group_of(problem),
                        "problem": name,
                        "seed": seed,
                        "composition": composition,
                        "seconds": arguments.seconds,
                    }
                    append_row(arguments.output, {**row, "value": value, "steps": steps, **facts})
                    print(*row.values(), value, steps, flush=True)
    Console(width=200).print(table(read_rows(arguments.output)))


if __name__ == "__main__":
    main()
