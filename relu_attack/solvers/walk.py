"""What the gradient walks share: the step, the bookkeeping of excursions, the incumbent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.network import Evaluation, Workspace
from relu_attack.solvers.prepared import Prepared


@dataclass(frozen=True, kw_only=True)
class WalkOptions:
    """Options of every gradient walk.

    Attributes
    ----------
    learning_rate
        Raw gradient step ``x + learning_rate * gradient`` in the user's coordinates. By default steps are
        relative: `step` times the size of the set, along the normalized gradient.
    step
        Relative step length: the length of a move over that of the diagonal of the set's bounding box.
    window
        Steps between two reviews, in which stalled walkers are seen to.
    tolerance
        Relative gain over a window below which a walker counts as stalled.
    """

    learning_rate: float | None = None
    step: float = 0.1
    window: int = 10
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("learning_rate", "step", "window"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{name} must be a positive number, got {value}")
        if not isinstance(self.window, int):
            raise OptionError(f"window must be a whole number of steps, got {self.window}")
        if not self.tolerance >= 0:
            raise OptionError(f"tolerance must not be negative, got {self.tolerance}")


class Walk(ABC):
    """A batch of walkers: P problems times R restarts, one row each.

    An *excursion* is a walker's way from a start until it stalls. `step` moves every walker once and keeps the best
    point of its excursion; `review`, every `window` steps, keeps the incumbents and sends stalled walkers on.
    Nothing in `step` waits for the device.

    Parameters
    ----------
    prepared
        The problem in walking coordinates.
    starts
        Shape (batch, inputs).
    options
        Options of the method.
    generator
        Source of all randomness.
    """

    looks_at_walls: ClassVar[bool] = False
    """Whether the method reads preactivations, not only their signs."""

    def __init__(self, prepared: Prepared, starts: Tensor, options: WalkOptions, generator: torch.Generator) -> None:
        self.prepared = prepared
        self.options = options
        self.generator = generator
        self.x = starts
        self._workspace = Workspace(prepared.network, prepared.batch, in_place=not self.looks_at_walls)
        self._unit = float(torch.linalg.vector_norm(prepared.widths.double(), dim=-1).mean())
        nothing = torch.full((prepared.batch,), -torch.inf, dtype=starts.dtype, device=starts.device)
        self.excursion_x, self.excursion_value = starts.clone(), nothing.clone()
        self._window_value = nothing.clone()
        self._improved = torch.zeros_like(nothing, dtype=torch.bool)
        self.incumbent_x = prepared.by_problem(starts)[:, 0].clone()
        self.incumbent_value = prepared.by_problem(nothing)[:, 0].clone()

    def step(self) -> None:
        """Evaluate the current points, keep the best, and move along the gradient."""
        network, workspace = self.prepared.network, self._workspace
        evaluation = network.forward(self.x, workspace=workspace)
        self._keep_best(evaluation.outputs[:, 0])
        gradient = network.gradient(evaluation.preactivations, workspace=workspace)
        self._advance(evaluation, gradient)

    def _advance(self, evaluation: Evaluation, gradient: Tensor) -> None:
        """Move to the next points, given the pass through the current ones; in place, for the memory's sake."""
        self._ascend(gradient)
        self.x = self.prepared.project(self.x)

    def _keep_best(self, values: Tensor) -> None:
        self._improved = values > self.excursion_value
        # lerp by 0 or 1 copies exactly, and is several times faster than where with a broadcast mask.
        torch.lerp(self.excursion_x, self.x, self._improved[:, None].to(values.dtype), out=self.excursion_x)
        torch.maximum(values, self.excursion_value, out=self.excursion_value)

    def _ascend(self, gradient: Tensor) -> None:
        if self.options.learning_rate is not None:
            self.x.add_(gradient, alpha=self.options.learning_rate)
        else:
            self.x.addcmul_(gradient, self._step_per_norm(gradient), value=self.options.step)

    def _step_per_norm(self, gradient: Tensor) -> Tensor:
        """Return the factor (batch, 1) that makes each gradient as long as the set is wide."""
        norm: Tensor = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        # A gradient of zero must not become 0 * infinity, whatever the unit and the step.
        least = 1e6 * torch.finfo(gradient.dtype).tiny * max(self._unit, 1.0)
        return norm.clamp_min_(least).reciprocal_().mul_(self._unit)

    def review(self) -> None:
        """Keep the incumbents and send the walkers on that have stalled."""
        self.keep_incumbents()
        threshold = self._window_value + self.options.tolerance * self._window_value.abs()
        gained = (self.excursion_value > threshold) | torch.isinf(self._window_value)
        ended = self._ended(gained)
        if bool(ended.any()):
            starts = self._next_starts(ended)
            torch.where(ended[:, None], starts, self.x, out=self.x)
            self.excursion_value.masked_fill_(ended, -torch.inf)
        self._window_value.copy_(self.excursion_value)

    def keep_incumbents(self) -> None:
        """Take the best point of the excursions over as the incumbent of its problem where it is better."""
        values, index = self.prepared.by_problem(self.excursion_value).max(1)
        points = self.prepared.by_problem(self.excursion_x)
        points = points.gather(1, index[:, None, None].expand(-1, 1, points.shape[2]))[:, 0]
        better = values > self.incumbent_value
        self.incumbent_x = torch.where(better[:, None], points, self.incumbent_x)
        self.incumbent_value = torch.maximum(values, self.incumbent_value)

    def _ended(self, gained: Tensor) -> Tensor:
        """Return which excursions end, shape (batch,), given which walkers gained over the window."""
        return ~gained

    @abstractmethod
    def _next_starts(self, ended: Tensor) -> Tensor:
        """Return where each walker begins its next excursion, shape (batch, inputs); used where `ended`."""
