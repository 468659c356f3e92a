"""Forward passes of a user's module on copies of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from relu_attack._checks import in_one_line
from relu_attack._deadline import NEVER, Deadline, OutOfTimeError
from relu_attack.errors import ModelError, ReLUAttackError
from relu_attack.model._watching import before_modules

# Largest number of inputs in one forward pass, and of entries in them: large images have many activations.
_MAX_BATCH, _MAX_ENTRIES = 1024, 2**22


def run_module(module: Callable[[Tensor], Tensor], x: Tensor, *, deadline: Deadline = NEVER) -> Tensor:
    """Evaluate a module on a copy of its inputs, which protects the caller's tensors from in-place operations.

    The inputs (batch, \\*shape of one input) are on the module's device and in its dtype. The output is detached and
    may share memory with the module. ModelError is raised if the module raises an exception or returns no real tensor,
    OutOfTimeError by the first module that is entered after the deadline.
    """
    own = x.detach().clone(memory_format=torch.contiguous_format)
    kind = x.device.type
    clock = nullcontext() if deadline is NEVER else before_modules(lambda _: deadline.require())
    try:
        with torch.no_grad(), torch.autocast(kind, enabled=False), clock:
            answer = module(own)
    except (ReLUAttackError, OutOfTimeError):
        raise
    except Exception as reason:  # a user's module may raise anything
        raise ModelError(
            f"the model cannot evaluate inputs of shape {tuple(x.shape)}: {in_one_line(reason)}"
        ) from reason
    if not isinstance(answer, Tensor) or not answer.is_floating_point():
        what = f"a tensor of {answer.dtype}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        raise ModelError(f"the model returns {what}; it must return one tensor of real numbers")
    return answer.detach()


def run_in_parts(module: Callable[[Tensor], Tensor], x: Tensor, *, deadline: Deadline = NEVER) -> Tensor:
    """Evaluate a module on many inputs in batches.

    The result is float64, on the device of `x`, in memory of its own, (batch, \\*shape of one output). ModelError is
    raised as by `run_module`, and if there is not one output for each input.
    """
    parts = []
    for part in x.split(max(min(_MAX_BATCH, _MAX_ENTRIES // x[:1].numel()), 1)):
        answer = run_module(module, part, deadline=deadline)
        if answer.dim() == 0 or len(answer) != len(part):
            raise ModelError(
                f"the model returns shape {tuple(answer.shape)} for {len(part)} inputs; keep the batch dimension"
            )
        parts.append(answer.to(x.device, torch.float64, copy=True))
    return torch.cat(parts)
