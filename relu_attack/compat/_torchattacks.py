"""The calling convention of torchattacks: ``attack = Attack(model, eps)``, ``attack(images, labels)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from relu_attack._checks import check_model
from relu_attack._names import checked_names
from relu_attack.robustness import (
    AttackArguments,
    CachedModel,
    Classes,
    Clip,
    Normalization,
    half_of,
    round_into,
    worst_case,
)

_ROUNDING = 1e-5


class Attack:
    """An attack that is called as those of torchattacks are; the model is read when it has changed since the last call.

    Parameters
    ----------
    model
        As in `worst_case`.
    eps
        The radius, by default as in torchattacks.
    norm
        ``"Linf"``, ``"L2"`` or ``"L1"``, in upper or lower case.
    clip, targets, method, restarts, time_limit, seed, stop_at_success
        As in `worst_case`.
    steps
        Points that each walker visits: `iterations` of `worst_case`, by the name that it has in torchattacks.

    Raises
    ------
    ReLUAttackError
        When it is called, as `worst_case`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from relu_attack.compat import Attack
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).requires_grad_(False)
    >>> images = torch.full((3, 1, 2, 2), 0.5)
    >>> attack = Attack(model, eps=0.25, steps=10)
    >>> moved = attack(images, model(images).argmax(1))
    >>> moved.shape, bool(((moved - images).abs() <= 0.25).all())
    (torch.Size([3, 1, 2, 2]), True)
    """

    @checked_names(until_broken="stop_at_success")
    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        *,
        norm: str = "Linf",
        clip: Clip | None = AttackArguments.clip,
        targets: Classes | str = AttackArguments.targets,
        method: str = AttackArguments.method,
        restarts: int | None = AttackArguments.restarts,
        steps: int = AttackArguments.iterations,
        time_limit: float | None = AttackArguments.time_limit,
        seed: int = AttackArguments.seed,
        stop_at_success: bool = AttackArguments.stop_at_success,
    ) -> None:
        check_model(model)
        self.model, self.eps, self.norm = model, eps, norm
        self._kept: CachedModel | None = None
        self._options: dict[str, Any] = {
            "clip": clip,
            "targets": targets,
            "method": method,
            "restarts": restarts,
            "iterations": steps,
            "time_limit": time_limit,
            "seed": seed,
            "stop_at_success": stop_at_success,
        }
        self._normalize: tuple[Sequence[float], Sequence[float]] | None = None

    def set_normalization_used(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Declare that images are normalized with these numbers per channel; `eps` stays in pixels of [0, 1].

        As in torchattacks, the images that go in and come out of a call are then normalized ones.
        """
        self._normalize = (list(mean), list(std))

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the worst inputs found, shape, device and dtype of the images (samples, channels, height, width)."""
        if self._kept is None or self._kept.model is not self.model:
            self._kept = CachedModel(self.model)
        norm = self.norm.lower() if isinstance(self.norm, str) else self.norm
        if self._normalize is None:
            return worst_case(self._kept, images, labels, self.eps, norm=norm, **self._options).x
        normalization = Normalization.read(self._normalize, tuple(images.shape[1:]))
        half = half_of(images)
        pixels = normalization.undo(images if half is None else images.float())
        whole = pixels.clamp(0, 1)
        # Undoing the normalization rounds; what is farther out than that is left for `worst_case` to see.
        pixels = torch.where((pixels - whole).abs() < _ROUNDING, whole, pixels)
        worst = worst_case(self._kept, pixels, labels, self.eps, norm=norm, normalize=self._normalize, **self._options)
        found = normalization.apply(worst.x)
        if half is None:
            return found
        free = torch.full_like(found.flatten(1), torch.inf)
        return round_into(found.flatten(1), images.float().flatten(1), -free, free, half).view_as(images)
