"""Verification of the competition's benchmarks: right and wrong answers, seconds, witnesses replayed by onnxruntime.

The folder of a benchmark holds instances.csv (onnx, vnnlib, timeout) as in VNN-COMP, and ground_truth.csv with what
its tools agreed on in a column `consensus`. Every instance is verified in turn in one process; a run goes on where the
last one stopped. A ``sat`` is right if onnxruntime, started anew here, confirms its witness, whatever the consensus; an
``unsat`` is wrong where any tool has shown a counterexample.

    python benchmarks/verification.py acasxu                       # a folder
    python benchmarks/verification.py acasxu --share 0/2 --output half.csv   # every second instance
    python benchmarks/verification.py acasxu --summary
"""

from __future__ import annotations

import argparse
import csv
import shlex
import statistics
import sys
import time
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine, read_rows
from rich.console import Console
from rich.table import Table

from relu_attack.io._compressed import read_bytes
from relu_attack.io._instance import find, verify_files
from relu_attack.io.vnnlib import read_vnnlib
from relu_attack.result import Verdict, Verification

WORDS = {Verdict.VERIFIED: "unsat", Verdict.FALSIFIED: "sat", Verdict.UNKNOWN: "unknown", Verdict.TIMEOUT: "timeout"}


def replayed(network: Path, unsafe: Path, answer: Verification) -> bool:
    """Run the network file at the witness by onnxruntime and say whether the property is violated, exactly."""
    import onnxruntime

    assert answer.witness is not None
    session = onnxruntime.InferenceSession(read_bytes(network, suffix=".onnx"), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in given.shape]
    (outputs,) = session.run(None, {given.name: answer.witness.float().reshape(shape).numpy()})
    return read_vnnlib(unsafe).violated_by(
        answer.witness.double().flatten(), torch.from_numpy(outputs).double().flatten()
    )


def judge(word: str, consensus: str, confirmed: bool | None) -> str:
    """Say whether an answer is right, wrong or open."""
    if word == "sat":
        return "right" if confirmed else "wrong"
    if word == "unsat":
        return "wrong" if consensus == "sat" else "right"
    return "open"


def measure(folder: Path, onnx: str, vnnlib: str, timeout: float, consensus: str) -> dict[str, object]:
    """Verify one instance."""
    network, unsafe = find(folder / onnx), find(folder / vnnlib)
    began, busy = time.perf_counter(), time.process_time()
    answer = verify_files(network, unsafe, time_limit=timeout)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    word = WORDS[answer.verdict]
    confirmed = replayed(network, unsafe, answer) if word == "sat" else None
    return {
        "benchmark": folder.name, "onnx": Path(onnx).name, "vnnlib": Path(vnnlib).name, "timeout": timeout,
        "answer": word, "consensus": consensus, "judged": judge(word, consensus, confirmed),
        "replayed": "" if confirmed is None else confirmed, "seconds": f"{seconds:.3f}",
        "processor_seconds": f"{busy:.3f}", "decided_by": answer.decided_by, "regions": answer.regions,
    }  # fmt: skip


def summary(rows: list[dict[str, str]]) -> Table:
    """Tabulate what was answered, and the seconds it took."""
    table = Table("benchmark", "instances", "right", "wrong", "open", "sat", "unsat", "replayed", "total s", "median s")
    table.add_column("slowest s")
    for name in sorted({row["benchmark"] for row in rows}):
        own = [row for row in rows if row["benchmark"] == name]
        counts = [sum(row["judged"] == kind for row in own) for kind in ("right", "wrong", "open")]
        counts += [sum(row["answer"] == word for row in own) for word in ("sat", "unsat")]
        counts.append(sum(row["replayed"] == "True" for row in own))
        seconds = [float(row["seconds"]) for row in own]
        figures = (f"{sum(seconds):.1f}", f"{statistics.median(seconds):.3f}", f"{max(seconds):.1f}")
        table.add_row(name, str(len(own)), *map(str, counts), *figures)
    return table


def main() -> None:
    """Verify what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", default="0/1", help="PART/PARTS of the instances, in turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "verification.csv")
    parser.add_argument("--summary", action="store_true", help="verify nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = read_rows(arguments.output)
    done = {(row["benchmark"], row["onnx"], row["vnnlib"]) for row in rows}
    with (arguments.folder / "ground_truth.csv").open(newline="") as file:
        truth = {(row["onnx"], row["vnnlib"]): row["consensus"] for row in csv.DictReader(file)}
    with (arguments.folder / "instances.csv").open(newline="") as file:
        instances = [tuple(entry.strip() for entry in line) for line in csv.reader(file) if line]
    part, parts = map(int, arguments.share.split("/"))
    facts = {
        "threads": arguments.threads, "command": shlex.join(["python", *sys.argv]), "commit": commit(),
        "machine": machine(),
    }  # fmt: skip
    for onnx, vnnlib, timeout in instances[part::parts] if not arguments.summary else []:
        if (arguments.folder.name, Path(onnx).name, Path(vnnlib).name) in done:
            continue
        row = measure(arguments.folder, onnx, vnnlib, float(timeout), truth[onnx, vnnlib])
        append_row(arguments.output, {**row, **facts})
        print(", ".join(str(row[name]) for name in list(row)[1:]), flush=True)
    Console(width=150).print(summary(read_rows(arguments.output)))


if __name__ == "__main__":
    main()
