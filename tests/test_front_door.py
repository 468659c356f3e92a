"""The public calls: full signatures, options objects, old names, and unknown names answered with the nearest."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack._deadline import Deadline
from relu_attack.solvers import METHODS, SearchArguments

SEARCHES = (ra.maximize, ra.minimize, ra.ReLUOptimizer.maximize, ra.ReLUOptimizer.minimize)
CALLS = (
    *SEARCHES,
    ra.verify,
    ra.verify_files,
    ra.check_bounds,
    ra.output_bounds,
    ra.worst_case,
    ra.robust_accuracy,
    ra.critical_radius,
    ra.ReLUOptimizer,
)
OPTIONS = (ra.Auto, ra.GradientWalk, ra.PPGA, ra.PPGALR, ra.LPWalk, ra.MILPWalk, ra.MILP, ra.BranchAndBound)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def box() -> ra.Box:
    return ra.Box(-1.0, 1.0, shape=(2,))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_every_keyword_stands_in_the_signature(call: Callable[..., Any]) -> None:
    parameters = inspect.signature(call).parameters.values()
    gathered = [entry.name for entry in parameters if entry.kind is inspect.Parameter.VAR_KEYWORD]
    assert gathered == (["options"] if call in SEARCHES else [])
    assert all(entry.annotation not in (inspect.Parameter.empty, "Any") for entry in parameters if entry.name != "self")


@pytest.mark.parametrize("call", SEARCHES, ids=lambda call: call.__qualname__)
def test_searches_have_the_arguments_and_defaults_of_one_place(call: Callable[..., Any]) -> None:
    signature = inspect.signature(call).parameters
    expected = {entry.name: entry.default for entry in fields(SearchArguments)}
    del expected["minimize"], expected["options"]
    assert {name: signature[name].default for name in expected} == expected


@pytest.mark.parametrize("options", OPTIONS)
def test_a_method_may_be_given_by_its_options(options: type) -> None:
    name = next(name for name, method in METHODS.items() if method.options is options)
    arguments: dict[str, Any] = {"iterations": 3, "time_limit": 5.0, "restarts": 2}
    by_options = ra.maximize(model(), box(), method=options(), **arguments)
    by_word = ra.maximize(model(), box(), method=name, **arguments)
    assert by_options.method == by_word.method == name
    assert torch.equal(by_options.value, by_word.value)


def test_an_option_acts_alike_by_name_and_in_its_object() -> None:
    found = [
        ra.ReLUOptimizer(model(), box()).minimize(method, iterations=20, record_path=True, **options).path
        for method, options in (("ppga_lr", {"step": 0.02}), (ra.PPGALR(step=0.02), {}), ("ppga_lr", {}))
    ]
    by_name, by_object, by_default = (path for path in found if path is not None)
    assert torch.equal(by_name, by_object)
    assert not torch.equal(by_name, by_default)


def test_minimize_is_maximize_of_the_negated_objective() -> None:
    arguments: dict[str, Any] = {"method": "ppga_lr", "iterations": 20, "restarts": 4}
    low = ra.minimize(model(), box(), ra.Linear([1.0, -2.0, 0.5]), **arguments)
    high = ra.maximize(model(), box(), ra.Linear([-1.0, 2.0, -0.5]), **arguments)
    assert torch.equal(low.value, -high.value)
    assert torch.equal(low.bound, -high.bound)
    assert torch.equal(low.x, high.x)


X, LABEL = torch.rand(2, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1])
CLAIM = ra.Specification.require([1.0, 0.0, 0.0], 100.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ra.maximize(model(), box(), tim_limit=1.0), "maximize has no argument 'tim_limit'; .*'time_limit'"),
        (lambda: ra.minimize(model(), box(), divice="cpu"), "minimize has no argument 'divice'; .*'device'"),
        (lambda: ra.ReLUOptimizer(model(), box()).minimize(iteration=1), "minimize has no .*'iterations'"),
        (lambda: ra.maximize(model(), box(), method="ppga-lr"), "it must be one of auto, .*; did you mean 'ppga_lr'?"),
        (lambda: ra.maximize(model(), box(), method="lp_walk", flip=1), "no argument 'flip'; did you mean 'flips'?"),
        (lambda: ra.maximize(model(), box(), bound="crwn"), "bound method is 'crwn'; .*did you mean 'crown'?"),
        (lambda: ra.maximize(model(), box(), starts="corner"), "starts is 'corner'; .*did you mean 'corners'?"),
        (lambda: ra.maximize(model(), box(), "ppga"), r"objective must be .*; did you mean method='ppga'?"),
        (lambda: ra.ReLUOptimizer(model(), box(), objectiv=ra.Output(0)), "ReLUOptimizer has no .*'objective'?"),
        (lambda: ra.ReLUOptimizer(model(), box()).bounds(metod="crown"), "bounds has no argument 'metod'; .*'method'"),
        (lambda: ra.output_bounds(model(), box(), methd="crown"), "output_bounds has no argument 'methd'; .*'method'"),
        (lambda: ra.verify(model(), box(), CLAIM, timelimit=1.0), "verify has no argument .*'time_limit'"),
        (lambda: ra.verify_files("net.onnx", "claim.vnnlib", timelimit=1), "verify_files has no .*'time_limit'"),
        (lambda: ra.check_bounds(model(), box(), 0.0, 1.0, sed=1), "check_bounds has no argument 'sed'; .*'seed'"),
        (lambda: ra.worst_case(model(), X, LABEL, 0.1, iteration=3), "worst_case has no argument .*'iterations'"),
        (lambda: ra.worst_case(model(), X, LABEL, 0.1, step=9), "no argument 'step'; did you mean 'iterations'?"),  # type: ignore[call-arg]
        (lambda: ra.worst_case(model(), X, LABEL, 0.1, norm="linff"), "norm is 'linff'; .*did you mean 'linf'?"),
        (lambda: ra.robust_accuracy(model(), [(X, LABEL)], 0.1, certfy=True), "robust_accuracy has no .*'certify'"),
    ],
)
def test_a_misspelled_name_is_answered_with_the_nearest(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ra.OptionError, match=message):
        call()


def test_an_unknown_argument_is_a_type_error_as_python_has_it() -> None:
    with pytest.raises(TypeError, match="tim_limit"):
        ra.maximize(model(), box(), tim_limit=1.0)


def test_a_misspelled_argument_is_noticed_before_the_model_is_read() -> None:
    with pytest.raises(ra.ArgumentError):
        ra.maximize(nn.GELU(), box(), tim_limit=1.0)


def test_the_old_name_of_output_bounds_is_the_room_itself_and_can_still_be_called() -> None:
    with pytest.warns(ra.RenamedWarning, match="output_bounds"):
        old = ra.bounds(model(), box(), "crown")  # type: ignore[operator]
    assert torch.equal(old[1], ra.output_bounds(model(), box(), "crown")[1])
    assert "crown" in ra.bounds.BOUNDS


@pytest.mark.parametrize(
    ("old", "now"),
    [({"steps": 3}, {"iterations": 3}), ({"until_broken": False}, {"stop_at_success": False})],
)
def test_old_names_of_arguments_are_taken_with_a_warning(old: dict[str, Any], now: dict[str, Any]) -> None:
    with pytest.warns(DeprecationWarning, match=f"{next(iter(old))!r} of worst_case is called {next(iter(now))!r} now"):
        before = ra.worst_case(model(), X, LABEL, 0.1, restarts=2, **old)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = ra.worst_case(model(), X, LABEL, 0.1, restarts=2, **now)
    assert torch.equal(before.margin, after.margin)


def test_label_is_the_old_name_of_labels() -> None:
    arguments: dict[str, Any] = {"model": model(), "x": X, "radius": 0.1, "iterations": 2}
    with pytest.warns(ra.RenamedWarning, match="'label' of worst_case is called 'labels' now"):
        before = ra.worst_case(**arguments, label=LABEL)
    assert torch.equal(before.margin, ra.worst_case(**arguments, labels=LABEL).margin)


def test_an_argument_by_both_of_its_names_is_refused() -> None:
    with pytest.raises(ra.ArgumentError, match="worst_case was given 'iterations' twice"):
        ra.worst_case(model(), X, LABEL, 0.1, steps=3, iterations=3)  # type: ignore[call-arg]


class Watched(ra.Box):
    """A set that notes how much time is left to each part of a call that asks for it."""

    def __init__(self) -> None:
        super().__init__(-1.0, 1.0, shape=(2,))
        self.left: list[float] = []

    def within(self, deadline: Deadline) -> Watched:
        self.left.append(deadline.left)
        return self


@pytest.mark.parametrize(
    "call",
    [
        lambda domain: ra.maximize(model(), domain, method="ppga_lr", iterations=1, time_limit=4.0),
        lambda domain: ra.minimize(model(), domain, method="ppga_lr", iterations=1, time_limit=4.0),
        lambda domain: ra.check_bounds(model(), domain, -100.0, 100.0, time_limit=4.0),
        lambda domain: ra.verify(model(), domain, CLAIM, time_limit=4.0),
    ],
)
def test_a_model_is_compared_with_its_chain_in_a_quarter_of_the_time(call: Callable[[ra.Box], object]) -> None:
    domain = Watched()
    call(domain)
    assert min(domain.left) <= 1.0


def test_without_a_time_limit_the_comparison_is_a_matter_of_seconds() -> None:
    domain = Watched()
    ra.ReLUOptimizer(model(), domain)
    assert domain.left[0] <= 2.0


@pytest.mark.parametrize(
    ("room", "old", "new"),
    [
        ("programs", "Claim", "SolverReport"),
        ("programs", "Progress", "SolverProgress"),
        ("io", "Inequalities", "Polyhedron"),
    ],
)
def test_old_names_of_documented_classes_warn_for_one_release(room: str, old: str, new: str) -> None:
    package = getattr(ra, room)
    with pytest.warns(ra.RenamedWarning, match=f"relu_attack.{room}.{old} is called {new} now"):
        assert getattr(package, old) is getattr(package, new)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = package.Nothing
