"""Which module of a model makes the difference between its own forward pass and its chain."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from torch import Tensor, nn

from relu_attack.errors import ReLUAttackError
from relu_attack.model._model import Model
from relu_attack.network import Visit, lower


def find_difference(model: Model, points: Tensor, visits: Sequence[Visit]) -> str:
    """Return the place and the class of the innermost module whose own forward pass is not its chain, or "".

    Parameters
    ----------
    model
        A model that differs from its chain.
    points
        Where it does, flat, shape (points, inputs).
    visits
        The modules that were lowered; those of torch are taken to be what their rules say.
    """
    own = [visit for visit in visits if not type(visit.module).__module__.startswith("torch.nn.")]
    taken: dict[int, Tensor] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        taken[id(module)] = inputs[0].clone()

    with ExitStack() as hooks:
        for visit in own:
            hooks.enter_context(visit.module.register_forward_pre_hook(note))
        model.outputs(points)
    for visit in sorted(own, key=lambda visit: len(visit.path), reverse=True):
        if id(visit.module) in taken and _differs(visit.module, taken[id(visit.module)]):
            return f"{visit.path} ({type(visit.module).__name__})"
    return ""


def _differs(module: nn.Module, x: Tensor) -> bool:
    try:
        part = Model.of(module, lower(module, x.shape[1:]).network, like=x)
        part.checked_outputs(x.flatten(1).double(), where="")
    except ReLUAttackError:
        return True
    return False
