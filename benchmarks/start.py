"""How long the command takes to start: an easy instance of ACAS Xu verified, beside ``import torch`` alone, in turns.

python benchmarks/start.py FOLDER/acasxu
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _common import RESULTS, append_row, commit, machine

COMMAND = str(Path(sys.executable).with_name("relu-attack"))


def seconds(command: list[str]) -> float:
    """Run a command to its end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure in turns and write medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the networks in onnx/ and the properties in vnnlib/")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=RESULTS / "start.csv")
    options = parser.parse_args()
    network = options.folder / "onnx" / "ACASXU_run2a_1_1_batch_2000.onnx.gz"
    unsafe = options.folder / "vnnlib" / "prop_3.vnnlib.gz"
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "import relu_attack": [sys.executable, "-c", "import relu_attack"],
        "relu-attack --version": [COMMAND, "--version"],
        "relu-attack verify, 1_1 and property 3": [COMMAND, "verify", str(network), str(unsafe)],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            taken[name].append(seconds(command))
    for name, values in taken.items():
        row = {"command": name, "median": round(statistics.median(values), 2), "least": round(min(values), 2)}
        append_row(options.output, row | {"rounds": options.rounds, "commit": commit(), "machine": machine()})
        print(row)


if __name__ == "__main__":
    main()
