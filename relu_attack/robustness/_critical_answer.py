"""The result of `critical_radius`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._checks import is_number
from relu_attack._digest import Digests
from relu_attack._repr import one_line
from relu_attack.errors import OptionError
from relu_attack.result import Status

# Radii are closed to a tolerance of their own, not to that of the gap that a `Status` speaks of.
_MESSAGES = {
    Status.OPTIMAL: "the ends of all samples are as close as was asked for",
    Status.FEASIBLE: "the ends of some samples are farther apart than was asked for",
    Status.TIME_LIMIT: "stopped at the time limit; the ends of some samples may come closer",
    Status.INTERRUPTED: "interrupted; the ends so far",
}


@dataclass(frozen=True, eq=False, repr=False)
class CriticalRadius:
    """The smallest radius at which each of some samples breaks, between two ends.

    Attributes
    ----------
    upper
        Distance of `x` from its sample, float64, shape (samples,), infinite where no input was found that breaks it.
        The ball of this radius holds `x`, in exact arithmetic. In the maximum norm no smaller float64 does; sums of
        many inputs are rounded up by some parts in 10^13.
    lower
        No input at this distance or nearer, within the clip box, breaks the sample: it holds in real arithmetic for
        the stored weights. Float64, shape (samples,), 0 where nothing is proven, and never above `upper`.
    x
        The nearest input found at which the model's own forward pass gives another class a larger logit than the
        label's; the sample itself where none was found or it is misclassified. Shape, device and dtype of the samples.
    label
        The right class of each, int64, shape (samples,).
    norm
        Norm of the radii: ``"linf"``, ``"l2"`` or ``"l1"``.
    seconds
        Time spent on each sample, float64, shape (samples,); what samples share is divided evenly.
    status
        Why the search ended: OPTIMAL where the ends of all samples are as close as was asked for.
    runtime
        Seconds.
    digests
        Of the model, of the samples with norm, clip box and normalization, and of the labels.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> import relu_attack as ra
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> _ = nn.init.eye_(model[0].weight)
    >>> x, labels = torch.tensor([[0.75, 0.25], [0.5, 0.75]]), torch.tensor([0, 0])
    >>> found = ra.critical_radius(model, x, labels, progress=False)
    >>> found.upper.round(decimals=4), found.fraction_within(0.05)
    (tensor([0.2500, 0.0000], dtype=torch.float64), 1.0)
    """

    upper: Tensor
    lower: Tensor
    x: Tensor
    label: Tensor
    norm: str
    seconds: Tensor
    status: Status
    runtime: float
    digests: Digests | None = None

    @property
    def message(self) -> str:
        """Why the search ended, in a sentence."""
        return _MESSAGES[self.status]

    def __repr__(self) -> str:
        return one_line(
            self,
            samples=len(self.upper),
            norm=self.norm,
            upper=_median(self.upper),
            lower=_median(self.lower),
            status=self.status,
        )

    def __str__(self) -> str:
        return (
            f"median radius between {_median(self.lower):.4g} and {_median(self.upper):.4g} ({self.norm}) of "
            f"{len(self.upper)} samples; both ends within 5 % for {self.fraction_within(0.05):.1%}; {self.message}"
        )

    def closed(self, tolerance: float) -> Tensor:
        """Return where `upper` less `lower` is at most a share of `upper`, boolean, shape (samples,).

        Raises
        ------
        OptionError
            For a tolerance that is no number from 0 to below 1.
        """
        return are_closed(self.lower, self.upper, read_tolerance(tolerance))

    def fraction_within(self, tolerance: float) -> float:
        """Return the share of the samples whose ends differ by at most a share of `upper`.

        Raises
        ------
        OptionError
            As `closed` does.
        """
        return float(self.closed(tolerance).double().mean())


def are_closed(lower: Tensor, upper: Tensor, tolerance: float) -> Tensor:
    """Return where two ends differ by at most a share of the upper one."""
    return torch.isfinite(upper) & (upper - lower <= tolerance * upper)


def read_tolerance(tolerance: float) -> float:
    """Return a tolerance; raise `OptionError` unless it is a number from 0 to below 1."""
    if not is_number(tolerance) or not 0 <= tolerance < 1:
        raise OptionError(f"tolerance must be a number from 0 to below 1, such as 0.05, got {tolerance!r}")
    return float(tolerance)


def _median(radii: Tensor) -> float:
    return float(radii.median())
