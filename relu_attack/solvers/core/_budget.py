"""What a search may spend."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

from relu_attack._deadline import Deadline, Interruption
from relu_attack.errors import OptionError
from relu_attack.result import Status


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a search may spend; at least one of the two limits is given.

    Attributes
    ----------
    iterations
        Steps: of each walker, or programs solved.
    time_limit
        Seconds from `began`; none by default.
    began
        Reading of ``time.perf_counter()`` from which the time counts.
    interruption
        What ends the search before that.
    memory_limit
        Bytes that a part of the search may take at a time.
    """

    iterations: int | None = None
    time_limit: float | None = None
    began: float = field(default_factory=time.perf_counter)
    interruption: Interruption = field(default_factory=Interruption)
    memory_limit: float = math.inf

    def __post_init__(self) -> None:
        whole = isinstance(self.iterations, int) and not isinstance(self.iterations, bool)
        if self.iterations is not None and not (whole and self.iterations >= 1):
            raise OptionError(f"iterations must be a whole number of at least 1, got {self.iterations!r}")
        number = isinstance(self.time_limit, int | float) and not isinstance(self.time_limit, bool)
        if self.time_limit is not None and not (number and self.time_limit > 0):
            raise OptionError(f"time_limit must be a positive number of seconds, got {self.time_limit!r}")
        if self.iterations is None and self.time_limit is None:
            raise OptionError("a budget needs iterations, a time_limit or both")

    @property
    def deadline(self) -> Deadline:
        """When the time is up, or the search is interrupted."""
        limit = math.inf if self.time_limit is None else self.time_limit
        return Deadline(self.began + limit, self.interruption, self.memory_limit)

    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.perf_counter() - self.began

    def left(self) -> float:
        """Return the seconds that are left, infinite without a time limit, never below 0, and 0 once interrupted."""
        return self.deadline.left

    def share_left(self, iterations: int) -> float:
        """Return the share of the budget that is left after that many steps, by the limit that is nearer."""
        steps = 0.0 if self.iterations is None else iterations / self.iterations
        time = 0.0 if self.time_limit is None else self.elapsed() / self.time_limit
        return max(1.0 - max(steps, time), 0.0)

    def part(self, *, seconds: float | None = None, iterations: int | None = None) -> Budget:
        """Return a budget for a part of the search: so many seconds from now, at most what is left, or steps."""
        now = self.elapsed()
        limits = [self.time_limit, None if seconds is None else now + seconds]
        given = [limit for limit in limits if limit is not None]
        limit = max(min(given), 1e-9) if given else None
        return replace(self, iterations=iterations, time_limit=limit)

    def spent(self, iterations: int) -> Status | None:
        """Return why to stop after that many steps, or None."""
        if self.interruption.happened:
            return Status.INTERRUPTED
        if self.iterations is not None and iterations >= self.iterations:
            return Status.ITERATION_LIMIT
        if self.time_limit is not None and self.elapsed() >= self.time_limit:
            return Status.TIME_LIMIT
        return None
