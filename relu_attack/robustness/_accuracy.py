"""`robust_accuracy`: the accuracy of a classifier on a whole data set: clean, under attack, and certified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike, check_is, is_number
from relu_attack._deadline import interruptible
from relu_attack._digest import Contents, Digests
from relu_attack._names import checked_names
from relu_attack._progress import progress_bar
from relu_attack._repr import one_line
from relu_attack.errors import ModelError, OptionError
from relu_attack.result import Status
from relu_attack.robustness._arguments import AttackArguments
from relu_attack.robustness._attack import worst_case
from relu_attack.robustness._cached_model import CachedModel
from relu_attack.robustness._digests import digests_of, joined, model_digest
from relu_attack.robustness._record import MARGINS, Margins, Record
from relu_attack.robustness._samples import Classes, Clip


@dataclass(frozen=True, eq=False, repr=False)
class RobustAccuracy:
    """What `robust_accuracy` returns: shares of the samples, and the margins that they come from.

    Attributes
    ----------
    clean
        Share of the samples that are classified right.
    attacked
        Share for which no input of the set was found that is not: at least the accuracy in the worst case.
    certified
        Share that is proven right on the whole set, at most the accuracy in the worst case; None when not asked for.
    samples
        How many samples there were.
    clean_margin, margin, certified_margin
        As in `WorstCase`, float64, shape (samples,).
    complete
        False where Ctrl-C ended it: only the batches before are counted.
    digests
        Of the model, of the samples with their sets, and of the labels with the options; None where they are not known.
    """

    clean: float
    attacked: float
    certified: float | None
    samples: int
    clean_margin: Tensor
    margin: Tensor
    certified_margin: Tensor | None
    complete: bool
    digests: Digests | None = None

    def __repr__(self) -> str:
        return one_line(
            self,
            samples=self.samples,
            clean=self.clean,
            attacked=self.attacked,
            certified=self.certified,
            complete=self.complete,
        )

    def __str__(self) -> str:
        certified = "" if self.certified is None else f", certified {self.certified:.1%}"
        part = "" if self.complete else " so far"
        return f"clean {self.clean:.1%}, attacked {self.attacked:.1%}{certified} of {self.samples} samples{part}"


@checked_names(**AttackArguments.OLD_NAMES)
def robust_accuracy(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    radius: float,
    *,
    certify: bool = True,
    resume: str | Path | None = None,
    progress: bool = True,
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
    normalize: tuple[ArrayLike, ArrayLike] | None = AttackArguments.normalize,
) -> RobustAccuracy:
    """Measure the accuracy of a classifier when each sample may be moved within a ball.

    Parameters
    ----------
    model
        As in `worst_case`.
    loader
        Yields batches (x, label), such as a `DataLoader` that does not shuffle.
    radius
        One number for all samples.
    certify
        Whether to prove samples safe, too.
    resume
        A file in which each batch that is done is written down, with digests of the model, the samples and the options.
        A call with the same file goes on after them.
    progress
        Whether to show a bar with the accuracies so far.
    norm, clip, targets, method, restarts, iterations, time_limit, seed, x0, stop_at_success, normalize
        As in `worst_case`, for each batch.

    Returns
    -------
    RobustAccuracy
        The three accuracies, ``certified <= attacked <= clean``. Ctrl-C returns those of the batches done.

    Raises
    ------
    ReLUAttackError
        As `worst_case`.
    ModelError
        When the parameters of the model change while its accuracy is measured.
    FileFormatError, OptionError
        When the file is no such record, or one of another model, radius, options or other samples.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> import relu_attack as ra
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> _ = nn.init.eye_(model[0].weight)
    >>> batch = torch.tensor([[0.75, 0.25], [1.0, 0.0], [0.25, 0.5]]), torch.tensor([0, 0, 0])
    >>> print(ra.robust_accuracy(model, [batch], radius=0.375, progress=False))
    clean 66.7%, attacked 33.3%, certified 33.3% of 3 samples
    """
    if not is_number(radius):
        raise OptionError(f"radius must be one number for all samples, got {type(radius).__name__}")
    wanted = "an iterable of batches (x, label), such as a DataLoader"
    check_is(loader, Iterable, name="loader", wanted=wanted, error=OptionError)
    kept = CachedModel(model)
    weights, name = Contents.of(*kept.model.parameters()).copy(), model_digest(kept)
    options: dict[str, Any] = {
        "norm": norm,
        "clip": clip,
        "targets": targets,
        "method": method,
        "restarts": restarts,
        "iterations": iterations,
        "time_limit": time_limit,
        "seed": seed,
        "x0": x0,
        "stop_at_success": stop_at_success,
        "normalize": normalize,
    }
    settings = {**options, "radius": float(radius), "certify": certify}
    record = Record.open(MARGINS, resume, name, settings)
    done: list[Margins] = []
    parts: list[Digests] = []
    complete = True
    bar = progress_bar(loader, shown=progress, desc="robust accuracy", unit="batch")
    try:
        with interruptible() as interruption:
            for number, batch in enumerate(bar):
                if interruption.happened:
                    complete = False
                    break
                x, label = read_batch(batch, number)
                if not Contents.of(*kept.model.parameters()).equals(weights):
                    raise ModelError(
                        f"the parameters of the model have changed before batch {number}; keep them as they are"
                    )
                known = record.find(number, x, label)
                if known is not None:
                    margins = Margins.of(known)
                else:
                    worst = worst_case(kept, x, label, radius, certify=certify, **options)
                    if worst.status is Status.INTERRUPTED:
                        complete = False
                        break
                    margins = Margins(worst.clean_margin, worst.margin, worst.certified_margin).to_cpu()
                    record.add(number, x, label, margins.entries())
                done.append(margins)
                parts.append(digests_of(name, x, label, settings))
                bar.set_postfix_str(str(summarize(done, complete=True, digests=None)), refresh=False)
    except KeyboardInterrupt:
        complete = False
    finally:
        bar.close()
    if not done and complete:
        raise OptionError("loader yields no batch; at least one is needed")
    return summarize(done, complete=complete, digests=joined(name, parts))


def read_batch(batch: object, number: int) -> tuple[Tensor, Tensor]:
    """Return the samples and the labels of a batch; raise `OptionError` for one that is no pair of them."""
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, Tensor):
        wanted = "for a single batch give [(x, label)]"
    elif isinstance(batch, Mapping):
        names = ", ".join(repr(key) for key in batch)
        wanted = f"its keys are {names}; give ((batch[...], batch[...]) for batch in loader)"
    else:
        wanted = "give an iterable of such pairs, such as a DataLoader"
    raise OptionError(f"batch {number} of loader is a {type(batch).__name__}, not a pair (x, label): {wanted}")


def summarize(done: list[Margins], *, complete: bool, digests: Digests | None) -> RobustAccuracy:
    """Return the accuracies of the batches that are done."""
    none = torch.zeros(0, dtype=torch.float64)
    clean, worst = (torch.cat([none, *parts]) for parts in ([one.clean for one in done], [one.worst for one in done]))
    bounds = [one.certified for one in done if one.certified is not None]
    certified = torch.cat(bounds) if bounds else None

    def share(right: Tensor) -> float:
        return float(right.double().mean())

    return RobustAccuracy(
        clean=share(clean <= 0),
        attacked=share(worst <= 0),
        certified=None if certified is None else share(certified < 0),
        samples=len(clean),
        clean_margin=clean,
        margin=worst,
        certified_margin=certified,
        complete=complete,
        digests=digests,
    )
