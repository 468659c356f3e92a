"""The worst point of each sample so far, by the model itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.robustness._samples import PerturbationSets


@dataclass(eq=False)
class SampleIncumbents:
    """The worst point of each sample so far; every margin is a forward pass of the model.

    `x` is (samples, inputs) and `margin` float64, (samples,). `largest_margins`, (samples, classes), is the largest of
    each class at any point seen, minus infinity for the label. `target` is the wrong class with the largest of the
    `logits` at `x`.
    """

    x: Tensor
    margin: Tensor
    largest_margins: Tensor
    target: Tensor
    logits: Tensor

    @staticmethod
    def at_samples(sets: PerturbationSets, label: Tensor, logits: Tensor) -> SampleIncumbents:
        """Begin with the samples themselves, or the nearest points of their sets, and the logits there."""
        margins = class_margins(logits, label)
        margin, target = margins.max(1)
        return SampleIncumbents(sets.project(sets.center), margin, margins, target, logits.clone())

    def offer(self, index: Tensor, points: Tensor, logits: Tensor, label: Tensor) -> None:
        """Replace the points of some samples by points (chosen, inputs) where these are worse."""
        margins = class_margins(logits, label[index])
        margin, target = margins.max(1)
        better = margin > self.margin[index]
        chosen = index[better]
        self.x[chosen], self.margin[chosen], self.target[chosen] = points[better], margin[better], target[better]
        self.logits[chosen] = logits[better]
        self.largest_margins[index] = torch.maximum(self.largest_margins[index], margins)


def class_margins(logits: Tensor, label: Tensor) -> Tensor:
    """Return the margin of each class, minus infinity for the label, shape (samples, classes)."""
    place = label[:, None]
    return (logits - logits.gather(1, place)).scatter_(1, place, -torch.inf)
