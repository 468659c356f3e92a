"""What the benchmarks share: the random networks, the machine's description, CSV files that grow."""

from __future__ import annotations

import csv
import itertools
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import relu_attack

RESULTS = Path(__file__).parent / "results"


def random_network(seed: int, inputs: int, width: int, depth: int, outputs: int = 1) -> nn.Sequential:
    """Build a network of arXiv 2401.03451: ``torch.manual_seed(seed)``, then default layers in order."""
    torch.manual_seed(seed)
    sizes = [inputs, *[width] * depth, outputs]
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def machine() -> str:
    """Describe processor, cores, accelerator and versions in one line."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    parts = [processor, f"{os.cpu_count()} cores"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return "; ".join([*parts, f"torch {torch.__version__}", f"Python {platform.python_version()}"])


def commit() -> str:
    """Name the commit that is measured: that of the package which is imported, wherever the benchmark itself lies."""
    folder = Path(relu_attack.__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Append one row to a CSV file, with a header if it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, empty if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
