"""Whether calls end when their time is up, and how much memory they take: networks by sets by methods by limits.

The law is ``seconds <= limit + max(5 % of it, 0.3 s)``, in processor time with one thread. Each case runs in a process
of its own, where the clock that the package reads is the processor's, so that other work on the machine changes
nothing; a case that does not end is killed. The model, the set, the files and the import are made before the clock
starts; reading the model, or the files, is a part of the call, except in the cases of a ``ready`` optimizer. HiGHS
reads a clock of its own, the wall's.

    python benchmarks/limits.py                    # all cases, some minutes
    python benchmarks/limits.py --quick            # one network of each kind
    PYTHONPATH=OTHER python benchmarks/limits.py --state before    # another commit beside this one
"""

from __future__ import annotations

import argparse
import atexit
import itertools
import json
import math
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if "--case" in sys.argv:  # before the package binds the clock
    time.perf_counter = time.process_time

import torch
from _common import RESULTS, append_row, commit, machine
from rich.console import Console
from rich.table import Table
from torch import nn

import relu_attack as ra

# Processor seconds that a case may take beyond its limit before it is killed.
KILL = 20.0
GIGA = 2**30


def dense(*sizes: int) -> nn.Sequential:
    """Build a dense ReLU network with the weights of seed 0."""
    torch.manual_seed(0)
    pairs = itertools.pairwise(sizes)
    return nn.Sequential(*[part for pair in pairs for part in (nn.Linear(*pair), nn.ReLU())][:-1])


def convolutional(channels: int, side: int) -> nn.Sequential:
    """Build a convolutional network for images 3 x side x side."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, stride=2, padding=1),
        nn.ReLU(), nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(2 * channels * (side // 4) ** 2, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip


class Lattice(nn.Module):
    """A two-level lattice: the largest of `size` minima of `size` affine functions of two inputs, by max-pooling."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.size = size
        self.affine = nn.Linear(2, size * size)
        self.minimum, self.maximum = nn.MaxPool1d(size), nn.MaxPool1d(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the value of the lattice, (batch, 1)."""
        least = -self.minimum(-self.affine(x).view(-1, 1, self.size * self.size))
        return torch.flatten(self.maximum(least), 1)


class Block(nn.Module):
    """Two convolutions with batch normalization and a skip connection."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = after // before
        self.main = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.skip = nn.Identity()
        if stride > 1:
            self.skip = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the value of the block."""
        return torch.relu(self.main(x) + self.skip(x))


def residual() -> nn.Sequential:
    """Build a ResNet-18 for images 3 x 224 x 224."""
    torch.manual_seed(0)
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        *[Block(*pair) for pair in itertools.pairwise(widths)],
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000),
    )  # fmt: skip


def bias_field() -> nn.Sequential:
    """Build a classifier of images 3 x 32 x 32 that are an affine function of 16 coefficients of a bias field."""
    classifier = convolutional(32, 32)
    return nn.Sequential(nn.Linear(16, 3 * 32 * 32), nn.Unflatten(1, (3, 32, 32)), *classifier)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "10-50x2-1": (lambda: dense(10, 50, 50, 1), (10,)),
    "200-100x2-1": (lambda: dense(200, 100, 100, 1), (200,)),
    "1000-100x2-1": (lambda: dense(1000, 100, 100, 1), (1000,)),
    "784-256x6-10": (lambda: dense(784, *[256] * 6, 10), (784,)),
    "3072-2000x4-10": (lambda: dense(3072, *[2000] * 4, 10), (3072,)),
    "conv 3x32x32": (lambda: convolutional(16, 32), (3, 32, 32)),
    "conv 3x64x64": (lambda: convolutional(16, 64), (3, 64, 64)),
    "lattice 48": (lambda: Lattice(48), (2,)),
    "ResNet-18 3x224x224": (residual, (3, 224, 224)),
    "10000-2000x10-1": (lambda: dense(10000, *[2000] * 10, 1), (10000,)),
    "50-50x200-1": (lambda: dense(50, *[50] * 200, 1), (50,)),
    "bias field 16": (bias_field, (16,)),
    "5-50x2-5": (lambda: dense(5, 50, 50, 5), (5,)),
}


def polytope(inputs: int, rows: int, *, bounded: bool = True) -> ra.Polytope:
    """Cut the unit box by random rows that its middle, and a little around it, satisfies."""
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(rows, inputs, dtype=torch.float64, generator=generator)
    b = A @ torch.full((inputs,), 0.5, dtype=torch.float64) + 0.1 * torch.linalg.vector_norm(A, dim=1)
    return ra.Polytope(A, b, lower=0.0, upper=1.0 if bounded else None)


def boxes(inputs: int, count: int) -> ra.Box:
    """Return boxes of half width 0.1 with random middles."""
    middle = torch.rand(count, inputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ra.Box(middle - 0.1, middle + 0.1, shape=(inputs,))


def make_set(name: str, shape: tuple[int, ...]) -> Any:
    """Return the set of that name for inputs of a shape."""
    inputs, kind = math.prod(shape), name.split()[-1]
    if kind in ("box", "boxes"):
        return ra.Box(-1.0, 1.0, shape=shape) if kind == "box" else boxes(inputs, int(name.split()[0]))
    if kind == "rows":
        return polytope(inputs, int(name.split()[0]))
    ball = {"l1": ra.L1Ball, "l2": ra.L2Ball}[kind]
    return ball(torch.full(shape, 0.5), 1.0, clip=(0.0, 1.0), shape=shape)


def write_instance(model: nn.Sequential, kind: str) -> tuple[Path, Path]:
    """Write a dense network, and a property of some cases or assertions, to files of a temporary folder."""
    import onnx  # an optional package
    from onnx import TensorProto, helper, numpy_helper

    nodes, numbers, name = [], [], "x"
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    for index, layer in enumerate(linear):
        numbers += [
            numpy_helper.from_array(part.detach().numpy(), f"{word}{index}")
            for word, part in (("w", layer.weight), ("b", layer.bias))
        ]
        nodes.append(helper.make_node("Gemm", [name, f"w{index}", f"b{index}"], [f"z{index}"], transB=1))
        name = f"z{index}"
        if layer is not linear[-1]:
            nodes.append(helper.make_node("Relu", [name], [f"h{index}"]))
            name = f"h{index}"
    inputs, outputs = linear[0].in_features, linear[-1].out_features
    ends = [
        helper.make_tensor_value_info(word, TensorProto.FLOAT, [1, size])
        for word, size in (("x", inputs), (name, outputs))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], numbers)
    folder = Path(tempfile.mkdtemp())
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / "network.onnx")
    declared = [
        f"(declare-const {side}_{i} Real)" for side, size in (("X", inputs), ("Y", outputs)) for i in range(size)
    ]
    count, word = kind.split()
    middles = torch.rand(int(count) if word == "cases" else 1, inputs, generator=torch.Generator().manual_seed(0))
    parts = [
        " ".join(f"(>= X_{i} {at - 0.01:.6f}) (<= X_{i} {at + 0.01:.6f})" for i, at in enumerate(middle.tolist()))
        for middle in middles
    ]
    cases = [f"(and {part} (>= Y_{index % outputs} 3.0))" for index, part in enumerate(parts)]
    many = ["(assert (>= Y_0 3.0))"] * (int(count) if word == "assertions" else 0)
    text = "\n".join([*declared, f"(assert (or {' '.join(cases)}))", *many])
    (folder / "property.vnnlib").write_text(text, encoding="utf-8")
    atexit.register(shutil.rmtree, folder)
    return folder / "network.onnx", folder / "property.vnnlib"


@dataclass(frozen=True)
class Case:
    """A network, a set, what is called and the limit in seconds."""

    network: str
    set: str
    call: str
    limit: float

    @property
    def allowed(self) -> float:
        """Seconds that the law leaves."""
        return self.limit + max(0.05 * self.limit, 0.3)

    def prepare(self) -> Callable[[], Any]:
        """Make the model and the set; return the call."""
        make, shape = NETWORKS[self.network]
        model = make().eval()
        if self.call == "verify_files":
            network, unsafe = write_instance(model, self.set)
            return lambda: ra.verify_files(network, unsafe, time_limit=self.limit)
        if self.call == "worst_case":
            x = torch.rand(50, *shape)
            label = model(x).argmax(1)
            return lambda: ra.worst_case(model, x, label, radius=0.02, certify=True, time_limit=self.limit)
        domain = make_set(self.set, shape)
        if self.call == "verify":
            outputs = model(torch.zeros(1, *shape)).shape[1]
            row = [1.0] + [0.0] * (outputs - 1)
            claim = ra.Specification.require(row, 3.0)
            return lambda: ra.verify(model, domain, claim, time_limit=self.limit)
        if self.call == "ready":
            optimizer = ra.ReLUOptimizer(model, domain)
            return lambda: optimizer.maximize(time_limit=self.limit)
        method, _, bound = self.call.partition("+")
        return lambda: ra.maximize(model, domain, method=method, bound=bound or "interval", time_limit=self.limit)


METHODS = ("auto", "ppga_lr", "lp_walk", "milp_walk", "milp", "branch_and_bound")
QUICK = ("auto", "milp", "branch_and_bound")


def cases(quick: bool) -> Iterator[Case]:
    """Yield the table."""
    methods = QUICK if quick else METHODS
    bounds = ("ppga_lr+alpha_crown",) if quick else ("ppga_lr+crown", "ppga_lr+alpha_crown", "ppga_lr+lp_tightened")
    large = ("3072-2000x4-10", "conv 3x64x64")
    for network in large:
        for call in (*methods, *bounds, "verify", "worst_case"):
            yield Case(network, "box", call, 1.0)
    for network, rows in (("200-100x2-1", "60 rows"), ("1000-100x2-1", "500 rows")):
        for call in (*methods, *bounds[:1], "verify"):
            yield Case(network, rows, call, 1.0)
    for call in (*methods, *bounds[-1:]):
        yield Case("10-50x2-1", "1000 boxes", call, 0.1)
    if quick:
        return
    for call in (*METHODS, "verify"):
        yield Case("lattice 48", "box", call, 3.0)
    for ball in ("l1", "l2"):
        for call in ("auto", "ppga_lr+alpha_crown", "branch_and_bound", "verify"):
            yield Case("conv 3x32x32", ball, call, 2.0)
    for call in ("auto", "branch_and_bound", "verify", "worst_case"):
        yield Case("784-256x6-10", "box", call, 5.0)
    yield Case("3072-2000x4-10", "200 boxes", "ppga_lr", 2.0)
    yield Case("3072-2000x4-10", "200 boxes", "auto", 2.0)
    for limit in (1.0, 2.0, 4.0):
        yield Case("ResNet-18 3x224x224", "box", "auto", limit)
    for call in ("ready", "ppga_lr+crown", "branch_and_bound", "verify"):
        yield Case("ResNet-18 3x224x224", "box", call, 3.0)
    for network in ("10000-2000x10-1", "50-50x200-1", "bias field 16"):
        for call in ("auto", "ppga_lr+crown", "branch_and_bound", "verify"):
            yield Case(network, "box", call, 2.0)
    for limit in (1.0, 3.0, 10.0):
        yield Case("5-50x2-5", "20000 cases", "verify_files", limit)
    yield Case("5-50x2-5", "1000000 assertions", "verify_files", 3.0)


def run_case(case: Case) -> dict[str, Any]:
    """Run one case in this process, and measure it."""
    call = case.prepare()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, wall = time.process_time(), time.monotonic()
    outcome = "ended"
    try:
        call()
    except ra.ReLUAttackError as error:
        outcome = f"{type(error).__name__}: {error}"
    seconds, wall_seconds = time.process_time() - began, time.monotonic() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "outcome": outcome, "seconds": round(seconds, 2), "wall_s": round(wall_seconds, 2),
        "peak_gb": round(peak * 1024 / GIGA, 2), "peak_before_gb": round(before * 1024 / GIGA, 2),
    }  # fmt: skip


def measure(case: Case, kill: float) -> dict[str, Any]:
    """Run one case in a process of its own, which is killed after `kill` processor seconds beyond the limit."""
    text = json.dumps([case.network, case.set, case.call, case.limit])
    allowed = int(case.limit + kill + 15)  # of which some are for the import, the model and the set
    command = [sys.executable, __file__, "--case", text, "--kill", str(allowed)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = answer.stdout.strip().splitlines()
    if answer.returncode == 0 and lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    killed = answer.returncode < 0
    reason = (answer.stderr.strip().splitlines() or ["?"])[-1]
    outcome = "killed" if killed else reason[:120]
    seconds = f"> {case.limit + kill:g}" if killed else ""
    return {"outcome": outcome, "seconds": seconds, "wall_s": "", "peak_gb": "", "peak_before_gb": ""}


def is_kept(case: Case, found: dict[str, Any]) -> bool:
    """Return whether the call ended within what the law leaves, with an answer or because there is none by then."""
    return found["outcome"].startswith(("ended", "TimeLimitError")) and float(found["seconds"]) <= case.allowed


def main() -> None:
    """Measure the table, or one case of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer networks and methods")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--state", default="after", help="what the rows are called: before or after")
    parser.add_argument("--kill", type=float, default=KILL, help="processor seconds beyond the limit")
    parser.add_argument("--output", type=Path, default=RESULTS / "limits.csv", help="appended to")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.case:
        resource.setrlimit(resource.RLIMIT_CPU, (int(arguments.kill), int(arguments.kill)))
        print(json.dumps(run_case(Case(*json.loads(arguments.case)))))
        return
    facts = {"threads": 1, "command": shlex.join(["python", *sys.argv]), "commit": commit(), "machine": machine()}
    table = Table("network", "set", "call", "limit", "seconds", "peak GB", "kept")
    for case in cases(arguments.quick):
        if arguments.only not in f"{case.network}, {case.set}, {case.call}":
            continue
        found = measure(case, arguments.kill)
        kept = is_kept(case, found)
        append_row(arguments.output, {"state": arguments.state, **vars(case), **found, "kept": kept, **facts})
        words = [case.network, case.set, case.call, case.limit, found["seconds"], found["peak_gb"], kept]
        print(*words, found["outcome"], flush=True)
        table.add_row(*map(str, words))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
