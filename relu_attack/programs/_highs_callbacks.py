"""What happens while HiGHS runs: progress is passed on, and Ctrl-C, or a caller's wish, stops it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu_attack.programs._program import Program
from relu_attack.programs._solver_report import cleaned_point

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SolverProgress:
    """Where the solve of a mixed-integer program stands, in the sense of the program: a maximization with its constant.

    Attributes
    ----------
    seconds
        Since the solve began.
    value
        The objective at the best feasible point so far, evaluated here; minus infinity without one.
    bound
        The solver's upper bound, not certified; infinite where it has none yet.
    x
        The best feasible point, checked as that of a `Solution` is, shape (columns,), when it is new; else None.
    """

    seconds: float
    value: float
    bound: float
    x: Array | None


ProgressCallback = Callable[[SolverProgress], object]
StopCallback = Callable[[], object]


@dataclass(eq=False)
class SolverCallbacks:
    """Listens to HiGHS on behalf of a caller, and stops it.

    HiGHS is C++, which no Python exception may cross: what the caller's functions raise is kept, stops the solver, and
    is raised after it. A KeyboardInterrupt could come at any instruction, so Ctrl-C only sets a flag meanwhile.
    """

    program: Program
    on_progress: ProgressCallback | None = None
    stop: StopCallback | None = None
    unit: float = 1.0  # what the solver divides the objective by
    interrupted: bool = False
    _error: BaseException | None = None
    _value: float = -math.inf
    _bound: float = math.inf
    _began: float = field(default_factory=time.perf_counter)

    def attach(self, highs: Any) -> None:
        """Have HiGHS call this watch; the one before, if any, is replaced."""
        from highspy import cb

        improving = int(cb.HighsCallbackType.kCallbackMipImprovingSolution)
        status = int(cb.HighsCallbackType.kCallbackMipInterrupt)

        def call(kind: int, _message: str, output: Any, request: Any, _data: object) -> None:
            try:
                if self.on_progress is not None and int(kind) in (improving, status):
                    self._report(self.on_progress, output, has_point=int(kind) == improving)
                if self.stop is not None and self.stop():
                    self.interrupted = True
            except BaseException as error:
                self._error = error
            if (self.interrupted or self._error is not None) and request is not None:
                request.user_interrupt = True

        highs.setCallback(call, None)
        for kind in ("SimplexInterrupt", "IpmInterrupt", "MipInterrupt", "MipImprovingSolution"):
            highs.startCallback(getattr(cb.HighsCallbackType, f"kCallback{kind}"))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Hold back Ctrl-C and SIGTERM while HiGHS runs in the main thread, and raise what callers' functions did.

        A mixed-integer program then has an incumbent to give. A linear one has nothing, and is often one of many: there
        KeyboardInterrupt is raised after all. A handler other than Python's own is the application's: it is called
        after the solve.
        """
        handlers = {}
        if threading.current_thread() is threading.main_thread():
            known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            handlers = {number: handler for number, handler in known.items() if callable(handler)}
        pressed: list[int] = []

        def note(number: int, _frame: FrameType | None) -> None:
            self.interrupted = True
            pressed.append(number)

        for number in handlers:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, before in handlers.items():
                signal.signal(number, before)
        for came in pressed:
            handler = handlers[signal.Signals(came)]
            if not (handler is signal.default_int_handler and self.program.is_mixed_integer):
                handler(came, None)
        if self._error is not None:
            raise self._error

    def _report(self, listener: ProgressCallback, output: Any, *, has_point: bool) -> None:
        program, news = self.program, None
        if has_point:
            point = cleaned_point(program, np.array(output.mip_solution))
            if point is not None and program.value(point) > self._value:
                self._value, news = program.value(point), point
        # The bound of the minimization without a constant that HiGHS is given.
        bound = program.constant - self.unit * float(output.mip_dual_bound)
        if news is None and not bound < self._bound:
            return
        self._bound = min(self._bound, bound)
        seconds = time.perf_counter() - self._began
        listener(SolverProgress(seconds=seconds, value=self._value, bound=self._bound, x=news))
