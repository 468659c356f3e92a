"""Measure and draw the best value against time of PPGA and PPGA_LR over raw learning rates, on one random network.

python scripts/reproduce/learning_rates.py            # draws the committed measurements
python scripts/reproduce/learning_rates.py --measure  # measures again first: five seconds for each line

The network is one of the random networks of arXiv 2401.03451, as benchmarks/random_networks.py builds them:
1000 inputs, two hidden layers of 100, one output, seed 50, on [0, 1]^1000.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from _figures import ROOT, parser, save, use_style
from matplotlib.axes import Axes

import relu_attack as ra

sys.path.append(str(ROOT / "benchmarks"))
from _common import RESULTS, append_row, machine, random_network, read_rows

TABLE = RESULTS / "learning_rates_figure.csv"
INPUTS, WIDTH, DEPTH, MODEL_SEED = 1000, 100, 2, 50
RATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
METHODS = {"ppga": "PPGA", "ppga_lr": "PPGA_LR"}
# Points of a line in the table, evenly spaced on a logarithmic scale.
FIRST_SECOND, POINTS = 0.05, 40
LINES = (("o", ":"), ("s", (0, (1, 1))), ("^", "--"), ("v", "-."), ("D", (0, (6, 2))), ("P", "-"))


def measure(table: Path, *, seconds: float, restarts: int, rates: tuple[float, ...]) -> None:
    """Run both methods for each learning rate, on one thread, and write the table."""
    torch.set_num_threads(1)
    model = random_network(MODEL_SEED, INPUTS, WIDTH, DEPTH)
    optimizer = ra.ReLUOptimizer(model, ra.Box(0.0, 1.0, shape=(INPUTS,)))
    optimizer.maximize("ppga", restarts=restarts, iterations=5)  # the first call pays for what is set up once
    about = {
        "network": f"{INPUTS}-{WIDTH}x{DEPTH}-1 seed {MODEL_SEED}",
        "restarts": restarts,
        "time_limit_s": seconds,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "command": "python scripts/reproduce/learning_rates.py --measure",
    }
    table.unlink(missing_ok=True)
    for method in METHODS:
        for rate in rates:
            result = optimizer.maximize(method, learning_rate=rate, restarts=restarts, time_limit=seconds, seed=0)
            trace = result.trace
            for moment in torch.logspace(math.log10(FIRST_SECOND), math.log10(seconds), POINTS, dtype=torch.float64):
                record = int((trace.seconds <= moment).sum()) - 1
                if record >= 0:
                    row = {"method": method, "learning_rate": rate, "seconds": round(float(moment), 4)}
                    steps, value = int(trace.iterations[record]), round(float(trace.values[record]), 6)
                    append_row(table, {**row, "steps": steps, "value": value, **about})
            print(f"{method:8} learning rate {rate:<8g} value {float(result.value):.4f} in {result.iterations} steps")


def draw(axes: Axes, rows: list[dict[str, str]], method: str) -> tuple[float, float]:
    """Draw the lines of one method; return its worst and best last value over the learning rates."""
    mine = [row for row in rows if row["method"] == method]
    rates = sorted({float(row["learning_rate"]) for row in mine})
    last = []
    for (marker, line), (index, rate) in zip(LINES, enumerate(rates), strict=False):
        points = [(float(row["seconds"]), float(row["value"])) for row in mine if float(row["learning_rate"]) == rate]
        axes.plot(
            *zip(*points, strict=True),
            color=plt.get_cmap("viridis")(0.85 * index / max(1, len(rates) - 1)),
            linestyle=line,
            marker=marker,
            markevery=(index, 6),
            markersize=6,
            linewidth=1.8,
            label=f"{rate:g}",
        )
        last.append(points[-1][1])
    return min(last), max(last)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--measure", action="store_true", help="measure again instead of drawing the table as it is")
    options.add_argument("--table", type=Path, default=TABLE, help="CSV file of the measurements")
    options.add_argument("--seconds", type=float, default=5.0, help="time of each line")
    options.add_argument("--restarts", type=int, default=64, help="walkers of each line")
    options.add_argument("--rates", type=float, nargs="+", default=RATES, help="raw learning rates")
    chosen = options.parse_args(arguments)
    if chosen.measure:
        measure(chosen.table, seconds=chosen.seconds, restarts=chosen.restarts, rates=tuple(chosen.rates))
    rows = read_rows(chosen.table)
    use_style()
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.8), sharex=True, sharey=True)
    for axes, (method, name) in zip(panels, METHODS.items(), strict=True):
        worst, best = draw(axes, rows, method)
        axes.set_title(f"{name}: the worst learning rate\nends {(best - worst) / abs(best):.1%} below the best")
        axes.set(xscale="log", xlabel="time (seconds)", ylabel="best output found")
        axes.grid(color="0.9")
        axes.label_outer()
    ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5) if tick <= max(float(row["seconds"]) for row in rows)]
    panels[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[0].xaxis.set_minor_locator(plt.NullLocator())
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="raw learning rate", loc="outside lower center", ncols=6, handlelength=3.2)
    save(figure, chosen.output, "learning_rates")


if __name__ == "__main__":
    main()
