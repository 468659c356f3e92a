"""Digests of the model, the perturbation sets and the labels that margins belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from relu_attack._digest import Digests, digest
from relu_attack.robustness._cached_model import CachedModel
from relu_attack.robustness._classifier import evaluating

SET_OPTIONS = ("radius", "norm", "clip", "normalize")
"""The arguments of `worst_case` that, with a sample, are its set."""


def model_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all that the forward pass of a model in evaluation mode reads, in hexadecimal."""
    with evaluating(model):
        return model.digest() if isinstance(model, CachedModel) else digest(model)


def digests_of(model: str, x: object, label: object, settings: Mapping[str, object]) -> Digests:
    """Return the digests of margins.

    `model` is the digest of the model; `settings` are arguments of `worst_case`, at least those in `SET_OPTIONS`.
    """
    return Digests(model, digest(x, [settings[name] for name in SET_OPTIONS]), digest(label))


def joined(model: str, parts: Sequence[Digests]) -> Digests:
    """Return the digests of several batches as those of all of them together, in order."""
    return Digests(model, digest([part.domain for part in parts]), digest([part.objective for part in parts]))
