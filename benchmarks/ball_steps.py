"""Cost of a walk's step over a ball against a step over its bounding box, with exact and with remembered projections.

64 walkers, annealed steps, one thread, processor time. The three are timed in turn; the table shows the medians of
their ratios within a round.

    python benchmarks/ball_steps.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _common import RESULTS, append_row, commit, machine, random_network

import relu_attack as ra
from relu_attack.domains import WalkedSet
from relu_attack.domains._walked_ball import WalkedBall
from relu_attack.solvers.ascent import ANNEALED_ASCENT, Ascent, ScaledProblem, starting_points

WALKERS, ROUNDS, STEPS = 64, 9, 20
NETWORKS = {"784-50-50-1": (784, 50), "200-256-256-1": (200, 256)}
BALLS: dict[str, Callable[[torch.Tensor], ra.Domain]] = {
    "L1, radius 5, clip": lambda x: ra.L1Ball(x, 5.0, clip=(0.0, 1.0)),
    "L1, radius 50, clip": lambda x: ra.L1Ball(x, 50.0, clip=(0.0, 1.0)),
    "L1, radius 5": lambda x: ra.L1Ball(x, 5.0),
    "L2, radius 2, clip": lambda x: ra.L2Ball(x, 2.0, clip=(0.0, 1.0)),
    "L2, radius 2": lambda x: ra.L2Ball(x, 2.0),
}


def ascent(model: torch.nn.Module, domain: ra.Domain) -> Ascent:
    """Return an ascent at its first step."""
    problem = ra.ReLUOptimizer(model, domain).problem
    device, generator = torch.device("cpu"), torch.Generator().manual_seed(0)
    scaled = ScaledProblem.create(problem, restarts=WALKERS, device=device, dtype=torch.float32, normalized=True)
    starts = starting_points(scaled, kind="random", x0=None, generator=generator, seed=0)
    return ANNEALED_ASCENT.begin(scaled, starts, generator)


def seconds_a_step(walk: Ascent) -> float:
    """Time some steps with their reviews."""
    began = time.process_time()
    for step in range(STEPS):
        walk.step()
        if (step + 1) % walk.window == 0:
            walk.review()
    return (time.process_time() - began) / STEPS


@torch.inference_mode()
def measure(network: str, name: str, ball: Callable[[torch.Tensor], ra.Domain]) -> dict[str, object]:
    """Time steps over a ball and its box."""
    inputs, width = NETWORKS[network]
    model = random_network(50, inputs, width, 2).requires_grad_(False)
    domain = ball(torch.rand(inputs, generator=torch.Generator().manual_seed(1)))
    made = WalkedBall.__dict__["of"]
    walks = {"box": ascent(model, domain.bounding_box()), "remembered": ascent(model, domain)}
    WalkedBall.of = staticmethod(lambda ball, walkers: WalkedSet(ball, walkers))
    walks["exact"] = ascent(model, domain)
    WalkedBall.of = made
    rounds = [{key: seconds_a_step(walk) for key, walk in walks.items()} for _ in range(ROUNDS + 1)][1:]
    row: dict[str, object] = {"network": network, "ball": name}
    row |= {f"{key}_us": round(1e6 * statistics.median(entry[key] for entry in rounds)) for key in walks}
    for key in ("exact", "remembered"):
        row[f"{key}/box"] = round(statistics.median(entry[key] / entry["box"] for entry in rounds), 2)
    return row


def main() -> None:
    """Measure every ball and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "ball_steps.csv")
    output = parser.parse_args().output
    torch.set_num_threads(1)
    output.unlink(missing_ok=True)
    for network in NETWORKS:
        for name, ball in BALLS.items():
            row = measure(network, name, ball)
            print(row, flush=True)
            append_row(output, {**row, "commit": commit(), "machine": machine()})


if __name__ == "__main__":
    main()
