"""The front door: `ReLUOptimizer`, `maximize`, `minimize`, `output_bounds`."""

from relu_attack.api import _renamed as _renamed
from relu_attack.api._functions import maximize, minimize, output_bounds
from relu_attack.api._optimizer import ReLUOptimizer

__all__ = ["ReLUOptimizer", "maximize", "minimize", "output_bounds"]
