"""Equivalence check of a lowered model: its own forward pass must equal that of its chain."""

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

_REPEATED_POINTS = 2
"""Number of points at which the model is run a second time."""


def check_agreement(model: Model, lowering: Lowering, points: Tensor) -> None:
    """Compare forward passes of the model with those of its chain.

    Points are flat inputs, float64, (points, inputs). ModelError is raised if the forward enters other modules than the
    lowered ones, draws random numbers, modifies parameters or buffers, is not deterministic, or differs from the chain.
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
    few = points[:_REPEATED_POINTS]
    model.check(few, model.outputs(few), where="in another run", against=own[:_REPEATED_POINTS])
    model.check(first, alone, where="for an input alone, without the others of its batch", against=own[:1])


def _check_steady(model: Model, x: Tensor, versions: dict[str, tuple[int, int]]) -> None:
    """Raise if the forward pass modified the module or draws random numbers."""
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
    """Return the random number generators that a forward pass draws from."""
    before = random_state(model.device)
    model.outputs(x)
    after = random_state(model.device)
    return [name for name in before if before[name] != after[name]]
