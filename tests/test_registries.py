"""Methods and bounds of users: registered by name, offered by plugins, refused by name where they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack import _registry
from relu_attack.bounds import BOUNDS, Bounds, bound_rows
from relu_attack.domains import Domain
from relu_attack.network import Network
from relu_attack.problem import Problem
from relu_attack.solvers import METHODS, Answer, Incumbents, Settings

BOX = ra.Box(-1.0, 1.0, shape=(2,))


@dataclass(frozen=True, kw_only=True)
class Samples:
    count: int = 100


def solve(problem: Problem, options: Samples, settings: Settings) -> Answer:
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="points")
    for index in range(problem.problems):
        incumbents.offer(index, problem.single(index).domain.sample(options.count), "samples")
    return incumbents.answer(ra.Status.FEASIBLE, options.count * problem.problems)


def loose(network: Network, domain: Domain, objective: Tensor, *, deadline: Any = None) -> Bounds:
    return bound_rows(network, domain.bounding_box(), objective, "crown", deadline=deadline)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)).eval()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = dict(METHODS._entries), dict(BOUNDS._entries)
    yield
    METHODS._entries, BOUNDS._entries = before


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Return a list of entry points that are taken as those of installed packages."""
    offered: list[EntryPoint] = []
    monkeypatch.setattr(_registry, "entry_points", lambda group: offered)
    monkeypatch.setattr(_registry.PLUGINS, "_loaded", False)
    return offered


def test_a_registered_method_is_known_by_its_name_and_its_options() -> None:
    ra.register_method("samples", Samples, solve, iterations=1)
    for result in (
        ra.maximize(model(), BOX, method="samples", count=50),
        ra.maximize(model(), BOX, method=Samples(count=50)),
        ra.minimize(model(), ra.L2Ball(torch.zeros(2), 1.0), method="samples"),
    ):
        assert (result.method, result.found_by) == ("samples", ("samples",))
        assert float(result.violation) == 0.0
        assert result.success


def test_its_options_are_checked_as_those_of_the_package() -> None:
    ra.register_method("samples", Samples, solve, iterations=1)
    with pytest.raises(ra.ArgumentError, match=r"has no argument 'coutn'; did you mean 'count'"):
        ra.maximize(model(), BOX, method="samples", coutn=50)
    with pytest.raises(ra.OptionError, match=r"did you mean 'samples'"):
        ra.maximize(model(), BOX, method="sample")


def test_what_it_cannot_do_is_refused_with_the_names_of_those_that_can() -> None:
    ra.register_method("samples", Samples, solve, iterations=1, batches=False, needs_linear_rows=True)
    with pytest.raises(ra.OptionError, match="samples takes one problem at a time, got 2; take auto, gradient_walk"):
        ra.maximize(model(), BOX, ra.Output([0, 1]), method="samples")
    with pytest.raises(ra.DomainError, match="samples needs a set with linear rows, which L2Ball has not; take auto"):
        ra.maximize(model(), ra.L2Ball(torch.zeros(2), 1.0), method="samples")
    with pytest.raises(ra.OptionError, match="samples records no path here; record_path works with gradient_walk"):
        ra.maximize(model(), BOX, method="samples", record_path=True)


@pytest.mark.parametrize("method", list(METHODS))
def test_methods_that_need_linear_rows_are_refused_without_them_and_the_others_run(method: str) -> None:
    ball = ra.L2Ball(torch.zeros(2), 1.0)
    if METHODS[method].needs_linear_rows:
        with pytest.raises(ra.DomainError, match="needs a set with linear rows"):
            ra.maximize(model(), ball, method=method)
    else:
        assert ra.maximize(model(), ball, method=method, iterations=2, time_limit=5.0).success


def test_a_registered_bound_is_known_wherever_a_bound_is() -> None:
    ra.register_bound("loose", loose)
    expected = ra.output_bounds(model(), BOX, "crown")
    assert all(torch.equal(*pair) for pair in zip(ra.output_bounds(model(), BOX, "loose"), expected, strict=True))
    assert float(ra.maximize(model(), BOX, bound="loose", method="ppga_lr", iterations=2).bound) == float(
        expected[1][0]
    )
    with pytest.raises(ra.OptionError, match=r"bounds by loose in torch.float32: .* with interval, crown, alpha_crown"):
        ra.ReLUOptimizer(model(), BOX).bounds("loose", dtype=torch.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "auto"}, "'auto' is a method of the package itself"),
        ({"name": "my method"}, "name of the method is 'my method'; give a word"),
        ({"options": dict}, "options of samples must be a class made by dataclass"),
        ({"options": dataclass(type("Loose", (), {}))}, "Loose must be frozen"),
        ({"options": ra.PPGA}, "PPGA is the class of ppga; make one of its own"),
        ({"solve": 3}, "solve of samples must be a function"),
        ({"iterations": None}, "samples needs iterations or a time_limit"),
    ],
)
def test_what_cannot_be_registered_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ra.OptionError, match=message):
        ra.register_method(**{"name": "samples", "options": Samples, "solve": solve, "iterations": 1, **arguments})


def test_bounds_of_the_package_are_not_replaced() -> None:
    with pytest.raises(ra.OptionError, match="'crown' is a bound method of the package itself"):
        ra.register_bound("crown", loose)


def register_samples() -> None:
    ra.register_method("samples", Samples, solve, iterations=1)


def fail() -> None:
    raise RuntimeError("no licence\nfound")


def test_a_plugin_is_loaded_when_an_unknown_name_is_looked_up(plugins: list[EntryPoint]) -> None:
    plugins.append(EntryPoint("samples", f"{__name__}:register_samples", _registry.GROUP))
    ra.maximize(model(), BOX, method="ppga_lr", iterations=1)
    assert "samples" not in METHODS._entries, "a known name loads nothing"
    assert ra.maximize(model(), BOX, method="samples").method == "samples"


def test_a_plugin_is_loaded_for_a_list_of_names(plugins: list[EntryPoint]) -> None:
    plugins.append(EntryPoint("samples", f"{__name__}:register_samples", _registry.GROUP))
    assert list(METHODS)[-1] == "samples"


def test_a_plugin_that_fails_is_a_warning_and_the_others_are_loaded(plugins: list[EntryPoint]) -> None:
    plugins.append(EntryPoint("broken", f"{__name__}:fail", _registry.GROUP))
    plugins.append(EntryPoint("missing", "no_such_module", _registry.GROUP))
    plugins.append(EntryPoint("samples", f"{__name__}:register_samples", _registry.GROUP))
    with pytest.warns(ra.ReLUAttackWarning) as caught:
        assert "samples" in METHODS
    lines = [str(warning.message) for warning in caught]
    assert len(lines) == 2
    assert "the plugin broken" in lines[0]
    assert lines[0].endswith("cannot be loaded: RuntimeError: no licence found")
    assert "no_such_module" in lines[1]
