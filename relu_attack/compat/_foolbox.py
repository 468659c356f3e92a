"""The calling convention of Foolbox: ``raw, clipped, is_adv = attack(model, inputs, labels, epsilons=...)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack._names import checked_names
from relu_attack.errors import OptionError
from relu_attack.robustness import AttackArguments, CachedModel, Classes, Clip, worst_case


class FoolboxAttack:
    """An attack that is called as those of Foolbox with a fixed epsilon are.

    The model is the torch module itself, where Foolbox takes its own wrapper; what the wrapper gets as bounds and
    preprocessing are the arguments `clip` and `normalize` of `worst_case` here.

    Parameters
    ----------
    norm
        ``"linf"``, ``"l2"`` or ``"l1"``.
    clip, targets, method, restarts, time_limit, seed, stop_at_success, normalize
        As in `worst_case`.
    steps
        Points that each walker visits: `iterations` of `worst_case`, by the name that it has in Foolbox.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from relu_attack.compat import FoolboxAttack
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False)).requires_grad_(False)
    >>> _ = model[0].weight.copy_(torch.eye(2))
    >>> inputs, labels = torch.tensor([[0.75, 0.25], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> raw, clipped, is_adv = FoolboxAttack()(model, inputs, labels, epsilons=[0.125, 0.375])
    >>> len(clipped), is_adv
    (2, tensor([[False, False],
            [ True, False]]))
    """

    @checked_names(until_broken="stop_at_success")
    def __init__(
        self,
        norm: str = AttackArguments.norm,
        *,
        clip: Clip | None = AttackArguments.clip,
        targets: Classes | str = AttackArguments.targets,
        method: str = AttackArguments.method,
        restarts: int | None = AttackArguments.restarts,
        steps: int = AttackArguments.iterations,
        time_limit: float | None = AttackArguments.time_limit,
        seed: int = AttackArguments.seed,
        stop_at_success: bool = AttackArguments.stop_at_success,
        normalize: tuple[ArrayLike, ArrayLike] | None = AttackArguments.normalize,
    ) -> None:
        self.norm = norm
        self._options: dict[str, Any] = {
            "clip": clip,
            "targets": targets,
            "method": method,
            "restarts": restarts,
            "iterations": steps,
            "time_limit": time_limit,
            "seed": seed,
            "stop_at_success": stop_at_success,
            "normalize": normalize,
        }

    @overload
    def __call__(
        self, model: nn.Module, inputs: Tensor, criterion: Tensor, *, epsilons: float
    ) -> tuple[Tensor, Tensor, Tensor]: ...

    @overload
    def __call__(
        self, model: nn.Module, inputs: Tensor, criterion: Tensor, *, epsilons: Sequence[float]
    ) -> tuple[list[Tensor], list[Tensor], Tensor]: ...

    def __call__(
        self, model: nn.Module, inputs: Tensor, criterion: Tensor, *, epsilons: float | Sequence[float]
    ) -> tuple[Tensor | list[Tensor], Tensor | list[Tensor], Tensor]:
        """Attack inputs within one radius or several.

        Parameters
        ----------
        model
            As in `worst_case`.
        inputs
            Shape (samples, \\*shape).
        criterion
            The right labels, shape (samples,).
        epsilons
            The radius, or several.

        Returns
        -------
        raw, clipped, is_adv
            Inputs, the same inputs, and where the model is wrong, boolean, shape (samples,); for several radii lists of
            inputs, and shape (radii, samples). Inputs lie in their sets already, so there is nothing to clip.

        Raises
        ------
        ReLUAttackError
            As `worst_case`.
        """
        several = isinstance(epsilons, Sequence)
        radii = list(epsilons) if isinstance(epsilons, Sequence) else [epsilons]
        if not radii:
            raise OptionError("epsilons is empty; give a radius, or a list of them")
        kept = CachedModel(model)
        worst = [worst_case(kept, inputs, criterion, radius, norm=self.norm, **self._options) for radius in radii]
        if not several:
            return worst[0].x, worst[0].x.clone(), worst[0].success
        return [one.x for one in worst], [one.x.clone() for one in worst], torch.stack([one.success for one in worst])
