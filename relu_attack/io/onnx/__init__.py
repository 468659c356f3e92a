"""ONNX files as chains: one file for each family of nodes, one table of rules."""

from relu_attack.io.onnx._graph import read_model
from relu_attack.io.onnx._reader import DTYPES, EITHER_SIDE, RULES, SEVERAL, OnnxModel, read_onnx

__all__ = ["DTYPES", "EITHER_SIDE", "RULES", "SEVERAL", "OnnxModel", "read_model", "read_onnx"]
