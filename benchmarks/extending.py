"""What works with a set, a layer, a method and a bound that users add from outside the package.

The four are the examples of ``docs/extending.md``. Each runs with every method, every bound and `verify`; what refuses
is in the table with its message.

    python benchmarks/extending.py
"""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, append_row, commit, machine, read_rows
from rich.console import Console
from rich.table import Table
from torch import nn

import relu_attack as ra
from relu_attack.bounds import BOUNDS
from relu_attack.solvers import METHODS

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
SHORT: dict[str, Any] = {"iterations": 20, "time_limit": 5.0, "restarts": 8}


def network(hidden: nn.Module) -> nn.Sequential:
    """Build a small network with a layer in its middle."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), hidden, nn.Linear(8, 2)).eval()


def subjects() -> dict[str, tuple[nn.Module, ra.Domain, str, str]]:
    """Return model, set, method and bound with which each example is run, where no other is named."""
    examples = {name: runpy.run_path(str(EXAMPLES / f"own_{name}.py")) for name in ("set", "layer", "method", "bound")}
    box, plain = ra.Box(-1.0, 1.0, shape=(3,)), network(nn.ReLU())
    ellipsoid = examples["set"]["Ellipsoid"](torch.zeros(3), torch.tensor([1.0, 2.0, 0.5]))
    return {
        "set": (plain, ellipsoid, "", ""),
        "layer": (network(examples["layer"]["BentAbsolute"]()), box, "", ""),
        "method": (plain, box, "random_search", ""),
        "bound": (plain, box, "", "bisected"),
    }


def calls(model: nn.Module, domain: ra.Domain, own: str, bound: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what is run: the name of each call, and the call."""
    for method in [own] if own else METHODS.built_in:
        words = {"bound": bound} if bound else {}
        yield method, lambda method=method, words=words: ra.maximize(model, domain, method=method, **words, **SHORT)
    if own:
        ball = ra.L2Ball(torch.zeros(3), 1.0)
        yield f"{own} over an L2Ball", lambda: ra.maximize(model, ball, method=own, **SHORT)
        return
    for name in [bound] if bound else BOUNDS.built_in:
        yield f"bounds by {name}", lambda name=name: ra.output_bounds(model, domain, name)
    if not bound:
        claim = ra.Specification.require([1.0, 0.0], 5.0)
        yield "verify", lambda: ra.verify(model, domain, claim, time_limit=5.0)


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "extending.csv")
    path = parser.parse_args().output
    path.unlink(missing_ok=True)
    for subject, (model, domain, own, bound) in subjects().items():
        for name, call in calls(model, domain, own, bound):
            try:
                call()
                outcome = "works"
            except ra.ReLUAttackError as error:
                outcome = f"{type(error).__name__}: {error}"
            append_row(path, {
                "own": subject, "call": name, "outcome": outcome, "command": "python benchmarks/extending.py",
                "commit": commit(), "machine": machine(),
            })  # fmt: skip
    table = Table("own", "call", "outcome")
    for row in read_rows(path):
        table.add_row(row["own"], row["call"], row["outcome"])
    Console().print(table)


if __name__ == "__main__":
    main()
