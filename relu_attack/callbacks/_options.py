"""Options of callbacks, validated when a callback is created."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from relu_attack._checks import as_tensor, is_number
from relu_attack.domains import find_ball
from relu_attack.errors import DomainError, OptionError
from relu_attack.result import Status
from relu_attack.robustness import AttackArguments, Clip, WorstCase, read_options, read_pair, worst_case


def check_number(name: str, value: float) -> None:
    """Raise `OptionError` unless the value is a finite number."""
    if not is_number(value) or not math.isfinite(value):
        raise OptionError(f"{name} must be a finite number, got {value!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackOptions(AttackArguments):
    """Options that a callback passes to `worst_case`, which documents them."""

    radius: float

    def __post_init__(self) -> None:
        check_number("radius", self.radius)
        if self.radius <= 0:
            raise OptionError(f"radius must be above 0, got {self.radius!r}")
        find_ball(self.norm)
        _check_clip(self.clip)
        if self.normalize is not None:
            read_pair(self.normalize)
        read_options(self.method, self.restarts, self.iterations, self.time_limit, self.seed)

    def options(self) -> dict[str, Any]:
        """Return all but the radius as keyword arguments of `worst_case`."""
        return {entry.name: getattr(self, entry.name) for entry in fields(AttackArguments)}

    def __call__(self, model: nn.Module, x: Tensor, label: Tensor, **changes: Any) -> WorstCase:
        """Search the worst margin of every sample; a Ctrl-C during the search is raised again, to end the training."""
        arguments = {**self.options(), "stop_at_success": False, **changes}
        worst = worst_case(model, x, label, self.radius, **arguments)
        if worst.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return worst


def _check_clip(clip: Clip | None) -> None:
    if clip is None:
        return
    if not isinstance(clip, tuple | list) or len(clip) != 2:
        raise DomainError(f"clip must be a pair (low, high), got {type(clip).__name__}")
    low, high = (as_tensor(end, name="clip", error=DomainError) for end in clip)
    if low.dim() and high.dim() and low.shape != high.shape:
        raise DomainError(f"the ends of clip have shapes {tuple(low.shape)} and {tuple(high.shape)}; give the same")
    if not bool((low <= high).all()):
        raise DomainError("clip is empty: low must not be above high or NaN")
