"""The command answers, in words or in JSON; a mistake is told in plain words with its exit code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner, Result

from relu_attack import Box, output_bounds
from relu_attack.cli import app
from relu_attack.io import load_model, save_model
from relu_attack.io._results import load_result
from relu_attack.solvers import METHODS
from tests.problems import random_network

ROOT = Path(__file__).parents[2]
QUICKSTART, DIGITS = ROOT / "configs" / "quickstart.yaml", ROOT / "configs" / "digits.yaml"
QUICK = ["--iterations", "10", "--restarts", "4"]
QUESTION: dict[str, Any] = {
    "model": {"file": "model.safetensors"},
    "domain": {"kind": "box", "lower": [0, 0, 0], "upper": 1},
    "iterations": 20,
}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})


def answer(*arguments: object) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)  # so nothing else stands there
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), tmp_path / "model.safetensors")
    return tmp_path


def write(folder: Path, **content: object) -> Path:
    file = folder / "question.yaml"
    file.write_text(yaml.safe_dump({**QUESTION, **content}, sort_keys=False))
    return file


def test_the_quickstart_is_answered_as_a_recipe() -> None:
    done = call("maximize", QUICKSTART, *QUICK)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    for words in ("cement", "kg/m3", "best measured", "water to binder", "predicted", "measured", "bound", "gap"):
        assert words in done.stdout
    line = next(line for line in done.stdout.splitlines() if "age" in line)
    assert "28" in line
    assert "fixed" in line


def test_the_recipe_keeps_to_its_limits_and_so_does_the_reference() -> None:
    found = answer("maximize", QUICKSTART, *QUICK)
    recipe = found["recipe"]
    binder = sum(recipe["inputs"][name]["value"] for name in ("cement", "blast_furnace_slag", "fly_ash"))
    assert recipe["constraints"]["binder"]["value"] == pytest.approx(binder)
    ratio = recipe["inputs"]["water"]["value"] / binder
    assert recipe["constraints"]["water to binder"]["value"] == pytest.approx(ratio)
    assert 0.29 - 1e-9 <= ratio <= 0.69 + 1e-9
    assert found["x"] == pytest.approx([line["value"] for line in recipe["inputs"].values()])
    # The strongest row of the table, 81.75 MPa, has more than 2450 kg; the next, 79.99 MPa, has too much cement.
    assert recipe["reference"]["measured"] == 78.8
    assert recipe["reference"]["inputs"]["cement"] == 451
    assert recipe["reference"]["predicted"] <= found["value"] + 1e-6
    assert found["value"] <= found["bound"]
    assert found["gap"] == pytest.approx(found["bound"] - found["value"])


def test_a_reference_that_breaks_a_constraint_is_passed_over() -> None:
    # The mix of 78.8 MPa costs 99.49.
    found = answer("maximize", QUICKSTART, *QUICK, "--set", "domain.constraints.5.upper=99")
    assert found["recipe"]["constraints"]["cost of a cubic metre"]["value"] <= 99 + 1e-6
    assert found["recipe"]["reference"]["measured"] < 78.8


def test_limits_that_the_answer_is_at_are_said(folder: Path) -> None:
    with torch.no_grad():
        model = nn.Sequential(nn.Linear(2, 1))
        model[0].weight.copy_(torch.tensor([[1.0, -1.0]]))
    save_model(model, folder / "model.safetensors")
    constraints = [{"name": "sum", "expression": ["a", "b"], "upper": 9}]
    domain = {"kind": "polytope", "lower": 0, "upper": {"a": 3, "b": 5}, "constraints": constraints}
    recipe = answer("maximize", write(folder, inputs=["a", "b"], domain=domain))["recipe"]
    assert [line["limit"] for line in recipe["inputs"].values()] == ["upper limit", "lower limit"]
    assert recipe["constraints"]["sum"] == {"value": pytest.approx(3.0), "unit": "", "limit": ""}
    assert recipe["reference"] is None


@pytest.mark.slow
def test_the_picture_of_digits_is_written(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "digits.png"
    found = answer("maximize", DIGITS, *QUICK, "--set", f"report.file={picture}")
    assert found["files"] == [str(picture)]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_figure_and_result_are_written_relative_to_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    found = answer("maximize", write(folder), "--figure", "trace.svg", "--save", "results/answer", "--seed", 5)
    assert sorted(str(path.relative_to(here)) for path in here.rglob("*.*")) == [
        "results/answer.json",
        "results/answer.safetensors",
        "trace.svg",
    ]
    assert len(found["files"]) == 3
    assert float(load_result(here / "results" / "answer").value) == found["value"]
    assert json.loads((here / "results" / "answer.json").read_text())["settings"]["seed"] == 5


def test_options_on_the_line_win(folder: Path) -> None:
    file = write(folder, method="ppga", restarts=2, options={"learning_rate": 0.1}, output={"figure": "a.png"})
    found = answer("maximize", file, "--method", "gradient_walk", "--restarts", 3, "--iterations", 7)
    assert (found["method"], found["iterations"], found["evaluations"]) == ("gradient_walk", 7, 21)
    assert (folder / "a.png").is_file()
    found = answer("maximize", file, "--set", "restarts=5", "--set", "iterations=4", "--iterations", 6)
    assert found["evaluations"] == 30
    done = call("maximize", file, "--learning-rate", -1)
    assert done.stderr.endswith("options: learning_rate must be a positive number, got -1.0\n")


def test_minimize_is_below_maximize(folder: Path) -> None:
    file = write(folder)
    low, high = answer("minimize", file), answer("maximize", file)
    assert low["bound"] <= low["value"] < high["value"] <= high["bound"]
    assert (low["sense"], high["sense"]) == ("minimize", "maximize")


def test_a_sense_in_the_file_must_be_that_of_the_command(folder: Path) -> None:
    done = call("minimize", write(folder, sense="maximize"))
    assert done.exit_code == 1
    assert "sense: is maximize; run relu-attack maximize" in done.stderr


def test_a_batch_of_sets_has_one_row_each(folder: Path) -> None:
    save_file({"rows": torch.rand(3, 3)}, folder / "rows.safetensors")
    file = write(folder, domain={"kind": "linf_ball", "center": {"file": "rows.safetensors"}, "radius": 0.1})
    assert len(answer("maximize", file, "--figure", folder / "a.png")["value"]) == 3
    done = call("maximize", file)
    assert "in 3 problems" in done.stdout


def test_help_lists_the_methods() -> None:
    text = " ".join(call("maximize", "--help").stdout.replace("│", " ").split())
    assert ", ".join(METHODS) in text


@pytest.mark.slow
def test_the_solver_is_an_option_of_the_methods_over_programs(folder: Path) -> None:
    file = write(folder)
    assert "value" in answer("maximize", file, "--method", "lp_walk", "--solver", "HIGHS")
    done = call("maximize", file, "--method", "lp_walk", "--solver", "NONE")
    assert done.exit_code == 1
    assert "NONE" in done.stderr
    done = call("maximize", file, "--method", "ppga", "--solver", "HIGHS")
    assert done.exit_code == 1
    assert "options.solver: is no option of ppga" in done.stderr


def test_the_table_says_who_found_the_answer_and_whose_word_the_bound_is(folder: Path) -> None:
    save_model(random_network(4, 12, 12, 1, seed=1), folder / "model.safetensors")
    file = write(folder, domain={"kind": "box", "lower": [0] * 4, "upper": 1})
    assert "not certified" not in call("maximize", file, "--method", "ppga").stdout
    done = call("maximize", file, "--method", "milp", "--time-limit", 60, "--set", "options.gap=0.01")
    assert "found by" in done.stdout
    assert "not certified" in done.stdout
    assert "violation" not in done.stdout


def test_output_constraints_and_whole_inputs_are_told_with_their_violations(folder: Path) -> None:
    constraints = [{"name": "nitrogen", "unit": "mol/s", "expression": [1], "upper": 0.1}]
    domain = {"kind": "box", "lower": [0, 0, 0], "upper": 2, "integer": [0]}
    file = write(folder, domain=domain, output_constraints=constraints)
    found = answer("maximize", file)
    assert found["output_violation"] <= 1e-6
    assert found["integrality"] == 0.0
    table = call("maximize", file).stdout
    line = next(line for line in table.splitlines() if "nitrogen" in line)
    assert "mol/s" in line
    assert "set 0, output constraints 0, whole numbers 0" in table
    recipe = answer("maximize", write(folder, inputs=["a", "b", "c"], domain=domain, output_constraints=constraints))
    assert recipe["recipe"]["output_constraints"]["nitrogen"]["value"] <= 0.1 + 1e-6
    assert recipe["recipe"]["output_constraints"]["nitrogen"]["unit"] == "mol/s"


@pytest.mark.parametrize("names", [None, ["a", "b", "c"]])
@pytest.mark.parametrize(
    ("method", "words"), [("milp", "INFEASIBLE: no input of the set"), ("ppga", "NOT_FOUND: no input that satisfies")]
)
def test_a_question_without_an_answer_is_answered_so(
    folder: Path, method: str, words: str, names: list[str] | None
) -> None:
    # Each holds somewhere, so that intervals refute neither; both hold nowhere.
    lower, upper = output_bounds(load_model(folder / "model.safetensors"), Box(0.0, 1.0, shape=(3,)))
    middle = float(lower[1] + upper[1]) / 2
    never = [{"expression": [1], "upper": middle}, {"expression": [1], "lower": middle + 0.01}]
    file = write(folder, inputs=names, method=method, output_constraints=never)
    done = call("maximize", file)
    assert done.exit_code == 0, done.stderr
    assert words in done.stdout
    assert "the nearest input" in done.stdout
    assert "inf" not in done.stdout.replace("infeasible", "").replace("INFEASIBLE", "")
    assert answer("maximize", file)["value"] == "-inf"


def test_a_reference_that_breaks_an_output_constraint_is_passed_over(folder: Path) -> None:
    (folder / "table.csv").write_text("a,b,c,measured\n0,0,0,9\n1,1,1,5\n")
    report = {"kind": "recipe", "reference": "table.csv", "measured": "measured"}
    content = {"inputs": ["a", "b", "c"], "report": report}
    assert answer("maximize", write(folder, **content))["recipe"]["reference"]["measured"] == 9
    model = load_model(folder / "model.safetensors")
    with torch.no_grad():
        first, second = model(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))[:, 1].tolist()
    limit = {"upper" if first > second else "lower": (first + second) / 2}
    content["output_constraints"] = [{"expression": [1], **limit}]
    assert answer("maximize", write(folder, **content))["recipe"]["reference"]["measured"] == 5


def test_a_factory_in_the_working_directory_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Linear(3, 1))\n"
    (folder / "my_surrogate.py").write_text(code)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert "value" in answer("maximize", write(folder, model={"factory": "my_surrogate:make"}))


def test_warnings_are_one_line_without_code(folder: Path) -> None:
    done = call("maximize", write(folder, x0=[2.0, 0.5, 0.5]))
    assert done.exit_code == 0
    assert done.stderr == "relu-attack: warning: 1 of 1 points of x0 lie outside the set and are projected onto it\n"


def test_the_bar_shows_the_best_value_when_asked_for(folder: Path) -> None:
    done = call("maximize", write(folder), "--progress", "--json")
    assert "best" in done.stderr
    assert "steps/s" in done.stderr
    json.loads(done.stdout)


def test_bad_input_ends_with_1_and_no_traceback(folder: Path) -> None:
    for done, words in (
        (call("maximize", folder / "none.yaml"), "none.yaml: cannot be read: No such file or directory"),
        (call("maximize", write(folder, objective={"output": 2})), "Output index 2 is out of range"),
        (call("maximize", write(folder), "--figure", folder / "model.safetensors" / "a.png"), "File exists"),
    ):
        assert done.exit_code == 1
        assert done.stdout == ""
        assert words in done.stderr
        assert done.stderr.startswith("relu-attack: ")
        assert done.stderr.count("\n") == 1
    done = call("maximize", write(folder, restarts=0, seed="x"))
    assert done.exit_code == 1
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()[1:]] == ["restarts", "seed"]


@pytest.mark.parametrize(
    "arguments",
    [["maximise"], ["maximize"], ["maximize", "a.yaml", "--restarts", "many"], ["maximize", "a.yaml", "--set", "seed"]],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert call(*arguments).exit_code == 2


@pytest.mark.slow
def test_an_interrupted_search_answers_with_the_best_so_far(folder: Path) -> None:
    # Too wide for the interval bound to prove its best point optimal.
    save_model(nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 2)), folder / "model.safetensors")
    file = write(folder, iterations=None, time_limit=500)
    program = [
        "import os, signal, sys",
        "from relu_attack.solvers.ascent import Ascent",
        "review = Ascent.review",
        "def interrupted(self): review(self); os.kill(os.getpid(), signal.SIGINT)",
        "Ascent.review = interrupted",
        f"sys.argv = ['relu-attack', 'maximize', {str(file)!r}, '--json']",
        "from relu_attack.cli import main; main()",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == "INTERRUPTED"
    assert found["iterations"] < 100


@pytest.mark.slow
def test_help_and_version_import_nothing_that_the_package_does_not() -> None:
    program = "import sys, relu_attack; before = set(sys.modules); from relu_attack.cli import app; "
    program += "app(['maximize', '--help'], standalone_mode=False); "
    program += "print([m for m in ('relu_attack.config', 'yaml', 'matplotlib', 'cvxpy', 'tqdm', 'safetensors') "
    program += "if m in set(sys.modules) - before])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert call("--version").stdout.startswith("relu-attack ")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_disk_costs_no_answer(folder: Path, monkeypatch: pytest.MonkeyPatch, form: list[str]) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    done = call(
        "maximize", write(folder), "--save", folder / "answer", "--figure", folder / "trace.png", "--no-progress", *form
    )
    assert done.exit_code == 1
    assert '"value"' in done.stdout if form else "status" in done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.endswith("cannot be written: No space left on device") for line in lines)
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "question.yaml"]
