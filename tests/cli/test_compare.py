"""``relu-attack compare`` runs methods on one question; one that cannot run does not stop the rest."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from relu_attack import Box, output_bounds
from relu_attack.cli import app
from relu_attack.cli._compare import ComparedMethod, _best
from relu_attack.io import load_model, save_model
from relu_attack.solvers import METHODS
from tests.problems import random_network

BOX: dict[str, Any] = {"kind": "box", "lower": [0, 0, 0], "upper": 1}
BALL: dict[str, Any] = {"kind": "l2_ball", "center": [0, 0, 0], "radius": 1}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "200"})


def compared(*arguments: object) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(random_network(3, 8, 2, seed=0), tmp_path / "model.safetensors")
    return tmp_path


def write(folder: Path, **content: object) -> Path:
    question = {"model": {"file": "model.safetensors"}, "domain": BOX, "iterations": 5, "restarts": 4}
    file = folder / "question.yaml"
    file.write_text(yaml.safe_dump({**question, **content}, sort_keys=False))
    return file


def test_all_methods_run_in_the_order_of_the_list_unless_some_are_named(folder: Path) -> None:
    file = write(folder)
    assert [row["method"] for row in compared(file)["methods"]] == list(METHODS)
    assert [row["method"] for row in compared(file, "--methods", "milp, ppga")["methods"]] == ["milp", "ppga"]


def test_the_best_row_has_the_best_value_in_the_sense_of_the_file(folder: Path) -> None:
    for sense, choose in (("maximize", max), ("minimize", min)):
        found = compared(write(folder, sense=sense), "--methods", "gradient_walk,milp")
        assert found["sense"] == sense
        values = {row["method"]: row["value"] for row in found["methods"]}
        assert values[found["best"]] == choose(values.values())
        assert all((row["value"] - row["bound"]) * (1 if sense == "maximize" else -1) <= 0 for row in found["methods"])


def test_the_table_marks_the_best_row_and_bounds_that_are_not_certified(folder: Path) -> None:
    done = call(write(folder), "--methods", "gradient_walk,milp")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    for words in ("method", "value", "bound", "gap", "seconds", "steps", "status", "found by", "> the best value"):
        assert words in done.stdout
    (best,) = (line for line in done.stdout.splitlines() if "│ > " in line)
    (milp,) = (line for line in done.stdout.splitlines() if " milp " in line and "│" in line)
    assert "OPTIMAL" in milp
    assert best
    assert ("*" in milp) == ("not certified" in done.stdout)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_cuts_no_name(folder: Path, columns: int) -> None:
    names = ["gradient_walk", "branch_and_bound", "milp_walk"]
    file = write(folder)
    done = CliRunner().invoke(app, ["compare", str(file), "--methods", ",".join(names)], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.stderr
    assert all(f" {name} " in done.stdout for name in names)
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert ("found by" in done.stdout) == (columns == 120)


def test_a_method_that_cannot_run_has_its_error_in_its_row(folder: Path) -> None:
    file = write(folder, domain=BALL)
    walk, program = compared(file, "--methods", "ppga,lp_walk")["methods"]
    assert "value" in walk
    assert set(program) == {"method", "error"}
    assert "L2Ball" in program["error"]
    done = call(file, "--methods", "ppga,lp_walk")
    assert done.exit_code == 0
    assert "failed: " in done.stdout


def test_only_where_all_methods_fail_the_command_does(folder: Path) -> None:
    done = call(write(folder, domain=BALL), "--methods", "lp_walk,milp")
    assert done.exit_code == 1
    assert done.stdout.count("failed: ") == 2
    assert "no method found a feasible input" in done.stdout


def test_a_time_limit_replaces_the_limits_of_the_file(folder: Path) -> None:
    save_model(random_network(10, 30, 30, 2, seed=1), folder / "model.safetensors")
    domain = {"kind": "box", "lower": [0] * 10, "upper": 1}
    file = write(folder, domain=domain, time_limit=500)
    assert compared(file, "--methods", "ppga")["methods"][0]["status"] == "ITERATION_LIMIT"
    (row,) = compared(file, "--methods", "ppga", "--time-limit", "0.2")["methods"]
    assert row["status"] == "TIME_LIMIT"
    assert row["iterations"] > 5


def test_options_of_the_file_are_those_of_its_method_alone(folder: Path) -> None:
    file = write(folder, method="ppga", options={"radius": 0.2})
    rows = compared(file, "--methods", "ppga,gradient_walk,milp")["methods"]
    assert all("value" in row for row in rows)


def test_violations_have_columns_where_there_are_output_constraints_or_whole_inputs(folder: Path) -> None:
    # Each holds somewhere, so that intervals refute neither; both hold nowhere.
    lower, upper = output_bounds(load_model(folder / "model.safetensors"), Box(0.0, 1.0, shape=(3,)))
    middle = float(lower[1] + upper[1]) / 2
    never = [{"expression": [1], "upper": middle}, {"expression": [1], "lower": middle + 0.01}]
    domain = BOX | {"integer": [0]}
    file = write(folder, domain=domain, output_constraints=never)
    done = call(file, "--methods", "ppga,milp")
    assert done.exit_code == 0, done.stderr
    for words in ("output constraints", "whole numbers", "INFEASIBLE", "NOT_FOUND", "no method found a feasible input"):
        assert words in done.stdout
    assert compared(file, "--methods", "ppga,milp")["best"] is None


def test_the_bar_has_the_name_of_its_method(folder: Path) -> None:
    done = call(write(folder), "--methods", "ppga,lp_walk", "--progress", "--json")
    first, second = done.stderr.index("relu-attack: ppga"), done.stderr.index("relu-attack: lp_walk")
    assert "best" in done.stderr[first:second]
    assert "best" in done.stderr[second:]
    json.loads(done.stdout)


def test_a_batch_is_refused(folder: Path) -> None:
    done = call(write(folder, domain={"kind": "box", "lower": [[0, 0, 0], [0, 0, 0]], "upper": 1}))
    assert done.exit_code == 1
    assert "has a batch of problems" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("methods", "words"), [("ppga,magic", "'magic' is no method"), ("ppga,ppga", "'ppga' is given twice")]
)
def test_names_that_are_no_methods_are_wrong_usage(folder: Path, methods: str, words: str) -> None:
    done = call(write(folder), "--methods", methods)
    assert done.exit_code == 2
    assert words in done.stderr


def test_nothing_is_best_where_nothing_ran() -> None:
    assert _best([ComparedMethod("ppga", error="no")], "maximize") is None
