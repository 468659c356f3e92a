"""torchvision and Lightning can be imported beside a CPU-only torch, and only what is missing is added."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relu_attack._torchvision import MISSING_OPERATOR, import_lightning, import_torchvision

IMPORT = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from relu_attack._torchvision import TorchvisionWarning, _declare_operators, import_lightning, import_torchvision
    import_torchvision()
    import_torchvision()
    lightning = import_lightning() if {lightning} else None
import torch, torchvision
ours = [warning for warning in caught if issubclass(warning.category, TorchvisionWarning)]
print(json.dumps({{
    "messages": [str(warning.message) for warning in ours],
    "raised_in": [warning.filename for warning in ours],
    "declared": _declare_operators.cache_info().currsize,
    "mlp": list(torchvision.ops.MLP(3, [4, 2])(torch.ones(5, 3)).shape),
    "lightning": lightning and [lightning.__name__, isinstance(lightning.Callback, type)],
}}))
"""
IMPORT_BOTH, IMPORT_TORCHVISION = IMPORT.format(lightning=True), IMPORT.format(lightning=False)

DECLARE_FIRST = """
import torch
library = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def run(program: str, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter, with `path` first among its import folders."""
    environment = dict(os.environ)
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), environment.get("PYTHONPATH")]))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)


def facts(program: str) -> dict[str, Any]:
    """Run a program that prints one JSON object as its last line."""
    done = run(program)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def torchvision_is_broken() -> bool:
    done = run("import torchvision")
    return done.returncode != 0 and MISSING_OPERATOR in done.stderr


@pytest.fixture(scope="module")
def imported() -> dict[str, Any]:
    return facts(IMPORT_BOTH)


def test_mlp_of_torchvision_runs_and_lightning_is_imported(imported: dict[str, Any]) -> None:
    assert imported["mlp"] == [5, 2]
    assert imported["lightning"] == ["pytorch_lightning", True]


def test_one_warning_says_what_works(imported: dict[str, Any], torchvision_is_broken: bool) -> None:
    if not torchvision_is_broken:
        pytest.skip("the compiled operators of torchvision load beside this torch")
    (message,) = imported["messages"]
    assert "models, datasets, transforms and ops.MLP work" in message
    assert "nms, the region-of-interest operators" in message
    assert imported["raised_in"] == ["<string>"], "the warning points at the caller"
    assert imported["declared"] == 1


@pytest.mark.slow
def test_nothing_is_declared_when_the_import_works(imported: dict[str, Any], torchvision_is_broken: bool) -> None:
    answer = facts(DECLARE_FIRST + IMPORT_TORCHVISION) if torchvision_is_broken else imported
    assert answer["messages"] == []
    assert answer["declared"] == 0


@pytest.mark.slow
def test_another_error_of_the_import_passes_through(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('the disk is on fire')\n")
    done = run("from relu_attack._torchvision import import_torchvision; import_torchvision()", path=tmp_path)
    assert done.returncode != 0
    assert "the disk is on fire" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_modules_are_those_of_the_interpreter() -> None:
    assert import_torchvision() is sys.modules["torchvision"]
    assert import_lightning() is sys.modules["pytorch_lightning"]
