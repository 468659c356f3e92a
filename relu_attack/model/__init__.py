"""The user's model itself: run on copies of its inputs, and compared with the chain that was made of it."""

from relu_attack.model.agreement import check_agreement
from relu_attack.model.model import Model
from relu_attack.model.points import comparison_points
from relu_attack.model.running import run_module

__all__ = ["Model", "check_agreement", "comparison_points", "run_module"]
