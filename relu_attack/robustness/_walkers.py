"""Walkers that go for classes: their objective is chosen anew at each point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._checks import all_finite
from relu_attack.errors import SolverError
from relu_attack.network import Evaluation, Network
from relu_attack.problem import Problem
from relu_attack.robustness._moves import MOVES, Move
from relu_attack.robustness._samples import Sets
from relu_attack.solvers import (
    PPGA,
    PPGALR,
    Budget,
    GradientWalk,
    PerturbationOptions,
    PPGALROptions,
    Prepared,
    Walk,
    WalkOptions,
)


@dataclass(frozen=True, eq=False)
class Contest(Prepared):
    """Samples in walking coordinates, those of the user, with the classes that each walker goes for.

    A walker's value is the largest logit among its classes less that of the label. It follows the gradient of the
    logarithm of the sum of exponentials instead of that of the largest, which would keep it to the class that is ahead
    where it begins; with a single class the two are the same.

    Attributes
    ----------
    allowed
        0 for the classes that a walker goes for and minus infinity for the others, shape (batch, classes).
    label
        Label of each walker's sample, shape (batch, 1).
    own
        The label as a row, one-hot, shape (batch, classes).
    """

    allowed: Tensor
    label: Tensor
    own: Tensor

    @staticmethod
    def of(network: Network, sets: Sets, label: Tensor, chosen: Tensor) -> Contest:
        """Prepare walkers on the network's device and in its dtype.

        Parameters
        ----------
        network
            The chain in the walk's dtype.
        sets
            The sets of P samples, likewise.
        label
            Shape (P,).
        chosen
            Which classes each walker goes for, boolean, shape (P, walkers, classes).
        """
        samples, walkers, classes = chosen.shape
        dtype, device = network.dtype, network.device
        widths = sets.high - sets.low if sets.norm == "linf" else (2 * sets.radius[:, None]).expand_as(sets.center)
        place = label.to(device).repeat_interleave(walkers)[:, None]
        allowed = torch.zeros(chosen.shape, dtype=dtype, device=device)
        allowed.masked_fill_(~chosen.to(device), -torch.inf)
        return Contest(
            problem=Problem(network, sets.domain, torch.zeros(samples, classes, dtype=torch.float64), batched=True),
            network=network,
            domain=sets.domain,
            widths=widths[:, None],
            offset=torch.zeros(samples, dtype=torch.float64),
            scale=torch.ones(network.inputs, dtype=torch.float64),
            shift=torch.zeros(network.inputs, dtype=torch.float64),
            restarts=walkers,
            allowed=allowed.flatten(0, 1),
            label=place,
            own=torch.zeros(len(place), classes, dtype=dtype, device=device).scatter_(1, place, 1.0),
        )

    def judge(self, evaluation: Evaluation) -> tuple[Tensor, Tensor | None]:
        """Return the value of each walker (batch, 1), and the rows (batch, classes) whose gradient it is to follow."""
        contenders = evaluation.outputs + self.allowed
        largest = contenders.amax(1, keepdim=True)
        value = largest - evaluation.outputs.gather(1, self.label)
        # Their softmax in its parts: of few classes, on a processor, they take a third of the time.
        share = contenders.sub_(largest).exp_()
        return value, share.div_(share.sum(1, keepdim=True)).sub_(self.own)


class SteepestAscent(Walk):
    """Steps along the steepest direction of the norm, each shorter than the one before by the same factor.

    The first step reaches across the ball, so that walkers leave the slope on which they begin; the last is a small
    part of the radius. With a number of steps that is known beforehand no step need be taken back or tried twice.

    Parameters
    ----------
    prepared, starts, options, generator
        As in `Walk`.
    move
        The steepest move of the norm.
    steps
        How many steps there will be.
    """

    shortest = 0.05
    """Length of the last step, in radii."""

    def __init__(
        self,
        prepared: Prepared,
        starts: Tensor,
        options: WalkOptions,
        generator: torch.Generator,
        *,
        move: Move,
        steps: int,
    ) -> None:
        super().__init__(prepared, starts, options, generator)
        self._steepest, self._done, self._last = move, 0, max(steps - 2, 1)

    def _advance(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        length = self._steepest.longest * (self.shortest / self._steepest.longest) ** (self._done / self._last)
        self._done += 1
        self._steepest(self.x, gradient, length, out)

    def _ended(self, gained: Tensor) -> Tensor:
        return torch.zeros_like(gained)

    def _next_starts(self, ended: Tensor) -> Tensor:
        return self.x


Begin = Callable[[Contest, Sets, Tensor, torch.Generator, int], Walk]
"""Makes walkers for a contest, given the sets, starts (batch, inputs), a generator and the number of steps."""


def _steepest(contest: Contest, sets: Sets, starts: Tensor, generator: torch.Generator, steps: int) -> Walk:
    move = MOVES[sets.norm](sets, contest.restarts)
    return SteepestAscent(contest, starts, WalkOptions(window=steps), generator, move=move, steps=steps)


METHODS: dict[str, Begin] = {
    "steepest_ascent": _steepest,
    "gradient_walk": lambda contest, sets, starts, generator, steps: GradientWalk(
        contest, starts, WalkOptions(), generator
    ),
    "ppga": lambda contest, sets, starts, generator, steps: PPGA(contest, starts, PerturbationOptions(), generator),
    "ppga_lr": lambda contest, sets, starts, generator, steps: PPGALR(
        contest, starts, PPGALROptions(window=5), generator
    ),
}


def walk(walkers: Walk, steps: int, budget: Budget | None) -> tuple[int, Tensor]:
    """Return the steps done and the best point that the walkers of each sample met, shape (P, inputs).

    Parameters
    ----------
    walkers
        At their starts.
    steps
        Points that each of them visits, unless the time ends before.
    budget
        The time; None for no limit.

    Raises
    ------
    SolverError
        When the walkers of a sample met no finite value.
    """
    done = 0
    while done < steps and (done == 0 or budget is None or budget.left() > 0):
        done += 1
        if done == steps:  # from the last point no walker moves on
            walkers.look()
            break
        walkers.step()
        if done % walkers.options.window == 0:
            walkers.review()
    walkers.keep_incumbents()
    if not all_finite(walkers.incumbent_value):
        raise SolverError(f"the walk met no finite margin: the model overflows {walkers.x.dtype}; scale its weights")
    return done, walkers.incumbent_x
