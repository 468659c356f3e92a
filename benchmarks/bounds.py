"""CROWN and alpha-CROWN against those of auto_LiRPA, on batches of boxes: widths, time, memory.

The objective is every output. Each has its turn, round after round in one process with one thread; models and boxes
are made before. Times are processor seconds, so that other work on the machine is not in them; ratios are taken within
a round, and their medians reported. Ours is sound to rounding, in float64 or, with --dtype float32, in float32; theirs
is not sound to rounding, and measured in float64 and in float32. The peak of memory is taken in a process for each:
the high-water mark of resident memory (VmHWM, set back before) minus what was resident after imports, model and boxes
were made.

    PYTHONPATH=auto_LiRPA python benchmarks/bounds.py --methods crown
    PYTHONPATH=auto_LiRPA python benchmarks/bounds.py --methods crown --dtype float32
    PYTHONPATH=auto_LiRPA python benchmarks/bounds.py --methods alpha_crown --rounds 1 --append   # takes much longer
"""

from __future__ import annotations

import argparse
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine, random_network
from peers import auto_lirpa
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.bounds import BOUNDS, bound_rows
from relu_attack.io import load_model

DIGITS = Path(__file__).parent.parent / "models" / "digits" / "model.safetensors"
DEPTHS = {f"784-256x{depth}-10": depth for depth in (2, 4, 6)}
NETWORKS = [*DEPTHS, "digits"]
RADII = (0.01, 0.03)
BOXES, SEED = 16, 50
DTYPES = {"float64": torch.float64, "float32": torch.float32}

Call = Callable[[], tuple[Tensor, Tensor]]


def make_model(network: str) -> nn.Module:
    """Return a network by name, in float64."""
    if network == "digits":
        return load_model(DIGITS).double().requires_grad_(False)
    return random_network(SEED, 784, 256, DEPTHS[network], 10).double().requires_grad_(False)


def make_call(who: str, network: str, radius: float, method: str, dtype: str) -> Call:
    """Prepare bounds by `who`: "ours", which computes in `dtype`, or a dtype of theirs."""
    model = make_model(network)
    centers = torch.rand(BOXES, 784, dtype=torch.float64, generator=torch.Generator().manual_seed(SEED))
    lower, upper = ((centers + move).clamp(0, 1) for move in (-radius, radius))
    if who == "ours":
        boxes = ra.Box(lower, upper)
        chain = ra.ReLUOptimizer(model, boxes).problem.network
        rows = torch.eye(chain.outputs, dtype=torch.float64)

        @torch.no_grad()
        def ours() -> tuple[Tensor, Tensor]:
            found = bound_rows(chain, boxes, rows, method, dtype=DTYPES[dtype])
            return found.lower, found.upper

        return ours
    package = auto_lirpa.find()
    if isinstance(package, str):
        sys.exit(package)
    peer = auto_lirpa.Peer(package, model, lower, upper, DTYPES[who])
    return lambda: peer.bound(method)


def resident(key: str) -> int:
    """Return a line of /proc/self/status that counts memory, in KiB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(key)).split()[1])


def print_peak(who: str, network: str, radius: float, method: str, dtype: str) -> None:
    """Print how many KiB one call takes at its peak, in this process."""
    call = make_call(who, network, radius, method, dtype)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back
    call()
    print(resident("VmHWM") - before)


def peak(who: str, network: str, radius: float, method: str, dtype: str) -> float:
    """Return the peak of one call in a process of its own, in MiB."""
    command = [sys.executable, __file__, "--peak-of", who, "--networks", network, "--methods", method]
    command += ["--radii", str(radius), "--dtype", dtype]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[-1]) / 1024


def seconds(call: Call) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def measure(network: str, radius: float, method: str, dtype: str, rounds: int) -> list[dict[str, object]]:
    """Compare on one network and one radius: a row for each dtype of theirs, or for float32 only where ours is."""
    dtypes = [other for other in DTYPES if dtype in ("float64", other)]
    calls = {who: make_call(who, network, radius, method, dtype) for who in ("ours", *dtypes)}
    lower, upper = calls["ours"]()
    theirs = {who: calls[who]() for who in dtypes}  # these first calls also load what is loaded once
    times = [{who: seconds(call) for who, call in calls.items()} for _ in range(rounds)]
    peaks = {who: peak(who, network, radius, method, dtype) for who in calls}
    rows: list[dict[str, object]] = []
    for who, (low, high) in theirs.items():
        width = (high - low).double()
        ratio = width / (upper - lower)
        # Each end by itself, relative to the width.
        looser = (torch.maximum(low.double() - lower, upper - high.double()) / width).max()
        rows.append(
            {
                "network": network, "radius": radius, "boxes": BOXES, "method": method, "theirs_dtype": who,
                "width_theirs/ours_min": f"{ratio.min():.7f}", "width_theirs/ours_mean": f"{ratio.mean():.7f}",
                "width_theirs/ours_max": f"{ratio.max():.7f}", "looser_end_of_width": f"{looser:.1e}",
                "within_1e-4": bool(looser <= 1e-4), "mean_width_ours": f"{(upper - lower).mean():.6g}",
                "ours_s": round(statistics.median(entry["ours"] for entry in times), 4),
                "theirs_s": round(statistics.median(entry[who] for entry in times), 4),
                "time_ours/theirs": round(statistics.median(entry["ours"] / entry[who] for entry in times), 3),
                "ours_mib": round(peaks["ours"], 1), "theirs_mib": round(peaks[who], 1),
                "memory_ours/theirs": round(peaks["ours"] / peaks[who], 3), "rounds": rounds,
            }
        )  # fmt: skip
    return rows


def main() -> None:
    """Compare on every network, radius and method, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [method for method in auto_lirpa.METHODS if method in BOUNDS]
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--radii", nargs="+", type=float, default=RADII)
    parser.add_argument("--methods", nargs="+", choices=known, default=known)
    parser.add_argument("--dtype", choices=list(DTYPES), default="float64", help="what ours computes in")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="default: bounds.csv, or bounds_float32.csv, with the results")
    parser.add_argument("--append", action="store_true", help="keep the rows that are in the output")
    parser.add_argument("--peak-of", choices=("ours", *DTYPES), help="only print the peak of one call, in KiB")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak_of:
        asked = arguments.networks[0], arguments.radii[0], arguments.methods[0]
        print_peak(arguments.peak_of, *asked, arguments.dtype)
        return
    package = auto_lirpa.find()
    if isinstance(package, str):
        print(package)
        return
    facts = {
        "threads": 1, "command": shlex.join(["python", *sys.argv]), "peer": f"auto_LiRPA {package.__version__}",
        "system": platform.system(), "commit": commit(), "machine": machine(),
    }  # fmt: skip
    table = Table("network", "radius", "method", "their dtype", "widths: min, mean, max", "looser", "time", "memory")
    table.title = "widths: theirs / ours; time and memory: ours / theirs"
    output = arguments.output or RESULTS / ("bounds.csv" if arguments.dtype == "float64" else "bounds_float32.csv")
    if not arguments.append:
        output.unlink(missing_ok=True)
    for method in arguments.methods:
        for network in arguments.networks:
            for radius in arguments.radii:
                for row in measure(network, radius, method, arguments.dtype, arguments.rounds):
                    append_row(output, {**row, **facts})
                    print(row, flush=True)
                    keys = [f"width_theirs/ours_{name}" for name in ("min", "mean", "max")]
                    widths = ", ".join(f"{float(str(row[key])):.4f}" for key in keys)
                    names = (row[key] for key in ("network", "radius", "method", "theirs_dtype"))
                    figures = (row[key] for key in ("looser_end_of_width", "time_ours/theirs", "memory_ours/theirs"))
                    table.add_row(*map(str, names), widths, *map(str, figures))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
