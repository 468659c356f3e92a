"""Callbacks of PyTorch Lightning; importing this package imports `pytorch_lightning`."""

from relu_attack.callbacks._adversarial_training import AdversarialTraining
from relu_attack.callbacks._certified_accuracy import CertifiedAccuracyMonitor
from relu_attack.callbacks._stop_on_bound import Envelope, StopOnBound
from relu_attack.callbacks._worst_case import WorstCaseMonitor

__all__ = ["AdversarialTraining", "CertifiedAccuracyMonitor", "Envelope", "StopOnBound", "WorstCaseMonitor"]
