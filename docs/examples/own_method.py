"""A method of your own: random search."""

from dataclasses import dataclass

import torch

import relu_attack as ra
from relu_attack.solvers import Incumbents


@dataclass(frozen=True, kw_only=True)
class RandomSearch:
    batch: int = 1000


def random_search(problem, options, settings):
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="batches")
    generator = torch.Generator().manual_seed(settings.seed)
    while (stopped := settings.budget.spent(incumbents.steps)) is None:
        for index in range(problem.problems):
            points = problem.single(index).domain.sample(options.batch, generator=generator)
            incumbents.offer(index, points, "random_search")
        incumbents.step()
    return incumbents.answer(stopped, incumbents.steps * options.batch)


ra.register_method("random_search", RandomSearch, random_search, iterations=10)
model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
result = ra.maximize(model, ra.Box(-1.0, 1.0, shape=(3,)), method="random_search", batch=500)
same = ra.maximize(model, ra.Box(-1.0, 1.0, shape=(3,)), method=RandomSearch(batch=500))
