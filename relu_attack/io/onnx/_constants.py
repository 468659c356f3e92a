"""Constants: stored tensors, and evaluation of nodes with constant inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from relu_attack._limits import CONSTANT_ENTRIES
from relu_attack.errors import ModelError

if TYPE_CHECKING:
    import onnx

RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)
DRAWS = "draws random numbers, other ones at each run; export the model for inference"
REPEATING = ("Loop", "Scan", "SequenceMap")
SMALL_ENTRIES = 64
"""Largest number of entries of a constant that may be a shape, which is cheap to copy."""


def stored(tensor: onnx.TensorProto, where: str) -> np.ndarray[Any, Any]:
    """Return the array of a stored tensor; data that do not fit its shape are a ModelError."""
    from onnx import numpy_helper

    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (KeyError, TypeError, ValueError) as reason:
        raise ModelError(f"{where} has a tensor {tensor.name!r} that cannot be read: {_line(reason)}") from None


def never_constant(node: onnx.NodeProto) -> str:
    """Return the reason why a node, or one of its subgraphs, is not constant, for a message; "" if it may be.

    A ``Dropout`` is random if its third input sets training mode, which is unknown in a subgraph.
    """
    if node.op_type in RANDOM:
        return DRAWS
    if node.op_type in REPEATING:
        return "repeats a graph as often as it likes; export the model without loops"
    graphs = [inner for entry in node.attribute for inner in ([entry.g] if entry.HasField("g") else entry.graphs)]
    for inner in (inner for graph in graphs for inner in graph.node):
        reason = DRAWS if inner.op_type == "Dropout" and len(inner.input) > 2 else never_constant(inner)
        if reason:
            return reason
    return ""


def evaluate(
    node: onnx.NodeProto,
    inputs: Mapping[str, np.ndarray[Any, Any]],
    opsets: Mapping[str, int],
    where: str,
    *,
    most: int = CONSTANT_ENTRIES,
) -> list[np.ndarray[Any, Any]]:
    """Return the outputs of a node on constants in the arithmetic of their types, as a runtime does.

    `where` is the location of the node, for messages. ModelError is raised for outputs that cannot be computed, have
    more than `most` entries, or are random.
    """
    training = node.op_type == "Dropout" and len(node.input) > 2 and bool(np.any(inputs.get(node.input[2], False)))
    refusal = DRAWS if training else never_constant(node)
    if refusal:
        raise ModelError(f"{where} {refusal}")
    if node.op_type == "Identity":
        return [inputs[node.input[0]]]
    if node.op_type == "Constant" and node.attribute[:1] and node.attribute[0].name == "value":
        return [stored(node.attribute[0].t, where)]

    from onnx import ValueInfoProto, helper
    from onnx.reference import ReferenceEvaluator

    taken = [name for name in dict.fromkeys(node.input) if name]
    given = [name for name in node.output if name]
    graph = helper.make_graph(
        [node], "constant", [ValueInfoProto(name=name) for name in taken], [ValueInfoProto(name=name) for name in given]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*entry) for entry in opsets.items()])
    if _foreseen(model, {name: inputs[name] for name in taken}) > most:
        raise ModelError(f"{where} computes a constant of too many entries: at most {CONSTANT_ENTRIES} are computed")
    try:
        with np.errstate(all="ignore"):  # non-finite values are rejected where they are used
            results = ReferenceEvaluator(model).run(given, {name: inputs[name] for name in taken})
    except Exception as reason:  # an operator may raise anything on unsuitable inputs
        raise ModelError(
            f"{where} has constant inputs but cannot be computed: {type(reason).__name__}: {_line(reason)}"
        ) from None
    return [np.asarray(result) for result in results]


def _foreseen(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray[Any, Any]]) -> int:
    """Return the number of entries in the outputs of a model of one node, as far as shape inference determines it."""
    from onnx import ModelProto, checker, helper, numpy_helper, shape_inference

    asked = ModelProto()
    asked.CopyFrom(model)
    del asked.graph.input[:]
    for name, array in inputs.items():
        # Small constants are shapes and limits, whose values determine the size of the outputs.
        if array.size <= SMALL_ENTRIES:
            asked.graph.initializer.append(numpy_helper.from_array(array, name))
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            asked.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    try:
        inferred = shape_inference.infer_shapes(asked, data_prop=True)
    except (shape_inference.InferenceError, checker.ValidationError, RuntimeError):
        return 0  # unsuitable inputs, which evaluation reports
    return sum(
        math.prod(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in inferred.graph.output
        if all(size.HasField("dim_value") for size in value.type.tensor_type.shape.dim)
    )


def _line(reason: Exception) -> str:
    return " ".join(str(reason).split())
