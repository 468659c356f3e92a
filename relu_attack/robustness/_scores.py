"""Worst cases with the class scores before and after, for figures and files."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike, check_is
from relu_attack._names import checked_names
from relu_attack._repr import one_line
from relu_attack.errors import OptionError
from relu_attack.robustness._answer import WorstCase
from relu_attack.robustness._cached_model import read_classifier
from relu_attack.robustness._classifier import evaluating
from relu_attack.robustness._incumbents import class_margins
from relu_attack.robustness._samples import Classes, read_labels, read_samples


@dataclass(frozen=True, eq=False, repr=False)
class WorstCaseWithScores:
    """What `worst_case` found, beside the samples and the class scores at both.

    Attributes
    ----------
    x
        The samples, shape (samples, \\*shape of one).
    label
        The right class of each, int64, shape (samples,).
    worst
        What `worst_case` returned.
    clean_scores, worst_scores
        The logits at `x` and at ``worst.x``, float64, shape (samples, classes).
    """

    x: Tensor
    label: Tensor
    worst: WorstCase
    clean_scores: Tensor
    worst_scores: Tensor

    def __repr__(self) -> str:
        samples, classes = self.clean_scores.shape
        return one_line(self, samples=samples, classes=classes, worst=self.worst)

    @staticmethod
    @checked_names(label="labels")
    def of(
        model: nn.Module,
        x: ArrayLike,
        labels: Classes,
        worst: WorstCase,
        *,
        normalize: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> WorstCaseWithScores:
        """Run the model at the samples and at their worst cases.

        Parameters
        ----------
        model, x, labels, normalize
            As `worst_case` was given.
        worst
            What it returned.

        Returns
        -------
        WorstCaseWithScores
            To be drawn by `relu_attack.plots.plot_worst_case` or saved by `save_worst_case`.

        Raises
        ------
        ReLUAttackError
            As `worst_case`.
        OptionError
            When `worst` is of other samples, another model or other labels.

        Examples
        --------
        >>> import torch
        >>> from torch import nn
        >>> import relu_attack as ra
        >>> model = nn.Sequential(nn.Linear(2, 2, bias=False))
        >>> _ = nn.init.eye_(model[0].weight)
        >>> x, label = torch.tensor([[0.75, 0.25]]), torch.tensor([0])
        >>> found = ra.WorstCaseWithScores.of(model, x, label, ra.worst_case(model, x, label, radius=0.375))
        >>> found.clean_scores.tolist(), found.worst_scores.tolist()
        ([[0.75, 0.25]], [[0.375, 0.625]])
        """
        check_is(worst, WorstCase, name="worst", wanted="what worst_case returned", error=OptionError)
        with torch.inference_mode(False), torch.no_grad(), evaluating(model):
            samples = read_samples(x)
            if samples.shape != worst.x.shape:
                raise OptionError(
                    f"the samples have shape {tuple(samples.shape)}, their worst cases {tuple(worst.x.shape)}; "
                    "they must be the same"
                )
            classifier = read_classifier(model, samples, normalize, refresh=False)
            classes = read_labels(labels, len(samples), classifier.classes, samples.device)
            clean, moved = classifier.logits(samples), classifier.logits(worst.x)
        rounding = torch.finfo(classifier.dtype).eps ** 0.5 * (1 + float(moved.abs().max()))
        if bool(((class_margins(moved, classes).amax(1) - worst.margin).abs() > rounding).any()):
            raise OptionError(
                "the worst cases are of another model, other labels or another normalization: "
                "their margins differ from those of the scores; give what worst_case was given"
            )
        return WorstCaseWithScores(samples, classes, worst, clean, moved)
