"""Files: models as weights and a plain description or as ONNX, properties in VNN-LIB, results as JSON and arrays."""

from typing import TYPE_CHECKING

from relu_attack._names import renamed_attributes
from relu_attack.io._architecture import Architecture, build, describe
from relu_attack.io._instance import digest_of_network, digest_of_property, verify_files
from relu_attack.io._models import load_factory, load_model, save_model
from relu_attack.io._results import RESULT, load_result, save_result, summarize
from relu_attack.io._robustness import (
    ACCURACIES,
    WORST_CASE,
    Accuracies,
    check_accuracies,
    load_accuracies,
    load_worst_case,
    save_accuracies,
    save_worst_case,
)
from relu_attack.io._saved import check_archive, read_summary
from relu_attack.io._tables import read_rows
from relu_attack.io.onnx import OnnxModel, read_onnx
from relu_attack.io.vnnlib import (
    Case,
    Polyhedron,
    Property,
    format_witness,
    parse_vnnlib,
    read_vnnlib,
    read_witness,
    write_witness,
)

__all__ = [
    "ACCURACIES",
    "RESULT",
    "WORST_CASE",
    "Accuracies",
    "Architecture",
    "Case",
    "OnnxModel",
    "Polyhedron",
    "Property",
    "build",
    "check_accuracies",
    "check_archive",
    "describe",
    "digest_of_network",
    "digest_of_property",
    "format_witness",
    "load_accuracies",
    "load_factory",
    "load_model",
    "load_result",
    "load_worst_case",
    "parse_vnnlib",
    "read_onnx",
    "read_rows",
    "read_summary",
    "read_vnnlib",
    "read_witness",
    "save_accuracies",
    "save_model",
    "save_result",
    "save_worst_case",
    "summarize",
    "verify_files",
    "write_witness",
]

if not TYPE_CHECKING:  # a module with __getattr__ has any attribute for type checkers
    __getattr__ = renamed_attributes(__name__, {"Inequalities": "Polyhedron"})
