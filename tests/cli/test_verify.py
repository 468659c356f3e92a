"""``relu-attack verify`` and ``verify-all``: the competition's words, witnesses, resuming, and bad instances."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from relu_attack import Verdict, Verification
from relu_attack._files import held
from relu_attack.cli import app
from relu_attack.io import read_witness
from tests.io.graphs import helper, model

HEAD = """(declare-const X_0 Real) (declare-const Y_0 Real)
(assert (>= X_0 -2.0)) (assert (<= X_0 3.0))
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network max(x, 0), whose output over [-2, 3] is in [0, 3], and properties of it."""
    proto = model([helper.make_node("Relu", ["x"], ["y"])], (1, 1))
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "holds.vnnlib").write_text(f"{HEAD} (assert (>= Y_0 3.5))")
    (tmp_path / "fails.vnnlib").write_text(f"{HEAD} (assert (>= Y_0 2.5))")
    (tmp_path / "broken.vnnlib").write_text("(assert")
    return tmp_path


def test_a_property_that_holds_is_unsat(folder: Path) -> None:
    done = call("verify", folder / "net.onnx", folder / "holds.vnnlib")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "unsat"
    assert lines[1].startswith("verdict: VERIFIED")
    assert any(line.startswith("bound: -0.5") for line in lines)


def test_a_property_that_fails_is_sat_and_has_a_witness(folder: Path) -> None:
    done = call("verify", folder / "net.onnx", folder / "fails.vnnlib", "--witness", folder / "found.txt")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "sat"
    assert lines[1].startswith("((X_0 ")
    assert lines[2].endswith("))")
    x, y = read_witness(folder / "found.txt")
    assert 2.5 <= float(x) <= 3.0
    assert float(y) == float(x)


@pytest.mark.slow
def test_a_reader_that_has_read_enough_is_no_error_to_speak_of(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = "from relu_attack.cli import main; main()"
    arguments = [sys.executable, "-c", program, "verify", str(folder / "net.onnx"), str(folder / "holds.vnnlib")]
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(arguments, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("verdict", "interrupted", "word", "code"),
    [
        (Verdict.UNKNOWN, False, "unknown", 0),
        (Verdict.TIMEOUT, False, "timeout", 0),
        (Verdict.UNKNOWN, True, "unknown", 130),
    ],
)
def test_an_open_question(
    folder: Path, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, interrupted: bool, word: str, code: int
) -> None:
    answer = Verification(verdict, None, None, 1.0, "", 7, 0.5, interrupted=interrupted)
    monkeypatch.setattr("relu_attack.io.verify_files", lambda *files, **options: answer)
    done = call("verify", folder / "net.onnx", folder / "holds.vnnlib", "--timeout", "3")
    assert (done.stdout.splitlines()[0], done.exit_code) == (word, code)
    assert "decided by: nothing" in done.stdout


@pytest.mark.parametrize(
    ("network", "unsafe", "options", "message"),
    [
        ("none.onnx", "holds.vnnlib", [], "none.onnx cannot be read"),
        ("net.onnx", "broken.vnnlib", [], "broken.vnnlib"),
        ("net.onnx", ".", [], ". must end in .vnnlib or .vnnlib.gz"),
        (".", "holds.vnnlib", [], ". must end in .onnx or .onnx.gz"),
        ("folder.onnx", "holds.vnnlib", [], "folder.onnx cannot be read: Is a directory"),
    ],
)
def test_bad_input_is_one_line(folder: Path, network: str, unsafe: str, options: list[str], message: str) -> None:
    (folder / "folder.onnx").mkdir()
    done = call("verify", *(name if name == "." else folder / name for name in (network, unsafe)), *options)
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
@pytest.mark.parametrize("command", ["verify", "verify-all"])
def test_a_timeout_is_called_by_its_name(instances: Path, command: str, seconds: str) -> None:
    files = (
        [instances] if command == "verify-all" else [instances.parent / "net.onnx", instances.parent / "holds.vnnlib"]
    )
    done = call(command, *files, "--timeout", seconds)
    assert done.exit_code == 2
    assert f"--timeout: must be a positive number of seconds, got {seconds}" in done.stderr


def test_an_answer_as_json(folder: Path) -> None:
    done = call("verify", folder / "net.onnx", folder / "fails.vnnlib", "--json", "--witness", folder / "found.txt")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["result"], found["verdict"]) == ("sat", "FALSIFIED")
    x, y = read_witness(folder / "found.txt")
    assert (found["witness"], found["outputs"]) == (x.tolist(), y.tolist())


def test_a_witness_that_cannot_be_written_costs_no_answer(folder: Path) -> None:
    done = call("verify", folder / "net.onnx", folder / "fails.vnnlib", "--witness", folder / "none" / "found.txt")
    assert done.exit_code == 1
    assert done.stdout.startswith("sat\n((X_0 ")
    assert "found.txt cannot be written: No such file" in done.stderr


@pytest.fixture
def instances(folder: Path) -> Path:
    path = folder / "instances.csv"
    path.write_text("net.onnx,holds.vnnlib,20\nnet.onnx,broken.vnnlib,20\nnet.onnx,fails.vnnlib,20\n")
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_bad_instance_does_not_stop_the_rest(instances: Path) -> None:
    results = instances.parent / "results.csv"
    done = call("verify-all", instances, "--results", results)
    assert done.exit_code == 1
    assert done.stderr == "relu-attack: 1 of 3 instances ended in an error\n"
    assert done.stdout.splitlines()[-1] == "1 unsat, 1 sat, 0 unknown, 0 timeout, 1 error"
    found = rows(results)
    assert [row["result"] for row in found] == ["unsat", "error", "sat"]
    assert "broken.vnnlib" in found[1]["message"]
    assert float(found[0]["bound"]) < 0


def test_an_error_that_nobody_foresaw_is_a_row_as_well(instances: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*files: object, **options: object) -> Verification:
        raise ZeroDivisionError("by 0")

    monkeypatch.setattr("relu_attack.io.verify_files", fail)
    done = call("verify-all", instances)
    assert done.stdout.splitlines()[-1] == "0 unsat, 0 sat, 0 unknown, 0 timeout, 3 error"
    assert "ZeroDivisionError: by 0" in done.stdout


def test_what_is_in_the_results_is_not_run_again(instances: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = instances.parent / "results.csv"
    call("verify-all", instances, "--results", results)
    whole = results.read_text().splitlines(keepends=True)
    results.write_text("".join(whole[:2]) + whole[2][:7])  # killed while it wrote the second line
    asked: list[str] = []

    def count(network: Path, unsafe: Path, **options: object) -> Verification:
        asked.append(f"{unsafe.name} {options['time_limit']}")
        return Verification(Verdict.TIMEOUT, None, None, 1.0, "", 0, 5.0)

    monkeypatch.setattr("relu_attack.io.verify_files", count)
    done = call("verify-all", instances, "--results", results, "--timeout", "5")
    assert asked == ["broken.vnnlib 5.0", "fails.vnnlib 5.0"]
    assert "1 of 3 instances are in" in done.stderr
    assert done.stdout.splitlines()[-1] == "1 unsat, 0 sat, 0 unknown, 2 timeout, 0 error"
    assert [row["result"] for row in rows(results)] == ["unsat", "timeout", "timeout"]


@pytest.mark.parametrize("how", ["raised", "told"])
def test_an_interruption_ends_the_list_and_leaves_its_instance_for_later(
    instances: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def interrupt(*files: object, **options: object) -> Verification:
        if how == "raised":
            raise KeyboardInterrupt
        return Verification(Verdict.UNKNOWN, None, None, torch.inf, "", 0, 0.0, interrupted=True)

    monkeypatch.setattr("relu_attack.io.verify_files", interrupt)
    results = instances.parent / "results.csv"
    done = call("verify-all", instances, "--results", results)
    assert done.exit_code == 130
    assert rows(results) == []


def test_progress_shows_the_counts(instances: Path) -> None:
    done = call("verify-all", instances, "--progress")
    assert "1 unsat, 0 sat, 0 unknown, 0 timeout, 1 error" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net.onnx,holds.vnnlib\n", "line 1: must read onnx,vnnlib,timeout, got no timeout; add it, or give --timeout"),
        ("net.onnx,holds.vnnlib,1,2\n", "line 1: must read onnx,vnnlib,timeout"),
        ("net.onnx\n", "line 1: must read onnx,vnnlib,timeout"),
        ("", "holds no instance"),
        ("a" * 200_000, "line 1: is not CSV: field larger than field limit"),
        ("net.onnx,holds.vnnlib,inf\n", "line 1: the timeout must be positive seconds, got inf"),
        ("\nnet.onnx,holds.vnnlib,soon\n", "line 2: must read onnx,vnnlib,timeout"),
        ("net.onnx,holds.vnnlib,-1\n", "line 1: the timeout must be positive seconds, got -1.0"),
    ],
)
def test_a_list_that_is_none(folder: Path, text: str, message: str) -> None:
    (folder / "list.csv").write_text(text)
    done = call("verify-all", folder / "list.csv")
    assert done.exit_code == 1
    assert message in done.stderr


def test_a_list_without_timeouts_takes_that_of_the_line(folder: Path) -> None:
    (folder / "list.csv").write_text("net.onnx,holds.vnnlib\n")
    done = call("verify-all", folder / "list.csv", "--timeout", "20")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 unsat, 0 sat, 0 unknown, 0 timeout, 0 error"


def replaced(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize("what", ["network", "property", "version", "form", "nothing"])
def test_rows_of_other_files_are_run_again(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    listed, results = folder / "list.csv", folder / "results.csv"
    listed.write_text("net.onnx,holds.vnnlib,20\n")
    call("verify-all", listed, "--results", results)
    assert [row["result"] for row in rows(results)] == ["unsat"]
    expected = "sat"
    if what == "network":
        shifted = model([helper.make_node("Add", ["x", "c"], ["y"])], (1, 1), {"c": np.ones((1, 1), dtype=np.float32)})
        (folder / "net.onnx").write_bytes(shifted.SerializeToString())
    elif what == "property":
        replaced(folder / "holds.vnnlib", "3.5", "2.5")
    else:
        replaced(results, "unsat", "sat")  # which nobody would answer
        expected = "sat" if what == "nothing" else "unsat"
        if what == "version":
            monkeypatch.setattr("relu_attack._version.__version__", "99")
        if what == "form":  # of versions that did not write down what a row is of
            lines = [",".join(line.split(",")[:9]) for line in results.read_text().splitlines()]
            results.write_text("\n".join(lines) + "\n")
    done = call("verify-all", listed, "--results", results)
    assert ("run again" in done.stderr) == (what != "nothing") or "are not run again" in done.stderr
    assert [row["result"] for row in rows(results)] == [expected]
    assert done.stdout.splitlines()[-1].startswith("0 unsat, 1 sat" if expected == "sat" else "1 unsat, 0 sat")


def test_an_open_row_is_run_again_with_more_time(folder: Path) -> None:
    listed, results = folder / "list.csv", folder / "results.csv"
    listed.write_text("net.onnx,holds.vnnlib,20\n")
    call("verify-all", listed, "--results", results)
    replaced(results, ",unsat,", ",timeout,")
    for seconds, result in (("20", "timeout"), ("30", "unsat")):
        call("verify-all", listed, "--results", results, "--timeout", seconds)
        assert [row["result"] for row in rows(results)] == [result]


def test_a_second_process_on_the_same_results_is_refused(instances: Path) -> None:
    results = instances.parent / "results.csv"
    with held(results):
        done = call("verify-all", instances, "--results", results)
    assert done.exit_code == 1
    assert (
        done.stderr == f"relu-attack: {results} is in use by another process; wait for its end, or give another file\n"
    )
    assert not results.exists()


def test_a_full_disk_costs_no_answer(instances: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, written = instances.parent / "results.csv", []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 2:  # the first file, and its folder
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    done = call("verify-all", instances, "--results", results)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "1 unsat, 1 sat, 0 unknown, 0 timeout, 1 error"
    assert done.stderr.count("cannot be written: No space left on device; the run goes on") == 1
    assert rows(results) == []


def test_a_file_that_holds_something_else_is_not_overwritten(instances: Path) -> None:
    other = instances.parent / "other.csv"
    other.write_text("a,b\n1,2\n")
    done = call("verify-all", instances, "--results", other)
    assert done.exit_code == 1
    assert "holds no results of verify-all" in done.stderr
    assert other.read_text() == "a,b\n1,2\n"
