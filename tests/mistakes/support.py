"""A network, its answers, and calls of which mistakes change one argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import relu_attack as ra

Call = Callable[[], object]
NAN, INF = math.nan, math.inf
X = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
LABEL = torch.tensor([0, 1, 2, 0])
BOX = ra.Box(0.0, 1.0, shape=(3,))
CLAIM = ra.Specification.require([1.0, 0.0, 0.0], 100.0)
NO_GPU = not torch.cuda.is_available()


def network(outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, outputs)).eval()


class Frame:
    """Numbers that only an array can be made of, as a DataFrame of pandas is."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.columns = [f"column {place}" for place in range(len(rows[0]))]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, column: str) -> Any:
        return [row[self.columns.index(column)] for row in self.rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.rows, dtype=dtype)


class Other(nn.Module):
    """A network with a forward pass of the user's own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.inner, self.function = network(), function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.inner(x))


NET = network()
QUICK: dict[str, Any] = {"method": "ppga_lr", "iterations": 2, "restarts": 1}
FOUND = ra.maximize(NET, BOX, **QUICK)
WORST = ra.worst_case(NET, X, LABEL, 0.1, iterations=2, restarts=1)
SCORED = ra.WorstCaseWithScores.of(NET, X, LABEL, WORST)
ACCURACY = ra.robust_accuracy(NET, [(X, LABEL)], 0.1, iterations=2, restarts=1, progress=False)


def maximize(*arguments: Any, **options: Any) -> object:
    return ra.maximize(*arguments, **{**QUICK, **options})


def optimizer(**options: Any) -> object:
    return ra.ReLUOptimizer(**{"model": NET, "domain": BOX, **options})


def worst(**options: Any) -> object:
    given = {"model": NET, "x": X, "labels": LABEL, "radius": 0.1, "iterations": 2, "restarts": 1, **options}
    return ra.worst_case(**given)


def accuracy(model: Any = NET, loader: Any = ((X, LABEL),), radius: Any = 0.1, **options: Any) -> object:
    return ra.robust_accuracy(model, loader, radius, **{"iterations": 2, "restarts": 1, "progress": False, **options})


def polytope(**options: Any) -> object:
    return ra.Polytope(**{"A": [[1.0, 1.0, 1.0]], "b": [1.0], "lower": 0.0, "upper": 1.0, **options})


def nan_model() -> nn.Module:
    model = network()
    model[0].weight.data[0, 0] = NAN
    return model
