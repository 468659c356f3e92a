"""The calling convention of AttackBench: ``adv_inputs = attack(model, inputs, labels, targets, targeted)``."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack._deadline import interruptible
from relu_attack._memory import named_memory_errors
from relu_attack._names import checked_names
from relu_attack.domains import find_ball
from relu_attack.errors import ObjectiveError
from relu_attack.robustness import (
    ITERATIONS,
    RESTARTS,
    AttackArguments,
    Classes,
    Clip,
    NearestBreaks,
    evaluating,
    half_of,
    make_attack,
    read_classifier,
    read_labels,
    read_options,
    read_samples,
)


class AttackFunction(Protocol):
    """An attack as AttackBench calls it."""

    def __call__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Classes,
        targets: Classes | None = None,
        targeted: bool = False,
    ) -> Tensor:
        """Return inputs near `inputs` (samples, \\*shape) that the model answers wrongly, or with their target.

        Parameters
        ----------
        model
            As in `worst_case`.
        inputs
            Shape (samples, \\*shape).
        labels
            The right classes, shape (samples,).
        targets
            The classes that the model is to answer, shape (samples,); only read if `targeted`.
        targeted
            Whether an input counts when the model answers its target instead of anything but its label.

        Returns
        -------
        Tensor
            Shape, device and dtype of `inputs`; an input for which none was found is returned as it is.

        Raises
        ------
        ReLUAttackError
            As `worst_case`; a targeted attack without targets is an ObjectiveError.
        """


@checked_names()
def minimum_norm_attack(
    norm: str = AttackArguments.norm,
    *,
    clip: Clip | None = AttackArguments.clip,
    restarts: int = RESTARTS,
    steps: int = ITERATIONS,
    time_limit: float | None = AttackArguments.time_limit,
    seed: int = AttackArguments.seed,
    normalize: tuple[ArrayLike, ArrayLike] | None = AttackArguments.normalize,
) -> AttackFunction:
    """Return the minimum-norm attack of `critical_radius` as AttackBench calls attacks.

    AttackBench: Cina et al., AttackBench: Evaluating Gradient-based Attacks for Adversarial Examples, arXiv 2404.19460.
    The model is the torch module itself, where AttackBench gives its own wrapper: give ``wrapper.model``.

    Parameters
    ----------
    norm
        ``"linf"``, ``"l2"`` or ``"l1"``.
    clip, restarts, time_limit, seed, normalize
        As in `critical_radius`; the time limit is for each call.
    steps
        Points that each walker visits: `iterations` of `critical_radius`.

    Returns
    -------
    callable
        The attack.

    Raises
    ------
    OptionError
        For an unknown norm, or an option that cannot be used.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from relu_attack.compat import minimum_norm_attack
    >>> model = nn.Sequential(nn.Linear(2, 3, bias=False)).requires_grad_(False)
    >>> _ = model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    >>> inputs, labels = torch.tensor([[0.75, 0.25]]), torch.tensor([0])
    >>> attack = minimum_norm_attack("linf", clip=(-1, 1))
    >>> attack(model, inputs, labels).sub(inputs).abs().amax(1).round(decimals=4)
    tensor([0.2500])
    >>> moved = attack(model, inputs, labels, targets=torch.tensor([2]), targeted=True)
    >>> model(moved).argmax(1), moved.sub(inputs).abs().amax(1).round(decimals=4)
    (tensor([2]), tensor([0.7500]))
    """
    find_ball(norm)
    read_options("auto", restarts, steps, time_limit, seed)

    def attack(
        model: nn.Module, inputs: Tensor, labels: Classes, targets: Classes | None = None, targeted: bool = False
    ) -> Tensor:
        with (
            named_memory_errors(),
            interruptible() as interruption,
            torch.inference_mode(False),
            torch.no_grad(),
            evaluating(model),
        ):
            begun = read_options("auto", restarts, steps, time_limit, seed)
            budget = replace(begun, interruption=interruption)
            samples = read_samples(inputs)
            classifier = read_classifier(model, samples, normalize, refresh=False, deadline=budget.deadline)
            wanted = targets if targeted else labels
            if wanted is None:
                raise ObjectiveError("targeted is True, but there are no targets; give a class for each input")
            goal = read_labels(wanted, len(samples), classifier.classes, samples.device).clone()
            search = make_attack(
                classifier,
                samples,
                goal,
                half_of(inputs),
                norm=norm,
                clip=clip,
                restarts=restarts,
                steps=steps,
                seed=seed,
                targeted=targeted,
            )
            known = NearestBreaks.none(search.center)
            search.run(known, torch.arange(len(samples), device=samples.device), budget.deadline)
            return known.x.view_as(samples).to(inputs.dtype)

    return attack
