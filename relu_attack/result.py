"""The answers: a checked input with its value and a bound, and how it was found; what is known of a claim."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from relu_attack._repr import one_line

OPTIMALITY = 1e-6
"""Relative gap between bound and value at which a value counts as optimal."""

# A value below this share of the objective's scale counts as zero: its gap is relative to the share.
_NEGLIGIBLE = 1e-3
# A gap up to this counts as the rounding of 0 where there is no scale to compare with.
_ZERO = 1e-300


def gap_unit(value: Tensor, scale: Tensor) -> Tensor:
    """Return what a gap is relative to: the size of the value, or a thousandth of the objective's scale if it is more.

    Parameters
    ----------
    value
        Values of any sign.
    scale
        How large the terms of the objective are over the set, as `Problem.scale` says, in the same shape.

    Examples
    --------
    >>> gap_unit(torch.tensor([-3.0, 0.0]), torch.tensor([1.0, 250.0]))
    tensor([3.0000, 0.2500])
    """
    return torch.maximum(value.abs(), _NEGLIGIBLE * scale)


def relative_gap(value: Tensor, bound: Tensor, scale: Tensor) -> Tensor:
    """Return the distance between value and bound, of either sense, as a share of the `gap_unit`: 0 where they meet.

    It is infinite without a value or a bound.
    """
    gap = (bound - value).abs()
    share = torch.where(torch.isfinite(gap), gap / gap_unit(value, scale), torch.inf)
    return torch.where((bound == value) | (gap <= _ZERO), 0.0, share)


class Status(Enum):
    """Why a search ended; the value is the message."""

    OPTIMAL = "the bound meets the value: no input is better, to a relative gap of 1e-6"
    FEASIBLE = "a feasible input; a better one may exist"
    TIME_LIMIT = "stopped at the time limit; a better input may exist"
    ITERATION_LIMIT = "stopped at the iteration limit; a better input may exist"
    INTERRUPTED = "interrupted; the best input so far"
    INFEASIBLE = "no input of the set satisfies the output constraints"
    NOT_FOUND = "no input that satisfies the output constraints was found; one may exist"


class Verdict(Enum):
    """What is known of a claim; the value is the message."""

    VERIFIED = "the claim holds on the whole set"
    FALSIFIED = "a witness breaks the claim"
    UNKNOWN = "neither a proof nor a witness was found"
    TIMEOUT = "the time ran out before a proof or a witness was found"


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """Best value against work; one row a record, in order.

    Attributes
    ----------
    seconds
        Time since the call began, shape (records,).
    iterations
        Steps done, shape (records,).
    values
        Best value so far of each problem, shape (records, problems); it never gets worse.
    """

    seconds: Tensor
    iterations: Tensor
    values: Tensor

    def __repr__(self) -> str:
        return one_line(self, records=len(self.seconds), problems=self.values.shape[-1])


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What `maximize` and `minimize` return. For a batch of P problems each entry has a leading dimension P.

    Attributes
    ----------
    x
        The best input found, in the shape of one input of the model and the dtype of its set; it lies in the set.
    value
        The objective at `x` by the forward pass of the user's model itself, in its own dtype, to which it rounds `x`;
        float64, shape () or (P,). Minus infinity (`minimize`: infinity) where `x` breaks the output constraints; `x` is
        then the point that breaks them least.
    bound
        No input of the set is better than this: an upper bound (`minimize`: lower bound); float64, shape () or
        (P,). Minus infinity (`minimize`: infinity) where no input satisfies the output constraints. It is never on the
        wrong side of `value`: where the rounding of the model's forward pass takes `value` beyond it, it is `value`.
    certified
        Whether `bound` holds in real arithmetic for the stored weights; False where it is the word of a mixed-integer
        solver. Boolean, shape () or (P,).
    scale
        How large the terms of the objective are over the set: what the gap is relative to where the value is near 0;
        shape () or (P,).
    status
        Why the search ended. Whether the bound meets the value is asked in real arithmetic, by a float64 pass; the gap
        may be larger by the rounding of the model's own forward pass.
    violation
        By how much `x` leaves its set, relative to the scale of the constraint; shape () or (P,).
    output_violation
        By how much the outputs at `x`, by a float64 pass, break an output constraint, relative to its scale; up to 1e-6
        counts as feasible. Shape () or (P,).
    integrality
        How far integer inputs of `x` are from whole numbers, and groups from one-hot: 0. Shape () or (P,).
    method
        Name of the method.
    found_by
        Which part of the method found `x`, one entry a problem.
    iterations
        Steps that each walker did, or programs that were solved.
    evaluations
        Points at which the network and its gradient were evaluated, all walkers together.
    runtime
        Seconds.
    trace
        Best value against time.
    path
        Where each walker went, shape (steps, problems, walkers, inputs), when it was asked for; of the walks over
        programs the start and the end of each step, shape (points, 1, 1, inputs).
    """

    x: Tensor
    value: Tensor
    bound: Tensor
    certified: Tensor
    scale: Tensor
    status: Status
    violation: Tensor
    output_violation: Tensor
    integrality: Tensor
    method: str
    found_by: tuple[str, ...]
    iterations: int
    evaluations: int
    runtime: float
    trace: Trace
    path: Tensor | None = None

    @property
    def message(self) -> str:
        """The status in words."""
        return self.status.value

    @property
    def success(self) -> bool:
        """Whether the call did what it was asked for, as in the results of scipy.

        True where a feasible input of every problem was found, and the search ended at an optimum or at a limit of its
        own; `status` says which, and `gap` how much better another input may be. False where some problem has no
        feasible input, or none was found, and after Ctrl-C.
        """
        ended = self.status not in (Status.INTERRUPTED, Status.INFEASIBLE, Status.NOT_FOUND)
        return ended and bool(torch.isfinite(self.value).all())

    @property
    def gap(self) -> Tensor:
        """How much better than `value` an input might still be: the distance from value to bound, shape of `value`."""
        same = self.bound == self.value  # both may be infinite
        return torch.where(same, 0.0, self.bound - self.value).abs()

    @property
    def relative_gap(self) -> Tensor:
        """The gap as a share of the value's magnitude, or of a thousandth of `scale` where that is more.

        The status is OPTIMAL where it is at most 1e-6 by a float64 pass, whatever the model's own rounding is.
        """
        return relative_gap(self.value, self.bound, self.scale)

    def __repr__(self) -> str:
        problems = self.value.numel() if self.value.dim() else None
        return one_line(
            self, value=self.value, bound=self.bound, status=self.status, method=self.method, problems=problems
        )

    def __str__(self) -> str:
        """Summarize the answer in a few words, the first problem of a batch only."""
        value, bound, gap = (float(entry.reshape(-1)[0]) for entry in (self.value, self.bound, self.gap))
        more = f" (first of {self.value.numel()} problems)" if self.value.dim() else ""
        return (
            f"{self.method}: value {value:.6g}, bound {bound:.6g}, gap {gap:.3g}{more}; "
            f"{self.iterations} steps in {self.runtime:.2f} s; {self.message}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Verification:
    """What is known of a claim about a network over a set.

    Attributes
    ----------
    verdict
        Verified, falsified, or neither.
    witness
        An input of the set, in the shape of its inputs, at which the model itself breaks the claim; None unless
        falsified. In the dtype of the model, or float64 where the set has no such number.
    outputs
        What the model itself answers at the witness, float64, shape (outputs,); None without a witness.
    bound
        No input enters the unsafe set deeper than this, in real arithmetic: the largest over the clauses of an
        upper bound on ``min_i (b_i - a_i . f(x))``. Below 0 the claim is verified; infinite where nothing is known.
    decided_by
        What gave the verdict, such as ``"interval"``, ``"walk"`` or ``"branch_and_bound"``; "" if nothing did.
    regions
        Parts of the set that branch and bound looked at.
    runtime
        Seconds.
    note
        What is to be known beside the verdict; "" for nothing.
    interrupted
        Whether Ctrl-C ended the search.
    """

    verdict: Verdict
    witness: Tensor | None
    outputs: Tensor | None
    bound: float
    decided_by: str
    regions: int
    runtime: float
    note: str = ""
    interrupted: bool = False

    @property
    def message(self) -> str:
        """The verdict in words, with the note."""
        return f"{self.verdict.value}; {self.note}" if self.note else self.verdict.value

    def __repr__(self) -> str:
        decided_by = self.decided_by or None
        return one_line(self, verdict=self.verdict, bound=self.bound, decided_by=decided_by, regions=self.regions)

    def __str__(self) -> str:
        """Summarize the answer in one line."""
        by = f" by {self.decided_by}" if self.decided_by else ""
        return f"{self.verdict.name}{by} in {self.runtime:.2f} s, bound {self.bound:.6g}: {self.message}"


@dataclass(frozen=True, eq=False, repr=False)
class CheckedBounds:
    """What is known of claimed bounds on the outputs.

    Attributes
    ----------
    lower, upper
        One answer for each output.
    """

    lower: tuple[Verification, ...]
    upper: tuple[Verification, ...]

    def __repr__(self) -> str:
        return one_line(self, outputs=len(self.lower), verdict=self.verdict)

    @property
    def verdict(self) -> Verdict:
        """Verified if all bounds are, falsified if one is, else what is missing."""
        found = {answer.verdict for answer in (*self.lower, *self.upper)}
        order = (Verdict.FALSIFIED, Verdict.TIMEOUT, Verdict.UNKNOWN, Verdict.VERIFIED)
        return next(verdict for verdict in order if verdict in found)
