"""Budget of a search: limits of time, iterations and memory."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

from relu_attack._checks import is_number, whole_number
from relu_attack._deadline import Deadline, Interruption
from relu_attack.errors import OptionError
from relu_attack.result import Status

# What takes less after a search needs no time of it.
_UNRESERVED_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits of a search; at least one of `iterations` and `time_limit` is given.

    An iteration is a step of each walker, or a program; `time_limit` is in seconds from `began`, a reading of
    ``time.perf_counter()``. Ctrl-C or SIGTERM set the `interruption`. `memory_limit` is in bytes that one step of the
    search may allocate.
    """

    iterations: int | None = None
    time_limit: float | None = None
    began: float = field(default_factory=time.perf_counter)
    interruption: Interruption = field(default_factory=Interruption)
    memory_limit: float = math.inf

    def __post_init__(self) -> None:
        if self.iterations is not None:
            whole_number(self.iterations, name="iterations", least=1)
        if self.time_limit is not None and not (is_number(self.time_limit) and self.time_limit > 0):
            raise OptionError(f"time_limit must be a positive number of seconds, got {self.time_limit!r}")
        if self.iterations is None and self.time_limit is None:
            raise OptionError("a budget needs iterations, a time_limit or both")

    @property
    def deadline(self) -> Deadline:
        """The end of the time limit, or the interruption if it comes first."""
        limit = math.inf if self.time_limit is None else self.time_limit
        return Deadline(self.began + limit, self.interruption, self.memory_limit)

    @property
    def limits(self) -> str:
        """The limits in words."""
        given = {"iterations": self.iterations, "seconds": self.time_limit}
        return ", ".join(f"{value:g} {name}" for name, value in given.items() if value is not None)

    def elapsed(self) -> float:
        """Return the seconds since `began`."""
        return time.perf_counter() - self.began

    def left(self) -> float:
        """Return the remaining seconds: at least 0, 0 after an interruption, infinite without a time limit."""
        return self.deadline.left

    def share_left(self, iterations: int) -> float:
        """Return the remaining share of the budget after `iterations` steps, by the limit that is nearer."""
        steps = 0.0 if self.iterations is None else iterations / self.iterations
        time = 0.0 if self.time_limit is None else self.elapsed() / self.time_limit
        return max(1.0 - max(steps, time), 0.0)

    def part(self, *, seconds: float | None = None, iterations: int | None = None) -> Budget:
        """Return a budget for a part of the search: seconds from now, at most the remaining time, or iterations."""
        now = self.elapsed()
        limits = [self.time_limit, None if seconds is None else now + seconds]
        given = [limit for limit in limits if limit is not None]
        limit = max(min(given), 1e-9) if given else None
        return replace(self, iterations=iterations, time_limit=limit)

    def reserving(self, seconds: float) -> Budget:
        """Return the budget of a search that leaves some seconds, if time is limited, for what follows it."""
        if self.time_limit is None or seconds <= _UNRESERVED_SECONDS:
            return self
        return replace(self, time_limit=max(self.time_limit - seconds, 1e-9))

    def spent(self, iterations: int) -> Status | None:
        """Return the reason to stop after `iterations` steps, or None."""
        if self.interruption.happened:
            return Status.INTERRUPTED
        if self.iterations is not None and iterations >= self.iterations:
            return Status.ITERATION_LIMIT
        if self.time_limit is not None and self.elapsed() >= self.time_limit:
            return Status.TIME_LIMIT
        return None
