"""Constants: stored tensors, and nodes whose inputs are constants all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from relu_attack.errors import ModelError

if TYPE_CHECKING:
    import onnx


def stored(tensor: onnx.TensorProto, where: str) -> np.ndarray[Any, Any]:
    """Return the array that a file holds.

    Raises
    ------
    ModelError
        When its data do not fit its shape.
    """
    from onnx import numpy_helper

    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (KeyError, TypeError, ValueError) as reason:
        raise ModelError(f"{where} has a tensor {tensor.name!r} that cannot be read: {_line(reason)}") from None


def evaluate(
    node: onnx.NodeProto, inputs: Mapping[str, np.ndarray[Any, Any]], opsets: Mapping[str, int], where: str
) -> list[np.ndarray[Any, Any]]:
    """Return the outputs of a node on constants, in the arithmetic of their own types, as a runtime gives them.

    Raises
    ------
    ModelError
        When they cannot be computed.
    """
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
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused where it is used
            results = ReferenceEvaluator(model).run(given, {name: inputs[name] for name in taken})
    except Exception as reason:  # whatever an operator does on inputs that do not fit it
        raise ModelError(
            f"{where} has constant inputs but cannot be computed: {type(reason).__name__}: {_line(reason)}"
        ) from None
    return [np.asarray(result) for result in results]


def _line(reason: Exception) -> str:
    return " ".join(str(reason).split())
