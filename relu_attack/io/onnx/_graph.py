"""Graph of an ONNX file: one input, one output, and the nodes between them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relu_attack._limits import NETWORK_BYTES, VALUE_ENTRIES
from relu_attack.errors import FileFormatError, ModelError
from relu_attack.io._compressed import read_bytes
from relu_attack.io.onnx._external import load_external

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 7  # earlier opsets have other broadcasting rules


@dataclass(frozen=True, eq=False)
class Graph:
    """The computation of an ONNX file.

    A free batch dimension of `input_shape` is 1; `input_type` is ``"FLOAT"``, ``"DOUBLE"`` or ``"FLOAT16"``. `nodes`
    are those that the output depends on, in topological order. `opsets` has the version of each set of operators by
    domain, ``""`` being ONNX itself; `digest` is the SHA-256 of the file and of the tensors beside it.
    """

    path: Path
    input_name: str
    output_name: str
    input_shape: tuple[int, ...]
    input_type: str
    nodes: tuple[onnx.NodeProto, ...]
    initializers: dict[str, onnx.TensorProto]
    opsets: dict[str, int]
    digest: str

    def where(self, node: onnx.NodeProto) -> str:
        """Return the location of a node, for messages: ``net.onnx, node 'gemm_3' (Gemm)``."""
        return f"{self.path}, node {label(node)}"


def label(node: onnx.NodeProto) -> str:
    """Return the name of a node, or of its first output if it has none."""
    name = node.name or (node.output[0] if node.output else "")
    return f"{name!r} ({node.domain + '.' if node.domain else ''}{node.op_type})"


def read_graph(path: Path) -> Graph:
    """Read and check the graph of a file, not its nodes.

    FileFormatError is raised for a file that cannot be read, is not an ONNX file or has external tensors that cannot be
    read, and without onnx; ModelError for several inputs or outputs, free dimensions besides the batch, or a set of
    operators that is too old.
    """
    model, digest = read_model(path)
    opsets = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("", 0) < OLDEST_OPSET:
        raise ModelError(f"{path} has opset {opsets.get('', 'none')}; opsets from {OLDEST_OPSET} on are read")
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    # Old files list initializers among the inputs.
    inputs = [value for value in graph.input if value.name not in initializers]
    for word, values in (("input", inputs), ("output", list(graph.output))):
        if len(values) != 1:
            names = ", ".join(repr(value.name) for value in values) or "none"
            raise ModelError(f"{path} must have one {word}, it has {len(values)}: {names}")
    name, output = inputs[0].name, graph.output[0].name
    nodes = _needed(graph.node, output)
    shape, type_ = _input_shape(inputs[0], path)
    return Graph(path, name, output, shape, type_, nodes, initializers, opsets, digest)


def read_model(path: Path) -> tuple[onnx.ModelProto, str]:
    """Read a file with its external tensors, and return it with the digest of both."""
    content = read_bytes(path, suffix=".onnx", most=NETWORK_BYTES)
    model = _parse(content, path)
    digest = hashlib.sha256(content)
    for part in load_external(model, path):
        digest.update(part)
    return model, digest.hexdigest()


def _parse(content: bytes, path: Path) -> onnx.ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise FileFormatError(
            f"{path}: reading ONNX files needs the package onnx; install the extra: pip install 'relu-attack[onnx]'"
        ) from None
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise FileFormatError(f"{path} is not an ONNX file, or its end is missing") from None
    if not model.ir_version or not model.HasField("graph"):
        raise FileFormatError(f"{path} is not an ONNX file: it holds no graph")
    return model


def _needed(nodes: Sequence[onnx.NodeProto], output: str) -> tuple[onnx.NodeProto, ...]:
    needed, kept = {output}, []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return tuple(reversed(kept))


def _input_shape(value: onnx.ValueInfoProto, path: Path) -> tuple[tuple[int, ...], str]:
    """Return shape and element type of the input."""
    import onnx

    where = f"{path}: the input {value.name!r}"
    kind = value.type.tensor_type
    names = {number: name for name, number in onnx.TensorProto.DataType.items()}
    if kind.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16):
        raise ModelError(
            f"{where} is of type {names.get(kind.elem_type, kind.elem_type)}; it must be FLOAT, DOUBLE or FLOAT16"
        )
    if not kind.HasField("shape") or not kind.shape.dim:
        raise ModelError(f"{where} has no shape; export the model with one, such as (batch, 5)")
    first, *others = (size.dim_value for size in kind.shape.dim)  # 0 where it is free
    if math.prod((max(first, 1), *others)) > VALUE_ENTRIES:
        raise ModelError(f"{where} has {math.prod((first, *others))} entries; at most {VALUE_ENTRIES} are read")
    if min(others, default=1) < 1:
        shown = tuple(size.dim_value or size.dim_param or "?" for size in kind.shape.dim)
        raise ModelError(f"{where} has the shape {shown}; only the first dimension, the batch, may be free")
    return (max(first, 1), *others), names[kind.elem_type]
