"""A problem: a model, a set and the outputs whose difference is maximized."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from problems.region import Region


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What is maximized: output `plus`, less output `minus` if there is one, over a region.

    Attributes
    ----------
    name
        Kind and seed, ``"rows20x50-1"``.
    model
        The trained network, float32, on inputs of the region's shape.
    region
        The set.
    plus, minus
        Outputs.
    optimum
        The largest value, where all points were tried.
    """

    name: str
    model: nn.Module
    region: Region
    plus: int = 0
    minus: int | None = None
    optimum: float | None = None

    def objective(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """Return the module that maps flat points (batch, inputs) to values (batch,)."""
        return Value(copy.deepcopy(self.model).to(dtype).eval().requires_grad_(False), self)

    def value(self, x: np.ndarray) -> float:
        """Return the value of a point by the model's forward pass in float64."""
        with torch.inference_mode():
            return float(self.objective(torch.float64)(torch.tensor(x, dtype=torch.float64)[None])[0])


class Value(nn.Module):
    """The objective of a problem as a function of flat points."""

    def __init__(self, model: nn.Module, problem: Problem) -> None:
        super().__init__()
        self.model, self.shape, self.plus, self.minus = model, problem.region.shape, problem.plus, problem.minus

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.model(x.view(-1, *self.shape))
        return outputs[:, self.plus] if self.minus is None else outputs[:, self.plus] - outputs[:, self.minus]
