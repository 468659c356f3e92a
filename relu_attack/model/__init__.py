"""The user's model itself: run on copies of its inputs, and compared with the chain that was made of it."""

from relu_attack.model._equivalence_check import check_agreement
from relu_attack.model._model import Model
from relu_attack.model._points import comparison_points
from relu_attack.model._running import run_module

__all__ = ["Model", "check_agreement", "comparison_points", "run_module"]
