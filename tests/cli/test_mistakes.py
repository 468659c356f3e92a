"""Every command, given what it cannot use: one line that names it and a documented exit code, never a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from torch import nn
from typer.testing import CliRunner, Result

from relu_attack.cli import app
from relu_attack.cli._messages import plain_messages
from relu_attack.cli._problem import load_problem
from relu_attack.io import save_model

NOISE = bytes(range(256)) * 2
DEEP = b"[" * 10_000
BOMB = b"a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + b"".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n".encode()
    for old, new in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)
QUESTION: dict[str, Any] = {
    "model": {"file": "model.safetensors"},
    "inputs": ["sand", "lime", "age"],
    "domain": {"kind": "box", "lower": [0, 0, 0], "upper": [1, 1, 1]},
    "output_constraints": [{"expression": {0: 1}, "upper": 100}],
    "method": "ppga",
    "iterations": 2,
    "restarts": 2,
}
COMMANDS = ["maximize", "minimize", "bounds", "compare", "info", "plot", "verify", "verify-all"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    save_model(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), tmp_path / "model.safetensors")
    (tmp_path / "noise.npy").write_bytes(NOISE)
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "row.csv").write_text("1,2\n3,x\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "80"})


def told(done: Result, *, codes: tuple[int, ...] = (1, 2)) -> str:
    """Return what a command said, which ended by itself."""
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code in codes, done.stderr
    assert "Traceback" not in done.stderr
    if done.exit_code == 1:
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("relu-attack: ")
    return done.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none{}", None),
        (".", None),
        ("folder{}", b"/"),
        ("empty{}", b""),
        ("noise{}", NOISE),
        ("encoding{}", b"\xff\xfea\0"),
        ("deep{}", DEEP),
        ("bomb{}", BOMB),
        ("number{}", b"a: " + b"1" * 400),
        ("suffix.txt", b"x"),
        ("a\nb{}", b"x"),
        ("x" * 300 + "{}", None),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_none(folder: Path, command: str, name: str, content: bytes | None) -> None:
    suffix = {"info": ".safetensors", "plot": ".json", "verify": ".onnx", "verify-all": ".csv"}.get(command, ".yaml")
    path = Path(name.format(suffix))
    if content == b"/":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    (folder / "p.vnnlib").write_text("(declare-const X_0 Real)")
    told(call(command, path, *(["p.vnnlib"] if command == "verify" else [])), codes=(1,))


WRONG: list[object] = [
    True,
    "",
    "\0",
    "x" * 3000,
    -1,
    10**18,
    float("nan"),
    float("inf"),
    [],
    [[]],
    {"x": 1},
    {"file": "noise.npy"},
    {"file": "."},
]
KEYS = [
    "model",
    "model.file",
    "inputs",
    "outputs",
    "domain",
    "domain.kind",
    "domain.lower",
    "domain.upper",
    "domain.shape",
    "domain.integer",
    "domain.one_hot",
    "objective",
    "objective.output",
    "objective.linear",
    "output_constraints",
    "output_constraints.0.expression",
    "output_constraints.0.upper",
    "sense",
    "method",
    "options",
    "restarts",
    "iterations",
    "time_limit",
    "seed",
    "x0",
    "starts",
    "bound",
    "device",
    "threads",
    "output",
    "output.result",
    "output.figure",
    "report",
    "report.kind",
    "mothed",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_a_configuration_with_what_it_cannot_hold(
    folder: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """Where a value fits after all, there is an optimizer for it."""
    for value in WRONG:
        content: Any = yaml.safe_load(yaml.safe_dump(QUESTION))
        *parents, last = key.split(".")
        place = content
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[last] = value
        (folder / "question.yaml").write_text(yaml.safe_dump(content))
        code = 0
        try:
            with plain_messages():
                load_problem(Path("question.yaml"), {}, None)
        except typer.Exit as end:
            code = end.exit_code
        said = capsys.readouterr().err
        assert code in (0, 1), value
        assert said.startswith("relu-attack: ") == bool(code), value
        assert all(len(line) <= 600 for line in said.splitlines()), value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("restarts=1000000000000", "restarts: should be less than or equal to 10000000"),
        ("threads=1000000000", "threads: should be less than or equal to 1024"),
        ("seed=100000000000000000000", "seed: "),
        ("domain.shape=[100000000000]", "domain.shape: has 100000000000 entries"),
        ("domain.upper=1e400", "domain.upper: must be a number, got '1e400'"),
        ("domain.upper={file: empty.csv}", "domain.upper: empty.csv holds no numbers"),
        ("domain.upper={file: noise.npy}", "domain.upper: noise.npy cannot be read as numbers"),
        ("domain.upper={file: row.csv, divide_by: 0}", "domain.upper.divide_by: should be greater than 0"),
        ("model={factory: 'sys:exit'}", "model: sys:exit: calling it without arguments failed: SystemExit"),
        ("inputs=[sand, sand, age]", "inputs: 'sand' is listed twice"),
    ],
)
def test_what_a_mistake_is_told(folder: Path, change: str, message: str) -> None:
    (folder / "question.yaml").write_text(yaml.safe_dump(QUESTION))
    assert message in told(call("maximize", "question.yaml", "--set", change), codes=(1,))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "a"],
        ["--set", "a=["],
        ["--set", "a=" + "[" * 1000],
        ["--set", "a=" + "1" * 400],
        ["--restarts", "x"],
        ["--restarts", "-1"],
        ["--restarts", "1" * 400],
        ["--iterations", "0"],
        ["--iterations", "nan"],
        ["--time-limit", "0"],
        ["--time-limit", "nan"],
        ["--time-limit", "-inf"],
        ["--seed", "-1"],
        ["--seed", "1.5"],
        ["--learning-rate", "nan"],
        ["--learning-rate", "-1"],
        ["--method", "ppga_rl"],
        ["--method", ""],
        ["--device", "gpu"],
        ["--solver", "GLOP"],
        ["--figure", "x.bmp"],
        ["--figure", "."],
        ["--save", "."],
        ["--save", "model.safetensors/x"],
        ["--nonsense"],
        ["a", "b"],
    ],
)
@pytest.mark.parametrize("command", ["maximize", "compare"])
def test_options_with_what_they_cannot_be(folder: Path, command: str, arguments: list[str]) -> None:
    (folder / "question.yaml").write_text(yaml.safe_dump(QUESTION))
    told(call(command, "question.yaml", *arguments))


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("bounds", ["question.yaml", "--method", "croown"]),
        ("bounds", ["question.yaml", "--output", "."]),
        ("compare", ["question.yaml", "--methods", "ppga,ppga"]),
        ("compare", ["question.yaml", "--methods", ""]),
        ("info", ["model.safetensors", "--shape", "0"]),
        ("info", ["model.safetensors", "--shape", "4"]),
        ("info", ["model.safetensors", "--shape", "1e9"]),
        ("info", ["model.safetensors", "--shape", "9" * 400]),
        ("info", ["nothing:here"]),
        ("info", ["os:getcwd"]),
        ("plot", ["model.safetensors"]),
        ("plot", ["model", "--samples", "a"]),
        ("verify", ["model.safetensors", "question.yaml"]),
        ("verify", ["a.onnx", "b.vnnlib", "--seed", "-1"]),
        ("verify", ["a.onnx", "b.vnnlib", "--seed", "1" * 30]),
        ("verify-all", ["empty.csv"]),
        ("verify-all", ["row.csv", "--seed", "x"]),
    ],
)
def test_other_mistakes(folder: Path, command: str, arguments: list[str]) -> None:
    (folder / "question.yaml").write_text(yaml.safe_dump(QUESTION))
    told(call(command, *arguments))


def test_memory_that_cannot_be_had_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "question.yaml").write_text(yaml.safe_dump(QUESTION))

    def take(*arguments: object, **options: object) -> None:
        torch.empty(2**60)

    monkeypatch.setattr("relu_attack.api.ReLUOptimizer.maximize", take)
    assert "there is not enough memory" in told(call("maximize", "question.yaml"), codes=(1,))


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_while_modules_load_is_one_line(tmp_path: Path) -> None:
    """The signal arrives when torch begins to load, whichever module imports it first."""
    command = tmp_path / "relu-attack"
    command.write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Press:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Press())\n"
        "from relu_attack.cli import main\n"
        "main()\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(command), "verify", "a.onnx", "b.vnnlib"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "relu-attack: interrupted before there was an answer\n"
