"""Annealed steps: smoothed gradient steps that begin long and end short in each excursion."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.network import Evaluation
from relu_attack.solvers.ascent._step_rules import StepRule
from relu_attack.solvers.ascent._walkers import Walkers

# Lengths of steps over the diagonal of the set: the first of a walker's first excursion, the range, log-uniform, of the
# first of its later ones, and the last of each. A step of several diagonals ends at a vertex of the set.
_FIRST, _LATER, _LAST = 3.0, (0.1, 1.0), 3e-3
# Steps of the first excursion, so that a walk of few steps has ends as well, and of the longest; each has twice as many
# as the one before.
_SHORTEST, _LONGEST = 20, 100
# The range of the first length, the last length and the longest excursion where the set is no box. Walkers slide along
# its faces, or around a ball, as they climb, and get to the end of that with short steps only: on an L2 ball with 200
# inputs they end 0.5 % higher, on polytopes by 0.01 to 1 %. Short first steps give 2 % over a simplex, whose corners
# are far from most of it, and lose 0.2 % over 60 rows and an equation in 200 inputs. Over boxes local search over
# linear regions gets there sooner.
_FINE_LATER, _FINE_LAST, _FINE_LONGEST = (0.02, 1.0), 3e-4, 400
# Over how wide a range around their breakpoint units count in part, in root mean squares of the layer's preactivations,
# for a step of one diagonal: the longer the step, the more units change their side on the way.
_WIDTH = 0.6


class AnnealedStep(StepRule):
    """Steps that follow a schedule and not what is gained: long steps choose the basin, short ones its maximum.

    Walkers that go up at every step end at the first top on their way. A normalized step of a fixed length overshoots
    narrow tops and settles in a wide one, which is the higher one more often, and as it falls it comes near the top.
    In subgradient methods it falls geometrically (Goffin, On convergence rates of subgradient optimization methods,
    Mathematical Programming 13, 1977); here its logarithm falls with the square of the time, as what decides is done
    while it is long: ends from random starts are 0.2 to 0.5 % higher on a random network 1000-500x3-1.

    While steps are long, the gradient is that of a smoothed network, whose narrow tops are gone: a unit within reach of
    the step counts in part, and the smoothing ends with the steps (graduated non-convexity: Blake and Zisserman, Visual
    Reconstruction, 1987). Values are those of the network itself.

    """

    needs_preactivations = True

    def begin(self, ascent: Walkers) -> None:
        super().begin(ascent)
        is_box = ascent.problem.domain.is_box
        self._later, self._last, self._longest = (
            (_LATER, _LAST, _LONGEST) if is_box else (_FINE_LATER, _FINE_LAST, _FINE_LONGEST)
        )
        self._steps = torch.empty_like(ascent.x[:, :1])
        self._lengths, self._factors, self._bends = (torch.empty_like(self._steps) for _ in range(3))
        self._begin_first(torch.ones_like(self._steps, dtype=torch.bool))

    def _plan(self, chosen: Tensor, steps: Tensor, lengths: Tensor) -> None:
        """Set the number of steps and the first step of the walkers that are `chosen`; all of shape (batch, 1)."""
        self._steps = torch.where(chosen, steps, self._steps)
        self._lengths = torch.where(chosen, lengths, self._lengths)
        # The factor between the first two steps; each later one is smaller by its square.
        self._factors = torch.where(chosen, (self._last / self._steps) ** self._lengths.pow(-2), self._factors)
        self._bends = torch.where(chosen, self._factors.square(), self._bends)

    def _begin_first(self, chosen: Tensor) -> None:
        """Plan the first excursions of the walkers that are `chosen` (batch, 1)."""
        self._plan(chosen, torch.full_like(self._steps, _FIRST), torch.full_like(self._lengths, _SHORTEST))

    def _begin(self, chosen: Tensor) -> None:
        """Draw the first steps of the excursions that begin, of the walkers that are `chosen` (batch, 1)."""
        low, high = self._later
        share = torch.empty_like(self._steps).uniform_(generator=self.ascent.generator)
        self._plan(chosen, low * (high / low) ** share, (2 * self._lengths).clamp_max(self._longest))

    def smoothing(self) -> Tensor | None:
        return _WIDTH * self._steps

    def move(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        ascent = self.ascent
        torch.addcmul(ascent.x, gradient, ascent.factor_to_diagonal(gradient).mul_(self._steps), out=out)
        ascent.project_(out)
        self._steps *= self._factors
        self._factors *= self._bends

    def ended(self, gained: Tensor) -> Tensor:
        ended = self._steps < 1.01 * self._last
        self._begin(ended)
        return ended[:, 0]

    def restarted(self, chosen: Tensor, *, first: bool = False) -> None:
        (self._begin_first if first else self._begin)(chosen[:, None])
