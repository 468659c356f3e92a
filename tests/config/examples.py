"""Parts of configurations, and how they are read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from relu_attack.config import ConfigError, Configuration, LoadedProblem, load_configuration

BOX: dict[str, Any] = {"kind": "box", "lower": [0, 0, 0], "upper": 1}
POLYTOPE: dict[str, Any] = {"kind": "polytope", "lower": 0, "upper": 1}
BALL: dict[str, Any] = {"kind": "l2_ball", "center": {"file": "row.npy"}, "radius": 1}
IMAGES = {"kind": "images", "file": "x.png"}
NAMED = {"inputs": {"sand": "kg", "lime": "kg", "age": "days"}}


def limits(**constraint: object) -> dict[str, Any]:
    """Return a configuration with one constraint on the sand."""
    return {**NAMED, "domain": {**POLYTOPE, "constraints": [{"expression": ["sand"], **constraint}]}}


def output_limits(**constraint: object) -> dict[str, Any]:
    """Return a configuration with one constraint on output 1."""
    return {"output_constraints": [{"expression": [1], **constraint}]}


def load(folder: Path, content: Any, overrides: dict[str, Any] | None = None) -> tuple[Configuration, LoadedProblem]:
    if isinstance(content, dict):
        content = yaml.safe_dump({"model": {"file": "model.safetensors"}, "domain": BOX, **content}, sort_keys=False)
    (folder / "question.yaml").write_text(content)
    return load_configuration(folder / "question.yaml", overrides)


def errors(folder: Path, content: Any, overrides: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, content, overrides)
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)
