"""Batched ascent: the state of all walkers, moved by a step rule and sent on by a restart policy."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.network import Evaluation, Workspace
from relu_attack.solvers.ascent._capture import CapturedWindow, KernelGraph
from relu_attack.solvers.ascent._iterates import Iterates
from relu_attack.solvers.ascent._problem import AscentProblem
from relu_attack.solvers.ascent._restarts import RestartPolicy
from relu_attack.solvers.ascent._step_rules import StepRule

# Factor on the largest gradient for each step since.
_SLOPE_DECAY = 0.9


class Ascent:
    """A batch of walkers: P problems times R restarts, one row each.

    An *excursion* is a walker's way from a start until its step rule ends it. `step` moves every walker once;
    `review`, every `window` steps, updates the incumbents and restarts the walkers whose excursion has ended. Nothing
    in `step` waits for the device.

    Parameters
    ----------
    problem
        Network, set and target.
    starts
        Shape (batch, inputs).
    step_rule
        Direction and length of the steps, and when an excursion ends.
    restarts
        Where the next excursion starts.
    generator
        Source of all randomness.
    window
        Steps between two reviews.
    tolerance
        Relative gain over a window below which a walker counts as stalled.

    Attributes
    ----------
    excursion_x, excursion_value
        Best point of the excursion of each walker, shapes (batch, inputs) and (batch,).
    incumbent_x, incumbent_value
        Best point of each problem, shapes (problems, inputs) and (problems,).
    improved
        Whether the last iterate before an update was better than all before, boolean, shape (batch,).
    """

    def __init__(
        self,
        problem: AscentProblem,
        starts: Tensor,
        step_rule: StepRule,
        restarts: RestartPolicy,
        generator: torch.Generator,
        *,
        window: int,
        tolerance: float = 0.0,
    ) -> None:
        self.problem, self.generator, self.window = problem, generator, window
        self._step_rule, self._restarts, self._tolerance = step_rule, restarts, tolerance
        self._workspace = Workspace(problem.network, problem.batch, in_place=not step_rule.needs_preactivations)
        self._set = problem.walked()
        starts = self._set.begin(starts)
        self._iterates = Iterates(starts, window)
        # Largest norm of a gradient lately: the rate at which a point outside may gain.
        self._slope = torch.zeros_like(starts[:, :1])
        self._norm: Tensor | None = None  # of the gradient at the current points, once it is known
        nothing = torch.full((problem.batch,), -torch.inf, dtype=starts.dtype, device=starts.device)
        self.excursion_x, self.excursion_value = starts.clone(), nothing.clone()
        self._window_value = nothing.clone()
        self.improved = torch.zeros_like(nothing, dtype=torch.bool)
        self.incumbent_x = problem.by_problem(starts)[:, 0].clone()
        self.incumbent_value = problem.by_problem(nothing)[:, 0].clone()
        restarts.begin(problem, self._set, generator)
        step_rule.begin(self)

    @property
    def memory(self) -> tuple[object, ...]:
        """The objects whose tensors and counters a step changes."""
        return self, self._iterates, self._step_rule, *self._set.memory

    def capture(self, graph: KernelGraph) -> CapturedWindow:
        """Return the steps between two reviews as one launch.

        Raises
        ------
        OptionError
            Where not every window is the same.
        """
        period = math.lcm(self._iterates.period, self._set.period)
        if not self._step_rule.is_periodic or self.window % period:
            raise OptionError(f"capture needs windows that are alike: window must be a multiple of {period} here")
        return CapturedWindow(self, graph)

    @property
    def x(self) -> Tensor:
        """The current points, shape (batch, inputs)."""
        return self._iterates.current

    @cached_property
    def diagonal(self) -> float:
        """Length of the diagonal of the set's bounding box, in the mean of a batch."""
        return float(torch.linalg.vector_norm(self.problem.widths.double(), dim=-1).mean())

    def step(self) -> None:
        """Evaluate the current points and move along the gradient."""
        evaluation, values, coefficients = self._evaluate()
        gradient = self.problem.network.gradient(
            evaluation.preactivations, coefficients, width=self._step_rule.smoothing(), workspace=self._workspace
        )
        gradient = self._set.tangent(gradient)
        self._record(values, gradient)
        if self._iterates.full:
            self._take_best()
        self._step_rule.move(evaluation, gradient, self._iterates.following)
        self._iterates.advance()

    def look(self) -> None:
        """Evaluate the current points and stay."""
        self._record(self._evaluate()[1])

    def _evaluate(self) -> tuple[Evaluation, Tensor, Tensor | None]:
        evaluation = self.problem.network.forward(self.x, workspace=self._workspace)
        return evaluation, *self.problem.target.look(evaluation.outputs)

    def _record(self, values: Tensor, gradient: Tensor | None = None) -> None:
        """Record values (batch, 1) of the current points, less the penalty where these leave the set."""
        violation, self._norm = self._set.violation, None
        if violation is not None:
            if gradient is not None:
                self._norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
                torch.maximum(self._slope.mul_(_SLOPE_DECAY), self._norm, out=self._slope)
            values = self._penalized(values, violation)
        self._iterates.record(values)

    def _penalized(self, values: Tensor, violation: Tensor) -> Tensor:
        # Less what a point outside may have gained there, as the gain decides on steps. What an excursion has come
        # to is known once its end has closed in on the set.
        return torch.addcmul(values, self._slope, violation, value=-1.0)

    def project_(self, points: Tensor) -> None:
        """Move points (batch, inputs) to which the walkers took a step back to the set, in place."""
        self._set.project_(points)

    def factor_to_diagonal(self, gradient: Tensor) -> Tensor:
        """Return the factor (batch, 1) that makes each gradient as long as the diagonal of the set."""
        norm = self._norm
        if norm is None:
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        # A gradient of zero must not become 0 * infinity, whatever the diagonal and the step.
        least = 1e6 * torch.finfo(gradient.dtype).tiny * max(self.diagonal, 1.0)
        return norm.clamp_min(least).reciprocal_().mul_(self.diagonal)

    def review(self) -> None:
        """Update the incumbents and restart the walkers whose excursion has ended."""
        self._take_best()
        threshold = self._window_value + self._tolerance * self._window_value.abs()
        gained = (self.excursion_value > threshold) | torch.isinf(self._window_value)
        ended = self._step_rule.ended(gained)
        any_ended = bool(ended.any())
        if self._set.violation is None:
            self._offer(self.excursion_x, self.excursion_value)
        elif any_ended:
            self._settle(ended)
        if any_ended:
            starts = self._restarts.next_starts(ended, self.excursion_x, self.excursion_value)
            starts = self._set.restart(ended, starts)
            self._move(ended, starts)
            self.excursion_value.masked_fill_(ended, -torch.inf)
        self._window_value.copy_(self.excursion_value)

    def place(self, chosen: Tensor, points: Tensor) -> None:
        """Place the walkers that are `chosen` (batch,) at `points` (batch, inputs); their excursions go on."""
        self._move(chosen, points)
        self._set.place(chosen, self.x)

    def _move(self, chosen: Tensor, points: Tensor) -> None:
        self.x.copy_(torch.where(chosen[:, None], points, self.x))

    def _settle(self, ended: Tensor) -> None:
        """Let the walkers whose excursion has ended close in on the set; their points there are what it has come to."""
        self.x.copy_(self._set.settle(ended, self.x))
        violation = self._set.violation
        assert violation is not None
        values = self._penalized(self._evaluate()[1], violation)[:, 0]
        self.excursion_x = torch.where(ended[:, None], self.x, self.excursion_x)
        self.excursion_value = torch.where(ended, values, self.excursion_value)
        self._offer(self.excursion_x, self.excursion_value.masked_fill(~ended, -torch.inf))

    def _take_best(self) -> None:
        if not self._iterates.empty:
            best = self._iterates.take_best(self.excursion_x, self.excursion_value)
            self.excursion_x, self.excursion_value, self.improved = best

    def update_incumbents(self) -> None:
        """Replace the incumbent of each problem by the best point of the excursions where that is better."""
        self._take_best()
        if self._set.violation is None:
            self._offer(self.excursion_x, self.excursion_value)
            return
        # Excursions have not come to an end: their best points are brought into the set beside the walk.
        closed, violation = self._set.closed(self.excursion_x)
        values, _ = self.problem.target.look(self.problem.network.forward(closed).outputs)
        values = self._penalized(values, violation)[:, 0]
        self._offer(closed, values.masked_fill(torch.isinf(self.excursion_value), -torch.inf))

    def _offer(self, points: Tensor, values: Tensor) -> None:
        """Offer points (batch, inputs) with their values (batch,) to the incumbents."""
        if self.problem.restarts > 1:
            values, index = self.problem.by_problem(values).max(1)
            points = self.problem.by_problem(points)
            points = points.gather(1, index[:, None, None].expand(-1, 1, points.shape[2]))[:, 0]
        better = values > self.incumbent_value
        self.incumbent_x = torch.where(better[:, None], points, self.incumbent_x)
        self.incumbent_value = torch.maximum(values, self.incumbent_value)

    def best_of_walkers(self) -> tuple[Tensor, Tensor]:
        """Return the best point of each walker (problems, restarts, inputs) and its value (problems, restarts)."""
        self._take_best()
        x, value = self._restarts.better_of(self.excursion_x, self.excursion_value)
        return self.problem.by_problem(x), self.problem.by_problem(value)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the best points of the walkers and of their excursions, and values; twice as many as there are."""
        x, value = self.best_of_walkers()
        by_problem = self.problem.by_problem
        return (
            torch.cat([x, by_problem(self.excursion_x)], 1),
            torch.cat([value, by_problem(self.excursion_value)], 1),
        )

    def adopt(self, chosen: Tensor, points: Tensor) -> None:
        """Replace the best points of the walkers that are `chosen` (batch,) by `points` (batch, inputs) if better.

        Their excursions go on.
        """
        values, _ = self.problem.target.look(self.problem.network.forward(points).outputs)
        self._restarts.adopt(chosen, points, values[:, 0])

    def restart(self, chosen: Tensor, points: Tensor) -> None:
        """Start new excursions of the walkers that are `chosen` (batch,), at `points` (batch, inputs)."""
        self._restart(chosen, points)
        self._step_rule.restarted(chosen)

    def restart_all(self, problems: Tensor) -> None:
        """Restart all walkers of the chosen `problems` (problems,) at random points; incumbents stay."""
        chosen = problems.repeat_interleave(self.problem.restarts)
        self._restart(chosen, self._set.sample(self.generator))
        self._step_rule.restarted(chosen, first=True)

    def _restart(self, chosen: Tensor, points: Tensor) -> None:
        self.update_incumbents()
        self.place(chosen, points)
        self.excursion_value.masked_fill_(chosen, -torch.inf)
        self._window_value.masked_fill_(chosen, -torch.inf)
        self._restarts.forget(chosen)

    def collapsed(self, radius: float) -> Tensor:
        """Return in which problems more than half of the walkers have their best points around one, shape (problems,).

        That one is the best of them, and around it is within `radius`, in diagonals of the set.
        """
        points, values = self.best_of_walkers()
        best = points[torch.arange(len(points), device=points.device), values.argmax(1)]
        distance = torch.linalg.vector_norm(points - best[:, None], dim=2)
        diagonal = torch.linalg.vector_norm(self.problem.widths, dim=-1)
        # The best one is near itself: a single walker says nothing.
        near: Tensor = (distance <= radius * diagonal).sum(1)
        return (2 * near > self.problem.restarts) & (near > 1)
