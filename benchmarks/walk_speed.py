"""Step time of the walks against bare matrix products and against autograd.

Four things are timed in turn, round after round in one process: the matrix products of one forward and one backward
pass and nothing else, the gradient walk's step written with ``torch.autograd.grad``, our step, and the step of
``ppga_lr`` with its reviews; on a GPU also the latter with windows of steps as CUDA graphs. Ratios are taken within a
round; the table shows their medians.

    python benchmarks/walk_speed.py                    # 2 threads, then 1
    python benchmarks/walk_speed.py --device cuda --batch 4096
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine, random_network
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.solvers import make_options
from relu_attack.solvers.ascent import Ascent, CUDAGraph, ScaledProblem, Walk

SIZES = {
    "784-500x2-10": (784, 500, 2, 10, 256),
    "1000-500x3-1": (1000, 500, 3, 1, 256),
    "10-100x2-1": (10, 100, 2, 1, 64),
    "100-100x3-1": (100, 100, 3, 1, 64),
}
ROUNDS = 15
SECONDS_PER_ENTRY = 0.25


def products(model: nn.Sequential, x: Tensor) -> Callable[[], None]:
    """Return a function that does the matrix products of one step, into buffers, and nothing else."""
    weights = [module.weight.detach() for module in model if isinstance(module, nn.Linear)]
    values = [x] + [x.new_empty(len(x), len(weight)) for weight in weights]
    gradients = [torch.empty_like(value) for value in values]

    def step() -> None:
        for index, weight in enumerate(weights):
            torch.mm(values[index], weight.t(), out=values[index + 1])
        for index in range(len(weights) - 1, -1, -1):
            torch.mm(gradients[index + 1], weights[index], out=gradients[index])

    for value in values[1:] + gradients:
        value.normal_()
    return step


def autograd_walk(model: nn.Sequential, x: Tensor) -> Callable[[], None]:
    """Return the step of Gradient Walk on the unit box as one writes it with autograd, best points kept."""
    state = {"x": x.clone(), "best": x.clone(), "value": torch.full((len(x),), -math.inf, device=x.device)}
    length = 0.1 * math.sqrt(x.shape[1])

    def step() -> None:
        point = state["x"].requires_grad_(True)
        values = model(point)[:, 0]
        (gradient,) = torch.autograd.grad(values.sum(), point)
        with torch.no_grad():
            better = values > state["value"]
            state["best"] = torch.where(better[:, None], point, state["best"])
            state["value"] = torch.maximum(values, state["value"])
            norm = gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)
            state["x"] = (point + gradient * (length / norm)).clamp(0, 1)

    return step


def begin(model: nn.Sequential, x: Tensor, method: str) -> Ascent:
    """Begin one of our walks at points (batch, inputs)."""
    optimizer = ra.ReLUOptimizer(model, ra.Box(0.0, 1.0, shape=(x.shape[1],)))
    prepared = ScaledProblem.create(optimizer.problem, restarts=len(x), device=x.device, dtype=x.dtype, normalized=True)
    return Walk.of(make_options(method, {})).begin(prepared, x.clone(), torch.Generator(x.device))


def our_walk(model: nn.Sequential, x: Tensor, method: str, *, reviews: bool) -> Callable[[], None]:
    """Return the step of one of our walks, with its reviews if wanted."""
    walk, steps = begin(model, x, method), 0

    def step() -> None:
        nonlocal steps
        walk.step()
        steps += 1
        if reviews and steps % walk.window == 0:
            walk.review()

    return torch.inference_mode()(step)


def captured_walk(model: nn.Sequential, x: Tensor) -> Callable[[], None]:
    """Return a step of `ppga_lr` in captured windows: a whole window, with its review, at each tenth call."""
    walk, calls = begin(model, x, "ppga_lr"), 0
    window = walk.capture(CUDAGraph())

    def step() -> None:
        nonlocal calls
        if calls % walk.window == 0:
            window.run()
            walk.review()
        calls += 1

    return torch.inference_mode()(step)


def seconds_a_step(step: Callable[[], None], repeats: int, device: torch.device) -> float:
    """Time `repeats` steps together."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(repeats):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / repeats


def measure(size: str, threads: int, device: torch.device, batch: int | None) -> dict[str, object]:
    """Time the four entries at one size, interleaved."""
    inputs, width, depth, outputs, usual_batch = SIZES[size]
    torch.set_num_threads(threads)
    model = random_network(50, inputs, width, depth, outputs).to(device).requires_grad_(False)
    x = torch.rand(batch or usual_batch, inputs, device=device)
    entries = {
        "products": products(model, x),
        "autograd": autograd_walk(model, x),
        "gradient_walk": our_walk(model, x, "gradient_walk", reviews=False),
        "ppga_lr": our_walk(model, x, "ppga_lr", reviews=True),
    }
    if device.type == "cuda":
        entries["captured"] = captured_walk(model, x)
    repeats = max(10, math.ceil(SECONDS_PER_ENTRY / seconds_a_step(entries["autograd"], 20, device)))
    rounds = [
        {name: seconds_a_step(step, repeats, device) for name, step in entries.items()} for _ in range(ROUNDS + 1)
    ][1:]

    def ratio(above: str, below: str) -> float:
        return statistics.median(entry[above] / entry[below] for entry in rounds)

    row: dict[str, object] = {"size": size, "batch": len(x), "device": device.type, "threads": threads}
    row |= {f"{name}_us": round(1e6 * statistics.median(entry[name] for entry in rounds), 1) for name in entries}
    row["gradient_walk/products"] = round(ratio("gradient_walk", "products"), 3)
    row["autograd/products"] = round(ratio("autograd", "products"), 3)
    row["autograd/gradient_walk"] = round(ratio("autograd", "gradient_walk"), 3)
    row["ppga_lr/products"] = round(ratio("ppga_lr", "products"), 3)
    if "captured" in entries:
        row["captured/products"] = round(ratio("captured", "products"), 3)
    return row


def main() -> None:
    """Measure every size and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, help="rows, instead of 256 and 64")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--output", type=Path, default=RESULTS / "walk_speed.csv")
    arguments = parser.parse_args()
    rows = []
    for threads in arguments.threads:
        for size in arguments.sizes:
            row = measure(size, threads, torch.device(arguments.device), arguments.batch)
            rows.append(row)
            print(row, flush=True)
    table = Table("size", "threads", "walk / products", "autograd / products", "autograd / walk", "ppga_lr / products")
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("size", "threads", *list(row)[-4:])))
    Console().print(table)
    arguments.output.unlink(missing_ok=True)
    for row in rows:
        append_row(arguments.output, {**row, "rounds": ROUNDS, "commit": commit(), "machine": machine()})


if __name__ == "__main__":
    main()
