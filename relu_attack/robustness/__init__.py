"""Classifiers under attack: the worst input near each of some samples, and the accuracy that is left."""

from relu_attack.robustness.answer import WorstCase
from relu_attack.robustness.attack import worst_case

__all__ = ["WorstCase", "worst_case"]
