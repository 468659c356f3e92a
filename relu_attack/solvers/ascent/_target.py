"""Targets of an ascent: what the outputs of the network are worth, and which of their gradients to follow."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Target(ABC):
    """A piecewise-linear function of the outputs, for each row of a batch.

    Nothing else in an ascent depends on the question: a linear objective, an objective with penalties, the margin of
    a classifier, or the violation of a property.
    """

    @abstractmethod
    def look(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return values (batch, 1) of outputs (batch, outputs), and coefficients (batch, outputs) to follow.

        Coefficients are None where the network has one output, which is the value. The outputs may be overwritten.
        """


class _Output(Target):
    """The one output of the network."""

    def look(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        return outputs, None


OUTPUT = _Output()
"""The target of networks into which an objective is folded."""


class TargetedMargin(Target):
    """The largest logit among chosen classes less that of the label.

    The coefficients are those of the logarithm of the sum of exponentials instead of the largest logit, which would
    keep a walker to the class that leads where it starts; with a single class the two are the same.

    Parameters
    ----------
    label
        Label of each of P samples, shape (P,).
    classes
        Chosen classes of each walker, boolean, shape (P, walkers, classes).
    dtype
        Dtype of the logits.
    """

    def __init__(self, label: Tensor, classes: Tensor, dtype: torch.dtype) -> None:
        samples, walkers, count = classes.shape
        self._label = label.repeat_interleave(walkers)[:, None]
        mask = torch.zeros(classes.shape, dtype=dtype, device=label.device)
        self._mask = mask.masked_fill_(~classes, -torch.inf).view(samples * walkers, count)
        self._one_hot = torch.zeros_like(self._mask).scatter_(1, self._label, 1.0)

    def look(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        candidates = outputs + self._mask
        largest = candidates.amax(1, keepdim=True)
        value = largest - outputs.gather(1, self._label)
        # The softmax in its parts: of few classes, on a processor, they take a third of the time.
        share = candidates.sub_(largest).exp_()
        return value, share.div_(share.sum(1, keepdim=True)).sub_(self._one_hot)
