"""Measure and draw how robust the digits model is: accuracy against radius, and worst cases of ten images.

python scripts/reproduce/robustness_of_digits.py            # draws the committed measurements
python scripts/reproduce/robustness_of_digits.py --measure  # measures again first; needs the extra train

The accuracies are of 200 test images that the model was not trained on, the split that scripts/train_digits.py makes;
the ten images are those beside the model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from _figures import ROOT, parser, save, use_style
from safetensors.torch import load_file

import relu_attack as ra
from relu_attack.plots import plot_accuracy, plot_worst_case

sys.path += [str(ROOT / "benchmarks"), str(ROOT / "scripts")]
from _common import RESULTS, commit, machine

DIGITS = ROOT / "models" / "digits"
ACCURACIES, WORST_CASES = "robustness_digits", "worst_cases_digits"
SAMPLES, RADII = 200, (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1)
RADIUS, DRAWN = 0.05, (3, 8, 9)
NORM, SEED = "linf", 0


def measure(folder: Path) -> None:
    """Attack and certify, on one thread, and write both files."""
    from train_digits import read_small

    torch.set_num_threads(1)
    model = ra.load_model(DIGITS / "model.safetensors")
    images = read_small(SEED, torch.Generator().manual_seed(SEED)).parts["test"]
    batch = images.scaled()[:SAMPLES], images.labels[:SAMPLES]
    about = {
        "norm": NORM,
        "clip": [0, 1],
        "seed": SEED,
        "commit": commit(),
        "machine": machine(),
        "command": "python scripts/reproduce/robustness_of_digits.py --measure",
    }
    accuracies = []
    for radius in RADII:
        accuracies.append((radius, ra.robust_accuracy(model, [batch], radius, norm=NORM, seed=SEED, progress=False)))
        print(f"radius {radius:<5g} {accuracies[-1][1]}")
    ra.save_accuracies(accuracies, folder / ACCURACIES, settings=about)

    shipped = load_file(DIGITS / "test_images.safetensors")
    x, label = shipped["images"].float() / 255, shipped["labels"]
    worst = ra.worst_case(model, x, label, RADIUS, norm=NORM, seed=SEED, stop_at_success=False, certify=True)
    print(f"radius {RADIUS:<5g} {worst}")
    found = ra.WorstCaseWithScores.of(model, x, label, worst)
    ra.save_worst_case(found, folder / WORST_CASES, settings={"radius": RADIUS, **about})


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--measure", action="store_true", help="measure again before drawing")
    options.add_argument("--results", type=Path, default=RESULTS, help="folder of the measurements")
    chosen = options.parse_args(arguments)
    if chosen.measure:
        measure(chosen.results)
    use_style()
    accuracies = ra.load_accuracies(chosen.results / ACCURACIES)
    save(plot_accuracy(accuracies, norm=NORM), chosen.output, ACCURACIES)
    worst_cases = ra.load_worst_case(chosen.results / WORST_CASES)
    save(plot_worst_case(worst_cases, samples=DRAWN), chosen.output, WORST_CASES)


if __name__ == "__main__":
    main()
