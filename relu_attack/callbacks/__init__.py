"""Callbacks of PyTorch Lightning; importing this package imports `pytorch_lightning`."""

from relu_attack.callbacks.adversarial_training import AdversarialTraining
from relu_attack.callbacks.certified_accuracy import CertifiedAccuracyMonitor
from relu_attack.callbacks.stop_on_bound import Envelope, StopOnBound
from relu_attack.callbacks.worst_case import WorstCaseMonitor

__all__ = ["AdversarialTraining", "CertifiedAccuracyMonitor", "Envelope", "StopOnBound", "WorstCaseMonitor"]
