"""The user's model: forward passes on copies of the inputs, and the equivalence check against its lowered form."""

from relu_attack.model._equivalence_check import check_agreement
from relu_attack.model._model import Model
from relu_attack.model._points import comparison_points
from relu_attack.model._reading import time_to_read, within_time
from relu_attack.model._running import run_module

__all__ = ["Model", "check_agreement", "comparison_points", "run_module", "time_to_read", "within_time"]
