"""Attack first, certify what survives: what is broken is not bounded by CROWN, and every bound holds."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack._deadline import Deadline
from relu_attack.network import Network, lower
from relu_attack.robustness import _certificate, _survivors
from relu_attack.robustness._attack_search import AttackSearch
from relu_attack.robustness._certificate import certified_margins
from relu_attack.robustness._incumbents import WorstPoints
from relu_attack.robustness._samples import PerturbationSets
from tests.problems import random_network

NORMS = ["linf", "l2", "l1"]
RADII = {"linf": 0.1, "l2": 0.2, "l1": 0.4}


def model() -> nn.Sequential:
    return random_network(4, 12, 3, seed=1).eval()


def samples() -> tuple[Tensor, Tensor]:
    x = torch.rand(24, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    label = model()(x).argmax(1)
    label[0] = (label[0] + 1) % 3  # broken before anything is searched
    return x, label


def bounds(norm: str, method: str) -> Tensor:
    x, label = samples()
    return certified_margins(
        lower(model(), (4,)).network, PerturbationSets.around(x, RADII[norm], norm, (0.0, 1.0)), label, method
    )


def find(norm: str, **options: Any) -> tuple[ra.WorstCase, Tensor]:
    worst = ra.worst_case(model(), *samples(), RADII[norm], norm=norm, **{"certify": True, **options})
    assert worst.certified_margin is not None
    assert bool((worst.certified_margin >= worst.margin).all())
    return worst, worst.certified_margin


@pytest.mark.parametrize("norm", NORMS)
def test_broken_samples_have_the_bound_of_intervals_and_the_others_that_of_crown(norm: str) -> None:
    worst, certified = find(norm)
    intervals, crown = bounds(norm, "interval"), bounds(norm, "crown")
    broken = worst.success
    assert 0 < int(broken.sum()) < 24, "both kinds are there"
    assert torch.equal(certified[broken], torch.maximum(intervals, worst.margin)[broken])
    assert torch.equal(certified[~broken], torch.minimum(crown, intervals)[~broken])
    assert bool((certified < 0).any())


def test_sets_that_are_not_reached_in_time_have_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_certificate, "_NUMBERS", 4 * 10)  # ten samples of four inputs at once
    (x, label), network = samples(), lower(model(), (4,)).network
    sets = PerturbationSets.around(x, 0.1, "linf", (0.0, 1.0))
    late = certified_margins(network, sets, label, deadline=Deadline.after(-1.0))
    assert torch.equal(late[:10], bounds("linf", "interval")[:10])
    assert bool(torch.isinf(late[10:]).all())


def test_after_the_deadline_nothing_is_bounded_by_crown_and_no_walker_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    methods: list[str] = []
    runs: list[Tensor] = []

    def bound(network: Network, sets: PerturbationSets, label: Tensor, method: str = "crown", **_: object) -> Tensor:
        methods.append(method)
        return torch.full((len(label),), torch.inf, dtype=torch.float64)

    def run(self: AttackSearch, worst: WorstPoints, waiting: Tensor) -> tuple[ra.Status, int]:
        runs.append(waiting)
        return ra.Status.ITERATION_LIMIT, 0

    monkeypatch.setattr(_survivors, "certified_margins", bound)
    monkeypatch.setattr(AttackSearch, "run", run)
    worst, _ = find("linf", time_limit=1e-9)
    assert (methods, len(runs)) == (["interval"], 1)
    assert worst.status is ra.Status.TIME_LIMIT


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_is_certified_that_can_be_broken(norm: str) -> None:
    worst, certified = find(norm, iterations=1, restarts=1)
    thorough = ra.worst_case(model(), *samples(), RADII[norm], norm=norm, restarts=30, stop_at_success=False)
    assert bool((certified >= thorough.margin).all())
    assert not bool((worst.certified_margin[thorough.success] < 0).any())  # type: ignore[index]


@pytest.mark.parametrize("norm", NORMS)
def test_where_the_worst_is_wanted_every_margin_is_bounded_by_crown(norm: str) -> None:
    _, certified = find(norm, stop_at_success=False)
    assert bool((certified <= bounds(norm, "crown")).all())


def test_what_the_attack_finds_does_not_depend_on_the_certificate() -> None:
    x, label = samples()
    bare, both = ra.worst_case(model(), x, label, 0.1), find("linf")[0]
    assert torch.equal(bare.success, both.success)
    assert torch.equal(bare.x[bare.success], both.x[bare.success])


def test_a_time_limit_leaves_time_for_the_certificate_and_for_what_is_undecided() -> None:
    worst, certified = find("linf", time_limit=2.0)
    undecided = ~worst.success & (certified >= 0)
    assert bool((certified < 0).any())
    assert worst.status is (ra.Status.TIME_LIMIT if bool(undecided.any()) else ra.Status.FEASIBLE)


def test_a_time_that_is_up_at_once_leaves_bounds_that_hold() -> None:
    _, certified = find("linf", time_limit=1e-9)
    thorough = ra.worst_case(model(), *samples(), 0.1, restarts=30, stop_at_success=False)
    assert bool((certified >= thorough.margin).all())
