"""``relu-attack plot`` draws a saved answer as its format says, beside it or where it is told."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from typer.testing import CliRunner, Result

import relu_attack as ra
from relu_attack.cli import app
from relu_attack.io import save_model

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A result, worst cases of two images, and accuracies over two radii."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x, label = torch.rand(2, 1, 2, 2), torch.tensor([0, 1])
    ra.save_result(ra.maximize(model, ra.Box(0.0, 1.0, shape=(1, 2, 2)), iterations=5), tmp_path / "result")
    worst = ra.worst_case(model, x, label, 0.1)
    ra.save_worst_case(ra.WorstCaseWithScores.of(model, x, label, worst), tmp_path / "worst")
    pairs = [(radius, ra.robust_accuracy(model, [(x, label)], radius, progress=False)) for radius in (0.0, 0.1)]
    ra.save_accuracies(pairs, tmp_path / "accuracies", settings={"norm": "linf"})
    return tmp_path


def texts(picture: Path) -> str:
    """Return the words of a picture: an SVG says each text in a comment."""
    return picture.read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("result", ["time in seconds", "best found", "certified bound"]),
        ("worst", ["sample 0", "sample 1", "class scores", "logit", "worst case less clean", "0 (label"]),
        ("accuracies", ["radius (maximum norm)", "certified", "under attack", "not decided", "accuracy on 2 samples"]),
    ],
)
def test_each_kind_has_its_picture(folder: Path, name: str, words: list[str]) -> None:
    picture = folder / "picture.svg"
    done = call("plot", folder / name, "--output", picture)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"wrote {picture}\n"
    assert [word for word in words if word not in texts(picture)] == []


@pytest.mark.parametrize("suffix", ["", ".json", ".safetensors"])
def test_the_picture_lies_beside_the_result_unless_told_otherwise(folder: Path, suffix: str) -> None:
    done = call("plot", folder / f"result{suffix}")
    assert done.stdout == f"wrote {folder / 'result.png'}\n"
    assert (folder / "result.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_worst_cases_are_drawn_as_wished(folder: Path) -> None:
    picture = folder / "picture.svg"
    done = call("plot", folder / "worst", "--output", picture, "--samples", "1", "--classes", "cat,dog, fox")
    assert done.exit_code == 0, done.stderr
    assert "sample 0" not in texts(picture)
    assert "label dog" in texts(picture)
    done = call("plot", folder / "worst", "--output", picture, "--probabilities")
    assert "probability" in texts(picture)


def test_the_value_has_the_name_of_the_configuration(folder: Path) -> None:
    save_model(nn.Sequential(nn.Linear(3, 2)), folder / "model.safetensors")
    question = {
        "model": {"file": "model.safetensors"},
        "domain": {"kind": "box", "lower": [0, 0, 0], "upper": 1},
        "objective": {"output": 0, "name": "strength", "unit": "MPa"},
        "iterations": 5,
    }
    (folder / "question.yaml").write_text(yaml.safe_dump(question))
    assert call("maximize", folder / "question.yaml", "--save", folder / "answer").exit_code == 0
    assert call("plot", folder / "answer", "--output", folder / "answer.svg").exit_code == 0
    assert "strength (MPa)" in texts(folder / "answer.svg")


@pytest.mark.parametrize(("name", "options"), [("robustness_digits", []), ("worst_cases_digits", ["--samples", "8"])])
def test_the_committed_measurements_are_drawn(name: str, options: list[str], tmp_path: Path) -> None:
    done = call("plot", RESULTS / name, "--output", tmp_path / "picture.png", *options)
    assert done.exit_code == 0, done.stderr


def test_bad_input_ends_with_1_and_one_line(folder: Path) -> None:
    (folder / "other.json").write_text(json.dumps({"format": "relu_attack answer 9", "settings": {}}))
    (folder / "text.json").write_text("no JSON")
    (folder / "table.csv").write_text("value")
    for arguments, words in (
        ((folder / "none",), "none.json cannot be read: No such file or directory"),
        ((folder / "text",), "text.json is not JSON"),
        ((folder / "table.csv",), "table.csv is no saved answer; give its .json"),
        ((folder / "other",), "other has the format 'relu_attack answer 9'; what can be drawn are 'relu_attack result"),
        ((folder / "result", "--output", folder / "a.txt"), "a.txt must end in .png, .svg, .pdf"),
        ((folder / "result", "--output", folder / "no" / "a.png"), "no is not a folder; make it before drawing a.png"),
        ((folder / "result", "--samples", "0"), "--samples is for worst cases; this file holds a result"),
        ((folder / "accuracies", "--probabilities"), "--probabilities is for worst cases; this file holds accuracies"),
        ((folder / "worst", "--samples", "2"), "sample 2 is out of range; there are 2, from 0 to 1"),
        ((folder / "worst", "--classes", "cat"), "there are 1 names of classes, but 3 scores"),
    ):
        done = call("plot", *arguments)
        assert done.exit_code == 1, arguments
        assert words in done.stderr
        assert done.stderr.startswith("relu-attack: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_samples_that_are_no_numbers_are_wrong_usage(folder: Path) -> None:
    assert call("plot", folder / "worst", "--samples", "first").exit_code == 2
