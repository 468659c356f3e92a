"""Location of a difference between the forward pass of a model and its chain."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from torch import Tensor, nn

from relu_attack._deadline import NEVER, Deadline
from relu_attack.errors import ReLUAttackError
from relu_attack.model._model import Model
from relu_attack.network import Visit, lower


def find_difference(model: Model, points: Tensor, visits: Sequence[Visit], *, deadline: Deadline = NEVER) -> str:
    """Return the path and class of the innermost module whose forward pass differs from its chain, or "".

    The model differs from its chain at the points, flat inputs (points, inputs). Of the `visits`, the lowered modules,
    those of torch are assumed to match their rules. The search ends at the deadline.
    """
    own = [visit for visit in visits if not type(visit.module).__module__.startswith("torch.nn.")]
    seen: dict[int, Tensor] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[id(module)] = inputs[0].clone()

    with ExitStack() as hooks:
        for visit in own:
            hooks.enter_context(visit.module.register_forward_pre_hook(record))
        model.outputs(points)
    for visit in sorted(own, key=lambda visit: len(visit.path), reverse=True):
        if deadline.passed:
            break
        if id(visit.module) in seen and _differs(visit.module, seen[id(visit.module)]):
            return f"{visit.path} ({type(visit.module).__name__})"
    return ""


def _differs(module: nn.Module, x: Tensor) -> bool:
    try:
        part = Model.of(module, lower(module, x.shape[1:]).network, like=x)
        part.checked_outputs(x.flatten(1).double(), where="")
    except ReLUAttackError:
        return True
    return False
