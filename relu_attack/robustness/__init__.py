"""Classifiers under attack: the worst input near each sample, and robust accuracy."""

from typing import TYPE_CHECKING

from relu_attack._names import renamed_attributes
from relu_attack.robustness._accuracy import RobustAccuracy, robust_accuracy, summarize
from relu_attack.robustness._answer import WorstCase
from relu_attack.robustness._arguments import AttackArguments, read_options
from relu_attack.robustness._attack import worst_case
from relu_attack.robustness._cached_model import CachedModel, read_classifier
from relu_attack.robustness._classifier import Normalization, evaluating, read_pair
from relu_attack.robustness._critical_answer import CriticalRadius
from relu_attack.robustness._critical_radius import critical_radius, make_attack
from relu_attack.robustness._digests import model_digest
from relu_attack.robustness._half import round_into
from relu_attack.robustness._minimum_norm import ITERATIONS, RESTARTS, NearestBreaks
from relu_attack.robustness._record import Margins
from relu_attack.robustness._samples import Classes, Clip, half_of, read_labels, read_samples
from relu_attack.robustness._scores import WorstCaseWithScores

__all__ = [
    "ITERATIONS",
    "RESTARTS",
    "AttackArguments",
    "CachedModel",
    "Classes",
    "Clip",
    "CriticalRadius",
    "Margins",
    "NearestBreaks",
    "Normalization",
    "RobustAccuracy",
    "WorstCase",
    "WorstCaseWithScores",
    "critical_radius",
    "evaluating",
    "half_of",
    "make_attack",
    "model_digest",
    "read_classifier",
    "read_labels",
    "read_options",
    "read_pair",
    "read_samples",
    "robust_accuracy",
    "round_into",
    "summarize",
    "worst_case",
]

if not TYPE_CHECKING:
    __getattr__ = renamed_attributes(__name__, {"KeptModel": "CachedModel", "ScoredWorstCase": "WorstCaseWithScores"})
