"""Files: models as weights and a plain description or as ONNX, results as JSON and arrays."""

from relu_attack.io.architecture import Architecture, build, describe
from relu_attack.io.models import load_factory, load_model, save_model
from relu_attack.io.onnx import OnnxModel, read_onnx
from relu_attack.io.results import load_result, save_result

__all__ = [
    "Architecture",
    "OnnxModel",
    "build",
    "describe",
    "load_factory",
    "load_model",
    "load_result",
    "read_onnx",
    "save_model",
    "save_result",
]
