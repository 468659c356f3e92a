"""Recording of a search: the trace of best values, and a progress bar."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from relu_attack._progress import progress_bar
from relu_attack.result import Trace
from relu_attack.solvers.core._budget import Budget

_SECONDS_BETWEEN_RECORDS = 0.02


class Recorder:
    """Trace and progress bar of one search.

    The bar shows the part of the budget that is spent, in iterations or seconds, and the gap to `upper`, float64,
    (problems,). A `sign` of -1 shows negated values, for a minimization; `unit` is the name of a step.
    """

    def __init__(self, budget: Budget, upper: Tensor, *, sign: float, progress: bool, unit: str = "steps") -> None:
        self.upper = upper
        self._budget, self._sign, self._unit = budget, sign, unit
        self._rows: list[tuple[float, int, Tensor]] = []
        self._total = float(budget.iterations or budget.time_limit or 0)
        self._bar = _bar(budget) if progress else None

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last record for another one."""
        return not self._rows or self._budget.elapsed() - self._rows[-1][0] >= _SECONDS_BETWEEN_RECORDS

    def record(self, iterations: int, values: Tensor, *, last: bool = False) -> None:
        """Record the best value of each problem, shape (problems,), after `iterations` steps."""
        elapsed = self._budget.elapsed()
        self._rows.append((elapsed, iterations, self._sign * values.to("cpu", torch.float64)))
        if self._bar is None:
            return
        best = int(values.argmax())
        gap = float(self.upper[best] - values[best])
        text = f"best {self._sign * float(values[best]):.6g}, gap {gap:.3g}, {iterations / elapsed:.0f} {self._unit}/s"
        self._bar.set_postfix_str(text, refresh=False)
        done = elapsed if self._budget.iterations is None else iterations
        self._bar.update(min(done, self._total) - self._bar.n)
        if last:
            self._bar.close()

    def trace(self) -> Trace:
        """Return the trace."""
        seconds, iterations, values = zip(*self._rows, strict=True)
        return Trace(torch.tensor(seconds, dtype=torch.float64), torch.tensor(iterations), torch.stack(values))


def _bar(budget: Budget) -> Any:
    if budget.iterations is None:
        form = "{l_bar}{bar}| {n:.1f}/{total:.1f} s{postfix}"
        return progress_bar(total=budget.time_limit, bar_format=form, desc="search")
    return progress_bar(total=budget.iterations, unit="step", desc="search")
