"""Sets, objectives and models of classes of the user, by their dotted names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relu_attack.config import ConfigError
from tests.config.examples import load
from tests.config.own_classes import Cube, Mean, Wide

HERE = "tests.config.own_classes"
CUBE = {"kind": f"{HERE}.Cube", "low": -1, "high": 2, "inputs": 3}


def test_a_set_is_made_with_the_other_keys(folder: Path) -> None:
    domain = load(folder, {"domain": CUBE})[1].domain
    assert isinstance(domain, Cube)
    assert domain.upper.tolist() == [2.0] * 3


def test_an_objective_has_a_name_and_a_unit_beside_its_arguments(folder: Path) -> None:
    section = {"kind": f"{HERE}.Mean", "weights": [1.0, 3.0], "name": "mean", "unit": "MPa"}
    configuration, question = load(folder, {"objective": section})
    assert isinstance(question.objective, Mean)
    assert question.objective.rows(2)[0].tolist() == [[0.5, 1.5]]
    assert (configuration.objective.name, configuration.objective.unit) == ("mean", "MPa")


def test_a_model_is_made_with_the_other_keys(folder: Path) -> None:
    model = load(folder, {"model": {"kind": f"{HERE}.Wide", "units": 7}})[1].model
    assert isinstance(model, Wide)
    assert model[0].out_features == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domain": {**CUBE, "kind": f"{HERE}.Cubes"}}, "has no subclass of Domain named Cubes"),
        ({"domain": {"kind": f"{HERE}.Mean", "weights": [1.0]}}, "has no subclass of Domain named Mean"),
        ({"domain": {"kind": "no_such.package.Cube"}}, "importing no_such.package failed: ModuleNotFoundError"),
        ({"domain": {"kind": "my sets.Cube"}}, "domain.kind: 'my sets.Cube' is no class; give package.module.Class"),
        ({"domain": {"kind": f"{HERE}.Cube"}}, "making one failed: TypeError: .*missing 3 required"),
        ({"domain": {"kind": f"{HERE}.Failing"}}, "making one failed: RuntimeError: no luck"),
        ({"domain": {**CUBE, "low": 3}}, "domain: Box is empty"),
        ({"objective": {"kind": f"{HERE}.Mean", "weights": [1], "output": 0}}, "has a kind beside output"),
        ({"model": {"kind": f"{HERE}.Wide", "units": 3, "file": "model.safetensors"}}, "has a kind beside file"),
    ],
)
def test_what_cannot_be_made_is_one_line(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(folder, changes)
    assert "\n" not in str(caught.value)
