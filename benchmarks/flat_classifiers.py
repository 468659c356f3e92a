"""Worst margins of classifiers with flat or misleading gradients, beside AutoAttack, adv-lib and PGD at equal time.

Four classifiers of digits (`problems/flat_networks.py`), 100 test images each, maximum norm. Every attack has the same
processor time on one thread for the whole batch: peers (`peers/margin_attacks.py`) are restarted with new seeds until
it is over, APGD-T and FAB-T over all nine wrong classes, and the worst of all inputs that they evaluate counts. Two
questions: the worst margins, where all images stay, and the accuracy, where images leave once they are broken. Margins
are those of the model's own forward pass at points clipped into the balls; the larger, the stronger the attack. Peers
need adv-lib and autoattack in the interpreter `--peer-python`; to train takes the extra ``train``.

    python benchmarks/flat_classifiers.py --peer-python PEERS/bin/python            # what is reported
    python benchmarks/flat_classifiers.py --peer-python PEERS/bin/python --seed 1   # for choosing constants
    python benchmarks/flat_classifiers.py --summary
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

if "--summary" not in sys.argv:  # before the package binds the clock
    time.perf_counter = time.process_time

import torch
from _common import RESULTS, append_row, commit, machine, read_rows
from peers.margin_attacks import ATTACKS, margins
from problems.flat_networks import MADE, RECIPES, load, prepare
from rich.console import Console
from rich.table import Table
from torch import Tensor

import relu_attack as ra

OWN = "worst_case"
SECONDS = {"margin": 50.0, "accuracy": 10.0}
PEER = Path(__file__).parent / "peers" / "margin_attacks.py"


def run_own(name: str, seed: int, question: str, seconds: float) -> tuple[Tensor, dict[str, float]]:
    """Return the worst inputs that `worst_case` finds, and its processor seconds."""
    model, x, labels, radius = load(name, seed)
    began = time.process_time()
    worst = ra.worst_case(model, x, labels, radius, time_limit=seconds, stop_at_success=question == "accuracy")
    return worst.x, {"seconds": time.process_time() - began}


def run_peer(
    name: str, seed: int, attack: str, question: str, seconds: float, python: str
) -> tuple[Tensor, dict[str, float]]:
    """Return the worst inputs that a peer finds in a process of its own, its restarts and processor seconds."""
    points = MADE / "points.pt"
    command = [python, str(PEER), "--network", name, "--seed", str(seed), "--attack", attack, "--points", str(points)]
    command += ["--seconds", str(seconds), *(["--leave"] if question == "accuracy" else [])]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["?"])[-1]
        raise SystemExit(f"{attack}: {last}; give --peer-python an interpreter that has the package")
    facts: dict[str, float] = json.loads(answer.stdout.strip().splitlines()[-1])
    found: Tensor = torch.load(points)
    return found, facts


def run(arguments: argparse.Namespace) -> None:
    """Measure what is missing in the file."""
    torch.set_num_threads(1)
    command = shlex.join(["python", "benchmarks/flat_classifiers.py", "--seed", str(arguments.seed)])
    keys = ("network", "seed", "radius", "question", "attack")
    done = {tuple(row[key] for key in keys) for row in read_rows(arguments.output)}
    for name in arguments.networks:
        began = time.process_time()
        prepare(name, arguments.seed)
        print(f"{name}: trained in {time.process_time() - began:.0f} s")
        model, x, labels, radius = load(name, arguments.seed)
        low, high = (x - radius).clamp(0, 1), (x + radius).clamp(0, 1)
        for question in arguments.questions:
            seconds = arguments.seconds or SECONDS[question]
            for attack in arguments.attacks:
                if (name, str(arguments.seed), str(radius), question, attack) in done:
                    continue
                if attack == OWN:
                    points, facts = run_own(name, arguments.seed, question, seconds)
                else:
                    points, facts = run_peer(name, arguments.seed, attack, question, seconds, arguments.peer_python)
                margin = margins(model(torch.minimum(torch.maximum(points, low), high)), labels).double()
                if arguments.margins:
                    torch.save(margin, arguments.margins / f"{path_safe(name)}-{question}-{path_safe(attack)}.pt")
                row = {
                    "network": name, "seed": arguments.seed, "radius": radius, "images": len(x), "question": question,
                    "attack": attack, "clean": int((margins(model(x), labels) <= 0).sum()),
                    "attacked": int((margin <= 0).sum()), "margin": f"{float(margin.mean()):.6g}",
                    "limit": seconds, "seconds": f"{facts['seconds']:.1f}", "restarts": facts.get("restarts", ""),
                }  # fmt: skip
                append_row(arguments.output, row | {"command": command, "commit": commit(), "machine": machine()})
                print(*row.values(), flush=True)


def path_safe(name: str) -> str:
    """Return a name without the signs that a file name should not have."""
    return "".join(sign if sign.isalnum() else "_" for sign in name)


def summary(path: Path) -> None:
    """Print a table for each question."""
    rows = read_rows(path)
    for question in SECONDS:
        columns = ("network", "radius", "attack", "clean", "attacked", "margin", "seconds", "restarts")
        table = Table(*columns, title=question)
        for row in rows:
            if row["question"] == question:
                table.add_row(*(row[column] for column in columns))
        Console(width=160).print(table)


def main() -> None:
    """Measure what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--attacks", nargs="+", choices=(OWN, *ATTACKS), default=(OWN, *ATTACKS))
    parser.add_argument("--questions", nargs="+", choices=SECONDS, default=list(SECONDS))
    parser.add_argument("--seed", type=int, default=0, help="of the training; 0 is reported")
    parser.add_argument("--seconds", type=float, help="instead of 50 for the margins and 10 for the accuracy")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter with the packages of the peers")
    parser.add_argument("--margins", type=Path, help="folder for the margin of each image")
    parser.add_argument("--output", type=Path, default=RESULTS / "flat_classifiers.csv")
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    if not arguments.summary:
        run(arguments)
    summary(arguments.output)


if __name__ == "__main__":
    main()
