"""HiGHS callbacks: progress reports, and interruption by Ctrl-C or by the caller."""

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
    """Progress of a mixed-integer solve, in the sense of the program: a maximization with its constant.

    Attributes
    ----------
    seconds
        Time since the start of the solve.
    value
        The objective at the incumbent; minus infinity without one.
    bound
        The solver's upper bound, not certified; infinite before it has one.
    x
        A new incumbent, verified as in a `Solution`, shape (columns,); None if it is unchanged.
    """

    seconds: float
    value: float
    bound: float
    x: Array | None


ProgressCallback = Callable[[SolverProgress], object]
StopCallback = Callable[[], object]


@dataclass(eq=False)
class SolverCallbacks:
    """Callbacks of a caller during a HiGHS solve.

    No Python exception may cross HiGHS, which is C++: an exception of a callback stops the solver and is re-raised
    afterwards. Ctrl-C sets a flag during the solve, as a KeyboardInterrupt could be raised at any instruction.
    """

    program: Program
    on_progress: ProgressCallback | None = None
    stop: StopCallback | None = None
    unit: float = 1.0  # divisor of the objective inside the solver
    interrupted: bool = False
    _error: BaseException | None = None
    _value: float = -math.inf
    _bound: float = math.inf
    _began: float = field(default_factory=time.perf_counter)

    def attach(self, highs: Any) -> None:
        """Register the callbacks with HiGHS, in place of earlier ones."""
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
        """Defer Ctrl-C and SIGTERM during a solve in the main thread; afterwards re-raise exceptions of the callbacks.

        A mixed-integer program has an incumbent to return. A linear one has none and is often one of many, so
        KeyboardInterrupt is raised after it. A handler other than Python's own belongs to the application and is called
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

    def _report(self, on_progress: ProgressCallback, output: Any, *, has_point: bool) -> None:
        program, news = self.program, None
        if has_point:
            point = cleaned_point(program, np.array(output.mip_solution))
            if point is not None and program.value(point) > self._value:
                self._value, news = program.value(point), point
        # HiGHS minimizes, without the constant.
        bound = program.constant - self.unit * float(output.mip_dual_bound)
        if news is None and not bound < self._bound:
            return
        self._bound = min(self._bound, bound)
        seconds = time.perf_counter() - self._began
        on_progress(SolverProgress(seconds=seconds, value=self._value, bound=self._bound, x=news))
