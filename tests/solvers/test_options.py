"""Options and budgets that cannot be used are named before anything runs."""

import math
from typing import Any

import pytest
import torch

from relu_attack import PPGALR, Box, OptionError, ReLUOptimizer, SolverError
from relu_attack.solvers import METHODS, make_options
from tests.problems import GRADIENT_WALKS, network, random_network

NAN, INFINITY = math.nan, math.inf


def optimizer() -> ReLUOptimizer:
    return ReLUOptimizer(random_network(2, 4, 1, seed=0), Box(0.0, 1.0, shape=(2,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "magic"},
            "method is 'magic'; it must be one of auto, gradient_walk, ppga, ppga_lr, lp_walk, milp_walk, milp",
        ),
        ({"bound": "magic"}, "bound method is 'magic'; it must be one of interval"),
        ({"starts": "magic"}, "starts is 'magic'; it must be one of mixed, random, corners, center"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1, got 0"),
        ({"iterations": -3}, "iterations must be a whole number of at least 1, got -3"),
        ({"iterations": 2.5}, "iterations must be a whole number of at least 1, got 2.5"),
        ({"iterations": True}, "iterations must be a whole number of at least 1, got True"),
        ({"time_limit": 0}, "time_limit must be a positive number of seconds, got 0"),
        ({"time_limit": -1.0}, "time_limit must be a positive number of seconds, got -1.0"),
        ({"time_limit": NAN}, "time_limit must be a positive number of seconds, got nan"),
        ({"time_limit": "10"}, "time_limit must be a positive number of seconds, got '10'"),
        ({"restarts": 0}, "restarts must be a whole number of at least 1, got 0"),
        ({"restarts": 1.5}, "restarts must be a whole number of at least 1, got 1.5"),
        ({"restarts": True}, "restarts must be a whole number of at least 1, got True"),
        ({"seed": -1}, r"seed must be a whole number of at least 0 and below 2\*\*63, got -1"),
        ({"seed": 2**63}, "seed must be a whole number of at least 0"),
        ({"seed": None}, "seed must be a whole number of at least 0"),
        ({"learning_rate": 0}, "learning_rate must be a positive number, got 0"),
        ({"learning_rate": -0.1}, "learning_rate must be a positive number, got -0.1"),
        ({"learning_rate": NAN}, "learning_rate must be a positive number, got nan"),
        ({"learning_rate": INFINITY}, "learning_rate must be a positive number, got inf"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number, got '0.1'"),
        ({"step": 0.0}, "step must be a positive number, got 0.0"),
        ({"step": None}, "step must be a number, got None"),
        ({"window": 0}, "window must be a positive number, got 0"),
        ({"window": 2.5}, "window must be a whole number of steps, got 2.5"),
        ({"tolerance": -1e-3}, "tolerance must not be negative, got -0.001"),
        ({"tolerance": NAN}, "tolerance must not be negative, got nan"),
        ({"radius": 0.0}, r"radius must be in \(0, 1\] widths of the set, got 0.0"),
        ({"radius": 1.5}, r"radius must be in \(0, 1\] widths of the set, got 1.5"),
        ({"radius_growth": 0.9}, "radius_growth must be at least 1, got 0.9"),
        ({"radius_growth": INFINITY}, "radius_growth must be at least 1, got inf"),
        ({"shortest_step": 0.5}, "steps must satisfy 0 < shortest_step <= step <= longest_step, got 0.5, 0.1, 10.0"),
        ({"longest_step": 0.01}, "steps must satisfy 0 < shortest_step <= step <= longest_step"),
        ({"longest_step": NAN}, "steps must satisfy 0 < shortest_step <= step <= longest_step"),
        ({"growth": 0.5}, "growth must be at least 1"),
        ({"growth": INFINITY}, "growth must be at least 1, .* finite"),
        ({"trim": 1.0}, r"trim in \(0, 1\)"),
        ({"overshoot": -0.1}, "overshoot at least 0"),
        ({"overshoot": INFINITY}, "overshoot at least 0, .* finite"),
        ({"iteration": 10}, "maximize has no argument 'iteration'; did you mean 'iterations'?"),
        ({"method": "ppga", "trim": 0.5}, "ppga has no option 'trim'; ppga_lr has it"),
        ({"growht": 3.0}, "maximize has no argument 'growht'; did you mean 'growth'?"),
        ({"colour": 3.0}, "ppga_lr has no option 'colour'; it has capture, growth, learning_rate,"),
        ({"method": PPGALR(), "step": 0.5}, r"step is given beside the options .*; give it within PPGALR"),
        ({"method": PPGALR}, r"method is the class PPGALR; give PPGALR\(\)"),
    ],
)
def test_what_cannot_be_used_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        optimizer().maximize(**{"method": "ppga_lr", **arguments})


@pytest.mark.parametrize("method", METHODS)
def test_without_options_a_method_has_its_defaults(method: str) -> None:
    assert make_options(method, {}) == METHODS[method].options()


@pytest.mark.parametrize("method", GRADIENT_WALKS)
def test_an_option_that_is_none_by_default_may_be_given_as_none(method: str) -> None:
    assert make_options(method, {"learning_rate": None}) == METHODS[method].options()


@pytest.mark.parametrize(
    ("method", "option", "value", "message"),
    [
        ("lp_walk", "source", "nowhere", "source is 'nowhere'; it must be one of random, gradient_walk, relaxation"),
        ("lp_walk", "source", 3, "source must be a word, got 3"),
        ("lp_walk", "tolerance", 1.0, r"tolerance must be in \[0, 1\), got 1.0"),
        ("lp_walk", "flips", -1, "flips must be a whole number of at least 0, got -1"),
        ("milp_walk", "source", "nowhere", "source is 'nowhere'; it must be one of random, gradient_walk, relaxation"),
        ("lp_walk", "solver", "NONE", "NONE"),
        ("milp_walk", "solver", "NONE", "NONE"),
        ("milp", "gap", -1e-6, "gap must be at least 0, got -1e-06"),
        ("milp_walk", "free", 0, "free must be a whole number of at least 1, got 0"),
        ("milp_walk", "step_time", 0.0, "step_time must be a positive number of seconds, got 0.0"),
        ("milp_walk", "tolerance", -1.0, r"tolerance must be in \[0, 1\), got -1.0"),
        ("auto", "rounds", 0, "rounds must be a whole number of at least 1, got 0"),
        ("auto", "exact_units", 2.5, "exact_units must be a whole number of at least 0, got 2.5"),
        ("auto", "program_share", NAN, r"program_share must be in \[0, 1\], got nan"),
        ("auto", "learning_rate", 0.1, "auto has no option 'learning_rate'; gradient_walk, ppga, ppga_lr have it"),
    ],
)
def test_options_of_programs_that_cannot_be_used_are_named(method: str, option: str, value: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        optimizer().maximize(method, iterations=1, **{option: value})


def test_a_value_error_catches_an_option_error() -> None:
    with pytest.raises(ValueError, match="restarts"):
        optimizer().maximize(restarts=-1)


def test_an_overflow_is_an_error_and_no_answer() -> None:
    """1e25 fits float32, its square does not; in float64 both do."""
    model = network(([[1e25, 1e25], [1e25, -1e25]], [0.0, 0.0]), ([[1e25, -1e25]], [0.0]))
    box = Box(-1.0, 1.0, shape=(2,))
    with pytest.raises(SolverError, match=r"overflows torch.float32, .* walk with dtype=torch.float64"):
        ReLUOptimizer(model, box).maximize(iterations=20)
    result = ReLUOptimizer(model, box, dtype=torch.float64).maximize(iterations=20)
    assert float(result.value) == pytest.approx(2e50, rel=1e-6)
