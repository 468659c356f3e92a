"""The result of `worst_case`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from relu_attack._digest import Digests
from relu_attack._repr import one_line
from relu_attack.result import Status


@dataclass(frozen=True, eq=False, repr=False)
class WorstCase:
    """The worst input found for each of some samples.

    Attributes
    ----------
    x
        Shape, device and dtype of the samples, half precisions included. Each lies in its set, exactly.
    margin
        Largest logit of a wrong class less that of the label at `x`, by the model's own forward pass; above 0 the
        classifier is broken. Float64, shape (samples,).
    success
        Where `margin` is above 0, boolean, shape (samples,).
    target
        The wrong class with the largest logit at `x`, int64, shape (samples,).
    clean_margin
        The margin at the sample itself, float64, shape (samples,).
    certified_margin
        No input of the set has a larger margin, float64, shape (samples,); below 0 the sample is safe. It holds in real
        arithmetic, and is never below `margin`. None unless it was asked for. Where the sample was broken, or the time
        was up, it is the bound of intervals, far above the worst margin.
    status
        Why the search ended.
    evaluations
        Points at which the network was evaluated by walkers, over all samples.
    runtime
        Seconds.
    digests
        Of the model, the sets and the labels that `certified_margin` is of; None where it was not asked for.
    """

    x: Tensor
    margin: Tensor
    success: Tensor
    target: Tensor
    clean_margin: Tensor
    certified_margin: Tensor | None
    status: Status
    evaluations: int
    runtime: float
    digests: Digests | None = None

    def __repr__(self) -> str:
        safe = None if self.certified_margin is None else int((self.certified_margin < 0).sum())
        return one_line(
            self, samples=len(self.margin), broken=int(self.success.sum()), proven_safe=safe, status=self.status
        )

    def __str__(self) -> str:
        count, broken = len(self.margin), int(self.success.sum())
        safe = "" if self.certified_margin is None else f", {int((self.certified_margin < 0).sum())} proven safe"
        mean = float(self.margin.mean())
        return f"{broken} of {count} samples broken{safe}; mean margin {mean:.4g}; {self.status.value}"
