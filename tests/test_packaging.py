"""What is installed: a light import, types, one command, pins that fit the bounds."""

import ast
import importlib
import re
import subprocess
import sys
from collections import Counter
from importlib.metadata import entry_points, metadata, requires
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

import relu_attack

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torchvision",
    "lightning",
    "pytorch_lightning",
    "torchmetrics",
    "cvxpy",
    "matplotlib",
    "scipy.sparse",
    "scipy.optimize",
    "pydantic",
    "typer",
)


def pins() -> dict[str, str]:
    """Return the version of each distribution in constraints.txt, by its lower-case name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


@pytest.mark.slow
def test_import_takes_no_heavy_package_with_it() -> None:
    program = f"import sys, relu_attack; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_is_collected_again_once_the_package_is_loaded(collecting: bool) -> None:
    state = "enable" if collecting else "disable"
    program = (
        f"import gc; gc.{state}(); import relu_attack, relu_attack.cli; print(gc.isenabled(), gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(collecting), "0"], done.stderr


def test_types_are_shipped() -> None:
    assert files("relu_attack").joinpath("py.typed").is_file()


def test_one_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="relu-attack")
    assert command.value == "relu_attack.cli:main"


def test_metadata_names_version_licence_and_python() -> None:
    about = metadata("relu-attack")
    assert about["Version"] == relu_attack.__version__
    assert about["Requires-Python"] == ">=3.10"
    assert about["License-Expression"] == "Apache-2.0"


def requirements() -> list[str]:
    """Return what the package and its extras need, without the extra that names other extras."""
    return [line for line in requires("relu-attack") or [] if Requirement(line).name != "relu-attack"]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_pinned_version_fits_its_bound(requirement: str) -> None:
    bound = Requirement(requirement)
    assert bound.specifier.contains(pins()[re.sub(r"[-_.]+", "-", bound.name).lower()])


def test_pins_have_no_local_version() -> None:
    assert [name for name, version in pins().items() if "+" in version] == []


def sources() -> dict[str, ast.Module]:
    """Return the syntax tree of each module of the package, by its full name."""
    found = {}
    for path in (ROOT / "relu_attack").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


def test_no_class_name_stands_for_two_things() -> None:
    names = Counter(node.name for tree in sources().values() for node in tree.body if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_import_goes_past_the_face_of_a_room() -> None:
    trees = sources()
    rooms = {name for name in trees if any(other.startswith(f"{name}.") for other in trees)} - {"relu_attack"}

    def past(importer: str, imported: str) -> bool:
        parts = imported.split(".")
        outer = (".".join(parts[:length]) for length in range(2, len(parts)))
        return any(room in rooms and not f"{importer}.".startswith(f"{room}.") for room in outer)

    imports = [
        (importer, f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in trees else str(node.module))
        for importer, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("relu_attack.")
        for alias in node.names
    ]
    assert [pair for pair in imports if past(*pair)] == []


def test_no_module_is_hidden_by_an_object_of_its_name() -> None:
    names = [name for name in sources() if "." in name and not name.endswith("__main__")]
    for name in names:
        importlib.import_module(name)
    hidden = []
    for name in names:
        room, _, leaf = name.rpartition(".")
        if not isinstance(getattr(sys.modules[room], leaf), ModuleType):
            hidden.append(name)
    assert hidden == []


def test_what_the_package_exports_is_listed_once_and_is_there() -> None:
    assert len(set(relu_attack.__all__)) == len(relu_attack.__all__)
    assert [name for name in relu_attack.__all__ if not hasattr(relu_attack, name)] == []
