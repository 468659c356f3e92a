"""A check of a lowered model: what it computes itself must be what its chain computes."""

from __future__ import annotations

from torch import Tensor

from relu_attack.errors import ModelError
from relu_attack.model._locating import find_difference
from relu_attack.model._model import Model
from relu_attack.model._watching import (
    check_entries,
    check_global_hooks,
    random_state,
    recorded_entries,
    tensor_versions,
)
from relu_attack.network import Lowering

_AGAIN = 2
"""At how many points the model is run again."""


def check_agreement(model: Model, lowering: Lowering, points: Tensor) -> None:
    """Run the model itself beside its chain.

    Parameters
    ----------
    model
        A model.
    lowering
        What its module was lowered to.
    points
        Inputs to compare at, flat, float64, shape (points, inputs).

    Raises
    ------
    ModelError
        When the forward enters other modules than those that were lowered, draws random numbers, changes parameters
        or buffers, answers the same input differently, or answers something else than its chain.
    """
    check_global_hooks()
    first = points[:1]
    versions = tensor_versions(model.module)
    with recorded_entries() as entered:
        alone = model.outputs(first)
    check_entries(model.module, entered, lowering.visits)
    _check_steady(model, first, versions)
    own = model.outputs(points)
    try:
        model.check(points, own, where="in the set")
    except ModelError as reason:
        place = find_difference(model, points, lowering.visits)
        raise ModelError(f"{place}: {reason}" if place else str(reason)) from None
    few = points[:_AGAIN]
    model.check(few, model.outputs(few), where="in another run", against=own[:_AGAIN])
    model.check(first, alone, where="for an input alone, without the others of its batch", against=own[:1])


def _check_steady(model: Model, x: Tensor, versions: dict[str, tuple[int, int]]) -> None:
    """Raise where the forward pass changed the module, or draws random numbers."""
    changed = [name for name, version in tensor_versions(model.module).items() if versions.get(name) != version]
    if changed:
        raise ModelError(
            f"the model's own forward pass changes its {changed[0]}, so that its answers may change; "
            "call model.eval(), or let the forward leave parameters and buffers as they are"
        )
    drawn = _drawn(model, x)
    if drawn and _drawn(model, x) == drawn:  # another thread may have drawn some in one of the runs
        raise ModelError(
            f"the model's own forward pass draws random numbers, from the generator of {drawn[0]}: its answers are no "
            "function of its input; call model.eval(), or take what is random out of the forward"
        )


def _drawn(model: Model, x: Tensor) -> list[str]:
    """Return which generators of random numbers a forward pass draws from."""
    before = random_state(model.device)
    model.outputs(x)
    after = random_state(model.device)
    return [name for name in before if before[name] != after[name]]
