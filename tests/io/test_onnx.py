"""A network that is read from an ONNX file answers as onnxruntime does."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from relu_attack.io import OnnxModel, read_onnx
from relu_attack.network.operators import Composition, Dense, Kronecker
from tests.io.graphs import Array, chains, helper, model, read, run


def points(count: int, size: int) -> Array:
    return (np.random.default_rng(0).integers(-32, 33, (count, size)) / 8).astype(np.float32)


def assert_same(proto: Any, shape: tuple[int, ...], folder: Path) -> OnnxModel:
    """Compare the network that is read with onnxruntime, relative to the largest number; return what was read."""
    found = read(proto, folder)
    inputs = points(3, int(np.prod(shape)))
    expected = run(proto, shape, inputs)
    outputs = found.network.forward(torch.from_numpy(inputs).double()).outputs.numpy()
    assert outputs.shape == expected.shape
    assert np.abs(outputs - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1)
    return found


def eighths(*shape: int) -> Array:
    return (np.random.default_rng(1).integers(-8, 9, shape) / 8).astype(np.float32)


def double(array: Array) -> Tensor:
    return torch.from_numpy(array).double()


@pytest.mark.slow
@given(drawn=chains())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_chain_of_nodes_answers_as_the_runtime(drawn: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    proto, shape = drawn
    found = assert_same(proto, shape, tmp_path_factory.mktemp("chain"))
    assert found.input_shape == shape
    assert found.network.input_shape == shape[1:]
    assert found.network.dtype == torch.float64


def test_compressed_file_is_the_same_network(tmp_path: Path) -> None:
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"], name="m")], ["n", 2], {"w": eighths(2, 3)})
    plain = read(proto, tmp_path)
    compressed = tmp_path / "net.onnx.gz"
    compressed.write_bytes(gzip.compress(proto.SerializeToString()))
    found = read_onnx(compressed)
    assert (found.path, found.input_name, found.output_name, found.input_shape) == (compressed, "x", "y", (1, 2))
    assert found.notes == plain.notes == ("node 'm' (MatMul): -> (1, 3)",)
    assert torch.equal(found.network.output.operator.matrix(), double(eighths(2, 3)).T)


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 12])
def test_older_opsets_say_the_same_in_attributes(opset: int, tmp_path: Path) -> None:
    parts = {"scale": eighths(2), "shift": eighths(2), "mean": eighths(2), "variance": np.abs(eighths(2)) + 1}
    nodes = [
        helper.make_node("BatchNormalization", ["x", *parts], ["b"]),
        helper.make_node("Dropout", ["b"], ["c"], **({"ratio": 0.5} if opset < 12 else {})),
        helper.make_node("AveragePool", ["c"], ["d"], kernel_shape=[2], pads=[0, 1]),
        helper.make_node("LeakyRelu", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Unsqueeze", ["f"], ["g"], axes=[1]),
        helper.make_node("Squeeze", ["g"], ["y"], axes=[1]),
    ]
    assert_same(model(nodes, [1, 2, 4], parts, opset=opset), (1, 2, 4), tmp_path)


def test_dropout_in_newer_opsets_has_a_mode(tmp_path: Path) -> None:
    constants = {"ratio": np.array(0.5, np.float32), "training": np.array(False)}
    proto = model([helper.make_node("Dropout", ["x", "ratio", "training"], ["y"])], [1, 3], constants)
    assert_same(proto, (1, 3), tmp_path)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]])
@pytest.mark.parametrize("opset", [10, 19])
def test_pooling_whose_last_window_reaches_beyond(kind: str, pads: list[int], opset: int, tmp_path: Path) -> None:
    node = helper.make_node(kind, ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 2], pads=pads, ceil_mode=1)
    assert_same(model([node], [1, 2, 6, 5], opset=opset), (1, 2, 6, 5), tmp_path)


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("kind", ["Conv", "MaxPool", "AveragePool"])
def test_padding_may_be_left_to_the_runtime(kind: str, automatic: str, tmp_path: Path) -> None:
    inputs, attributes = (["x", "w"], {}) if kind == "Conv" else (["x"], {"kernel_shape": [2, 3]})
    node = helper.make_node(kind, inputs, ["y"], auto_pad=automatic, strides=[1, 2], **attributes)
    assert_same(model([node], [1, 1, 4, 6], {"w": eighths(2, 1, 2, 3)}), (1, 1, 4, 6), tmp_path)


@pytest.mark.parametrize("pads", [[1, 1], [0, 2], [2, 1]])
def test_dilated_maximum(pads: list[int], tmp_path: Path) -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3], dilations=[2], pads=pads)
    assert_same(model([node], [1, 2, 7]), (1, 2, 7), tmp_path)


def test_dilated_convolution_in_groups(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], dilations=[2, 1], group=2, pads=[1, 0, 0, 2])
    assert_same(model([node], [1, 4, 6, 5], {"w": eighths(2, 2, 2, 3)}), (1, 4, 6, 5), tmp_path)


def test_gemm_may_have_the_value_on_the_right_or_turned(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["w", "x", "c"], ["a"], transA=1, transB=1, alpha=0.5, beta=2.0),
        helper.make_node("Gemm", ["a", "v"], ["y"], transA=1),
    ]
    constants = {"w": eighths(2, 3), "c": eighths(3, 1), "v": eighths(3, 2)}
    assert_same(model(nodes, [1, 2], constants), (1, 2), tmp_path)


def test_input_may_lack_a_batch_dimension(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["w", "x"], ["a"]), helper.make_node("Add", ["a", "b"], ["y"])]
    found = assert_same(model(nodes, [4], {"w": eighths(3, 4), "b": eighths(3)}), (4,), tmp_path)
    assert (found.network.input_shape, found.network.output_shape) == ((4,), (3,))


def test_a_constant_matrix_is_kept_as_it_is_on_either_side(tmp_path: Path) -> None:
    """As a matrix over all entries it would have a copy for each row or column of the value, and as triplets more."""
    for names, shape, copies in ((["w", "x"], [3, 1], 1), (["w", "x"], [3, 4], 4), (["x", "w"], [2, 5, 3], 10)):
        proto = model([helper.make_node("MatMul", names, ["y"])], shape, {"w": eighths(3, 3)})
        operator = assert_same(proto, tuple(shape), tmp_path).network.output.operator
        assert isinstance(operator, Dense if copies == 1 else Kronecker)
        assert tuple(operator.weight.shape) == (3, 3)
        assert operator.inputs == 3 * copies


def test_shape_of_the_value_is_a_constant(tmp_path: Path) -> None:
    """Exporters write a flattening as a Reshape to sizes that they take from the value."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "first"], ["batch"], axis=0),
        helper.make_node("Concat", ["batch", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["t", "target"], ["y"]),
    ]
    constants = {"first": np.array([0], np.int64), "rest": np.array([-1], np.int64)}
    assert_same(model(nodes, ["n", 2, 3], constants), (1, 2, 3), tmp_path)


def test_values_that_skip_nodes_are_passed_on(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["b", "a"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Concat", ["d", "x", "d"], ["y"], axis=1),
    ]
    layers = assert_same(model(nodes, [1, 3], {"w": eighths(3, 3)}), (1, 3), tmp_path).network.layers
    assert [int(layer.slope.sum()) for layer in layers] == [6, 3]


def test_values_of_shapes_that_broadcast_are_added(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["a"]),
        helper.make_node("Sub", ["a", "x"], ["b"]),
        helper.make_node("Shape", ["a"], ["sizes"]),
        helper.make_node("Reshape", ["a", "sizes"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    assert_same(model(nodes, [1, 2, 3, 2]), (1, 2, 3, 2), tmp_path)


def test_what_the_output_does_not_need_may_be_anything(tmp_path: Path) -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["unused"]), helper.make_node("Relu", ["x"], ["y"])]
    assert_same(model(nodes, [1, 3]), (1, 3), tmp_path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_weights_are_copied_without_rounding(dtype: Any, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 2)).astype(dtype)
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [1, 3], {"w": weights})
    matrix = read(proto, tmp_path).network.output.operator.matrix()
    assert torch.equal(matrix, torch.from_numpy(weights.astype(np.float64)).T)


def test_products_of_matrices_are_not_multiplied_out(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "v"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    weights = {"v": np.float32(1 / 3) * eighths(4, 4), "w": np.float32(1 / 7) * eighths(4, 2)}
    operator = assert_same(model(nodes, [1, 4], weights), (1, 4), tmp_path).network.output.operator
    assert isinstance(operator, Composition)
    for part, weight in zip(operator.operators, weights.values(), strict=True):
        assert torch.equal(part.matrix(), double(weight).T)


def test_permutation_beside_a_matrix_is_folded_exactly(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["a"], perm=[0, 2, 1]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["c"]),
        helper.make_node("Reshape", ["c", "sizes"], ["d"]),
        helper.make_node("Transpose", ["d"], ["y"], perm=[0, 2, 1]),
    ]
    weight = np.float32(1 / 3) * eighths(6, 6)
    constants = {"w": weight, "sizes": np.array([1, 3, 2], np.int64)}
    operator = assert_same(model(nodes, [1, 2, 3], constants), (1, 2, 3), tmp_path).network.output.operator
    assert isinstance(operator, Dense)
    before, after = np.arange(6).reshape(2, 3).T.ravel(), np.arange(6).reshape(3, 2).T.ravel()
    expected = np.empty_like(weight)
    expected[before] = weight[:, after]
    assert torch.equal(operator.weight, double(expected).T)


def test_old_files_list_initializers_among_the_inputs(tmp_path: Path) -> None:
    proto = model([helper.make_node("Add", ["x", "c"], ["y"])], [1, 3], {"c": eighths(3)})
    proto.graph.input.append(helper.make_tensor_value_info("c", 1, [3]))
    assert_same(proto, (1, 3), tmp_path)


def test_constants_are_computed_in_their_own_arithmetic(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["third", "third"], ["ninth"]),
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Sub", ["ninth", "two"], ["shift"]),
        helper.make_node("Add", ["x", "shift"], ["y"]),
    ]
    third = np.full(1, 1 / 3, np.float32)
    found = assert_same(model(nodes, [1, 3], {"third": third}), (1, 3), tmp_path)
    expected = third * third - np.float32(2)
    assert torch.equal(found.network.output.bias, double(expected).expand(3))


@pytest.mark.slow
def test_onnx_is_imported_only_to_read_a_file() -> None:
    program = "import sys, relu_attack.io; print('onnx' in sys.modules, 'onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
