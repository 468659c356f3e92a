"""A file that is no ONNX file, or holds a graph without an exact form, is refused in one line that says why."""

import builtins
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack.errors import FileFormatError, ModelError, ReLUAttackError, UnsupportedModuleError
from relu_attack.io import read_onnx
from tests.io.graphs import Array, TensorProto, helper, model, onnx, read

ONES = np.ones((3, 3), np.float32)
GOOD = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [1, 3], {"w": ONES}).SerializeToString()


def raised(error: type[ReLUAttackError], proto: Any, folder: Path) -> str:
    with pytest.raises(error) as caught:
        read(proto, folder)
    message = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in message
    return message.removeprefix(str(folder / "net.onnx"))


def test_every_node_without_a_form_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a"], name="gate"),
        helper.make_node("Mul", ["x", "a"], ["b"], name="swish"),
        helper.make_node("MatMul", ["b", "w"], ["c"], name="fine"),
        helper.make_node("Div", ["one", "c"], ["d"], name="inverse"),
        helper.make_node("Custom", ["d"], ["e"], domain="my.own"),
        helper.make_node("Softmax", ["e"], ["y"]),
    ]
    proto = model(nodes, [1, 3], {"w": ONES, "one": ONES[0]})
    assert raised(UnsupportedModuleError, proto, tmp_path) == (
        ": no exact form here for node 'gate' (Sigmoid); 'swish' (Mul) of 2 values that depend on the "
        "input; 'inverse' (Div) whose input 1 depends on the network's input; 'e' "
        "(my.own.Custom); 'y' (Softmax); supported: Add, AveragePool, BatchNormalization, Concat, Constant, Conv, Div, "
        "Dropout, Flatten, Gemm, GlobalAveragePool, Identity, LeakyRelu, MatMul, MaxPool, Mul, Relu, Reshape, "
        "Squeeze, Sub, Transpose, Unsqueeze"
    )


def test_values_and_constants_side_by_side_are_refused_by_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Concat", ["a", "w"], ["y"], name="wide", axis=0)]
    proto = model(nodes, [1, 3], {"w": ONES})
    assert "'wide' (Concat) of a value and a constant" in raised(UnsupportedModuleError, proto, tmp_path)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (("Add", {}), "adds values of shapes (1, 2) and (1, 3), which do not fit"),
        (("Concat", {"axis": 0}), "has axis=0, along which values of shapes (1, 2), (1, 3) do not fit"),
        (("Concat", {"axis": 2}), "has axis=2, along which values of shapes (1, 2), (1, 3) do not fit"),
    ],
)
def test_values_that_do_not_fit_each_other(node: tuple[str, dict[str, Any]], message: str, tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node(node[0], ["a", "x"], ["y"], **node[1])]
    assert message in raised(ModelError, model(nodes, [1, 3], {"w": ONES[:, :2]}), tmp_path)


def test_second_output_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a", "indices"], name="pool", kernel_shape=[1]),
        helper.make_node("Cast", ["indices"], ["y"], to=TensorProto.FLOAT),
    ]
    message = raised(UnsupportedModuleError, model(nodes, [1, 1, 3]), tmp_path)
    assert "'pool' (MaxPool) whose output 'indices' is used" in message


def _with(**changes: Any) -> Any:
    """Return a good model with more inputs, more outputs, other types, ..."""
    proto = onnx.load_model_from_string(GOOD)
    for value in changes.get("inputs", []):
        proto.graph.input.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, [1]))
    for value in changes.get("outputs", []):
        proto.graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, [1]))
    if "kind" in changes:
        proto.graph.input[0].type.tensor_type.elem_type = changes["kind"]
    if "opset" in changes:
        proto.opset_import[0].version = changes["opset"]
    return proto


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (_with(inputs=["u", "v"]), " must have one input, it has 3: 'x', 'u', 'v'"),
        (_with(outputs=["z"]), " must have one output, it has 2: 'y', 'z'"),
        (_with(kind=TensorProto.INT64), ": the input 'x' is of type INT64; it must be FLOAT, DOUBLE or FLOAT16"),
        (_with(opset=6), " has opset 6; opsets from 7 on are read"),
        (
            model([helper.make_node("Relu", ["x"], ["y"])], ["n", "m", 3]),
            ": the input 'x' has the shape ('n', 'm', 3); only the first dimension, the batch, may be free",
        ),
        (
            model([helper.make_node("Relu", ["x"], ["y"])], []),
            ": the input 'x' has no shape; export the model with one, such as (batch, 5)",
        ),
        (
            model([helper.make_node("Add", ["w", "w"], ["y"])], [1, 3], {"w": ONES}),
            ": the output 'y' does not depend on 'x'",
        ),
        (
            model(
                [
                    helper.make_node("MatMul", ["x", "v"], ["a"], name="first"),
                    helper.make_node("Gemm", ["a", "w", "b"], ["y"], name="last"),
                ],
                [1, 3],
                {"w": ONES},
            ),
            ": 'first' (MatMul) takes 'v'; 'last' (Gemm) takes 'b', which neither the file nor a node before it gives",
        ),
    ],
)
def test_graph_that_is_no_function_of_one_input(proto: Any, message: str, tmp_path: Path) -> None:
    assert raised(ModelError, proto, tmp_path) == message


CONV = {"w": np.ones((2, 1, 2), np.float32)}
STATISTICS = dict.fromkeys(("s", "b", "m"), ONES[0])
NODES: list[tuple[str, list[str], tuple[int, ...], dict[str, Array], dict[str, Any], str]] = [
    ("MatMul", ["x", "w"], (1, 4), {"w": ONES}, {}, "cannot multiply shapes (1, 4) and (3, 3)"),
    ("MatMul", ["w", "x"], (2, 4, 1), {"w": ONES}, {}, "cannot multiply shapes (3, 3) and (2, 4, 1)"),
    ("Gemm", ["x", "w"], (1, 3, 1), {"w": ONES}, {}, "takes two matrices but gets shapes (1, 3, 1) and (3, 3)"),
    (
        "Gemm",
        ["x", "w", "c"],
        (1, 3),
        {"w": ONES, "c": ONES},
        {},
        "has a C of shape (3, 3), which does not broadcast to (1, 3)",
    ),
    (
        "Add",
        ["x", "w"],
        (1, 4),
        {"w": ONES},
        {},
        "has a constant of shape (3, 3), which does not fit a value of shape (1, 4)",
    ),
    ("Div", ["x", "w"], (1, 3), {"w": 0 * ONES[0]}, {}, "divides by zero"),
    (
        "Mul",
        ["x", "w"],
        (1, 3),
        {"w": np.float32("nan") * ONES[0]},
        {},
        "has a coefficient that is NaN or infinite; train or load the model again",
    ),
    ("Flatten", ["x"], (1, 3), {}, {"axis": 3}, "has axis=3, which does not fit a value of shape (1, 3)"),
    (
        "Reshape",
        ["x", "w"],
        (1, 3),
        {"w": np.array([2, -1])},
        {},
        "gives a value of shape (1, 3) the shape (2, 1), which does not come out even",
    ),
    (
        "Reshape",
        ["x", "w"],
        (1, 3),
        {"w": np.array([1, 3, 0])},
        {},
        "keeps a dimension that a value of shape (1, 3) does not have: (1, 3, 0)",
    ),
    ("Transpose", ["x"], (1, 3), {}, {"perm": [0, 2]}, "has perm (0, 2), which does not fit a value of shape (1, 3)"),
    (
        "Squeeze",
        ["x", "w"],
        (1, 3),
        {"w": np.array([1])},
        {},
        "has axes (1,), which are not all of size 1 in a value of shape (1, 3)",
    ),
    (
        "Unsqueeze",
        ["x", "w"],
        (1, 3),
        {"w": np.array([5])},
        {},
        "has axes (5,), which do not fit a value of shape (1, 3)",
    ),
    (
        "Dropout",
        ["x", "r", "t"],
        (1, 3),
        {"r": ONES[0, 0], "t": np.array(True)},
        {},
        "is in training mode, where its result is random; export the model for inference",
    ),
    (
        "BatchNormalization",
        ["x", *STATISTICS, "v"],
        (1, 3),
        {**STATISTICS, "v": -ONES[0]},
        {},
        "has a variance that is not positive",
    ),
    (
        "BatchNormalization",
        ["x", *STATISTICS, "v"],
        (1, 3),
        {**STATISTICS, "v": ONES},
        {},
        "has statistics of shapes [(3,), (3, 3)] but gets a value of shape (1, 3)",
    ),
    (
        "Conv",
        ["x", "w"],
        (1, 2, 4),
        CONV,
        {"group": 1},
        "has weights of shape (2, 1, 2) in 1 groups but gets a value of shape (1, 2, 4)",
    ),
    (
        "Conv",
        ["x", "w"],
        (1, 1, 1),
        CONV,
        {},
        "has a window (2,) that is larger than a value of shape (1, 1, 1)",
    ),
    (
        "Conv",
        ["x", "w"],
        (1, 1, 4),
        CONV,
        {"strides": [1, 1]},
        "has kernel (2,), strides (1, 1), dilations (1,) and pads (0, 0), which do not fit a value of shape (1, 1, 4)",
    ),
    (
        "Conv",
        ["x", "w"],
        (1, 1, 2, 2, 2),
        CONV,
        {},
        "takes a value of shape (1, channels, 1 or 2 more) but gets one of shape (1, 1, 2, 2, 2)",
    ),
    ("MaxPool", ["x"], (1, 1, 4), {}, {}, "has no kernel_shape"),
    (
        "AveragePool",
        ["x"],
        (1, 1, 4),
        {},
        {"kernel_shape": [2], "pads": [3, 0]},
        "has a window that sees padding only, on a value of shape (1, 1, 4)",
    ),
]


@pytest.mark.parametrize(("kind", "inputs", "shape", "constants", "attributes", "message"), NODES)
def test_node_that_does_not_fit_its_value(
    kind: str,
    inputs: list[str],
    shape: tuple[int, ...],
    constants: dict[str, Array],
    attributes: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    node = helper.make_node(kind, inputs, ["y"], name="here", **attributes)
    assert raised(ModelError, model([node], shape, constants), tmp_path) == f", node 'here' ({kind}) {message}"


def test_average_whose_last_window_counts_differently_in_each_runtime(tmp_path: Path) -> None:
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2], ceil_mode=1, count_include_pad=1)
    assert "supported: one of them" in raised(UnsupportedModuleError, model([node], [1, 1, 5]), tmp_path)


def test_node_on_constants_that_cannot_be_computed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["w", "short"], ["c"], name="wrong"),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    message = raised(ModelError, model(nodes, [1, 3], {"w": ONES, "short": ONES[0, :2]}), tmp_path)
    assert message.startswith(", node 'wrong' (MatMul) has constant inputs but cannot be computed: ")


def test_tensor_whose_data_do_not_fit_its_shape(tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(GOOD)
    proto.graph.initializer[0].raw_data = b"\0\0\0\0"
    assert raised(ModelError, proto, tmp_path).startswith(" has a tensor 'w' that cannot be read: ")


def test_tensor_in_another_file(tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(GOOD)
    onnx.external_data_helper.set_external_data(proto.graph.initializer[0], "elsewhere.bin")
    assert raised(FileFormatError, proto, tmp_path) == (
        f": the tensor 'w' lies in {tmp_path / 'elsewhere.bin'}, which does not exist or is no file"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.onnx", GOOD[:-9], "is not an ONNX file, or its end is missing"),
        ("net.onnx", b"not an ONNX file", "is not an ONNX file, or its end is missing"),
        ("net.onnx", b"", "is not an ONNX file: it holds no graph"),
        ("net.onnx", gzip.compress(GOOD, mtime=0), "is not an ONNX file, or its end is missing"),
        ("net.onnx.gz", GOOD, "is not a whole gzip file: Not a gzipped file (b'\\x08\\x08')"),
        (
            "net.onnx.gz",
            gzip.compress(GOOD, mtime=0)[:-12],
            "is not a whole gzip file: Compressed file ended before the end-of-stream marker was reached",
        ),
        ("net.onnx", None, "cannot be read: No such file or directory"),
        ("net.pb", GOOD, "must end in .onnx or .onnx.gz"),
    ],
)
def test_file_that_is_no_onnx_file(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read_onnx(path)
    assert str(caught.value) == f"{path} {message}"


DAMAGED = model(
    [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 0], auto_pad="NOTSET"),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.5),
        helper.make_node("Transpose", ["b"], ["c"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["c", "sizes"], ["d"]),
        helper.make_node("Gemm", ["d", "v", "s"], ["y"], alpha=2.0),
    ],
    [1, 1, 2],
    {"w": np.ones((2, 1, 2), np.float32), "sizes": np.array([1, 4]), "v": np.ones((4, 1), np.float32), "s": ONES[0, 0]},
).SerializeToString()


@given(data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_damaged_file_is_read_or_refused_by_name(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any exception but the named one fails it."""
    content = bytearray(DAMAGED)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "net.onnx"
    path.write_bytes(content)
    try:
        model = read_onnx(path)
    except ReLUAttackError as reason:
        refusal = str(reason)
    else:
        refusal = "none"
        assert model.network.inputs >= 1
    assert len(refusal.splitlines()) == 1


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(GOOD)
    original = builtins.__import__

    def absent(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(FileFormatError, match=r"needs the package onnx; install the extra: .*relu-attack\[onnx\]"):
        read_onnx(path)
