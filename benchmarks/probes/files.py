"""Files: read as other programs read them, written without loss, refused in one line."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import relu_attack as ra
from probes.base import Observed, probe, refusal
from relu_attack.io import read_onnx

COMMAND = [sys.executable, "-c", "from relu_attack.cli import main; main()"]


def _onnx(text: str, path: Path) -> None:
    import onnx

    onnx.save(onnx.parser.parse_model(text), str(path))


def _shift(path: Path, by: float) -> None:
    """Write x + by."""
    graph = f"g (float[1, 1] x) => (float[1, 1] y) <float[1] s = {{{by}}}> {{ y = Add(x, s) }}"
    _onnx(f'<ir_version: 8, opset_import: ["": 13]> {graph}', path)


def _run(*arguments: str, folder: Path | None = None, seconds: float = 60) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=folder, timeout=seconds, check=False
    )
    return done.returncode, done.stdout, done.stderr


def _one_line(code: int, output: str, error: str) -> Observed:
    lines = [line for line in (output + error).splitlines() if line.strip()]
    text = f"exit status {code}, {len(lines)} lines: {lines[-1] if lines else ''}"[:160]
    return Observed(text, code != 0 and "Traceback" not in error and len(lines) <= 6)


def _property(path: Path, claim: str) -> None:
    path.write_text(f"(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1)){claim}")


@probe("files", "refused: it draws random numbers", "tests/io/test_untrusted.py::test_random_numbers_are_refused")
def a_random_node() -> Observed:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.onnx"
        graph = "g (float[1, 1] x) => (float[1, 1] y) { r = RandomUniform<shape=[1,1]>() y = Add(x, r) }"
        _onnx(f'<ir_version: 8, opset_import: ["": 13]> {graph}', path)
        return refusal(lambda: read_onnx(path))


@probe(
    "files",
    "a network that changed under its name is verified anew",
    "tests/cli/test_verify.py::test_rows_of_other_files_are_run_again",
)
def rows_of_another_network() -> Observed:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _property(folder / "p.vnnlib", "(assert (>= Y_0 5))")
        (folder / "i.csv").write_text("n.onnx,p.vnnlib,5\n")
        for by in (0.0, 10.0):
            _shift(folder / "n.onnx", by)
            _run("verify-all", "i.csv", "--results", "r.csv", folder=folder)
        text = (folder / "r.csv").read_text()
        last = text.strip().splitlines()[-1]
    return Observed(f"last row: {last}"[:120], "sat" in last.replace("unsat", ""))


@probe(
    "files",
    "read from the folder of the file, or refused",
    "tests/io/test_untrusted.py::test_tensors_beside_a_model_are_read_from_its_folder",
)
def a_constant_beside_the_file() -> Observed:
    import onnx
    from onnx import TensorProto, helper

    with tempfile.TemporaryDirectory() as name:
        folder, other = Path(name) / "model", Path(name) / "other"
        folder.mkdir()
        other.mkdir()
        np.array([[5.0]], dtype=np.float32).tofile(folder / "w.bin")
        np.array([[0.25]], dtype=np.float32).tofile(other / "w.bin")
        node = helper.make_node("Constant", [], ["w"])
        value = node.attribute.add()
        value.name, value.type = "value", onnx.AttributeProto.TENSOR
        value.t.dims.extend([1, 1])
        value.t.data_type, value.t.data_location = TensorProto.FLOAT, TensorProto.EXTERNAL
        entry = value.t.external_data.add()
        entry.key, entry.value = "location", "w.bin"
        ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 1]) for end in ("x", "y")]
        graph = helper.make_graph([node, helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        (folder / "n.onnx").write_bytes(model.SerializeToString())
        before = Path.cwd()
        os.chdir(other)
        try:
            network = read_onnx(folder / "n.onnx").network
        except ra.ReLUAttackError as error:
            return Observed(f"refused: {error}", True)
        finally:
            os.chdir(before)
        weight = float(network.forward(torch.ones(1, 1, dtype=torch.float64)).outputs)
    return Observed(f"weight {weight:g}, that of the folder is 5", weight == 5.0)


@probe("files", "one line, and verify-all goes on", "tests/io/test_untrusted.py::test_a_file_that_onnxruntime_refuses")
def a_file_that_onnxruntime_refuses() -> Observed:
    from onnx import TensorProto, helper, numpy_helper, save

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ends = [helper.make_tensor_value_info(end, TensorProto.DOUBLE, [1, 1]) for end in ("x", "y")]
        constant = numpy_helper.from_array(np.eye(1, dtype=np.float32), "w")
        graph = helper.make_graph([helper.make_node("Gemm", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [constant])
        save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(folder / "m.onnx")
        )
        _shift(folder / "good.onnx", 0.0)
        _property(folder / "p.vnnlib", "(assert (>= Y_0 0.5))")
        (folder / "i.csv").write_text("m.onnx,p.vnnlib,5\ngood.onnx,p.vnnlib,5\n")
        alone = _one_line(*_run("verify", "m.onnx", "p.vnnlib", folder=folder))
        _, output, _ = _run("verify-all", "i.csv", folder=folder)
    return Observed(
        f"{alone.text}; the next instance is answered: {'good.onnx' in output}", alone.holds and "good.onnx" in output
    )


@probe("files", "the earlier answer is still there after a writer is killed", "tests/io/test_overwriting.py")
def a_writer_that_is_killed() -> Observed:
    script = (
        "import sys, torch, relu_attack as ra\n"
        "model = torch.nn.Sequential(torch.nn.Linear(3000, 3000))\n"
        "ra.save_model(model, sys.argv[1])\nprint('saved', flush=True)\n"
        "while True: ra.save_model(model, sys.argv[1])\n"
    )
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        for kill in range(10):
            writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.02 + 0.017 * kill)
            writer.kill()
            writer.wait()
            try:
                ra.load_model(path)
            except Exception:  # whatever a torn file does to its reader
                lost += 1
    return Observed(f"{lost} of 10 kills lose the model", not lost)


@probe("files", "refused in a line, quickly", "tests/io/test_untrusted.py")
def a_compressed_bomb() -> Observed:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _shift(folder / "n.onnx", 0.0)
        with gzip.open(folder / "p.vnnlib.gz", "wb") as file:
            for _ in range(300):
                file.write(b" " * 2**20)
            file.write(b"(")
        began = time.process_time()
        seen = _one_line(*_run("verify", "n.onnx", "p.vnnlib.gz", folder=folder))
        return Observed(f"{seen.text}, {time.process_time() - began:.1f} s", seen.holds)


@probe("files", "refused in a line, quickly", "tests/test_plain.py")
def a_bomb_of_aliases() -> Observed:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else '1, 1, 1'}]" for i in range(12)]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bomb.yaml"
        path.write_text("\n".join(levels) + "\nmodel: *a11\n")
        try:
            return _one_line(*_run("maximize", str(path), seconds=20))
        except subprocess.TimeoutExpired:
            return Observed("not back after 20 s", False)


@probe("files", "one line for each", "tests/cli/test_mistakes.py")
def mistakes_on_the_command_line() -> Observed:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _shift(folder / "n.onnx", 0.0)
        (folder / "deep.vnnlib").write_text("(" * 50000)
        (folder / "latin.vnnlib").write_bytes(b"(declare-const X_0 Real) ; \xe9\xff")
        (folder / "long.vnnlib").write_text(f"(declare-const X_0 Real)(assert (<= X_0 {'9' * 5000}))")
        calls = [
            ("verify", "n.onnx", "."),
            *(("verify", "n.onnx", f"{kind}.vnnlib") for kind in ("deep", "latin", "long", "none")),
        ]
        seen = [_one_line(*_run(*call, folder=folder)) for call in calls]
    wrong = [f"{call[2]}: {one.text}" for call, one in zip(calls, seen, strict=True) if not one.holds]
    return Observed(f"{len(wrong)} of {len(calls)} are not: {wrong[:1]}", not wrong)


def _shifted_identity(shift: float) -> nn.Module:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2, bias=False)
            nn.init.eye_(self.linear.weight)
            self.register_buffer("shift", torch.tensor([-shift, shift]), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) + self.shift

    return Shifted().eval()


@probe(
    "files",
    "the record of another model is not taken",
    "tests/robustness/test_robust_accuracy.py::test_a_record_of_a_model_that_reads_something_else_is_refused",
)
def a_record_of_another_model() -> Observed:
    batch = torch.tensor([[0.75, 0.25]]), torch.tensor([0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        ra.robust_accuracy(_shifted_identity(0.0), [batch], 0.1, resume=path, progress=False)
        try:
            found = ra.robust_accuracy(_shifted_identity(5.0), [batch], 0.1, resume=path, progress=False)
        except ra.ReLUAttackError as error:
            return Observed(f"refused: {error}", True)
    return Observed(str(found), "certified 0.0%" in str(found))
