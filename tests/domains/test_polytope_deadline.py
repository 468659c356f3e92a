"""A polytope within a deadline: what it answers late holds, and no program is begun after it."""

from typing import Any

import pytest
import torch

import relu_attack as ra
from relu_attack._deadline import Deadline, Interruption
from relu_attack.domains.polytope import _form
from relu_attack.programs import LinearProgramSequence

LATE = Deadline.after(-1.0)


def wedge(**options: Any) -> ra.Polytope:
    rows = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return ra.Polytope(rows, rows.sum(1) / 2 + 0.3, lower=0.0, upper=1.0, **options)


def points(count: int = 20) -> torch.Tensor:
    return 3 * torch.randn(count, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("begun after the deadline")

    monkeypatch.setattr(_form, "solve_linear_program", refuse)
    monkeypatch.setattr(LinearProgramSequence, "minimize", refuse)


@pytest.mark.usefixtures("no_programs")
def test_late_a_box_is_that_of_the_given_bounds_and_points_lie_in_the_set() -> None:
    whole = WEDGE
    late = whole.within(LATE)
    box = late.bounding_box()
    assert torch.equal(box.lower, torch.zeros(5, dtype=torch.float64))
    assert torch.equal(box.upper, torch.ones(5, dtype=torch.float64))
    generator = torch.Generator().manual_seed(2)
    sampled = late.sample(20, generator=generator)
    for found in (late.project(points()), late.maximizer(points()), sampled, late.center()):
        assert bool(whole.contains(found).all())
    scaled, scale, shift = late.normalized()
    assert bool(whole.contains(shift + scale * scaled.project(points()), tolerance=1e-9).all())


WEDGE = wedge()


def test_a_box_that_was_cut_short_is_not_kept_and_one_that_was_not_is() -> None:
    whole = wedge()
    whole.within(LATE).bounding_box()
    smallest = whole.within(Deadline.after(1000.0)).bounding_box()
    assert bool((smallest.upper < 1.0).any()) or bool((smallest.lower > 0.0).any())
    assert whole._box is not None
    assert torch.equal(whole.bounding_box().upper, smallest.upper)


def test_inputs_without_a_bound_have_one_in_any_case() -> None:
    simplex = ra.Polytope(torch.ones(1, 3), [1.0], lower=0.0)
    box = simplex.within(LATE).bounding_box()
    assert bool((box.upper >= 1.0).all())
    assert bool(torch.isfinite(box.upper).all())


def test_whole_numbers_are_those_of_a_known_point_when_it_is_late() -> None:
    screws = ra.Polytope([[2.0, 3.0]], [7.9], lower=0.0, upper=9.0, integer=[0, 1])
    late = screws.within(LATE)
    found = late.round(late.project(torch.tensor([[8.0, 8.0], [0.6, 2.2]], dtype=torch.float64)))
    assert bool(screws.contains(found).all())
    assert bool((screws.integrality(found) == 0).all())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "ppga_lr", "lp_walk", "milp", "branch_and_bound"])
def test_a_call_that_is_interrupted_at_once_has_a_point_of_the_polytope_and_a_bound(method: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.ReLU(), torch.nn.Linear(6, 1))
    interruption = Interruption()
    interruption.happened = True
    domain = wedge().within(Deadline(interruption=interruption))
    result = ra.maximize(model, domain, method=method, time_limit=5.0, seed=0)
    assert float(result.violation) <= domain.tolerance
    assert result.value <= result.bound
