"""Files of worst cases of classifiers and of accuracies over radii."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from relu_attack._checks import check_is, is_number
from relu_attack._digest import Digests
from relu_attack.errors import FileFormatError, OptionError
from relu_attack.io._saved import Kind, to_json
from relu_attack.result import Status
from relu_attack.robustness import Margins, RobustAccuracy, WorstCase, WorstCaseWithScores, summarize

Accuracies: TypeAlias = "Sequence[tuple[float, RobustAccuracy]]"

WORST_CASE = Kind("worst case", version=1)
ACCURACIES = Kind("accuracies", version=1)
_SAMPLES = ("x", "label", "clean_scores", "worst_scores")
_WORST = ("x", "margin", "target", "clean_margin")
_SHARES = ("clean", "attacked", "certified")
_MARGINS = ("clean_margin", "margin", "certified_margin")


def save_worst_case(
    found: WorstCaseWithScores, path: str | os.PathLike[str], *, settings: Mapping[str, Any] | None = None
) -> None:
    """Save worst cases, with their samples and scores, as ``<path>.json`` and ``<path>.safetensors``.

    Parameters
    ----------
    found
        Result of `WorstCaseWithScores.of`.
    path, settings
        As in `save_result`.

    Raises
    ------
    FileFormatError
        As `save_result`.

    Examples
    --------
    >>> import tempfile
    >>> import torch, relu_attack as ra
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    >>> x, label = torch.rand(5, 2), torch.tensor([0, 1, 2, 0, 1])
    >>> found = ra.WorstCaseWithScores.of(model, x, label, ra.worst_case(model, x, label, radius=0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_worst_case(found, f"{folder}/worst")
    ...     loaded = load_worst_case(f"{folder}/worst")
    >>> torch.equal(loaded.worst.x, found.worst.x), torch.equal(loaded.worst.margin, found.worst.margin)
    (True, True)
    """
    check_is(found, WorstCaseWithScores, name="found", wanted="what WorstCaseWithScores.of returned", error=OptionError)
    worst = found.worst
    entries = {
        "samples": len(worst.margin),
        "broken": int(worst.success.sum()),
        "proven_safe": None if worst.certified_margin is None else int((worst.certified_margin < 0).sum()),
        "digests": None if worst.digests is None else vars(worst.digests),
        "status": worst.status.name,
        "evaluations": worst.evaluations,
        "runtime": worst.runtime,
    }
    tensors = {name: getattr(found, name) for name in _SAMPLES}
    tensors |= {f"worst.{name}": getattr(worst, name) for name in (*_WORST, "certified_margin")}
    WORST_CASE.save(path, entries, tensors, settings)


def load_worst_case(path: str | os.PathLike[str]) -> WorstCaseWithScores:
    """Load worst cases saved by `save_worst_case`.

    Parameters
    ----------
    path
        The common name of the two files, or either of them.

    Returns
    -------
    WorstCaseWithScores
        On the CPU, with exact values.

    Raises
    ------
    FileFormatError
        For a missing or damaged file, or two files that do not match.
    """
    saved = WORST_CASE.load(path)
    x, label, clean_scores, worst_scores = saved.need(*_SAMPLES)
    moved, margin, target, clean_margin = saved.need(*(f"worst.{name}" for name in _WORST))
    with saved.reading() as entries:
        worst = WorstCase(
            x=moved,
            margin=margin,
            success=margin > 0,
            target=target,
            clean_margin=clean_margin,
            certified_margin=saved.tensors.get("worst.certified_margin"),
            status=Status[entries["status"]],
            evaluations=int(entries["evaluations"]),
            runtime=float(entries["runtime"]),
            digests=_digests(entries),
        )
    found = WorstCaseWithScores(x, label, worst, clean_scores, worst_scores)
    _check_samples(found, saved.summary)
    return found


def save_accuracies(
    accuracies: Accuracies, path: str | os.PathLike[str], *, settings: Mapping[str, Any] | None = None
) -> None:
    """Save accuracies over radii as ``<path>.json`` and ``<path>.safetensors``.

    Parameters
    ----------
    accuracies
        Pairs of a radius and the result of `robust_accuracy` for it.
    path, settings
        As in `save_result`; the command ``plot`` takes the norm from ``settings["norm"]``.

    Raises
    ------
    FileFormatError
        As `save_result`.
    OptionError
        For an empty list, or a radius that is negative or not a number.

    Examples
    --------
    >>> import tempfile
    >>> import torch, relu_attack as ra
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    >>> batch = torch.rand(5, 2), torch.tensor([0, 1, 2, 0, 1])
    >>> found = [(radius, ra.robust_accuracy(model, [batch], radius, progress=False)) for radius in (0.0, 0.1)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_accuracies(found, f"{folder}/accuracies", settings={"norm": "linf"})
    ...     loaded = load_accuracies(f"{folder}/accuracies")
    >>> [radius for radius, _ in loaded], loaded[1][1].attacked == found[1][1].attacked
    ([0.0, 0.1], True)
    """
    check_accuracies(accuracies)
    entries = {"radii": [_summarize(radius, accuracy) for radius, accuracy in accuracies]}
    tensors = {
        f"{place}.{name}": getattr(accuracy, name)
        for place, (_, accuracy) in enumerate(accuracies)
        for name in _MARGINS
    }
    ACCURACIES.save(path, entries, tensors, settings)


def load_accuracies(path: str | os.PathLike[str]) -> list[tuple[float, RobustAccuracy]]:
    """Load accuracies saved by `save_accuracies`.

    Parameters
    ----------
    path
        The common name of the two files, or either of them.

    Returns
    -------
    list of (float, RobustAccuracy)
        On the CPU, with exact values.

    Raises
    ------
    FileFormatError
        For a missing or damaged file, two files that do not match, or accuracies that contradict the margins.
    """
    saved = ACCURACIES.load(path)
    found = []
    with saved.reading() as entries:
        for place, stated in enumerate(entries["radii"]):
            clean, worst = saved.need(f"{place}.clean_margin", f"{place}.margin")
            certified = saved.tensors.get(f"{place}.certified_margin")
            shapes = [part.shape for part in (clean, worst, certified) if part is not None]
            if any(shape != (len(clean),) for shape in shapes):
                raise FileFormatError(f"{saved.summary}: the margins of radius {place} differ in their number")
            complete = stated["complete"] is True
            accuracy = summarize([Margins(clean, worst, certified)], complete=complete, digests=_digests(stated))
            radius = float(stated["radius"])
            if {"digests": None, **stated} != _summarize(radius, accuracy):
                raise FileFormatError(
                    f"{saved.summary}: what it says of radius {place} is not what the margins say; was it edited?"
                )
            found.append((radius, accuracy))
        check_radii([radius for radius, _ in found])
    return found


def check_accuracies(accuracies: Accuracies) -> None:
    """Raise `OptionError` unless these are pairs of a radius and a `RobustAccuracy`."""
    wanted = "pairs (radius, what robust_accuracy returned), such as [(0.1, accuracy)]"
    check_is(accuracies, (list, tuple), name="accuracies", wanted=wanted, error=OptionError)
    for place, pair in enumerate(accuracies):
        whole = isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[1], RobustAccuracy)
        if not whole or not is_number(pair[0]):
            raise OptionError(f"accuracies must be {wanted}, got {type(pair).__name__} at index {place}")
    check_radii([radius for radius, _ in accuracies])


def check_radii(radii: Sequence[float]) -> None:
    """Raise `OptionError` unless there are radii, all finite and at least 0."""
    if not radii:
        raise OptionError("there are no accuracies; give at least one pair (radius, RobustAccuracy)")
    wrong = [radius for radius in radii if not (math.isfinite(radius) and radius >= 0)]
    if wrong:
        raise OptionError(f"a radius must be a finite number from 0, got {wrong[0]}")


def _summarize(radius: float, accuracy: RobustAccuracy) -> dict[str, Any]:
    shares = {name: getattr(accuracy, name) for name in _SHARES}
    return {
        "radius": float(radius),
        **{name: None if share is None else to_json(share) for name, share in shares.items()},
        "samples": accuracy.samples,
        "complete": accuracy.complete,
        "digests": None if accuracy.digests is None else vars(accuracy.digests),
    }


def _digests(entries: Mapping[str, Any]) -> Digests | None:
    """Return the digests of a file; files of earlier versions have none."""
    stated = entries.get("digests")
    return None if stated is None else Digests(**stated)


def _check_samples(found: WorstCaseWithScores, summary: Path) -> None:
    """Raise unless every array has one entry for each sample, and labels and targets are classes."""
    worst, count = found.worst, found.x.shape[:1]

    def wrong(name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> FileFormatError:
        return FileFormatError(f"{summary}: {name} has shape {tuple(shape)}, it should be {tuple(wanted)}")

    if not count or not found.x.numel():
        raise FileFormatError(f"{summary}: there is no sample in x of shape {tuple(found.x.shape)}")
    if worst.x.shape != found.x.shape:
        raise wrong("worst.x", worst.x.shape, found.x.shape)
    if found.clean_scores.dim() != 2 or found.clean_scores.shape[:1] != count:
        raise wrong("clean_scores", found.clean_scores.shape, (*count, -1))
    if found.worst_scores.shape != found.clean_scores.shape:
        raise wrong("worst_scores", found.worst_scores.shape, found.clean_scores.shape)
    rows: dict[str, Tensor | None] = {"label": found.label}
    rows |= {name: getattr(worst, name) for name in ("margin", "target", "clean_margin", "certified_margin")}
    for name, row in rows.items():
        if row is not None and row.shape != count:
            raise wrong(name, row.shape, count)
    for name in ("label", "target"):
        classes = rows[name]
        assert classes is not None
        outside = (classes < 0) | (classes >= found.clean_scores.shape[1])
        if classes.dtype != torch.int64 or bool(outside.any()):
            raise FileFormatError(f"{summary}: {name} must be whole numbers below {found.clean_scores.shape[1]}")
