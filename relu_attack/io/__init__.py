"""Files: models as weights and a plain description, results as JSON and arrays."""

from relu_attack.io.architecture import Architecture, build, describe
from relu_attack.io.models import load_factory, load_model, save_model
from relu_attack.io.results import load_result, save_result

__all__ = [
    "Architecture",
    "build",
    "describe",
    "load_factory",
    "load_model",
    "load_result",
    "save_model",
    "save_result",
]
