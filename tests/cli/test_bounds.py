"""``relu-attack bounds`` prints certified ranges of the outputs and of the objective of a configuration."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

import relu_attack as ra
from relu_attack.bounds import BOUNDS
from relu_attack.cli import app
from relu_attack.cli._bounds import _write_range
from relu_attack.io import load_model, save_model
from tests.problems import random_network

BOX: dict[str, Any] = {"kind": "box", "lower": [0, 0, 0], "upper": 1}
EVERY = [word for name in BOUNDS for word in ("--method", name)]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bounds", *map(str, arguments)], env={"COLUMNS": "80"})


def bounded(*arguments: object) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(random_network(3, 8, 2, seed=0), tmp_path / "model.safetensors")
    return tmp_path


def write(folder: Path, **content: object) -> Path:
    file = folder / "question.yaml"
    file.write_text(yaml.safe_dump({"model": {"file": "model.safetensors"}, "domain": BOX, **content}, sort_keys=False))
    return file


@pytest.mark.parametrize("method", BOUNDS)
def test_outputs_and_the_objective_have_the_bounds_of_the_library(folder: Path, method: str) -> None:
    file = write(folder, objective={"linear": [1, -2], "name": "balance", "unit": "kg"})
    found = bounded(file, "--method", method)
    assert found["domain"] == "Box"
    (one,) = found["methods"]
    assert (one["method"], one["certified"]) == (method, True)
    assert one["seconds"] >= 0
    assert [(row["name"], row["unit"]) for row in one["ranges"]] == [
        ("output 0", ""),
        ("output 1", ""),
        ("balance", "kg"),
    ]
    model, box = load_model(folder / "model.safetensors"), ra.Box(0.0, 1.0, shape=(3,))
    outputs = ra.output_bounds(model, box, method)
    asked = ra.ReLUOptimizer(model, box, ra.Linear(torch.tensor([1.0, -2.0]))).bounds(method)
    for end, ours, theirs in zip(("lower", "upper"), outputs, asked, strict=True):
        truth = [*ours.tolist(), float(theirs)]
        assert [row[end] for row in one["ranges"]] == pytest.approx(truth, rel=1e-9)
    assert all(row["width"] == row["upper"] - row["lower"] for row in one["ranges"])


def test_rows_have_the_names_of_the_file(folder: Path) -> None:
    file = write(folder, outputs={"yield": "%", "waste": "kg"}, objective={"output": "waste", "name": "what is lost"})
    rows = bounded(file)["methods"][0]["ranges"]
    assert [(row["name"], row["unit"]) for row in rows] == [("yield", "%"), ("waste", "kg"), ("what is lost", "")]
    assert (rows[1]["lower"], rows[1]["upper"]) == pytest.approx((rows[2]["lower"], rows[2]["upper"]))


def test_without_a_method_it_is_that_of_the_file_or_of_the_library(folder: Path) -> None:
    assert [one["method"] for one in bounded(write(folder))["methods"]] == ["interval"]
    assert [one["method"] for one in bounded(write(folder, bound="crown"))["methods"]] == ["crown"]
    assert [one["method"] for one in bounded(write(folder, bound="crown"), "--method", "lp")["methods"]] == ["lp"]


def test_methods_are_told_together_with_their_seconds_in_the_order_given(folder: Path) -> None:
    done = call(write(folder), *EVERY)
    assert (done.exit_code, done.stderr) == (0, "")
    for name in BOUNDS:
        assert f"{name}: " in done.stdout
        assert sum(f"│ {name} " in line for line in done.stdout.splitlines()) == 3
    assert "…" not in done.stdout
    found = bounded(write(folder), "--method", "lp", "--method", "interval")
    assert [one["method"] for one in found["methods"]] == ["lp", "interval"]
    (tight,), (wide,) = ([row["width"] for row in one["ranges"][:1]] for one in found["methods"])
    assert tight < wide


def test_numbers_of_the_table_are_rounded_away_from_the_range() -> None:
    assert _write_range(0.12345678, 2.12345632) == ("0.123456", "2.12346", "2")
    assert _write_range(-1234567.0, -1.0000001) == ("-1.23457e+06", "-1", "1.23457e+06")
    assert _write_range(-0.0, 0.1) == ("0", "0.100001", "0.100001")  # the float is above a tenth
    assert _write_range(float("-inf"), 1.5) == ("none", "1.5", "none")


def test_the_file_holds_what_json_prints(folder: Path) -> None:
    file = folder / "new" / "bounds.json"
    done = call(write(folder), "--method", "crown", "--output", file)
    assert done.exit_code == 0, done.stderr
    assert f"wrote {file.resolve()}" in done.stdout.replace("\n", "")
    (one,), (again,) = json.loads(file.read_text())["methods"], bounded(write(folder), "--method", "crown")["methods"]
    assert one["ranges"] == again["ranges"]


def test_each_set_of_a_batch_has_its_rows(folder: Path) -> None:
    file = write(folder, domain={"kind": "box", "lower": [[0, 0, 0], [-1, 0, 0]], "upper": 1})
    ranges = bounded(file, "--method", "crown")["methods"][0]["ranges"]
    assert [row["set"] for row in ranges] == [0, 0, 0, 1, 1, 1]
    box = ra.Box(torch.tensor([-1.0, 0, 0]), 1.0)
    low, _ = ra.output_bounds(load_model(folder / "model.safetensors"), box, "crown")
    assert [row["lower"] for row in ranges[3:5]] == pytest.approx(low.tolist(), rel=1e-9)
    done = call(file)
    assert "of each set" in done.stdout
    many = write(folder, domain={"kind": "box", "lower": [[0, 0, 0]] * 30, "upper": 1})
    assert "first 20 sets" in call(many).stdout


def test_constraints_on_the_outputs_are_said_to_be_left_aside(folder: Path) -> None:
    file = write(folder, output_constraints=[{"expression": [0], "upper": 1000}])
    assert "constraints on the outputs are left aside" in " ".join(call(file).stdout.split())
    assert "left aside" not in call(write(folder)).stdout


def test_keys_are_changed_on_the_line(folder: Path) -> None:
    wide, narrow = (
        bounded(write(folder), "--set", f"domain.upper={upper}")["methods"][0]["ranges"][0]["width"]
        for upper in (1, 0.5)
    )
    assert narrow < wide


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "crwn"], "--method is 'crwn'; it must be one of interval, crown, "),
        (["--method", "lp", "--method", "lp"], "--method lp is given twice"),
        (["--set", "bound=crwn"], "bound: is 'crwn'; "),
        (["--set", "model.file=none.safetensors"], "none.safetensors does not exist"),
        (["--set", "objective.output=gold"], "objective.output: "),
    ],
)
def test_a_mistake_is_one_line(folder: Path, arguments: list[str], words: str) -> None:
    done = call(write(folder), *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
