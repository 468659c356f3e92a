"""Reader of ONNX files: the walk over the graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack._files import as_path
from relu_attack._limits import CONSTANT_ENTRIES
from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.io.onnx import (
    _arithmetic,
    _convolution,
    _matrices,
    _normalization,
    _pooling,
    _reshaping,
)
from relu_attack.io.onnx._chain import Chain
from relu_attack.io.onnx._constants import evaluate, never_constant, stored
from relu_attack.io.onnx._graph import Graph, label, read_graph
from relu_attack.io.onnx._layers import lower_as_layer
from relu_attack.io.onnx._node import Node
from relu_attack.io.onnx._runtime import Runtime, start_runtime
from relu_attack.network import LiveValue, Network, onnx_operators
from relu_attack.verification import ReferenceModel

if TYPE_CHECKING:
    import onnx

RULES: dict[str, Callable[[Node, Chain], None]] = {
    **_matrices.RULES,
    **_arithmetic.RULES,
    **_convolution.RULES,
    **_normalization.RULES,
    **_pooling.RULES,
    **_reshaping.RULES,
}
SEVERAL: dict[str, Callable[[Node, Chain, Sequence[LiveValue]], None]] = {**_arithmetic.SEVERAL, **_reshaping.SEVERAL}
"""Operators whose inputs may all depend on the network's input: the ends of skip connections."""

EITHER_SIDE = ("Add", "Sub", "Mul", "MatMul", "Gemm")
"""Operators whose value may be the second input; for the others it is the first."""

DTYPES = {"FLOAT": torch.float32, "DOUBLE": torch.float64, "FLOAT16": torch.float16}


@dataclass(frozen=True, eq=False)
class OnnxModel(ReferenceModel):
    """A model of an ONNX file, accepted by `relu_attack.verify`.

    Attributes
    ----------
    network
        The chain, in float64 on the CPU; its flat input is the input of the file in row-major order.
    dtype
        The dtype of its input.
    path
        The file.
    input_name, output_name
        Names of its input and output.
    input_shape
        Shape of one input for a runtime: as in the file, with a free batch dimension as 1.
    notes
        One line for each lowered node.
    digest
        The SHA-256 of the file and of the tensors beside it.
    """

    network: Network
    dtype: torch.dtype
    path: Path
    input_name: str
    output_name: str
    input_shape: tuple[int, ...]
    notes: tuple[str, ...]
    digest: str

    @cached_property
    def _runtime(self) -> Runtime | None:
        return start_runtime(self.path, self.input_name, self.input_shape, self.digest)

    def run(self, x: Tensor) -> tuple[Tensor, ...]:
        """Evaluate the file by onnxruntime; without that package, its chain in the dtype of the file and in float64."""
        if self._runtime is not None:
            return (self._runtime(x.to(self.dtype)),)
        chains = (self.network.to(dtype=dtype) for dtype in (self.dtype, torch.float64))
        return tuple(chain.forward(x[None].to(chain.dtype)).outputs[0].double() for chain in chains)

    @property
    def note(self) -> str:
        """Name of the runtime if it is not onnxruntime."""
        return "" if self._runtime is not None else "onnxruntime is not installed: the witness was run by the chain"


def read_onnx(path: str | os.PathLike[str], *, deadline: Deadline = NEVER) -> OnnxModel:
    """Read an ONNX file into the sequential piecewise-linear form.

    Nodes on constants are evaluated in the types of the file, as by a runtime. The rest is lowered as a function of
    real numbers with the exact weights.

    Parameters
    ----------
    path
        A name in ``.onnx`` or ``.onnx.gz``. Needs the extra ``onnx``. Tensors may lie in other files of its folder.
    deadline
        Time limit, beyond which an `OutOfTimeError` is raised.

    Returns
    -------
    OnnxModel
        The network, with the interface to a runtime of the same file.

    Raises
    ------
    FileFormatError
        For a file that cannot be read or is not an ONNX file, or if the package onnx is not installed.
    UnsupportedModuleError
        For nodes without an exact form; names all of them and the supported operators.
    ModelError
        For several inputs or outputs, a free dimension besides the batch, a missing tensor, or a node that does not
        fit its value.

    Examples
    --------
    >>> import tempfile, onnx
    >>> graph = onnx.parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["": 13]>
    ...     g (float[N, 2] x) => (float[N, 2] y) <float[2] shift = {1.0, -1.0}> { s = Add(x, shift)  y = Relu(s) }
    ... ''')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     onnx.save(graph, f"{folder}/net.onnx")
    ...     model = read_onnx(f"{folder}/net.onnx")
    >>> model.input_name, model.input_shape
    ('x', (1, 2))
    >>> model.network.forward(torch.tensor([[1.0, 0.5]]).double()).outputs
    tensor([[2., 0.]], dtype=torch.float64)
    """
    graph = read_graph(as_path(path))
    _check(graph)
    chain = Chain(graph.input_shape)
    with torch.no_grad():
        _walk(graph, chain, deadline)
    built = chain.build()
    network = Network(built.layers, built.output, _one(built.input_shape), _one(built.output_shape))
    notes = tuple(note.removeprefix(f"{graph.path}, ") for note in chain.notes)
    dtype = DTYPES[graph.input_type]
    return OnnxModel(
        network, dtype, graph.path, graph.input_name, graph.output_name, graph.input_shape, notes, graph.digest
    )


def _rules() -> dict[str, Callable[[Node, Chain], None]]:
    """Return the rule of each operator of one value, those of layers included."""
    return {**dict.fromkeys(onnx_operators(), lower_as_layer), **RULES}


def _one(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its batch dimension, if any."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def _check(graph: Graph) -> None:
    """Raise one error that names all nodes without an exact form, or all that lack an input."""
    constant, varying = set(graph.initializers), {graph.input_name}
    taken = {name for node in graph.nodes for name in node.input} | {graph.output_name}
    lacking: list[str] = []
    refused: list[str] = []
    for node in graph.nodes:
        missing = [name for name in node.input if name and name not in constant | varying]
        lacking.extend(f"{label(node)} takes {name!r}" for name in missing)
        places = [place for place, name in enumerate(node.input) if name in varying]
        depends = bool(places) and node.op_type != "Shape"
        reason = _reason(node, places, taken) if depends else None
        if refusal := never_constant(node):
            reason = f", which {refusal}"
        if reason is not None:
            refused.append(label(node) + reason)
        (varying if depends else constant).update(node.output)
    if lacking:
        raise ModelError(f"{graph.path}: {'; '.join(lacking)}, which neither the file nor a node before it gives")
    if refused:
        supported = ", ".join(sorted({*_rules(), *SEVERAL, "Constant"}))
        raise UnsupportedModuleError(
            f"{graph.path}: no exact form here for node {'; '.join(refused)}; supported: {supported}"
        )
    if graph.output_name not in varying:
        raise ModelError(f"{graph.path}: the output {graph.output_name!r} does not depend on {graph.input_name!r}")


def _reason(node: onnx.NodeProto, places: list[int], taken: set[str]) -> str | None:
    """Return the reason why an input-dependent node is not supported, "" for its type, or None."""
    if node.domain not in ("", "ai.onnx") or not (node.op_type in _rules() or node.op_type in SEVERAL):
        return ""
    if _takes_several(node, places):
        return None
    if len(places) > 1:
        return f" of {len(places)} values that depend on the input"
    if node.op_type not in _rules():
        return " of a value and a constant"
    if places[0] and not (node.op_type in EITHER_SIDE and places[0] == 1):
        return f" whose input {places[0]} depends on the network's input"
    if taken.intersection(node.output[1:]):
        return f" whose output {node.output[1]!r} is used"
    return None


def _takes_several(node: onnx.NodeProto, places: list[int]) -> bool:
    return node.op_type in SEVERAL and len(places) == len(node.input)


def _walk(graph: Graph, chain: Chain, deadline: Deadline) -> None:
    import onnx

    taken = {name for node in graph.nodes for name in node.input}
    known = {name: stored(graph.initializers[name], str(graph.path)) for name in taken.intersection(graph.initializers)}
    last = {name: index for index, node in enumerate(graph.nodes) if node.op_type != "Shape" for name in node.input}
    last[graph.output_name] = len(graph.nodes)
    live = {graph.input_name: chain.current()}
    chain.save(live[graph.input_name])
    most, rules = CONSTANT_ENTRIES, _rules()
    for index, node in enumerate(graph.nodes):
        deadline.require()
        where = graph.where(node)
        try:
            attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        except ValueError as reason:
            raise ModelError(f"{where} has an attribute without a value: {reason}") from None
        places = [place for place, name in enumerate(node.input) if name in live]
        if not places:
            found = evaluate(node, known, graph.opsets, where, most=most)
            most -= sum(array.size for array in found)
            known.update(zip(node.output, found, strict=False))
        elif node.op_type == "Shape":
            sizes = live[node.input[0]].shape[attributes.get("start", 0) : attributes.get("end")]
            known[node.output[0]] = np.array(sizes, dtype=np.int64)
        else:
            chain.path = where
            for name in {node.input[place] for place in places}:
                if last[name] == index:
                    chain.free(live[name])
            constants = {place: known[name] for place, name in enumerate(node.input) if name in known}
            values = [live[node.input[place]] for place in places]
            chain.switch_to(values[0])
            read = Node(node.op_type, where, places[0], constants, attributes)
            if _takes_several(node, places):
                SEVERAL[node.op_type](read, chain, values)
            else:
                rules[node.op_type](read, chain)
            live[node.output[0]] = chain.current()
            if node.output[0] in last:
                chain.save(live[node.output[0]])
    chain.switch_to(live[graph.output_name])
