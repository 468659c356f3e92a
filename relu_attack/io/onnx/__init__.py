"""Reader of ONNX files: one file for each family of operators."""

from relu_attack.io.onnx._graph import read_model
from relu_attack.io.onnx._reader import OnnxModel, read_onnx

__all__ = ["OnnxModel", "read_model", "read_onnx"]
