"""`critical_radius`: for each sample of a batch, the smallest radius at which a classifier breaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack._deadline import interruptible
from relu_attack._memory import memory_limit_of, named_memory_errors
from relu_attack._names import checked_names
from relu_attack._progress import progress_bar
from relu_attack.domains import find_ball
from relu_attack.result import Status
from relu_attack.robustness._arguments import AttackArguments, read_options
from relu_attack.robustness._cached_model import read_classifier
from relu_attack.robustness._classifier import Classifier, evaluating
from relu_attack.robustness._critical_answer import CriticalRadius, are_closed, read_tolerance
from relu_attack.robustness._digests import digests_of, model_digest
from relu_attack.robustness._minimum_norm import ITERATIONS, RESTARTS, MinimumNormAttack
from relu_attack.robustness._radius_record import RADII, Radii
from relu_attack.robustness._radius_search import RadiusSearch
from relu_attack.robustness._record import Record
from relu_attack.robustness._samples import Classes, Clip, half_of, read_labels, read_samples, read_sets
from relu_attack.solvers import Budget

TOLERANCE = 0.05
"""Share of the upper end by which the two ends may differ."""


@checked_names()
def critical_radius(
    model: nn.Module,
    x: ArrayLike,
    labels: Classes,
    *,
    norm: str = AttackArguments.norm,
    clip: Clip | None = AttackArguments.clip,
    certify: bool = True,
    tolerance: float = TOLERANCE,
    restarts: int = RESTARTS,
    iterations: int = ITERATIONS,
    time_limit: float | None = AttackArguments.time_limit,
    seed: int = AttackArguments.seed,
    normalize: tuple[ArrayLike, ArrayLike] | None = AttackArguments.normalize,
    resume: str | Path | None = None,
    progress: bool = True,
) -> CriticalRadius:
    """Search, for each sample of a batch, the smallest radius at which a classifier breaks.

    A sample breaks at a radius when an input at this distance, within the clip box, has a larger logit of another class
    than of the label. A minimum-norm attack gives the upper end, with the input; CROWN and, with a `time_limit`, branch
    and bound give the lower end.

    Parameters
    ----------
    model, x, labels, norm, clip, normalize
        As in `worst_case`; the samples lie within `clip`.
    certify
        Whether to prove radii, too; else `lower` is 0.
    tolerance
        Share of the upper end by which the ends of a sample may differ; what is closer is not searched further.
    restarts
        Walkers of the attack for each sample.
    iterations
        Points that each of them visits.
    time_limit
        Seconds for all samples. Half of it at most is for the attack and bounds by CROWN; with what is left, branch and
        bound decides the samples whose ends are farther apart than the tolerance, one by one. Without a limit, the
        default, the attack and CROWN come to their end, and there is no branch and bound.
    seed
        Makes the search repeat on the same machine with the same number of threads, unless the time ends it.
    resume
        A file in which what is known is written down, with digests of the model, the samples and the options. A call
        with the same file goes on from there; its time limit may be another one.
    progress
        Whether to show a bar of the samples whose ends are as close as `tolerance`.

    Returns
    -------
    CriticalRadius
        Both ends, and the inputs. Ctrl-C, or SIGTERM, returns what is known.

    Raises
    ------
    UnsupportedModuleError, ModelError, DomainError, ObjectiveError, OptionError
        When the model has no exact form here, or an argument cannot be used; a sample outside the clip box among them.
    FileFormatError, OptionError
        When the file is no such record, or one of another model, options or other samples.
    TimeLimitError
        When the time limit ends before the model is read.

    Notes
    -----
    Walkers ascend in balls whose radii shrink where the sample is broken and grow where it is not (Rony et al.,
    Decoupling Direction and Norm, CVPR 2019; Pintor et al., Fast Minimum-Norm Adversarial Attacks, NeurIPS 2021), by
    the steepest step of the norm, one for each wrong class. The model itself is then halved along the way to the
    sample.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> import relu_attack as ra
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> _ = nn.init.eye_(model[0].weight)
    >>> x, labels = torch.tensor([[0.75, 0.25], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> found = ra.critical_radius(model, x, labels, norm="l1", progress=False)
    >>> found.upper.round(decimals=3), found.lower >= 0.95 * found.upper
    (tensor([0.5000, 1.0000], dtype=torch.float64), tensor([True, True]))
    """
    budget, tolerance = read_options("auto", restarts, iterations, time_limit, seed), read_tolerance(tolerance)
    find_ball(norm)
    with (
        named_memory_errors(),
        interruptible() as interruption,
        torch.inference_mode(False),
        torch.no_grad(),
        evaluating(model),
        progress_bar(shown=progress, desc="critical radius", unit="sample") as bar,
    ):
        budget = replace(budget, interruption=interruption, memory_limit=memory_limit_of(None))
        samples = read_samples(x)
        classifier = read_classifier(model, samples, normalize, refresh=True, deadline=budget.deadline)
        classes = read_labels(labels, len(samples), classifier.classes, samples.device).clone()
        attack = make_attack(
            classifier,
            samples,
            classes,
            half_of(x),
            norm=norm,
            clip=clip,
            restarts=restarts,
            steps=iterations,
            seed=seed,
        )
        name = model_digest(model)
        settings: dict[str, Any] = {"norm": norm, "clip": clip, "normalize": normalize}
        others = {
            "certify": certify, "tolerance": tolerance, "restarts": restarts, "iterations": iterations, "seed": seed
        }  # fmt: skip
        record = Record.open(RADII, resume, name, {**settings, **others})
        bar.total = len(samples)

        def report(radii: Radii) -> None:
            bar.n = int(are_closed(radii.lower, radii.upper, tolerance).sum())
            bar.set_postfix_str(f"closed to {tolerance:.3g}: {bar.n / len(samples):.1%}", refresh=False)
            bar.refresh()

        search = RadiusSearch(
            attack=attack,
            clip=clip,
            tolerance=tolerance,
            certify=certify,
            record=record,
            budget=budget,
            report=report,
        )
        search.run()
        radii, points = search.radii, search.radii.breaks.x
        classifier.model.check(
            points, classifier.logits(points), where="at the nearest inputs found", chain=classifier.network
        )
        return CriticalRadius(
            upper=radii.upper,
            lower=radii.lower,
            x=points.view_as(samples) if attack.half is None else points.view_as(samples).to(attack.half),
            label=classes,
            norm=norm,
            seconds=radii.seconds,
            status=_status(search, budget),
            runtime=budget.elapsed(),
            digests=digests_of(name, samples, classes, {**settings, "radius": None}),
        )


def make_attack(
    classifier: Classifier,
    samples: Tensor,
    label: Tensor,
    half: torch.dtype | None,
    *,
    norm: str,
    clip: Clip | None,
    restarts: int,
    steps: int,
    seed: int,
    targeted: bool = False,
) -> MinimumNormAttack:
    """Return the minimum-norm attack on samples (samples, \\*shape), which lie in the clip box."""
    # Bounds of a Euclidean ball of radius 0 are those of the clip box.
    box = read_sets(samples, 0.0, "l2", clip, half=half)
    dtype = torch.promote_types(samples.dtype, classifier.dtype)
    return MinimumNormAttack(
        classifier=classifier,
        network=classifier.walking(dtype if dtype == torch.float64 else torch.float32),
        norm=norm,
        center=box.center,
        low=box.low,
        high=box.high,
        half=half,
        label=label,
        targeted=targeted,
        restarts=restarts,
        steps=steps,
        seed=seed,
    )


def _status(search: RadiusSearch, budget: Budget) -> Status:
    if budget.interruption.happened:
        return Status.INTERRUPTED
    if not bool(search.open().any()):
        return Status.OPTIMAL
    return Status.TIME_LIMIT if budget.left() == 0 else Status.FEASIBLE
