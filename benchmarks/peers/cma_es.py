"""CMA-ES of the package cma, restarted with twice the population; sets with rows by projection and a penalty."""

from __future__ import annotations

import cma
import numpy as np
import torch
from peers.projection import Projection
from peers.tracker import Tracker

FULL, ROUNDS, PENALTY, TOGETHER = 200, 60, 10.0, 20


def cma_es(run: Tracker) -> None:
    """Run CMA-ES in inputs of width 1 until the time is up."""
    region, project = run.region, Projection(run.region, torch.float64)
    low, high = project.box
    width = high - low
    population, turn = 4 + int(3 * np.log(region.inputs)), 0
    run.offer(project.finish(torch.tensor(project.inside)[None]))
    while not run.over:
        start = (project.starts(1, run.torch_rng)[0].numpy() - low) / width
        options = {
            "bounds": [0, 1], "popsize": population, "seed": run.seed + 1000 * turn + 1, "verbose": -9,
            "CMA_diagonal": region.inputs > FULL, "verb_log": 0,
        }  # fmt: skip
        search = cma.CMAEvolutionStrategy(np.clip(start, 0.01, 0.99), 0.3, options)
        best: list[tuple[float, np.ndarray]] = []
        generation = 0
        while not (run.over or search.stop()):
            asked = np.array(search.ask())
            x = low + width * asked
            if project.has_rows and not region.one_hot:
                project.reset()
                near = project(torch.tensor(x), ROUNDS).numpy()
            else:
                near = project(torch.tensor(x)).numpy() if region.norm else x
            if region.integer:
                near = project.rounded(torch.tensor(near))[: len(x)].numpy()
            values = run.values(near)
            away = (((x - near) / width) ** 2).sum(1)
            spread = float(values.std()) or 1.0
            search.tell(list(asked), list(-values + PENALTY * spread * away))
            best.append((float(values.max()), near[values.argmax()]))
            generation += 1
            if generation % TOGETHER == 0 or run.left < 0.2:
                _hand_in(run, project, best)
                best = []
        _hand_in(run, project, best)
        population, turn = 2 * population, turn + 1


def _hand_in(run: Tracker, project: Projection, best: list[tuple[float, np.ndarray]]) -> None:
    if best:
        x = np.stack([point for _, point in sorted(best, key=lambda pair: -pair[0])[:4]])
        run.offer(project.finish(torch.tensor(x)) if project.has_rows else x)
