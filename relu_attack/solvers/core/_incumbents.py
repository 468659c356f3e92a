"""Incumbents: the best feasible point and bound of each problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem
from relu_attack.result import OPTIMALITY, Status, relative_gap
from relu_attack.solvers.core._budget import Budget
from relu_attack.solvers.core._recorder import Recorder
from relu_attack.solvers.core._settings import Answer, Interrupted, Settings


class Incumbents:
    """Best points, bounds, trace and progress of a search; every value is a float64 forward pass.

    Parameters
    ----------
    problem
        The problems.
    settings
        Budget, sense and progress.
    upper
        Initial certified upper bounds, float64, shape (problems,).
    unit
        Name of a step in the progress bar.

    Attributes
    ----------
    x
        Best point of each problem, in the set's dtype, shape (problems, inputs).
    value, violation
        Objective and violation of the output constraints at `x`, float64, shape (problems,).
    upper, certified
        Best upper bounds, and where they hold in real arithmetic, shape (problems,).
    found_by
        Part of the search that offered `x`, one name a problem.
    """

    def __init__(self, problem: Problem, settings: Settings, upper: Tensor, *, unit: str) -> None:
        self.problem = problem
        self.upper, self.certified = upper.clone(), torch.ones_like(upper, dtype=torch.bool)
        domain = problem.domain
        self.x = torch.zeros(problem.problems, domain.inputs, dtype=domain.dtype, device=domain.device)
        self.value, self.violation = torch.full_like(upper, -torch.inf), torch.full_like(upper, torch.inf)
        self.found_by = [""] * problem.problems
        self.steps, self._goal = 0, settings.goal
        self._path: list[Tensor] | None = [] if settings.record_path else None
        self._singles = [problem.single(index) for index in range(problem.problems)]
        self._recorder = Recorder(
            settings.budget, self.upper, sign=settings.sign, progress=settings.progress, unit=unit
        )

    def single(self, index: int) -> Problem:
        """Return problem `index` as a problem of its own."""
        return self._singles[index]

    def offer(self, index: int, points: Tensor, found_by: str) -> bool:
        """Project `points` (points, inputs) onto the set of problem `index`; return whether the incumbent changed."""
        problem = self._singles[index]
        domain = problem.domain
        inside = domain.round(domain.project(points.to(domain.device, domain.dtype)))
        values, violations = (entry[0] for entry in problem.evaluate(inside[None]))
        place = int(rank(values, violations).argmax())
        value, violation = values[place], violations[place]
        both = rank(torch.stack([self.value[index], value]), torch.stack([self.violation[index], violation]))
        if not bool(both[1] > both[0]):
            return False
        self.x[index], self.value[index], self.violation[index] = inside[place], value, violation
        self.found_by[index] = found_by
        return True

    def offer_each(self, points: Tensor, found_by: str, *, chosen: Tensor | None = None) -> None:
        """Offer points to all problems at once, or to the `chosen` ones (problems,).

        Points have the shape (problems or 1, points, inputs).
        """
        domain, problems = self.problem.domain, self.problem.problems
        points = points.to(domain.device, domain.dtype).expand(problems, -1, -1)
        inside = domain.round(domain.project(points))
        values, violations = self.problem.evaluate(inside)
        every, place = torch.arange(problems), rank(values, violations).argmax(1)
        value, violation = values[every, place], violations[every, place]
        both = rank(torch.stack([self.value, value], 1), torch.stack([self.violation, violation], 1))
        better = both[:, 1] > both[:, 0]
        if chosen is not None:
            better &= chosen
        at = better.to(domain.device)[:, None]
        self.x = torch.where(at, inside[every.to(domain.device), place.to(domain.device)], self.x)
        self.value = torch.where(better, value, self.value)
        self.violation = torch.where(better, violation, self.violation)
        for index in torch.nonzero(better).flatten().tolist():
            self.found_by[index] = found_by

    @contextmanager
    def keeping(self, index: int, found_by: str) -> Iterator[None]:
        """Offer the point of a part of the search on problem `index` that Ctrl-C interrupts."""
        try:
            yield
        except Interrupted as interrupted:
            self.offer(index, interrupted.x.reshape(1, -1), found_by)
            raise

    def bound(self, index: int, upper: float, *, certified: bool) -> None:
        """Update the upper bound of problem `index` if the new one is better.

        A certified bound that closes the gap is preferred to an uncertified one, whichever is lower. An infeasibility
        proof is ignored if some point is feasible within tolerance, which the proof would make an optimum.
        """
        if upper == -torch.inf and self.is_feasible(index):
            return
        current, proven = self.upper[index], bool(self.certified[index])
        better = upper < float(current)
        if certified and not proven:
            better |= self._closes(index, current.new_tensor(upper), OPTIMALITY)
        elif proven and not certified:
            better &= not self._closes(index, current, OPTIMALITY)
        if better:
            self.upper[index], self.certified[index] = upper, certified

    def has_point(self, index: int) -> bool:
        """Return whether a point was offered to problem `index`."""
        return float(self.violation[index]) < torch.inf

    def is_feasible(self, index: int) -> bool:
        """Return whether the incumbent of problem `index` satisfies the output constraints."""
        return float(self.violation[index]) <= TOLERANCE

    def is_closed(self, index: int, gap: float) -> bool:
        """Whether problem `index` is solved: to a relative gap, to the goal, or because nothing is feasible."""
        if self.is_feasible(index) and float(self.value[index]) >= self._goal:
            return True
        return self._closes(index, self.upper[index], gap)

    def _closes(self, index: int, upper: Tensor, gap: float) -> bool:
        value = self.value[index]
        if not self.is_feasible(index):
            return float(upper) == -torch.inf
        return bool(upper <= value) or float(relative_gap(value, upper, self.problem.scale[index])) <= gap

    def visit(self, x: Tensor) -> None:
        """Append a point (inputs,) to the path of a single problem, if paths are recorded."""
        if self._path is not None:
            self._path.append(x.detach().to("cpu", torch.float64).clone())

    def step(self, count: int = 1) -> None:
        """Count steps, and extend the trace when a record is due."""
        self.steps += count
        if self._recorder.due:
            self._recorder.record(self.steps, self._shown())

    def run_round_robin(self, walks: Sequence[Iterator[None]], budget: Budget) -> Answer:
        """Advance the searches of all problems in turn until the budget is spent or every gap is closed."""
        status = Status.FEASIBLE
        try:
            while True:
                stopped = budget.spent(self.steps)
                waiting = [entry for entry in enumerate(walks) if not self.is_closed(entry[0], OPTIMALITY)]
                if stopped is not None or not waiting:
                    status = stopped or status
                    break
                for index, walk in waiting:
                    if budget.deadline.passed:
                        break
                    with self.keeping(index, "gradient_walk"):
                        next(walk)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        return self.answer(status, self.steps)

    def answer(self, status: Status, evaluations: int) -> Answer:
        """Return the answer of the search; a problem without a point gets the center of its set."""
        missing = torch.isinf(self.violation)
        if bool(missing.any()):
            self.offer_each(self.problem.domain.center().reshape(-1, 1, self.x.shape[1]), "center", chosen=missing)
        self._recorder.record(self.steps, self._shown(), last=True)
        return Answer(
            candidates=self.x[:, None],
            upper=self.upper,
            certified=self.certified,
            status=status,
            iterations=self.steps,
            evaluations=evaluations,
            trace=self._recorder.trace(),
            path=torch.stack(self._path)[:, None, None] if self._path else None,
            found_by=tuple(self.found_by),
        )

    def _shown(self) -> Tensor:
        return torch.where(self.violation <= TOLERANCE, self.value, -torch.inf)


def gains(problem: Problem, one: Tensor, other: Tensor, tolerance: float) -> bool:
    """Return whether input `one` (inputs,) of a single problem beats `other` by more than a relative tolerance."""
    values, violations = (entry[0] for entry in problem.evaluate(torch.stack([one, other])[None]))
    values[1] += tolerance * values[1].abs()
    order = rank(values, violations)
    return bool(order[0] > order[1])


def rank(values: Tensor, violations: Tensor) -> Tensor:
    """Rank points: infeasible ones by violation, then feasible ones by value.

    The best of (..., points) has the highest rank; equal points share a rank.
    """
    breaks = torch.where(violations <= TOLERANCE, 0.0, violations)
    # Compared pairwise: a value and a violation share no scale on which one number could hold both.
    mine, other = breaks[..., :, None], breaks[..., None, :]
    better = (mine < other) | ((mine == other) & (values[..., :, None] > values[..., None, :]))
    return better.sum(-1)
