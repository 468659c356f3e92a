"""Files from anywhere: what takes too much memory or time, leaves its folder or is random is refused by name."""

import gc
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relu_attack import Verdict, verify_files
from relu_attack._deadline import Deadline, OutOfTimeError
from relu_attack._limits import CONSTANT_ENTRIES, VALUE_ENTRIES
from relu_attack._loading import without_collection
from relu_attack.errors import FileFormatError, ModelError, ReLUAttackError, UnsupportedModuleError
from relu_attack.io import parse_vnnlib, read_onnx, read_vnnlib, read_witness
from tests.io.graphs import TensorProto, helper, model, numpy_helper, onnx, read

HEAD = "(declare-const X_0 Real) (declare-const Y_0 Real) (assert (>= X_0 0)) (assert (<= X_0 1))\n"
FIVE = np.array([[5.0]], dtype=np.float32)


def integers(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, dtype=np.int64)


def message_of(act: Callable[[], object], error: type[ReLUAttackError] = FileFormatError) -> str:
    with pytest.raises(error) as caught:
        act()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "act"), [("p.vnnlib.gz", read_vnnlib), ("n.onnx.gz", read_onnx), ("w.txt.gz", read_witness)]
)
def test_a_compressed_file_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[Path], object]
) -> None:
    for module in ("relu_attack.io.vnnlib._reader", "relu_attack.io.vnnlib._witness"):
        monkeypatch.setattr(f"{module}.PROPERTY_BYTES", 2**20)
    monkeypatch.setattr("relu_attack.io.onnx._graph.NETWORK_BYTES", 2**20)
    path = tmp_path / name
    path.write_bytes(gzip.compress(bytes(2**22)))
    assert message_of(lambda: act(path)) == f"{path} is too large: at most {2**20} bytes are read, decompressed"


def external(location: str, **entries: object) -> TensorProto:
    tensor = TensorProto(name="w", dims=[1, 1], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def save_external(folder: Path, tensor: TensorProto, *, as_node: bool) -> Path:
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], (1, 1))
    if as_node:
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))
    else:
        proto.graph.initializer.append(tensor)
    path = folder / "n.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder that has a file w.bin of its own, beside the folder of the model."""
    for folder, number in (("model", 5.0), ("here", 0.25)):
        (tmp_path / folder).mkdir()
        np.array([number], dtype=np.float32).tofile(tmp_path / folder / "w.bin")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "model"


@pytest.mark.parametrize("as_node", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_tensors_beside_a_model_are_read_from_its_folder(elsewhere: Path, as_node: bool, compressed: bool) -> None:
    path = save_external(elsewhere, external("w.bin", offset=0, length=4), as_node=as_node)
    if compressed:
        packed = path.with_suffix(".onnx.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        path = packed
    found = read_onnx(path)
    assert found.network.forward(torch.ones(1, 1).double()).outputs.tolist() == [[5.0]]
    assert [answer.tolist() for answer in found.run(torch.ones(1).double())] == [[5.0]]
    before = found.digest
    np.array([6.0], dtype=np.float32).tofile(elsewhere / "w.bin")
    assert read_onnx(path).digest != before


@pytest.mark.parametrize("as_node", [False, True])
@pytest.mark.parametrize(
    ("location", "entries", "reason"),
    [
        ("../here/w.bin", {}, "it must be a file in the folder of the model"),
        ("{absolute}", {}, "it must be a file in the folder of the model"),
        ("", {}, "it must be a file in the folder of the model"),
        ("link.bin", {}, "which leads out of the folder of the model"),
        ("folder/w.bin", {}, "which leads out of the folder of the model"),
        ("none.bin", {}, "which does not exist or is no file"),
        (".", {}, "which does not exist or is no file"),
        ("w.bin", {"offset": 2, "length": 4}, "lies at bytes 2 to 6 of"),
        ("w.bin", {"offset": -1}, "lies at bytes -1 to 4 of"),
        ("w.bin", {"length": "many"}, "has an offset or a length that is no whole number"),
    ],
)
def test_tensors_elsewhere_are_refused(
    elsewhere: Path, location: str, entries: dict[str, object], reason: str, as_node: bool
) -> None:
    here = elsewhere.parent / "here"
    (elsewhere / "link.bin").symlink_to(here / "w.bin")
    (elsewhere / "folder").symlink_to(here)
    location = location.replace("{absolute}", str(here / "w.bin"))
    path = save_external(elsewhere, external(location, **entries), as_node=as_node)
    said = message_of(lambda: read_onnx(path))
    assert said.startswith(f"{path}: the tensor 'w' ")
    assert reason in said


def test_a_cache_of_links_is_read(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    FIVE.tofile(tmp_path / "blobs" / "b")
    path = save_external(tmp_path / "blobs", external("w.bin"), as_node=False)
    (tmp_path / "snapshot" / "n.onnx").symlink_to(path)
    (tmp_path / "snapshot" / "w.bin").symlink_to(tmp_path / "blobs" / "b")
    found = read_onnx(tmp_path / "snapshot" / "n.onnx")
    assert found.network.forward(torch.ones(1, 1).double()).outputs.tolist() == [[5.0]]


def test_a_file_that_changes_after_it_is_read_is_not_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    found = read(model(nodes, (1, 1), {"w": FIVE}), tmp_path)
    read(model(nodes, (1, 1), {"w": FIVE + 1}), tmp_path)
    said = message_of(lambda: found.run(torch.ones(1).double()), ModelError)
    assert said == f"{found.path} is no longer the file that was read; read it again"


def random_node(kind: str) -> list[Any]:
    """Return a node that draws r, of the shape of the constant w."""
    if kind in ("RandomNormal", "RandomUniform"):
        return [helper.make_node(kind, [], ["r"], shape=[1, 1])]
    if kind == "Multinomial":
        return [helper.make_node(kind, ["w"], ["n"]), helper.make_node("Cast", ["n"], ["r"], to=TensorProto.FLOAT)]
    if kind == "Dropout":
        return [helper.make_node(kind, ["w", "half", "yes"], ["r"])]
    if kind == "If":
        branch = helper.make_graph(
            [helper.make_node("RandomNormal", [], ["z"], shape=[1, 1])],
            "branch",
            [],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 1])],
        )
        return [helper.make_node(kind, ["yes"], ["r"], then_branch=branch, else_branch=branch)]
    return [helper.make_node(kind, ["w"], ["r"])]


@pytest.mark.parametrize(
    "kind",
    [
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
        "Dropout",
        "If",
    ],
)
@pytest.mark.parametrize("folded", [False, True])
def test_random_numbers_are_refused(tmp_path: Path, kind: str, folded: bool) -> None:
    """Also where they reach the value through other nodes on constants."""
    nodes = random_node(kind)
    if folded:
        nodes += [helper.make_node("Neg", ["r"], ["m"]), helper.make_node("Identity", ["m"], ["s"])]
    nodes.append(helper.make_node("Add", ["x", "s" if folded else "r"], ["y"]))
    constants = {"w": FIVE / 5, "half": np.float32(0.5), "yes": np.array(True)}
    said = message_of(lambda: read(model(nodes, (1, 1), constants, opset=15), tmp_path), ReLUAttackError)
    assert "draws random numbers" in said
    assert f"({kind})" in said


def test_loops_on_constants_are_refused(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["u"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, 1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("u", TensorProto.FLOAT, [1, 1]),
        ],
    )
    nodes = [helper.make_node("Loop", ["n", "yes", "w"], ["r"], body=body), helper.make_node("Add", ["x", "r"], ["y"])]
    constants = {"w": FIVE, "n": np.array(10**15), "yes": np.array(True)}
    said = message_of(lambda: read(model(nodes, (1, 1), constants), tmp_path), UnsupportedModuleError)
    assert "'r' (Loop), which repeats a graph as often as it likes" in said


def test_dropout_in_inference_is_none(tmp_path: Path) -> None:
    nodes = [helper.make_node("Dropout", ["w"], ["s"]), helper.make_node("Add", ["x", "s"], ["y"])]
    found = read(model(nodes, (1, 1), {"w": FIVE}), tmp_path)
    assert found.network.forward(torch.zeros(1, 1).double()).outputs.tolist() == [[5.0]]


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (helper.make_node("ConstantOfShape", ["s"], ["c"]), {"s": integers(2**20, 2**20)}),
        (helper.make_node("Expand", ["w", "s"], ["c"]), {"s": integers(2**20, 2**20)}),
        (helper.make_node("Tile", ["w", "s"], ["c"]), {"s": integers(2**20, 2**20)}),
        (helper.make_node("Range", ["a", "b", "d"], ["c"]), {"a": np.array(0), "b": np.array(2**40), "d": np.array(1)}),
        (helper.make_node("Add", ["p", "q"], ["c"]), {"p": np.zeros((2**15, 1)), "q": np.zeros(2**15)}),
    ],
)
def test_a_constant_has_a_limit(tmp_path: Path, node: Any, constants: dict[str, Any]) -> None:
    nodes = [node, helper.make_node("ReduceMax", ["c"], ["m"]), helper.make_node("Add", ["x", "m"], ["y"])]
    proto = model(nodes, (1, 1), {"w": FIVE, **constants})
    said = message_of(lambda: read(proto, tmp_path), ModelError)
    assert said.endswith(f"computes a constant of too many entries: at most {CONSTANT_ENTRIES} are computed")


def test_a_value_has_a_limit(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    said = message_of(lambda: read(model(nodes, (1, 2**31)), tmp_path), ModelError)
    assert said.endswith(f"entries; at most {VALUE_ENTRIES} are read")
    proto = model(nodes, (1, 2**14, 1), {"w": np.zeros((1, 1, 2**15), dtype=np.float32)})
    said = message_of(lambda: read(proto, tmp_path), ModelError)
    assert said.endswith(f"makes a value of {2**29} entries; at most {VALUE_ENTRIES} are read")


def refused_by_runtime(folder: Path) -> Path:
    """Return a network that onnxruntime does not load: weights of another type than the input."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "mixed",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [1, 1])],
        [numpy_helper.from_array(FIVE, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "m.onnx")
    return folder / "m.onnx"


def test_a_file_that_onnxruntime_refuses(tmp_path: Path) -> None:
    path = refused_by_runtime(tmp_path)
    (tmp_path / "p.vnnlib").write_text(f"{HEAD}(assert (>= Y_0 4))")
    said = message_of(lambda: verify_files(path, tmp_path / "p.vnnlib"), ModelError)
    assert said.startswith(f"{path}: onnxruntime does not load the file, so that no witness can be confirmed: ")
    # A proof needs no runtime.
    (tmp_path / "p.vnnlib").write_text(f"{HEAD}(assert (>= Y_0 6))")
    assert verify_files(path, tmp_path / "p.vnnlib").verdict is Verdict.VERIFIED


def test_reading_ends_at_its_deadline(tmp_path: Path) -> None:
    (tmp_path / "p.vnnlib").write_text(f"{HEAD}(assert (>= Y_0 6))" + "(assert (<= Y_0 9))" * 5000)
    read(model([helper.make_node("Relu", ["x"], ["y"])], (1, 1)), tmp_path)
    for act in (lambda: read_vnnlib(tmp_path / "p.vnnlib", deadline=Deadline.after(-1)), read_late(tmp_path)):
        with pytest.raises(OutOfTimeError):
            act()
    answer = verify_files(tmp_path / "net.onnx", tmp_path / "p.vnnlib", time_limit=1e-9)
    assert answer.verdict is Verdict.TIMEOUT
    assert answer.note == "the time went into reading the files"


def read_late(folder: Path) -> Callable[[], object]:
    return lambda: read_onnx(folder / "net.onnx", deadline=Deadline.after(-1))


def test_disjunctions_have_a_limit_that_counts_inputs() -> None:
    inputs = 2000
    text = "(declare-const Y_0 Real)" + "".join(
        f"(declare-const X_{i} Real)(assert (<= X_{i} 1))(assert (>= X_{i} 0))" for i in range(inputs)
    )
    disjuncts = "".join(f"(and (<= X_0 {number / 9999}) (<= Y_0 1))" for number in range(6000))
    said = message_of(lambda: parse_vnnlib(f"{text}(assert (or {disjuncts}))"))
    assert "there would be 6000 cases of 2000 inputs" in said


def test_sums_in_sums_are_read_once() -> None:
    count = 5000
    text = "(declare-const Y_0 Real)" + "".join(
        f"(declare-const X_{i} Real)(assert (<= X_{i} 1))(assert (>= X_{i} 0))" for i in range(count)
    )
    nested = "".join(f"(+ X_{i} " for i in range(count)) + "X_0" + ")" * count
    (case,) = parse_vnnlib(f"{text}(assert (<= {nested} 3))(assert (>= Y_0 1))").cases
    assert case.input_rows is not None
    assert case.input_rows.matrix[0, :3].tolist() == [2.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("formula", "row"),
    [
        ("(<= (+ X_0 X_0) 1)", 2.0),
        ("(<= (- (+ X_0 X_0 X_0) X_0) 1)", 2.0),
        ("(<= (+ (+ X_0 Y_0) (- Y_0)) 1)", 1.0),
    ],
)
def test_a_variable_keeps_its_meaning_after_a_sum(formula: str, row: float) -> None:
    text = f"{HEAD}(assert (or {formula} (<= (+ X_0 X_0) 1)))(assert (>= Y_0 1))"
    first, *_ = parse_vnnlib(text).cases
    assert float(first.upper) == 1.0 / row


def test_a_witness_is_text(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_bytes(b"((X_0 \xff))")
    assert "is not text in UTF-8" in message_of(lambda: read_witness(tmp_path / "w.txt"))


def test_what_a_reader_makes_is_old_for_the_garbage_collector_and_not_looked_through_at_once() -> None:
    with without_collection():
        made = [[number] for number in range(10_000)]
    young = {id(found) for generation in (0, 1) for found in gc.get_objects(generation)}
    assert not any(id(found) in young for found in made)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
