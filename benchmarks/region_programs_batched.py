"""Linear programs of many regions at once by a first-order method, beside HiGHS one region after the other.

The regions are those where walkers of `ppga_lr` end, or of random points. Three ways, timed in turn, processor time:

- `lp_walk`: what LP Walk does, a program at a time, facets as they are needed;
- `together`: facets of all regions in one product a layer, then HiGHS on each region;
- `primal_dual`: the same facets, all regions in one batched product a half-step, by `_primal_dual.py`. A region is done
  when its dual bound is near the value of a point that a ratio test keeps inside, relative to the gain over the start.

Two columns are of what the programs are for. From random points: how much 100 steps of `ppga_lr` gain, as a multiple of
what the regions' optima gain (`walk_gain`). With 64 regions: after how many seconds of programs LP Walk has the best
value to 1e-4 if it climbs from one start after the other, the best first (`one_by_one_s`), or from all in step, with
the time of a program by `primal_dual` at a gap of 1e-3 (`in_step_s`); the climbs are the same, of up to 30 programs.

    python benchmarks/region_programs_batched.py
"""

from __future__ import annotations

import argparse
import math
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from _common import RESULTS, append_row, commit, machine, random_network
from _primal_dual import PrimalDual
from _regions import Regions
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor

import relu_attack as ra
from relu_attack.encodings import neighborhood
from relu_attack.io import load_model
from relu_attack.problem import Problem
from relu_attack.programs import PreparedProgram, Program
from relu_attack.solvers.region_search import LocalSearch, LPWalk, solve_neighborhood

NETWORKS = ("5-50x2", "20-100x3", "20-100x3 polytope", "50-200x3", "200-256x3", "digits 784-64x2")
COUNTS, PLACES, GAPS, SHARE = (16, 64, 256), ("walk", "random"), (1e-2, 1e-3, 1e-4), 0.95
CLIMBED, PROGRAMS, NEAR = 64, 30, 1e-4
SEED, STEPS, FACETS, MOST, ITERATIONS, CHECK, TIGHT = 7, 200, 20, 50, 4000, 40, 1e-9


def optimizer(name: str) -> ra.ReLUOptimizer:
    """Return the problem of a name: a random network over a box or polytope, or the margin near a digit."""
    if name.startswith("digits"):
        folder = Path(__file__).parent.parent / "models" / "digits"
        image = load_file(folder / "test_images.safetensors")["images"][3].float() / 255
        box = ra.Box((image - 0.1).clamp(0, 1), (image + 0.1).clamp(0, 1))
        return ra.ReLUOptimizer(load_model(folder / "model.safetensors"), box, ra.Margin(8, 3))
    inputs, width, depth = (int(part) for part in name.split()[0].replace("x", "-").split("-"))
    domain: ra.Domain = ra.Box(0.0, 1.0, shape=(inputs,))
    if name.endswith("polytope"):
        rows = torch.randn(inputs // 2, inputs, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
        domain = ra.Polytope(rows, rows.sum(1) / 2 + 0.3 * rows.norm(dim=1), lower=0.0, upper=1.0)
    return ra.ReLUOptimizer(random_network(SEED, inputs, width, depth), domain)


def ends(asked: ra.ReLUOptimizer, count: int, **settings: object) -> Tensor:
    """Return the best points (count, inputs) that the walkers of `ppga_lr` meet."""
    result = asked.maximize("ppga_lr", restarts=count, seed=0, record_path=True, **settings)  # type: ignore[arg-type]
    assert result.path is not None
    path = result.path.flatten(2 if result.path.dim() == 3 else 3).double().reshape(len(result.path), count, -1)
    values = torch.stack([asked.problem.value(points[None])[0] for points in path])
    domain = asked.problem.domain.to(device="cpu", dtype=torch.float64)
    return domain.round(domain.project(path[values.argmax(0), torch.arange(count)]))


def lp_walk(problem: Problem, points: Tensor) -> Tensor:
    """Return the gains (regions,) by the programs of LP Walk."""
    gains = []
    for x in points:
        hood = neighborhood(problem, x, [z[0] > 0 for z in problem.network.forward(x[None]).preactivations])
        found = solve_neighborhood(hood, solver="HIGHS", time_limit=math.inf)
        assert found is not None
        gains.append(hood.program.value(found.point) - hood.program.value(x.numpy()))
    return torch.tensor(gains, dtype=torch.float64)


def together(problem: Problem, points: Tensor) -> Tensor:
    """Return the gains by HiGHS on each region, whose first facets are made for all regions at once."""
    regions, steps = Regions(problem, points), torch.zeros_like(points)
    everyone, units = torch.arange(regions.count), regions.nearest(FACETS)
    rows, room = regions.facets(everyone.repeat_interleave(units.shape[1]), units.flatten())
    known = torch.zeros_like(regions.at_start, dtype=torch.bool).scatter_(1, units, True)
    rows, room = rows.view(*units.shape, -1), room.view(units.shape)
    programs = [
        PreparedProgram(
            Program(
                objective=regions.gradient[i], matrix=torch.cat([regions.rows, rows[i]]), row_lower=-np.inf,  # type: ignore[arg-type]
                row_upper=torch.cat([regions.room[i], room[i]]), lower=regions.lower[i], upper=regions.upper[i],  # type: ignore[arg-type]
            ), options={"presolve": "off"},
        ) for i in range(regions.count)
    ]  # fmt: skip
    waiting = everyone
    while len(waiting):
        for i in waiting.tolist():
            found = programs[i].report(time_limit=None, warm_start=None, gap=TIGHT).x
            steps[i] = torch.as_tensor(found)
        excess = regions.excess(steps[waiting], waiting).masked_fill_(known[waiting], -1.0)
        broken = excess > TIGHT
        for i, row, over in zip(waiting.tolist(), broken, excess, strict=True):
            if row.any():
                new = over.topk(min(MOST, int(row.sum()))).indices
                known[i, new] = True
                more, limit = regions.facets(torch.full_like(new, i), new)
                programs[i].add_rows(more.numpy(), -np.inf, limit.numpy())
        waiting = waiting[broken.any(1)]
    return (regions.gradient * steps).sum(1)


def primal_dual(problem: Problem, points: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, int]:
    """Return lower and upper bounds of the gains, when each of `GAPS` was reached (gaps, regions), and the steps."""
    began = time.process_time()
    regions, live = Regions(problem, points), torch.arange(len(points))
    units = regions.nearest(FACETS)
    rows, room = regions.facets(live.repeat_interleave(units.shape[1]), units.flatten())
    known = torch.zeros_like(regions.at_start, dtype=torch.bool).scatter_(1, units, True)
    rows = torch.cat([regions.rows.expand(len(points), -1, -1), rows.view(*units.shape, -1)], 1)
    scale = regions.gradient.norm(dim=1).clamp_min(1e-300)
    width = (regions.upper - regions.lower).norm(dim=1)
    # Distances of about five times the median of the nearest facets are what programs at the ends of walks move.
    weight = 1 / torch.minimum(5 * room.view(units.shape).median(1).values.clamp_min(1e-12), width)
    room = torch.cat([regions.room, room.view(units.shape)], 1)
    parts = (regions.gradient / scale[:, None], rows, room, regions.lower, regions.upper, weight)
    iterates = PrimalDual(*(part.to(dtype) for part in parts))
    low, high = torch.zeros(len(points)).double(), torch.full((len(points),), torch.inf).double()
    when = torch.full((len(GAPS), len(points)), torch.inf)
    for _ in range(ITERATIONS // CHECK):
        for _ in range(CHECK):
            iterates.step()
        steps = iterates.next_x.double()
        found = (regions.gradient[live] * steps).sum(1) * regions.inside(steps, live)
        low[live] = torch.maximum(low[live], found)
        high[live] = torch.minimum(high[live], iterates.dual_bound().double() * scale[live])
        gap = (high - low)[live] / high[live].clamp_min(1e-300)
        for index, wanted in enumerate(GAPS):
            now = live[(gap <= wanted) & torch.isinf(when[index, live])]
            when[index, now] = time.process_time() - began
        left = torch.nonzero(gap > min(GAPS))[:, 0]
        if len(left) == 0:
            break
        if len(left) < 0.8 * len(live):
            iterates.keep(left)
            live, steps = live[left], steps[left]
        excess = regions.excess(steps, live).masked_fill_(known[live], -1.0)
        count = min(FACETS, int((excess > TIGHT).sum(1).max()))
        new = excess.topk(count, 1).indices
        place, column = torch.nonzero(excess.gather(1, new) > TIGHT, as_tuple=True)
        if len(place):
            known[live[place], new[place, column]] = True
            more, limit = torch.zeros(*new.shape, regions.inputs).double(), torch.full(new.shape, 1e9).double()
            more[place, column], limit[place, column] = regions.facets(live[place], new[place, column])
            iterates.add_rows(more.to(dtype), limit.to(dtype))
            iterates.restart(torch.zeros(len(live), dtype=torch.bool).index_fill_(0, place, True))
    return low, high, when, iterates.total


def progress(problem: Problem, points: Tensor, seconds: tuple[float, float]) -> tuple[float, float]:
    """Return when the best value is met, climbs one after the other and all in step; `seconds` are of a program."""
    values, climbs = problem.value(points[None])[0], list[list[float]]()
    for place in values.argsort(descending=True).tolist():
        met = [float(values[place])]

        def left(met: list[float] = met) -> float:
            return math.inf if len(met) <= PROGRAMS else 0.0

        def note(x: Tensor, met: list[float] = met) -> None:
            met.append(float(problem.value(x[None, None])[0, 0]))

        LocalSearch(problem, LPWalk(), left, note).climb(points[place])
        climbs.append(met)
    enough = (1 - NEAR * math.copysign(1, best := max(map(max, climbs)))) * best
    lengths = [next((k for k, value in enumerate(met) if value >= enough), math.inf) for met in climbs]
    first = next(index for index, length in enumerate(lengths) if length < math.inf)
    before = sum(len(met) - 1 for met in climbs[:first]) + lengths[first]
    in_step = sum(min(len(met) - 1, min(lengths)) for met in climbs)
    return round(seconds[0] * before, 3), round(seconds[1] * in_step, 3)


def measure(name: str, place: str, count: int, dtype: torch.dtype) -> dict[str, object]:
    """Time the three ways on the regions of one problem."""
    asked = optimizer(name)
    if place == "walk":
        points, walked = ends(asked, count, iterations=STEPS), math.nan
    else:
        generator = torch.Generator().manual_seed(0)
        points = asked.problem.domain.to(device="cpu", dtype=torch.float64).sample(count, generator=generator)
        points = points.flatten(1)
    seconds, gains = {}, {}
    for way in (lp_walk, together):
        began = time.process_time()
        gains[way.__name__] = way(asked.problem, points)
        seconds[way.__name__] = round(time.process_time() - began, 3)
    exact = gains["lp_walk"]
    low, high, when, steps = primal_dual(asked.problem, points, dtype)
    unit = exact.abs().clamp_min(1e-12)
    assert float(((gains["together"] - exact).abs() / unit).max()) < 1e-5, "HiGHS contradicts itself"
    assert float((torch.maximum(low - exact, exact - high) / unit).max()) < 1e-4, "a bound does not hold"
    if place == "random":
        began = time.process_time()
        top = ends(asked, count, iterations=100, x0=points)
        seconds["walk"] = round(time.process_time() - began, 3)
        value = asked.problem.value
        walked = round(float((value(top[None]) - value(points[None])).mean() / exact.mean()), 2)
    late = when.sort(1).values[:, math.ceil(SHARE * count) - 1].tolist()
    each = seconds["lp_walk"] / count, late[GAPS.index(1e-3)] / count
    reached = progress(asked.problem, points, each) if count == CLIMBED else (math.nan, math.nan)
    times = {f"primal_dual_{gap:g}_s": round(t, 3) for gap, t in zip(GAPS, late, strict=True)}
    return {
        "network": name, "place": place, "regions": count, "lp_walk_s": seconds["lp_walk"],
        "together_s": seconds["together"], **times, "steps": steps, "dtype": str(dtype).removeprefix("torch."),
        "walk_s": seconds.get("walk", math.nan), "walk_gain": walked,
        "one_by_one_s": reached[0], "in_step_s": reached[1], "threads": 1,
    }  # fmt: skip


def main() -> None:
    """Measure all problems at both places and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NETWORK")
    parser.add_argument("--regions", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--output", type=Path, default=RESULTS / "region_programs_batched.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.unlink(missing_ok=True)
    table = None
    for name in arguments.networks:
        for place in PLACES:
            for count in arguments.regions:
                with torch.inference_mode():
                    row = measure(name, place, count, getattr(torch, arguments.dtype))
                about = {"highspy": version("highspy"), "commit": commit(), "machine": machine()}
                append_row(arguments.output, {**row, **about})
                table = table or Table(*row)
                table.add_row(*(str(entry) for entry in row.values()))
                print(row, flush=True)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
