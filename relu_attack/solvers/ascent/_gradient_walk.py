"""Gradient Walk: projected gradient ascent, from a new random start whenever it stalls."""

from __future__ import annotations

from torch import Tensor

from relu_attack.solvers.ascent._base import Walk


class GradientWalk(Walk):
    """Gradient Walk: ``x <- P_X(x + gamma g)``.

    Source: Tong, Zhu, Serra, Burer, Optimization over Trained Neural Networks: Going Large with
    Gradient-Based Algorithms, arXiv 2512.24295. A walker that stalls begins again at a random point.
    """

    def _next_starts(self, ended: Tensor) -> Tensor:
        return self.prepared.sample(self.generator)
