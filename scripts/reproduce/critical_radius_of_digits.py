"""Draw the critical radii of 1000 digits, as ``benchmarks/critical_radius.py digits`` measured them.

python scripts/reproduce/critical_radius_of_digits.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from _figures import ROOT, parser, save, use_style

import relu_attack as ra
from relu_attack.plots import plot_critical_radius

sys.path.append(str(ROOT / "benchmarks"))
from _common import RESULTS, read_rows

NAME = "critical_radius_digits"


def read(path: Path) -> ra.CriticalRadius:
    """Return the radii of a file of measurements; it holds no inputs."""
    rows = read_rows(path)
    columns = {name: [float(row[name]) for row in rows] for name in ("lower", "upper", "seconds")}
    lower, upper, seconds = (torch.tensor(column, dtype=torch.float64) for column in columns.values())
    label = torch.tensor([int(row["label"]) for row in rows])
    return ra.CriticalRadius(
        upper=upper,
        lower=lower,
        x=torch.zeros(len(rows), 0),
        label=label,
        norm="linf",
        seconds=seconds,
        status=ra.Status.TIME_LIMIT,
        runtime=float(seconds.sum()),
    )


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--results", type=Path, default=RESULTS, help="folder of the measurements")
    chosen = options.parse_args(arguments)
    use_style()
    found = read(chosen.results / f"{NAME}.csv")
    save(plot_critical_radius(found, unit="pixel values in [0, 1]"), chosen.output, NAME)


if __name__ == "__main__":
    main()
