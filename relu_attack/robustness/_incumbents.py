"""The worst point of each sample so far, by the model itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.robustness._samples import PerturbationSets


@dataclass(eq=False)
class WorstPoints:
    """The worst point of each sample so far, and the logits there by a forward pass of the model.

    `relu_attack.solvers.Incumbents` is for problems with one objective, bounds and a trace, and values of the chain.

    `x` is (samples, inputs), the `logits` there are float64, (samples, classes), and `label` is (samples,).
    `largest_margins`, (samples, classes), is the largest of each class at any point seen, minus infinity for the label.
    """

    label: Tensor
    x: Tensor
    logits: Tensor
    largest_margins: Tensor

    @staticmethod
    def at_samples(sets: PerturbationSets, label: Tensor, logits: Tensor) -> WorstPoints:
        """Begin with the samples themselves, or the nearest points of their sets, and the logits there."""
        return WorstPoints(label, sets.project(sets.center), logits.clone(), class_margins(logits, label))

    @property
    def margin(self) -> Tensor:
        """The largest margin at `x`, float64, shape (samples,)."""
        return class_margins(self.logits, self.label).amax(1)

    @property
    def target(self) -> Tensor:
        """The wrong class with the largest logit at `x`, shape (samples,)."""
        return class_margins(self.logits, self.label).argmax(1)

    def offer(self, index: Tensor, points: Tensor, logits: Tensor) -> None:
        """Replace the points of some samples by points (chosen, inputs) where these are worse."""
        margins = class_margins(logits, self.label[index])
        better = margins.amax(1) > self.margin[index]
        self.x[index[better]], self.logits[index[better]] = points[better], logits[better]
        self.largest_margins[index] = torch.maximum(self.largest_margins[index], margins)


def class_margins(logits: Tensor, label: Tensor) -> Tensor:
    """Return the margin of each class, minus infinity for the label, shape (samples, classes)."""
    place = label[:, None]
    return (logits - logits.gather(1, place)).scatter_(1, place, -torch.inf)
