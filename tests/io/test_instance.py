"""`verify_files`: networks and properties from files, decimals that are no floats, and who runs the network again."""

import builtins
import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relu_attack import FileFormatError, Verdict, verify_files
from relu_attack.io import Property, parse_vnnlib, read_onnx
from relu_attack.io.vnnlib._claims import claims_of
from relu_attack.solvers import Budget
from relu_attack.verification import verify_claims
from tests.io.graphs import helper, model

# |x_0| + x_1
CONSTANTS = {
    "w": np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]], dtype=np.float32),
    "v": np.array([[1.0], [1.0], [1.0], [-1.0]], dtype=np.float32),
}
NODES = [
    helper.make_node("MatMul", ["x", "w"], ["h"]),
    helper.make_node("Relu", ["h"], ["r"]),
    helper.make_node("MatMul", ["r", "v"], ["y"]),
]
HEAD = "(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)\n"


def ranges(*pairs: tuple[str, str]) -> str:
    return "\n".join(f"(assert (>= X_{i} {low})) (assert (<= X_{i} {high}))" for i, (low, high) in enumerate(pairs))


WIDE = HEAD + ranges(("-2.0", "3.0"), ("0.0", "1.0"))  # the output is in [0, 4]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(model(NODES, (1, 2), CONSTANTS).SerializeToString())
    return path


def written(folder: Path, text: str) -> Path:
    path = folder / "prop.vnnlib"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("asserted", "verdict"),
    [
        ("(assert (>= Y_0 4.01))", "VERIFIED"),
        ("(assert (>= Y_0 4.0))", "FALSIFIED"),
        ("(assert (>= Y_0 3.99))", "FALSIFIED"),
        ("(assert (<= Y_0 -0.001))", "VERIFIED"),
        ("(assert (or (and (>= Y_0 5.0)) (and (<= Y_0 0.1) (>= Y_0 0.05))))", "FALSIFIED"),
        ("(assert (<= Y_0 1.0)) (assert (>= Y_0 1.5))", "VERIFIED"),
    ],
)
def test_what_a_file_asserts_is_a_violation(net: Path, asserted: str, verdict: str) -> None:
    text = f"{WIDE}\n{asserted}"
    answer = verify_files(net, written(net.parent, text))
    assert answer.verdict is Verdict[verdict]
    if answer.witness is not None:
        assert answer.outputs is not None
        assert answer.witness.dtype is torch.float32
        assert parse_vnnlib(text).violated_by(answer.witness.double(), answer.outputs)
        assert answer.note == ""


def test_cases_with_boxes_of_their_own(net: Path) -> None:
    boxes = " ".join(f"(and (>= X_0 {low}) (<= X_0 {low + 0.5}) (>= X_1 0.0) (<= X_1 1.0))" for low in (-1.0, 0.0, 2.0))
    text = f"{HEAD} (assert (or {boxes}))"
    assert verify_files(net, written(net.parent, f"{text} (assert (>= Y_0 3.6))")).verdict is Verdict.VERIFIED
    answer = verify_files(net, written(net.parent, f"{text} (assert (>= Y_0 3.4))"))
    assert answer.witness is not None
    assert 2.0 <= float(answer.witness[0]) <= 2.5


def test_inputs_compared_with_each_other(net: Path) -> None:
    # With x_1 <= x_0 <= 0.5 and x_0 >= 0 the output x_0 + x_1 is at most 1.
    text = f"{HEAD} {ranges(('0.0', '0.5'), ('-1.0', '1.0'))} (assert (<= X_1 X_0))"
    assert verify_files(net, written(net.parent, f"{text} (assert (>= Y_0 1.01))")).verdict is Verdict.VERIFIED
    answer = verify_files(net, written(net.parent, f"{text} (assert (>= Y_0 0.9))"))
    assert answer.witness is not None
    assert float(answer.witness[1]) <= float(answer.witness[0]) <= 0.5


def test_an_input_range_without_any_float(net: Path) -> None:
    text = f"{HEAD} {ranges(('0.1', '0.1'), ('0.0', '1.0'))} (assert (>= Y_0 1.05))"
    answer = verify_files(net, written(net.parent, text))
    assert answer.verdict is Verdict.FALSIFIED
    assert answer.witness is not None
    assert answer.outputs is not None
    assert parse_vnnlib(text).violated_by(answer.witness, answer.outputs)


def test_where_nothing_is_said_of_outputs_every_input_violates(net: Path) -> None:
    assert verify_files(net, written(net.parent, WIDE)).verdict is Verdict.FALSIFIED


def test_without_cases_nothing_violates(net: Path) -> None:
    claims = claims_of(Property(inputs=2, outputs=1, cases=()))
    budget = Budget(time_limit=1.0)
    answer = verify_claims(read_onnx(net), claims, (2,), budget=budget, seed=0, progress=False)
    assert (answer.verdict, answer.bound) == (Verdict.VERIFIED, -torch.inf)


@pytest.mark.parametrize("named", ["net.onnx", "net.onnx.gz"])
@pytest.mark.parametrize("stored", ["net.onnx", "net.onnx.gz"])
def test_compressed_files_are_found_by_either_name(net: Path, named: str, stored: str) -> None:
    content = net.read_bytes()
    net.unlink()
    folder = net.parent
    (folder / stored).write_bytes(gzip.compress(content) if stored.endswith(".gz") else content)
    (folder / "prop.vnnlib.gz").write_bytes(gzip.compress(f"{WIDE} (assert (>= Y_0 4.01))".encode()))
    assert verify_files(folder / named, folder / "prop.vnnlib").verdict is Verdict.VERIFIED


def test_without_onnxruntime_the_chain_is_run_in_both_precisions_and_the_note_says_so(
    net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    assert len(read_onnx(net).run(torch.zeros(2, dtype=torch.float64))) == 2
    answer = verify_files(net, written(net.parent, f"{WIDE} (assert (>= Y_0 3.9))"))
    assert answer.verdict is Verdict.FALSIFIED
    assert answer.note == "onnxruntime is not installed: the witness was run by the chain"


def test_the_file_itself_is_run(net: Path) -> None:
    (outputs,) = read_onnx(net).run(torch.tensor([-1.5, 0.25], dtype=torch.float64))
    assert outputs.tolist() == [1.75]


def test_files_that_do_not_fit_each_other(net: Path) -> None:
    text = (
        "(declare-const X_0 Real) (declare-const Y_0 Real) (assert (>= X_0 0)) (assert (<= X_0 1)) (assert (>= Y_0 1))"
    )
    with pytest.raises(FileFormatError, match=r"prop.vnnlib declares 1 inputs, but .*net.onnx has 2"):
        verify_files(net, written(net.parent, text))


def test_a_file_that_is_missing(net: Path) -> None:
    with pytest.raises(FileFormatError, match=r"no.vnnlib cannot be read"):
        verify_files(net, net.parent / "no.vnnlib")
