"""Bounds stop at their deadline: nothing is begun after it, and whenever it passes what comes back holds."""

import sys

import pytest
import torch

import relu_attack as ra
from relu_attack._deadline import Deadline, Interruption
from relu_attack.bounds import BOUNDS, bound_rows
from relu_attack.network import lower
from tests.problems import random_network

# Functions of the package hide modules of their name.
INTERVAL = sys.modules["relu_attack.bounds._interval"]
NETWORK = lower(random_network(3, 8, 6, 2, seed=3), (3,)).network
ROWS = torch.eye(2, dtype=torch.float64)


class After(Interruption):
    """An interruption that happens after so many looks at it."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def happened(self) -> bool:  # type: ignore[override]
        self.looks -= 1
        return self.looks < 0


def boxes(count: int) -> ra.Box:
    middle = torch.rand(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return ra.Box(middle - 0.5, middle + 0.5, shape=(3,))


def simplex() -> ra.Polytope:
    return ra.Polytope(torch.ones(1, 3), [1.0], lower=0.0, upper=1.0)


@pytest.mark.parametrize("method", BOUNDS)
def test_after_the_deadline_no_row_is_substituted_back(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("begun after the deadline")

    for module, name in (
        ("bounds._crown", "substitute"),
        ("bounds._slopes", "adjoint"),
        ("bounds._triangle_program", "encode"),
        ("domains._row_bounds", "PreparedProgram"),
    ):
        monkeypatch.setattr(sys.modules[f"relu_attack.{module}"], name, refuse)
    for domain in (boxes(1).single(0), boxes(3), simplex()):
        known = bound_rows(NETWORK, domain, ROWS, "interval")
        late = bound_rows(NETWORK, domain, ROWS, method, deadline=Deadline.after(-1.0))
        assert torch.equal(late.lower, known.lower)
        assert torch.equal(late.upper, known.upper)


@pytest.mark.parametrize("method", BOUNDS)
@pytest.mark.parametrize("looks", [1, 3, 6, 10, 20, 40, 80])
def test_whenever_the_deadline_passes_the_bounds_hold(method: str, looks: int) -> None:
    for domain in (boxes(3), simplex()):
        found = bound_rows(NETWORK, domain, ROWS, method, deadline=Deadline(interruption=After(looks)))
        known = bound_rows(NETWORK, domain, ROWS, "interval")
        points = domain.sample(50, generator=torch.Generator().manual_seed(1)).reshape(-1, 50, 3)
        values = NETWORK.values(points.reshape(-1, 3)).view(len(points), 50, 2)
        assert bool((found.lower[:, None] <= values).all())
        assert bool((values <= found.upper[:, None]).all())
        assert bool((known.lower <= found.lower + 1e-9).all())
        assert bool((found.upper <= known.upper + 1e-9).all())


def test_boxes_that_intervals_do_not_reach_in_time_have_infinite_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(INTERVAL, "_PRODUCTS_PER_CLOCK_CHECK", 2 * INTERVAL._work(NETWORK))
    box = boxes(5)
    lower_ends, upper_ends = box.lower[:, 0], box.upper[:, 0]
    late = INTERVAL.interval(NETWORK, lower_ends, upper_ends, ROWS, deadline=Deadline.after(-1.0))
    known = INTERVAL.interval(NETWORK, lower_ends, upper_ends, ROWS)
    assert torch.equal(late.upper[:1], known.upper[:1])
    assert bool(torch.isinf(late.upper[2:]).all())
    assert bool(torch.isinf(late.layers[1][0][2:]).all())
    assert known.upper.shape == late.upper.shape


def test_rows_of_an_objective_are_bounded_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, rows = boxes(2), torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    known = {method: bound_rows(NETWORK, domain, rows, method) for method in ("interval", "crown")}
    monkeypatch.setattr(INTERVAL, "_MAX_ENTRIES", 60)
    for method, whole in known.items():
        in_turns = bound_rows(NETWORK, domain, rows, method)
        torch.testing.assert_close(in_turns.lower, whole.lower, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(in_turns.upper, whole.upper, rtol=1e-12, atol=1e-12)
    late = bound_rows(NETWORK, domain, rows, "interval", deadline=Deadline(interruption=After(1)))
    assert bool(torch.isfinite(late.upper[:, 0]).all())
    assert bool(torch.isinf(late.upper[:, -1]).all())
    assert bool(torch.isinf(late.lower[:, -1]).all())
