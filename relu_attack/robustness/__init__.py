"""Classifiers under attack: the worst input near each of some samples, and the accuracy that is left."""

from relu_attack.robustness.accuracy import RobustAccuracy, robust_accuracy
from relu_attack.robustness.answer import WorstCase
from relu_attack.robustness.attack import worst_case
from relu_attack.robustness.classifier import Normalization
from relu_attack.robustness.kept import KeptModel
from relu_attack.robustness.scores import ScoredWorstCase

__all__ = [
    "KeptModel",
    "Normalization",
    "RobustAccuracy",
    "ScoredWorstCase",
    "WorstCase",
    "robust_accuracy",
    "worst_case",
]
