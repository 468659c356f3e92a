"""When a call must end: at its time limit, or once it is interrupted; one object that every long loop reads."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType


@dataclass(eq=False)
class Interruption:
    """Whether Ctrl-C was pressed, or SIGTERM arrived, since a call began."""

    happened: bool = False


class DoesNotFitError(Exception):
    """A part of a call does not fit into the time, or the memory, that is left; what was known before it stands."""


class OutOfTimeError(DoesNotFitError):
    """The same of the time."""


@dataclass(frozen=True)
class Deadline:
    """The moment after which a call begins nothing new; what is done by then is the answer.

    The moment `at` is a reading of ``time.perf_counter()``, infinite for none; `interruption` ends the call before.
    `memory` is in bytes that a part of the call may take at a time.

    >>> Deadline.after(-1.0).passed, Deadline().passed
    (True, False)
    >>> Deadline().left, Deadline.after(100.0).share(0.5).left < 51
    (inf, True)
    """

    at: float = math.inf
    interruption: Interruption = field(default_factory=Interruption, compare=False)
    memory: float = math.inf

    @staticmethod
    def after(seconds: float) -> Deadline:
        """Return the deadline `seconds` from now."""
        return Deadline(time.perf_counter() + seconds)

    @property
    def left(self) -> float:
        """Seconds that are left, infinite without a limit and never below 0."""
        if self.interruption.happened:
            return 0.0
        return math.inf if math.isinf(self.at) else max(self.at - time.perf_counter(), 0.0)

    @property
    def passed(self) -> bool:
        """Whether nothing new may begin."""
        return self.left == 0.0

    def require(self, seconds: float = 0.0, *, memory: float = 0.0) -> None:
        """Raise `OutOfTimeError` if less than `seconds` is left, `DoesNotFitError` if `memory` bytes do not fit."""
        left = self.left
        if left == 0.0 or left < seconds:
            raise OutOfTimeError
        if self.memory < memory:
            raise DoesNotFitError

    def share(self, share: float) -> Deadline:
        """Return the deadline of a part that may take a share of what is left from now."""
        return self if math.isinf(self.at) else self.within(share * self.left)

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and `seconds` from now, with the same interruption."""
        return replace(self, at=min(self.at, time.perf_counter() + seconds))


NEVER = Deadline()
"""The deadline of a call without a limit, which nothing interrupts."""


class _Note:
    """A signal handler that notes the first signal, and raises KeyboardInterrupt at the second Ctrl-C."""

    def __init__(self) -> None:
        self.interruption = Interruption()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.interruption.happened and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.interruption.happened = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Record Ctrl-C and SIGTERM during a call, which ends at its next check of the deadline with the best so far.

    That is so in the main thread, and only for signals that nobody else handles: KeyboardInterrupt is Python's answer
    to Ctrl-C, and the end of the process that to SIGTERM. Both are as they were afterwards. A call within a call shares
    its interruption.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Interruption()
        return
    outer = signal.getsignal(signal.SIGINT)
    if isinstance(outer, _Note):
        yield outer.interruption
        return
    note, before = _Note(), {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                before[number] = signal.signal(number, note)
        yield note.interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
