"""Samples with their labels, perturbation sets and target classes, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, all_finite, as_tensor, first_index, warn
from relu_attack.domains import Ball, find_ball
from relu_attack.errors import DomainError, ObjectiveError
from relu_attack.robustness._half import HALVES, round_into

Clip: TypeAlias = "tuple[ArrayLike, ArrayLike]"
Classes: TypeAlias = "int | Sequence[int] | Sequence[Sequence[int]] | Tensor"


def read_samples(x: ArrayLike) -> Tensor:
    """Return samples (samples, \\*shape), contiguous and detached; integers, whose scale is unknown, are refused."""
    whole = x.dtype.kind in "bui" if isinstance(x, np.ndarray) else isinstance(x, Tensor) and not x.is_floating_point()
    if whole:
        dtype = getattr(x, "dtype", None)
        raise DomainError(f"x has dtype {dtype}; give floating-point samples, such as pixels divided by 255")
    samples = as_tensor(x, name="x", error=DomainError).contiguous()
    if samples.dim() < 2 or samples.numel() == 0:
        raise DomainError(f"x has shape {tuple(samples.shape)}; give a batch of samples, (samples, *shape of one)")
    if not all_finite(samples):
        raise DomainError(f"x is not finite at index {first_index(~torch.isfinite(samples))}")
    return samples


def read_labels(given: Classes, samples: int, classes: int, device: torch.device) -> Tensor:
    """Return the label of each sample, int64, shape (samples,); a single one holds for all."""
    labels = _read_classes(given, "labels", classes, device)
    if labels.dim() > 1 or labels.numel() not in (1, samples):
        raise ObjectiveError(f"labels has shape {tuple(labels.shape)} for {samples} samples; give one class for each")
    return labels.expand(samples)


def read_targets(targets: Classes | str, labels: Tensor, logits: Tensor) -> Tensor:
    """Return which classes the search goes for, boolean, shape (samples, classes).

    Targets are ``"all"``, every wrong class; ``"runner_up"``, the wrong class with the largest logit; or classes: one
    for all samples, (samples,), or several for each sample, (samples, k), none of which is the sample's label.
    """
    count, classes = logits.shape
    chosen = torch.zeros(count, classes, dtype=torch.bool, device=labels.device)
    if isinstance(targets, str):
        if targets == "all":
            return ~chosen.scatter(1, labels[:, None], True)
        if targets != "runner_up":
            raise ObjectiveError(f"targets is {targets!r}; it must be 'all', 'runner_up' or classes")
        return chosen.scatter_(1, logits.scatter(1, labels[:, None], -torch.inf).argmax(1, keepdim=True), True)
    wanted = _read_classes(targets, "targets", classes, labels.device)
    if wanted.dim() > 2 or (wanted.dim() > 0 and len(wanted) != count):
        raise ObjectiveError(
            f"targets has shape {tuple(wanted.shape)} for {count} samples; give one class, (samples,) or (samples, k)"
        )
    chosen.scatter_(1, wanted.reshape(-1, 1 if wanted.dim() < 2 else wanted.shape[1]).expand(count, -1), True)
    same = chosen.gather(1, labels[:, None])[:, 0]
    if bool(same.any()):
        raise ObjectiveError(f"the target of sample {first_index(same)} is its label; they must differ")
    return chosen


def _read_classes(value: Classes, name: str, classes: int, device: torch.device) -> Tensor:
    try:
        index = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ObjectiveError(f"{name} must be classes as whole numbers, got {type(value).__name__}") from None
    if index.numel() == 0:
        raise ObjectiveError(f"{name} is empty; give classes from 0 to {classes - 1}")
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ObjectiveError(f"{name} must be classes as whole numbers, got {index.numel()} of {index.dtype}")
    index = index.to(device, torch.int64)
    wrong = (index < 0) | (index >= classes)
    if bool(wrong.any()):
        raise ObjectiveError(
            f"{name}: {int(index[wrong][0])} is out of range; the model has {classes} classes, 0 to {classes - 1}"
        )
    return index


@dataclass(frozen=True, eq=False)
class PerturbationSets:
    """The set around each sample: a ball of its own radius within the clip box.

    The `domain` is one batch, in the dtype of the answer or in float32; `half` is the dtype of the answer where it is a
    half precision.
    """

    norm: str
    domain: Ball
    half: torch.dtype | None = None

    @staticmethod
    def around(
        x: Tensor, radius: ArrayLike, norm: str, clip: Clip | None, *, half: torch.dtype | None = None
    ) -> PerturbationSets:
        """Build the sets around samples (samples, \\*shape)."""
        size = as_tensor(radius, name="radius", error=DomainError).to(x.device, torch.float64)
        return PerturbationSets(norm, find_ball(norm)(x, size, clip=clip, shape=tuple(x.shape[1:])), half)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.domain.shape

    @property
    def center(self) -> Tensor:
        """The flat samples, shape (samples, inputs)."""
        return self.domain.center_point[:, 0]

    @property
    def radius(self) -> Tensor:
        """Shape (samples,), in the dtype of the samples, for walking."""
        return self.domain.radius[:, 0].to(self.domain.dtype)

    @property
    def low(self) -> Tensor:
        """Lower bounds, (samples, inputs): of the set for the maximum norm, of the clip box for other norms."""
        return self.domain.inner_bounds[0][:, 0]

    @property
    def high(self) -> Tensor:
        """Upper bounds, as `low`."""
        return self.domain.inner_bounds[1][:, 0]

    @property
    def widths(self) -> Tensor:
        """Widths of the sets, shape (samples, 1, inputs); of the ball alone where it is none of the maximum norm."""
        widths = self.high - self.low if self.norm == "linf" else (2 * self.radius[:, None]).expand_as(self.center)
        return widths[:, None]

    def starts(self, offsets: Tensor) -> Tensor:
        """Return starts (samples * walkers, inputs) from points (walkers, inputs) of the ball of radius 1 around 0."""
        center, low, high = self.center[:, None], self.low[:, None], self.high[:, None]
        points = torch.clamp(center + self.radius[:, None, None] * offsets, low, high)
        return points.view(-1, points.shape[-1])

    def project(self, points: Tensor) -> Tensor:
        """Return the nearest point of its set for each row (samples, inputs), in the dtype of the answer.

        DomainError is raised when a set holds no number of a half precision, near a clip box that its sample lies
        outside of.
        """
        points = points.to(self.center.device, self.center.dtype)
        inside = self.domain.project(points[:, None])[:, 0]
        if self.half is None:
            return inside
        rounded = round_into(inside, self.center, self.low, self.high, self.half)
        apart = ((self.center < self.low) | (self.center > self.high)).any(1)
        if bool(apart.any()):
            outside = apart & ~self.domain.contains(rounded.to(inside.dtype)[:, None], tolerance=0.0)[:, 0]
            if bool(outside.any()):
                raise DomainError(
                    f"no {self.half} number is known in the set of sample {first_index(outside)}; give float32 samples"
                )
        return rounded

    def at(self, index: Tensor) -> PerturbationSets:
        """Return the sets of some samples, each once and in order; views, where none is left out between them."""
        if len(index) == len(self.center):
            return self
        first, last = int(index[0]), int(index[-1])
        return PerturbationSets(
            self.norm, self.domain.take(slice(first, last + 1) if last - first < len(index) else index), self.half
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> PerturbationSets:
        """Return the sets on another device and in another dtype, rounded, for walking in it."""
        return PerturbationSets(self.norm, self.domain.to(device=device, dtype=dtype), self.half)


def half_of(x: ArrayLike) -> torch.dtype | None:
    """Return the dtype of samples in half precision; None for others."""
    if isinstance(x, np.ndarray):
        return torch.float16 if x.dtype == np.float16 else None
    return x.dtype if isinstance(x, Tensor) and x.dtype in HALVES else None


def read_sets(
    x: Tensor, radius: ArrayLike, norm: str, clip: Clip | None, *, half: torch.dtype | None = None
) -> PerturbationSets:
    """Build the sets around samples; the error for samples outside the clip box says what is most often meant."""
    try:
        return PerturbationSets.around(x, radius, norm, clip, half=half)
    except DomainError as reason:
        hint = "" if clip is None else _clip_hint(x, clip)
        raise DomainError(f"{reason}{hint}") from None


def _clip_hint(x: Tensor, clip: Clip) -> str:
    smallest, largest = float(x.amin()), float(x.amax())
    try:
        low, high = (float(torch.as_tensor(end).double().min()) for end in clip)
    except (TypeError, ValueError, RuntimeError):
        return ""
    if low <= smallest and largest <= high:
        return ""
    return (
        f"; the samples range from {smallest:g} to {largest:g}, but clip is ({low:g}, {high:g}): give "
        "clip=(0, 255) for such pixels, or samples from before they are normalized and normalize=(mean, std)"
    )


def read_points(x0: ArrayLike, sets: PerturbationSets) -> Tensor:
    """Return a point of its set for each sample, (samples, inputs); what lies outside is projected, with a warning."""
    given = as_tensor(x0, name="x0", error=DomainError)
    expected = (len(sets.center), *sets.shape)
    if tuple(given.shape) != expected:
        raise DomainError(f"x0 has shape {tuple(given.shape)}; give one point for each sample, shape {expected}")
    if not all_finite(given):
        raise DomainError(f"x0 is not finite at index {first_index(~torch.isfinite(given))}")
    points = given.flatten(1).to(sets.center.device, sets.center.dtype)
    outside = ~sets.domain.contains(points[:, None], tolerance=1e-6)
    if bool(outside.any()):
        warn(f"{int(outside.sum())} of {len(points)} points of x0 lie outside their set and are projected onto it")
    return sets.project(points)
