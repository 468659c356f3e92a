"""`worst_case`: for each sample of a batch, the input of its set on which a classifier does worst."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack._deadline import interruptible
from relu_attack._memory import memory_limit_of, named_memory_errors
from relu_attack._names import checked_names
from relu_attack.robustness._answer import WorstCase
from relu_attack.robustness._arguments import AttackArguments, read_options
from relu_attack.robustness._attack_search import AttackSearch
from relu_attack.robustness._cached_model import CachedModel, read_classifier
from relu_attack.robustness._classifier import evaluating
from relu_attack.robustness._compositions import STEEPEST
from relu_attack.robustness._digests import digests_of, model_digest
from relu_attack.robustness._incumbents import WorstPoints
from relu_attack.robustness._samples import (
    Classes,
    Clip,
    half_of,
    read_labels,
    read_points,
    read_samples,
    read_sets,
    read_targets,
)
from relu_attack.robustness._survivors import RESTARTS, attack_and_certify


@checked_names(label="labels", **AttackArguments.OLD_NAMES)
def worst_case(
    model: nn.Module,
    x: ArrayLike,
    labels: Classes,
    radius: ArrayLike,
    *,
    norm: str = AttackArguments.norm,
    clip: Clip | None = AttackArguments.clip,
    targets: Classes | str = AttackArguments.targets,
    method: str = AttackArguments.method,
    restarts: int | None = AttackArguments.restarts,
    iterations: int = AttackArguments.iterations,
    time_limit: float | None = AttackArguments.time_limit,
    seed: int = AttackArguments.seed,
    x0: ArrayLike | None = AttackArguments.x0,
    stop_at_success: bool = AttackArguments.stop_at_success,
    certify: bool = False,
    normalize: tuple[ArrayLike, ArrayLike] | None = AttackArguments.normalize,
) -> WorstCase:
    """Search, for each sample of a batch, the input near it on which a classifier does worst.

    Parameters
    ----------
    model
        A classifier with an exact form here, see `ReLUOptimizer`; it is run in evaluation mode, and left in its own.
        It is read at each call; in a `relu_attack.robustness.CachedModel` only when it has changed.
    x
        Samples, shape (samples, \\*shape of one), such as images in [0, 1].
    labels
        The right class of each, shape (samples,), or one for all.
    radius
        How far an input may be from its sample: one number, or one a sample. With 0 the sample itself is the answer.
    norm
        In which norm: ``"linf"``, ``"l2"`` or ``"l1"``.
    clip
        The range of all inputs, numbers or tensors of the shape of a sample; None for no limits.
    targets
        The classes that the search goes for: ``"all"`` wrong ones, the ``"runner_up"`` at the sample, or classes of
        your own, (samples,) or (samples, k). They direct the search; the margin is over all wrong classes in any case.
    method
        ``"auto"``: ``"steepest_ascent"`` and, where a time limit leaves time after it, ``"annealed_ascent"`` in turn.
        Or one of these two alone, or a walk of `maximize`: ``"gradient_walk"``, ``"ppga"``, ``"ppga_lr"``.
    restarts
        Walkers for each sample, 10 by default; with a `time_limit`, as many as there is time.
    iterations
        Points that each of them visits, 40 by default; where there are others, the first does a quarter and the second
        half of them.
    time_limit
        Seconds, the certificate and the reading of the model counted; no limit by default. Samples that no walker is
        sent out for by then have the margin of the sample itself, and those without a certificate that of intervals.
        On a small network the first walkers end their walk in any case.
    seed
        Makes the search repeat on the same machine with the same number of threads, unless the time ends it.
    x0
        A point for each sample, in the shape of `x`, that is looked at before anything is searched, such as the answer
        for an earlier state of the model; those outside their set are projected, with a warning.
    stop_at_success
        Whether a sample leaves the batch as soon as it is broken, or proven safe, so that the others have the time.
        False searches the worst margin of every sample.
    certify
        Whether to bound the margins from above: by CROWN where no walker broke the sample, by intervals where one did;
        by CROWN for all with ``stop_at_success=False``. With a `time_limit`, walkers have half of it before, 10 for
        each sample, and what is left afterwards.
    normalize
        Pair (mean, std), numbers or one a channel, where the model takes ``(x - mean) / std``. `x`, `radius` and `clip`
        are in the scale before that.

    Returns
    -------
    WorstCase
        Inputs, margins and what is known of them. Ctrl-C, or SIGTERM, returns the worst so far.

    Raises
    ------
    UnsupportedModuleError, ModelError, DomainError, ObjectiveError, OptionError
        When the model has no exact form here, or an argument cannot be used; a radius that is negative or NaN among
        them.
    TimeLimitError
        When the time limit ends before the model is read.

    Notes
    -----
    A failed search proves nothing: only `certified_margin` does.

    Walkers go in rounds of 1, 1, 2, 4, ... for each sample. Some go for all wrong classes at once, by the gradient of
    the cross-entropy; the others for one class each, by that of its margin, most of them for the classes that came
    closest so far (Gowal et al., An Alternative Surrogate Loss for PGD-based Adversarial Testing, arXiv 1910.09338).

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> import relu_attack as ra
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> _ = nn.init.eye_(model[0].weight)
    >>> x, labels = torch.tensor([[0.75, 0.25], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> worst = ra.worst_case(model, x, labels, radius=0.375, certify=True)
    >>> worst.success, worst.x[0], worst.certified_margin < 0
    (tensor([ True, False]), tensor([0.3750, 0.6250]), tensor([False,  True]))
    """
    budget = read_options(method, restarts, iterations, time_limit, seed)
    if restarts is None and time_limit is None:
        restarts = RESTARTS
    # Tensors made under a caller's inference mode could not be used outside it.
    with (
        named_memory_errors(),
        interruptible() as interruption,
        torch.inference_mode(False),
        torch.no_grad(),
        evaluating(model),
    ):
        budget = replace(budget, interruption=interruption, memory_limit=memory_limit_of(None))
        samples = read_samples(x)
        sets = read_sets(samples, radius, norm, clip, half=half_of(x))
        within, deadline = sets.domain, budget.deadline
        classifier = read_classifier(model, samples, normalize, refresh=certify, sets=within, deadline=deadline)
        classes = read_labels(labels, len(samples), classifier.classes, samples.device)
        logits = classifier.logits(sets.project(sets.center))
        worst = WorstPoints.at_samples(sets, classes, logits)
        clean_margin = worst.margin
        if x0 is not None:
            points = read_points(x0, sets)
            worst.offer(torch.arange(len(samples), device=samples.device), points, classifier.logits(points))
        dtype = torch.promote_types(samples.dtype, classifier.dtype)
        search = AttackSearch(
            classifier=classifier,
            sets=sets,
            label=classes,
            chosen=read_targets(targets, classes, logits),
            network=classifier.walking(dtype if dtype == torch.float64 else torch.float32),
            ascent=STEEPEST if method == "auto" else method,
            mixed=method == "auto",
            restarts=restarts,
            steps=iterations,
            seed=seed,
            stop_at_success=stop_at_success,
            budget=budget,
        )
        certified: Tensor | None = None
        if certify:
            status, evaluations, certified = attack_and_certify(search, worst, classifier.network)
        else:
            waiting = sets.radius > 0
            status, evaluations = search.run(worst, waiting & (worst.margin <= 0) if stop_at_success else waiting)
        if certify or not isinstance(model, CachedModel):  # a kept chain may be of the model as it was
            classifier.model.check(worst.x, worst.logits, where="at the worst inputs found", chain=search.network)
        settings = {"radius": radius, "norm": norm, "clip": clip, "normalize": normalize}
        return WorstCase(
            x=worst.x.view_as(samples),
            margin=worst.margin,
            success=worst.margin > 0,
            target=worst.target,
            clean_margin=clean_margin,
            certified_margin=None if certified is None else torch.maximum(certified, worst.margin),
            status=status,
            evaluations=evaluations,
            runtime=budget.elapsed(),
            digests=digests_of(model_digest(model), samples, classes, settings) if certify else None,
        )
