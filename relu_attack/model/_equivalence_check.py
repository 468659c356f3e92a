"""Equivalence check of a lowered model: its own forward pass must equal that of its chain."""

from __future__ import annotations

import time
from dataclasses import replace

from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
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


def check_agreement(model: Model, lowering: Lowering, points: Tensor, *, deadline: Deadline = NEVER) -> Model:
    """Compare forward passes of the model with those of its chain.

    Points are flat inputs, float64, (points, inputs). ModelError is raised if the forward enters other modules than the
    lowered ones, draws random numbers, modifies parameters or buffers, is not deterministic, or differs from the chain.
    OutOfTimeError is raised beyond the deadline. The result is the model with the seconds that the check of an input
    takes.
    """
    began = time.perf_counter()
    check_global_hooks()
    first = points[:1]
    versions = tensor_versions(model.module)
    with recorded_entries() as entered:
        alone = model.outputs(first, deadline=deadline)
    check_entries(model.module, entered, lowering.visits)
    _check_steady(model, first, versions, deadline)
    own = model.outputs(points, deadline=deadline)
    try:
        model.check(points, own, where="in the set", deadline=deadline)
    except ModelError as reason:
        place = find_difference(model, points, lowering.visits, deadline=deadline)
        raise ModelError(f"{place}: {reason}" if place else str(reason)) from None
    # The same batch has the same rounding, which need not be estimated.
    again = model.outputs(points, deadline=deadline)
    model.check(points, again, where="in another run", against=own, deadline=deadline)
    where = "for an input alone, without the others of its batch"
    model.check(first, alone, where=where, against=own[:1], deadline=deadline)
    return replace(model, seconds=(time.perf_counter() - began) / len(points))


def _check_steady(model: Model, x: Tensor, versions: dict[str, tuple[int, int]], deadline: Deadline) -> None:
    """Raise if the forward pass modified the module or draws random numbers."""
    changed = [name for name, version in tensor_versions(model.module).items() if versions.get(name) != version]
    if changed:
        raise ModelError(
            f"the model's own forward pass changes its {changed[0]}, so that its answers may change; "
            "call model.eval(), or let the forward leave parameters and buffers as they are"
        )
    drawn = _drawn(model, x, deadline)
    if drawn and _drawn(model, x, deadline) == drawn:  # another thread may have drawn some in one of the runs
        raise ModelError(
            f"the model's own forward pass draws random numbers, from the generator of {drawn[0]}: its answers are no "
            "function of its input; call model.eval(), or take what is random out of the forward"
        )


def _drawn(model: Model, x: Tensor, deadline: Deadline) -> list[str]:
    """Return the random number generators that a forward pass draws from."""
    before = random_state(model.device)
    model.outputs(x, deadline=deadline)
    after = random_state(model.device)
    return [name for name in before if before[name] != after[name]]
