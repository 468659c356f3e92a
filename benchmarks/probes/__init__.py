"""Faults that were found: each probe says what it expects, and whether what happens is that."""

from probes import files, folds, models, programs, searches, sets, training
from probes.base import PROBES, Observed, Probe

__all__ = ["PROBES", "Observed", "Probe", "files", "folds", "models", "programs", "searches", "sets", "training"]
