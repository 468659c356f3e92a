"""What a user adds from outside the package: each example of the page, and with what it works."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack.bounds import BOUNDS
from relu_attack.network import layer_specs
from relu_attack.solvers import METHODS

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
ANY_SET = [name for name in METHODS.built_in if not METHODS[name].needs_linear_rows]
SHORT: dict[str, Any] = {"iterations": 3, "time_limit": 10.0, "restarts": 2}


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "examples" / f"{name}.py"))


def network(*hidden: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), *(hidden or (nn.ReLU(),)), nn.Linear(8, 2)).eval()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_is_short(path: Path) -> None:
    result = example(path.stem)["result"]
    assert result.success
    assert float(result.value) <= float(result.bound)
    assert sum(bool(line.strip()) for line in path.read_text().splitlines()) <= 30
    assert f'--8<-- "docs/examples/{path.name}"' in (DOCS / "extending.md").read_text()


@pytest.mark.parametrize("method", ANY_SET)
def test_an_own_set_works_with_every_method_that_needs_no_rows(method: str) -> None:
    domain = example("own_set")["Ellipsoid"](torch.zeros(3), torch.tensor([1.0, 2.0, 0.5]))
    result = ra.maximize(network(), domain, method=method, **SHORT)
    assert result.success
    assert float(result.violation) == 0.0
    assert bool(result.certified)


@pytest.mark.parametrize("method", METHODS.built_in)
def test_an_own_layer_works_with_every_method(method: str) -> None:
    layer = example("own_layer")["BentAbsolute"]
    assert layer in layer_specs()
    model, box = network(layer()), ra.Box(-1.0, 1.0, shape=(3,))
    result = ra.maximize(model, box, method=method, **SHORT)
    assert result.success
    assert float(result.value) == pytest.approx(model(result.x[None].float())[0, 0].item(), rel=1e-5)


@pytest.mark.parametrize("domain", [ra.Box(-1.0, 1.0, shape=(3,)), ra.L2Ball(torch.zeros(3), 1.0)])
def test_an_own_method_works_over_every_set_and_batch(domain: ra.Domain) -> None:
    example("own_method")
    one = ra.minimize(network(), domain, method="random_search", iterations=2)
    assert one.found_by == ("random_search",)
    both = ra.maximize(network(), domain, ra.Output([0, 1]), method="random_search", iterations=2)
    assert both.success
    assert float(both.violation.amax()) == 0.0


@pytest.mark.parametrize("method", METHODS.built_in)
def test_an_own_bound_works_with_every_method(method: str) -> None:
    example("own_bound")
    box = ra.Box(-1.0, 1.0, shape=(3,))
    result = ra.maximize(network(), box, method=method, bound="bisected", **SHORT)
    lower, upper = ra.output_bounds(network(), box, "bisected")
    outside_lower, outside_upper = ra.output_bounds(network(), box, "crown")
    assert float(result.bound) <= float(upper[0])
    assert bool((outside_lower <= lower).all())
    assert bool((upper <= outside_upper).all())


def methods_table() -> str:
    """Return the table of the page, as the registry has it."""
    said = {True: "yes", False: "no"}
    rows = [
        f"| `{name}` | {said[not method.needs_linear_rows]} | {said[method.batches]} | {method.paths} "
        f"| {said[method.certifies]} |"
        for name, method in ((name, METHODS[name]) for name in METHODS.built_in)
    ]
    head = "| method | sets without linear rows | several problems | records paths of | closes the gap by proof |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def test_the_table_of_the_page_is_that_of_the_registry() -> None:
    assert methods_table() in (DOCS / "extending.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "configs/README.md"])
def test_the_guides_name_every_method(page: str) -> None:
    text = (DOCS.parent / page).read_text()
    assert [name for name in METHODS.built_in if f"`{name}`" not in text] == []


def test_the_readme_names_every_bound() -> None:
    text = (DOCS.parent / "README.md").read_text()
    assert [name for name in BOUNDS.built_in if f"`{name}`" not in text] == []
