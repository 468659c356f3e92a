"""Draw how the worst case of a classifier of digits develops in training, with and without adversarial training.

python scripts/reproduce/worst_case_training.py            # draws the committed measurements
python scripts/reproduce/worst_case_training.py --measure  # trains again first; needs the extra train

The trainings are configs/training/worst_case.yaml and configs/training/adversarial_training.yaml.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from _figures import ACCENT, INK, ROOT, parser, save, use_style
from matplotlib.axes import Axes

sys.path += [str(ROOT / "benchmarks"), str(ROOT / "scripts")]
from _common import RESULTS, append_row, commit, machine, read_rows

TABLE = RESULTS / "worst_case_training.csv"
CONFIGS = [ROOT / "configs" / "training" / f"{name}.yaml" for name in ("worst_case", "adversarial_training")]
LINES = {"usual training": (ACCENT, "o"), "adversarial training": (INK, "s")}


def measure(table: Path) -> None:
    """Train with both configurations, and write the table."""
    from monitor_training import load_training, train

    about = {
        "machine": machine(),
        "commit": commit(),
        "command": "python scripts/reproduce/worst_case_training.py --measure",
    }
    table.unlink(missing_ok=True)
    for training in map(load_training, CONFIGS):
        rows, _ = train(training, None)
        for row in rows:
            figures = {name: row[key] for name, key in (("value", "worst_case/value"), ("bound", "worst_case/bound"))}
            known = {"training": training.title, "epoch": int(row["epoch"]), "loss": row["loss"]}
            append_row(table, {**known, **figures, **about})


def draw(loss: Axes, worst: Axes, rows: list[dict[str, str]]) -> None:
    """Draw the loss of validation on the left, and the margins in the worst case on the right."""
    for training, (color, marker) in LINES.items():
        mine = [row for row in rows if row["training"] == training]
        epochs = [int(row["epoch"]) for row in mine]
        losses, values, bounds = ([float(row[name]) for row in mine] for name in ("loss", "value", "bound"))
        style = {"color": color, "marker": marker, "markersize": 4.5, "markevery": 2}
        loss.plot(epochs, losses, label=training, **style)
        worst.plot(epochs, values, label=f"{training}: found", **style)
        worst.plot(epochs, bounds, label=f"{training}: certified bound", linestyle="--", mfc="white", **style)
        worst.fill_between(epochs, values, bounds, color=color, alpha=0.12, linewidth=0)
    worst.axhline(0, color="grey", linewidth=0.8)
    small = {"textcoords": "offset points", "color": "dimgrey", "ha": "right", "fontsize": 9}
    for text, offset in (("wrong digit ahead", 4), ("right digit ahead", -12)):
        worst.annotate(text, (20, 0), xytext=(0, offset), **small)
    loss.set(title="Loss on validation data", xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
    worst.set(
        title="Worst case within 0.05 of 100 images",
        xlabel="epoch",
        ylabel="mean margin of the best wrong digit (logits)",
    )
    for axes in (loss, worst):
        axes.set_xticks(range(0, 21, 5))
        axes.legend(fontsize=9)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--measure", action="store_true", help="train again first")
    chosen = options.parse_args()
    if chosen.measure:
        measure(TABLE)
    use_style()
    figure, (loss, worst) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=(1, 1.5))
    draw(loss, worst, read_rows(TABLE))
    save(figure, chosen.output, "worst_case_training")


if __name__ == "__main__":
    main()
