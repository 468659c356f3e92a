"""Files: models as weights and a plain description or as ONNX, properties in VNN-LIB, results as JSON and arrays."""

from relu_attack.io.architecture import Architecture, build, describe
from relu_attack.io.instance import verify_files
from relu_attack.io.models import load_factory, load_model, save_model
from relu_attack.io.onnx import OnnxModel, read_onnx
from relu_attack.io.results import load_result, save_result
from relu_attack.io.robustness import load_accuracies, load_worst_case, save_accuracies, save_worst_case
from relu_attack.io.vnnlib import (
    Case,
    Inequalities,
    Property,
    format_witness,
    parse_vnnlib,
    read_vnnlib,
    read_witness,
    write_witness,
)

__all__ = [
    "Architecture",
    "Case",
    "Inequalities",
    "OnnxModel",
    "Property",
    "build",
    "describe",
    "format_witness",
    "load_accuracies",
    "load_factory",
    "load_model",
    "load_result",
    "load_worst_case",
    "parse_vnnlib",
    "read_onnx",
    "read_vnnlib",
    "read_witness",
    "save_accuracies",
    "save_model",
    "save_result",
    "save_worst_case",
    "verify_files",
    "write_witness",
]
