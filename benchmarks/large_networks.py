"""Memory and time of walks over torchvision's networks, against one forward and one backward pass by autograd.

The networks have random weights, inputs of 3 x 224 x 224 in a ball of radius 8/255, and 1000 classes. Each number
comes from a process of its own with one thread; its memory is the peak of resident memory over what was resident
before. It needs Linux.

    python benchmarks/large_networks.py                          # about 10 minutes, at most 3 GiB
    python benchmarks/large_networks.py --networks alexnet
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import gc
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import relu_attack as ra
from relu_attack._torchvision import import_torchvision
from relu_attack.solvers import make_options
from relu_attack.solvers.ascent import ScaledProblem, Walk

NETWORKS = ("alexnet", "vgg11", "vgg16")
SAMPLES = (1, 4)
RADIUS = 8 / 255
LABEL, TARGET = 0, 1
WALKS = ("gradient_walk", "ppga_lr")
STEPS = 10  # one window: the last of them looks for the wall of the region
MEGABYTE = 2**20


def build(name: str) -> nn.Sequential:
    """Return torchvision's network as a chain, with random weights, in evaluation mode."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = getattr(import_torchvision().models, name)(weights=None)
    model = nn.Sequential(network.features, network.avgpool, nn.Flatten(), network.classifier)
    return model.eval().requires_grad_(False)


def image() -> Tensor:
    """Return the sample, shape (3, 224, 224)."""
    return torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0))


def resident(field: str = "VmRSS") -> float:
    """Return the resident memory of this process in MiB, or with ``VmHWM`` its peak since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def forget_peak() -> float:
    """Give back what is free, begin a new peak of resident memory, and return what is resident now in MiB."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident()


def memory(step: Callable[[], None], steps: int) -> dict[str, float]:
    """Return the peak of memory above what was resident before the first step, in MiB."""
    before = forget_peak()
    for _ in range(steps):
        step()
    return {"mb": resident("VmHWM") - before}


def autograd_step(name: str, samples: int, *, weights: bool) -> Callable[[], None]:
    """Return the model's own forward and backward pass of a margin, to its input or to its weights as well."""
    model = build(name).requires_grad_(weights)
    x = image().expand(samples, -1, -1, -1).clone().requires_grad_()

    def step() -> None:
        logits = model(x)
        (logits[:, TARGET] - logits[:, LABEL]).sum().backward()
        x.grad = None
        model.zero_grad()

    return step


def optimizer_of(model: nn.Module) -> ra.ReLUOptimizer:
    """Return the question: the worst margin near the sample."""
    return ra.ReLUOptimizer(model, ra.LInfBall(image(), RADIUS, clip=(0.0, 1.0)), ra.Margin(TARGET, LABEL))


def lowering(name: str, samples: int) -> dict[str, float]:
    """Measure reading the model: seconds, what stays in memory, and the peak on the way."""
    model = build(name)
    model(image()[None])
    before = forget_peak()
    began = time.perf_counter()
    optimizer = optimizer_of(model)
    seconds, peak = time.perf_counter() - began, resident("VmHWM") - before
    kept = forget_peak() - before
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "s": seconds,
        "mb": peak,
        "kept_mb": kept,
        "model_mb": 4 * parameters / MEGABYTE,
        "units": float(optimizer.problem.network.units),
    }


def walk_step(optimizer: ra.ReLUOptimizer, samples: int, method: str) -> tuple[Callable[[], None], float]:
    """Return the step of a walk, and the memory of its copy of the network in MiB."""
    before = forget_peak()
    with torch.inference_mode():
        prepared = ScaledProblem.create(
            optimizer.problem, restarts=samples, device=torch.device("cpu"), dtype=torch.float32, normalized=True
        )
        kept = forget_peak() - before
        starts = prepared.sample(torch.Generator().manual_seed(0))
        walkers = Walk.of(make_options(method, {})).begin(prepared, starts, torch.Generator().manual_seed(0))
    return torch.inference_mode()(walkers.step), kept


def walk(name: str, samples: int, *, method: str) -> dict[str, float]:
    """Measure the memory of a walk, and of its copy of the network."""
    model = build(name)
    model(image()[None])
    step, kept = walk_step(optimizer_of(model), samples, method)
    return memory(step, STEPS) | {"kept_mb": kept}


def times(name: str, samples: int) -> dict[str, float]:
    """Time the three in turn, so that a busy machine disturbs all alike: seconds of a step."""
    optimizer = optimizer_of(build(name))
    entries = {"autograd": autograd_step(name, samples, weights=False)}
    entries |= {method: walk_step(optimizer, samples, method)[0] for method in WALKS}
    seconds = dict.fromkeys(entries, 0.0)
    entries["autograd"]()
    for _ in range(STEPS):
        for entry, step in entries.items():
            began = time.perf_counter()
            step()
            seconds[entry] += time.perf_counter() - began
    return {entry: total / STEPS for entry, total in seconds.items()}


def call(name: str, samples: int) -> dict[str, float]:
    """Measure a whole call of `maximize`, with the interval bound and the last evaluation in float64."""
    model = build(name)
    model(image()[None])
    optimizer = optimizer_of(model)
    before = forget_peak()
    began = time.perf_counter()
    result = optimizer.maximize("ppga_lr", iterations=STEPS, restarts=samples, starts="center")
    seconds = time.perf_counter() - began
    return {"mb": resident("VmHWM") - before, "s": seconds, "value": float(result.value)}


NUMBERS: dict[str, Callable[[str, int], dict[str, float]]] = {
    "lowering": lowering,
    "call": call,
    "autograd": lambda name, samples: memory(autograd_step(name, samples, weights=False), 3),
    "training": lambda name, samples: memory(autograd_step(name, samples, weights=True), 3),
    "gradient_walk": lambda name, samples: walk(name, samples, method="gradient_walk"),
    "ppga_lr": lambda name, samples: walk(name, samples, method="ppga_lr"),
    "times": times,
}
PER_NETWORK = ("lowering", "call")


@functools.cache
def in_a_process(name: str, number: str, samples: int) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--only", name, number, str(samples)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{answer.stderr}")
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def measure(name: str, samples: int) -> dict[str, object]:
    """Return a row of the table."""
    found = {number: in_a_process(name, number, 1 if number in PER_NETWORK else samples) for number in NUMBERS}
    lowered, seconds = found["lowering"], found["times"]
    row: dict[str, object] = {"network": name, "samples": samples, "units": int(lowered["units"])}
    row |= {"model_mb": round(lowered["model_mb"]), "lowering_s": round(lowered["s"], 2)}
    row |= {"lowering_peak_mb": round(lowered["mb"]), "snapshot_mb": round(lowered["kept_mb"])}
    row |= {"walk_copy_mb": round(found["ppga_lr"]["kept_mb"])}
    row |= {f"{number}_mb": round(found[number]["mb"], 1) for number in ("autograd", "training", *WALKS)}
    row |= {f"{number}_s": round(seconds[number], 4) for number in ("autograd", *WALKS)}
    row |= {"call_mb": round(found["call"]["mb"]), "call_s": round(found["call"]["s"], 2)}
    for number in WALKS:
        row[f"{number}/autograd memory"] = round(found[number]["mb"] / found["autograd"]["mb"], 3)
        row[f"{number}/autograd time"] = round(seconds[number] / seconds["autograd"], 3)
    return row


def main() -> None:
    """Measure every network and append to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--samples", nargs="+", type=int, default=list(SAMPLES))
    parser.add_argument("--output", type=Path, default=RESULTS / "large_networks.csv")
    parser.add_argument("--only", nargs=3, metavar=("NETWORK", "NUMBER", "SAMPLES"), help="one number, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.only:
        name, number, samples = arguments.only
        print(json.dumps(NUMBERS[number](name, int(samples))))
        return
    table = Table(
        "network", "samples", *(f"{walk} / autograd, {unit}" for walk in WALKS for unit in ("memory", "time"))
    )
    for name in arguments.networks:
        for samples in arguments.samples:
            row = measure(name, samples)
            print(row, flush=True)
            command = f"python benchmarks/large_networks.py --networks {name} --samples {samples}"
            append_row(arguments.output, {**row, "command": command, "commit": commit(), "machine": machine()})
            table.add_row(name, str(samples), *(str(row[key]) for key in list(row)[-4:]))
    Console().print(table)


if __name__ == "__main__":
    main()
