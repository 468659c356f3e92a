"""ONNX graphs for tests: written by hand, or chains of nodes with skips that hypothesis draws."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
ort = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

from onnx import NodeProto, TensorProto, helper, numpy_helper  # noqa: E402

from relu_attack.io import OnnxModel, read_onnx  # noqa: E402

Array = np.ndarray[Any, Any]


def model(
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str],
    constants: dict[str, Array] | None = None,
    *,
    opset: int = 13,
    output: str = "y",
) -> Any:
    """Return a model with the input x of some shape, which ends in the tensor `output`."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(proto: Any, shape: Sequence[int], inputs: Array) -> Array:
    """Return what onnxruntime gives for flat inputs, one row each."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.stack([session.run(None, {"x": row.reshape(shape)})[0].ravel() for row in inputs])


def read(proto: Any, folder: Path) -> OnnxModel:
    """Save a model and read it."""
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return read_onnx(path)


class Drawing:
    """A chain of nodes while it grows: the value's name and shape, its nodes and constants."""

    def __init__(self, draw: st.DrawFn, shape: tuple[int, ...]) -> None:
        self.draw, self.shape = draw, shape
        self.name = "x"
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def eighths(self, *shape: int, nonzero: bool = False) -> Array:
        """Return random numbers of few digits, so that single precision loses little."""
        numbers = self.random.integers(-8, 9, shape)
        return (np.where(numbers == 0, 8, numbers) if nonzero else numbers).astype(np.float32) / 8

    def constant(self, array: Array) -> str:
        """Store an array: among the initializers, as a node, or as what a node on constants gives."""
        name = f"c{len(self.constants) + len(self.nodes)}"
        how = self.draw(st.sampled_from(["initializer", "node", "computed"]))
        if how == "node":
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array)))
        elif how == "computed" and array.ndim == 2:
            self.constants[f"{name}_turned"] = np.ascontiguousarray(array.T)
            self.nodes.append(helper.make_node("Transpose", [f"{name}_turned"], [name], name=f"n{name}"))
        else:
            self.constants[name] = array
        return name

    def append(self, kind: str, inputs: Sequence[str], shape: tuple[int, ...], **attributes: Any) -> None:
        """Append a node that turns the value into one of another shape."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        self.name, self.shape = name, tuple(shape)

    def pick(self, *choices: Any) -> Any:
        """Draw one of the choices."""
        return self.draw(st.sampled_from(choices))


def arithmetic(chain: Drawing) -> None:
    """Append a sum, difference, product or quotient with a constant that broadcasts either way."""
    kind = chain.pick("Add", "Sub", "Mul", "Div")
    sizes = [chain.pick(1, size) for size in chain.shape]
    if math.prod(chain.shape) < 60:
        sizes = [
            chain.pick(1, 2) if size == 1 and index else kept
            for index, (size, kept) in enumerate(zip(chain.shape, sizes, strict=True))
        ]
    sizes = sizes[chain.draw(st.integers(0, len(sizes))) :]
    array = chain.eighths(*sizes, nonzero=kind == "Div")
    shape = np.broadcast_shapes(chain.shape, array.shape)
    inputs = [chain.name, chain.constant(array)]
    chain.append(kind, inputs if kind == "Div" or chain.pick(True, False) else inputs[::-1], shape)


def matmul(chain: Drawing) -> None:
    """Append a product with a matrix on the right, or on the left of stacked matrices."""
    width = chain.pick(1, 2, 3)
    if chain.pick(True, False) or len(chain.shape) < 3:
        stacked = chain.pick((), (1,) * max(len(chain.shape) - 2, 0))
        matrix = chain.eighths(*stacked, chain.shape[-1], width)
        chain.append("MatMul", [chain.name, chain.constant(matrix)], (*chain.shape[:-1], width))
    else:
        matrix = chain.eighths(width, chain.shape[-2])
        chain.append("MatMul", [chain.constant(matrix), chain.name], (*chain.shape[:-2], width, chain.shape[-1]))


def gemm(chain: Drawing) -> None:
    """Append a general product of the value, as a row, perhaps after a turn, with and without C."""
    if len(chain.shape) != 2:
        chain.append("Flatten", [chain.name], (chain.shape[0], math.prod(chain.shape[1:])))
    width, turned = chain.pick(1, 4), chain.pick(0, 1)
    matrix = chain.eighths(chain.shape[1], width)
    inputs = [chain.name, chain.constant(np.ascontiguousarray(matrix.T) if turned else matrix)]
    if chain.pick(True, False):
        inputs.append(chain.constant(chain.eighths(*chain.pick((), (width,), (1, width), (1, 1)))))
    chain.append(
        "Gemm", inputs, (chain.shape[0], width), transB=turned, alpha=chain.pick(1.0, 0.5), beta=chain.pick(1.0, 2.0)
    )


def activation(chain: Drawing) -> None:
    """Append an activation."""
    if chain.pick(True, False):
        chain.append("Relu", [chain.name], chain.shape)
    else:
        chain.append("LeakyRelu", [chain.name], chain.shape, alpha=chain.pick(0.125, 0.01, 0.0, 1.0, 2.0, -0.5))


def reshaping(chain: Drawing) -> None:
    """Append a node that moves no number."""
    kind = chain.pick("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout")
    rank, size = len(chain.shape), math.prod(chain.shape)
    if kind == "Flatten":
        axis = chain.draw(st.integers(1, rank))
        shape = (math.prod(chain.shape[:axis]), math.prod(chain.shape[axis:]))
        chain.append(kind, [chain.name], shape, axis=axis - rank if axis < rank and chain.pick(True, False) else axis)
    elif kind == "Reshape":
        divisor = chain.pick(*(number for number in range(1, size + 1) if size % number == 0))
        keeps = chain.shape[0] == 1 and chain.pick(True, False)
        target = np.array([0 if keeps else 1, divisor, -1], dtype=np.int64)
        chain.append(kind, [chain.name, chain.constant(target)], (1, divisor, size // divisor))
    elif kind == "Transpose":
        order = [0, *chain.draw(st.permutations(range(1, rank)))]
        chain.append(kind, [chain.name], tuple(chain.shape[index] for index in order), perm=order)
    elif kind == "Unsqueeze" and rank < 4:
        axes = np.array([chain.draw(st.integers(1, rank))], dtype=np.int64)
        chain.append(kind, [chain.name, chain.constant(axes)], (*chain.shape[: axes[0]], 1, *chain.shape[axes[0] :]))
    elif kind == "Squeeze" and 1 in chain.shape[1:]:
        axis = chain.shape.index(1, 1)
        axes = np.array([axis - rank], dtype=np.int64)
        chain.append(kind, [chain.name, chain.constant(axes)], (*chain.shape[:axis], *chain.shape[axis + 1 :]))
    else:
        chain.append("Dropout" if kind == "Dropout" else "Identity", [chain.name], chain.shape)


def _window(chain: Drawing) -> tuple[dict[str, Any], tuple[int, ...], list[int]]:
    """Draw a window, and return its attributes, the sizes of the result and the kernel's."""
    sizes = chain.shape[2:]
    kernel = [chain.draw(st.integers(1, min(3, size))) for size in sizes]
    strides = [chain.pick(1, 2) for _ in sizes]
    automatic = chain.pick("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        strides = [min(stride, width) for stride, width in zip(strides, kernel, strict=True)]  # the runtime wants this
        result = tuple(-(-size // stride) for size, stride in zip(sizes, strides, strict=True))
        return {"auto_pad": automatic, "strides": strides, "kernel_shape": kernel}, result, kernel
    pads = [0] * (2 * len(sizes))
    if automatic == "NOTSET":
        pads = [chain.draw(st.integers(0, width - 1)) for width in kernel * 2]
    result = tuple(
        (size + begin + end - width) // stride + 1
        for size, width, stride, begin, end in zip(
            sizes, kernel, strides, pads[: len(sizes)], pads[len(sizes) :], strict=True
        )
    )
    attributes = {"pads": pads} if automatic == "NOTSET" else {"auto_pad": automatic}
    return {**attributes, "strides": strides, "kernel_shape": kernel}, result, kernel


def image(chain: Drawing) -> None:
    """Append a node for images: a convolution, pooling or batch normalization."""
    if len(chain.shape) not in (3, 4) or chain.shape[0] != 1:
        return
    kind = chain.pick("Conv", "AveragePool", "MaxPool", "GlobalAveragePool", "BatchNormalization")
    channels = chain.shape[1]
    if kind == "BatchNormalization":
        parts = [chain.eighths(channels) for _ in range(3)] + [np.abs(chain.eighths(channels)) + np.float32(0.5)]
        chain.append(kind, [chain.name, *map(chain.constant, parts)], chain.shape, epsilon=1e-3)
    elif kind == "GlobalAveragePool":
        chain.append(kind, [chain.name], (1, channels, *[1] * (len(chain.shape) - 2)))
    elif kind == "Conv":
        attributes, result, kernel = _window(chain)
        groups = chain.pick(1, channels)
        weight = chain.eighths(2 * groups, channels // groups, *kernel)
        inputs = [chain.name, chain.constant(weight)]
        inputs += [chain.constant(chain.eighths(2 * groups))] if chain.pick(True, False) else []
        chain.append(kind, inputs, (1, 2 * groups, *result), group=groups, **attributes)
    else:
        attributes, result, _ = _window(chain)
        if kind == "AveragePool":
            attributes["count_include_pad"] = chain.pick(0, 1)
        chain.append(kind, [chain.name], (1, channels, *result), **attributes)


def skip(chain: Drawing) -> None:
    """Append a branch and a node that joins it with the value before it: a sum, a difference or a concatenation."""
    name, shape = chain.name, chain.shape
    activation(chain)
    if chain.pick(True, False):
        arithmetic(chain)
    kind = chain.pick("Add", "Sub", "Concat")
    names, shapes = [name, chain.name], [shape, chain.shape]
    if chain.pick(True, False):
        names, shapes = names[::-1], shapes[::-1]
    if kind != "Concat":
        chain.append(kind, names, np.broadcast_shapes(*shapes))
        return
    first, second = shapes
    rank = len(shape)
    fitting = [
        axis for axis in range(1, rank) if first[:axis] + first[axis + 1 :] == second[:axis] + second[axis + 1 :]
    ]
    if len(first) == len(second) and fitting:
        axis = chain.pick(*fitting)
        joined = (*first[:axis], first[axis] + second[axis], *first[axis + 1 :])
        chain.append(kind, names, joined, axis=chain.pick(axis, axis - rank))


@st.composite
def chains(draw: st.DrawFn) -> tuple[Any, tuple[int, ...]]:
    """Draw a model whose nodes stand in a row, with branches beside it, and the shape of its input."""
    rank = draw(st.integers(2, 4))
    shape = (1, *(draw(st.integers(1, 5)) for _ in range(rank - 1)))
    chain = Drawing(draw, shape)
    steps = [arithmetic, matmul, gemm, activation, reshaping, image, image, skip, skip]
    for step in draw(st.lists(st.sampled_from(steps), max_size=7)):
        if math.prod(chain.shape) <= 400:
            step(chain)
    proto = model(chain.nodes, [draw(st.sampled_from([1, "batch"])), *shape[1:]], chain.constants, output=chain.name)
    return proto, shape
