"""``relu-attack info`` counts units, says what lowering did, and which units are stable over a set."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from typer.testing import CliRunner, Result

from relu_attack.cli import app
from relu_attack.io import save_model


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["info", *map(str, arguments)], env={"COLUMNS": "120"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with a unit that is active, one that is inactive and one that bends over [0, 1]^2, and an image model."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(), nn.Linear(3, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]))
        model[0].bias.copy_(torch.tensor([0.5, -0.5, 0.0]))
        model[3].weight.copy_(torch.ones(1, 3))
        model[3].bias.zero_()
    save_model(model, tmp_path / "model.safetensors")
    save_model(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 1)), tmp_path / "image.safetensors"
    )
    question = {"model": {"file": "model.safetensors"}, "domain": {"kind": "box", "lower": [0, 0], "upper": 1}}
    (tmp_path / "question.yaml").write_text(yaml.safe_dump(question))
    return tmp_path


def test_a_model_alone(folder: Path) -> None:
    done = call(folder / "model.safetensors")
    assert done.exit_code == 0, done.stderr
    assert "(2,) -> (1,), 13 parameters, 3 units" in done.stdout
    assert "model[0]: Linear 2 -> 3" in done.stdout
    assert "--config" in done.stdout


def test_values_that_skip_layers_are_counted_where_they_are_passed_on() -> None:
    done = call("tests.network.residual:small_resnet", "--shape", "1,8,8")
    assert done.exit_code == 0, done.output
    assert "model[2]: ReLU, 128 units; 128 more pass other values on" in done.stdout
    assert "model[2]: sum of two values, (2, 8, 8)" in done.stdout


@pytest.mark.parametrize("arguments", [["question.yaml"], ["model.safetensors", "--config", "question.yaml"]])
def test_stable_units_over_a_set(folder: Path, arguments: list[str]) -> None:
    names = [argument if argument.startswith("-") else str(folder / argument) for argument in arguments]
    found: dict[str, Any] = json.loads(call(*names, "--json").stdout)
    assert found["layers"] == [{"units": 3, "active": 1, "inactive": 1, "open": 1}]
    assert found["outputs"][0]["lower"] <= 0.5
    assert 2.5 + 1.0 <= found["outputs"][0]["upper"] < 3.6
    assert len(found["lowering"]) == 4
    done = call(*names)
    assert "units over the Box, by interval bounds" in done.stdout
    assert "output 0: from 0.5 to 3.5" in done.stdout


def test_an_image_model_needs_its_shape(folder: Path) -> None:
    done = call(folder / "image.safetensors")
    assert done.exit_code == 1
    assert (
        done.stderr
        == "relu-attack: the shape of one input does not follow from the model; give --shape, such as --shape 1,28,28\n"
    )
    assert "(1, 6, 6) -> (1,)" in call(folder / "image.safetensors", "--shape", "1,6,6").stdout
    assert call(folder / "image.safetensors", "--shape", "big").exit_code == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.safetensors", "does not exist or is no file"),
        ("none.yaml", "cannot be read"),
        ("no_such_module:make", "importing no_such_module failed"),
        ("model.bin", "must end in .safetensors or .pt"),
    ],
)
def test_a_model_that_is_not_there(name: str, words: str) -> None:
    done = call(name)
    assert done.exit_code == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
