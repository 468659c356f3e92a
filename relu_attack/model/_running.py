"""Runs of a user's module, each on a copy of its inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from relu_attack.errors import ModelError, ReLUAttackError

# Inputs of one run at most, and numbers in them: few large images have many activations.
_AT_ONCE, _NUMBERS = 1024, 2**22


def run_module(module: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run a module on a copy of its inputs: one that works in place changes nothing of the caller's.

    Parameters
    ----------
    module
        A user's module, or a function that calls one.
    x
        Shape (batch, \\*shape of one input), on the module's device and in its dtype.

    Returns
    -------
    Tensor
        What the module answers, without a graph of autograd. It may be memory of the module.

    Raises
    ------
    ModelError
        When the module raises an exception or returns no tensor of real numbers.
    """
    own = x.detach().clone(memory_format=torch.contiguous_format)
    kind = x.device.type
    try:
        with torch.no_grad(), torch.autocast(kind, enabled=False):
            answer = module(own)
    except ReLUAttackError:
        raise
    except Exception as reason:  # a user's module may raise anything
        said = " ".join(str(reason).split())
        raise ModelError(
            f"the model cannot evaluate inputs of shape {tuple(x.shape)}: {type(reason).__name__}: {said}"
        ) from reason
    if not isinstance(answer, Tensor) or not answer.is_floating_point():
        what = f"a tensor of {answer.dtype}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        raise ModelError(f"the model returns {what}; it must return one tensor of real numbers")
    return answer.detach()


def run_in_parts(module: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run a module on many inputs, some at a time.

    Parameters
    ----------
    module, x
        As in `run_module`.

    Returns
    -------
    Tensor
        Float64, on the device of `x`, memory of its own, shape (batch, \\*shape of one answer).

    Raises
    ------
    ModelError
        As `run_module`, and when the answers are not one for each input.
    """
    parts = []
    for part in x.split(max(min(_AT_ONCE, _NUMBERS // x[:1].numel()), 1)):
        answer = run_module(module, part)
        if answer.dim() == 0 or len(answer) != len(part):
            raise ModelError(
                f"the model returns shape {tuple(answer.shape)} for {len(part)} inputs; keep the batch dimension"
            )
        parts.append(answer.to(x.device, torch.float64, copy=True))
    return torch.cat(parts)
