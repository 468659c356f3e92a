"""What the gradient walks share: the step, the bookkeeping of excursions, the incumbent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.network import Evaluation, Workspace
from relu_attack.solvers.ascent._scaled_problem import Prepared

# Points that a walk keeps before it looks for the best of them; more cost memory and gain no time. Large points, with
# which a step takes long in any case, are fewer: at most so many numbers, but where one is, and where it goes.
_MOST_SLOTS, _LEAST_SLOTS = 10, 2
_NUMBERS = {"cpu": 2**21, "cuda": 2**25}


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

    An *excursion* is a walker's way from a start until it stalls. `step` moves every walker once; `review`, every
    `window` steps, keeps the incumbents and sends stalled walkers on. Nothing in `step` waits for the device.

    The last few points stand in a row of buffers, and the best of them is taken over once the row is full: that moves
    less memory than a masked copy of the best point at each step.

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
        self._workspace = Workspace(prepared.network, prepared.batch, in_place=not self.looks_at_walls)
        most = _NUMBERS.get(starts.device.type, _NUMBERS["cuda"]) // starts.numel()
        slots = max(min(options.window, most, _MOST_SLOTS), _LEAST_SLOTS)
        self._slots = slots
        self._points = starts.new_empty(slots, *starts.shape)
        self._points[0] = starts
        self._values = torch.full((slots, prepared.batch), -torch.inf, dtype=starts.dtype, device=starts.device)
        # Views made once: on small networks each indexing would cost as much as a product.
        self._rows, self._value_columns = self._points.unbind(0), self._values.unsqueeze(2).unbind(0)
        self._slot = self._first_unread = self._unread = 0
        nothing = self._values[0].clone()
        self.excursion_x, self.excursion_value = starts.clone(), nothing.clone()
        self._window_value = nothing.clone()
        self._improved = torch.zeros_like(nothing, dtype=torch.bool)
        self.incumbent_x = prepared.by_problem(starts)[:, 0].clone()
        self.incumbent_value = prepared.by_problem(nothing)[:, 0].clone()

    @cached_property
    def _unit(self) -> float:
        """The diagonal of the set, in the mean of a batch."""
        return float(torch.linalg.vector_norm(self.prepared.widths.double(), dim=-1).mean())

    @property
    def x(self) -> Tensor:
        """Where the walkers are, shape (batch, inputs)."""
        return self._rows[self._slot]

    def step(self) -> None:
        """Evaluate the current points and move along the gradient."""
        evaluation, objective = self.look()
        gradient = self.prepared.network.gradient(
            evaluation.preactivations, objective, width=self._smoothing(), workspace=self._workspace
        )
        if self._unread == self._slots:
            self._keep_best()
        following = (self._slot + 1) % self._slots
        self._advance(evaluation, gradient, self._rows[following])
        self._slot = following

    def look(self) -> tuple[Evaluation, Tensor | None]:
        """Evaluate the current points and stay; return the pass and the rows whose gradient `step` would follow."""
        evaluation = self.prepared.network.forward(self.x, workspace=self._workspace)
        values, objective = self.prepared.judge(evaluation)
        self._value_columns[self._slot].copy_(values)
        self._unread += 1
        return evaluation, objective

    def _advance(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        """Write the next points to `out` (batch, inputs), given the pass through the current ones."""
        self._ascend(gradient, out)
        self._project_(out)

    def _smoothing(self) -> Tensor | None:
        """Return over which width around its breakpoint a unit counts in part, as `Network.gradient` takes it."""
        return None

    def _project_(self, points: Tensor) -> None:
        projected = self.prepared.project(points)
        if projected is not points:
            points.copy_(projected)

    def _keep_best(self) -> None:
        """Take the best of the points that were not looked at yet over as the best of their excursions."""
        if self._unread == 0:
            return
        slots = (torch.arange(self._unread, device=self.x.device) + self._first_unread) % self._slots
        values = self._values[slots]
        before = torch.cat([self.excursion_value[None], values[:-1]]).amax(0)
        self._improved = values[-1] > before
        value, index = values.max(0)
        better = (value > self.excursion_value)[:, None]
        best = (slots[index], torch.arange(len(index), device=index.device))
        self.excursion_x = torch.where(better, self._points[best], self.excursion_x)
        self.excursion_value = torch.maximum(value, self.excursion_value)
        self._first_unread = (self._first_unread + self._unread) % self._slots
        self._unread = 0

    def _ascend(self, gradient: Tensor, out: Tensor) -> None:
        if self.options.learning_rate is not None:
            torch.add(self.x, gradient, alpha=self.options.learning_rate, out=out)
        else:
            torch.addcmul(self.x, gradient, self._step_per_norm(gradient), value=self.options.step, out=out)

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
            self._move(ended[:, None], starts)
            self.excursion_value.masked_fill_(ended, -torch.inf)
        self._window_value.copy_(self.excursion_value)

    def _move(self, where: Tensor, points: Tensor) -> None:
        """Put the walkers that `where` (batch, 1) marks at `points` (batch, inputs)."""
        self.x.copy_(torch.where(where, points, self.x))

    def keep_incumbents(self) -> None:
        """Take the best point of the excursions over as the incumbent of its problem where it is better."""
        self._keep_best()
        values, points = self.excursion_value, self.excursion_x
        if self.prepared.restarts > 1:
            values, index = self.prepared.by_problem(values).max(1)
            points = self.prepared.by_problem(points)
            points = points.gather(1, index[:, None, None].expand(-1, 1, points.shape[2]))[:, 0]
        better = values > self.incumbent_value
        self.incumbent_x = torch.where(better[:, None], points, self.incumbent_x)
        self.incumbent_value = torch.maximum(values, self.incumbent_value)

    def best_of_walkers(self) -> tuple[Tensor, Tensor]:
        """Return the best point of each walker (problems, restarts, inputs) and its value (problems, restarts)."""
        self._keep_best()
        return self.prepared.by_problem(self.excursion_x), self.prepared.by_problem(self.excursion_value)

    def restart(self, chosen: Tensor, points: Tensor) -> None:
        """Begin anew with the walkers that are `chosen` (batch,), at `points` (batch, inputs)."""
        self.keep_incumbents()
        self._move(chosen[:, None], points)
        self.excursion_value.masked_fill_(chosen, -torch.inf)
        self._window_value.masked_fill_(chosen, -torch.inf)

    def renew(self, problems: Tensor) -> None:
        """Begin anew at random points with all walkers of the chosen `problems` (problems,); incumbents stay."""
        self.restart(problems.repeat_interleave(self.prepared.restarts), self.prepared.sample(self.generator))

    def agreed(self, radius: float) -> Tensor:
        """Return of which problems more than half of the walkers have their best points around one, shape (problems,).

        That one is the best of them, and around it is within `radius`, in diagonals of the set.
        """
        points, values = self.best_of_walkers()
        best = points[torch.arange(len(points), device=points.device), values.argmax(1)]
        distance = torch.linalg.vector_norm(points - best[:, None], dim=2)
        diagonal = torch.linalg.vector_norm(self.prepared.widths, dim=-1)
        # The best one agrees with itself: a single walker says nothing.
        near: Tensor = (distance <= radius * diagonal).sum(1)
        return (2 * near > self.prepared.restarts) & (near > 1)

    def best_values(self) -> Tensor:
        """Return the value of each problem's incumbent, float64 on the CPU, shape (problems,)."""
        return self.incumbent_value.to("cpu", torch.float64) + self.prepared.offset

    def _ended(self, gained: Tensor) -> Tensor:
        """Return which excursions end, shape (batch,), given which walkers gained over the window."""
        return ~gained

    @abstractmethod
    def _next_starts(self, ended: Tensor) -> Tensor:
        """Return where each walker begins its next excursion, shape (batch, inputs); used where `ended`."""
