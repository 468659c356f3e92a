"""Time limits of calls that read their model: what the reading may take, and the named error at its end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.parameter import is_lazy

from relu_attack._deadline import NEVER, Deadline, OutOfTimeError
from relu_attack.errors import TimeLimitError

# Modules, and numbers in weights and values, of a model that is read and compared in about a tenth of a second.
_QUICK_MODULES, _QUICK_NUMBERS = 100, 2**20


def time_to_read(module: nn.Module, shape: Sequence[int], deadline: Deadline) -> Deadline:
    """Return the deadline for reading a module of inputs of some shape.

    A small model is read whatever the time is, within what a call may take beyond its limit, so that there is an answer
    for every limit.
    """
    modules = sum(1 for _ in module.modules())
    weights = sum(parameter.numel() for parameter in module.parameters() if not is_lazy(parameter))
    numbers = weights + modules * math.prod(shape)
    return NEVER if modules <= _QUICK_MODULES and numbers <= _QUICK_NUMBERS else deadline


@contextmanager
def within_time(deadline: Deadline) -> Iterator[None]:
    """Turn the end of the time in which a model is read into one named line.

    Raises
    ------
    TimeLimitError
        At the time limit.
    KeyboardInterrupt
        After Ctrl-C, as nothing is known that could be returned.
    """
    try:
        yield
    except OutOfTimeError:
        if deadline.interruption.happened:
            raise KeyboardInterrupt from None
        raise TimeLimitError(
            "the time limit ended while the model was read and compared with its chain; give a larger time_limit, or "
            "for several searches read it once, by ReLUOptimizer(model, domain)"
        ) from None
