"""Memory is counted before it is taken, and an allocation that fails is one named line."""

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack import _memory
from relu_attack._deadline import Deadline, DoesNotFitError
from relu_attack._memory import free_memory, memory_limit_of, named_memory_errors
from relu_attack.bounds import bound_problem
from relu_attack.encodings import encode
from relu_attack.objectives import Output
from relu_attack.solvers import SearchCall
from tests.encodings.support import problem_of
from tests.problems import random_network

BOX = ra.Box(-1.0, 1.0, shape=(3,))


def test_the_default_is_a_share_of_what_is_free() -> None:
    assert 0 < memory_limit_of(None) < free_memory()
    assert memory_limit_of(8e9) == 8e9
    for wrong in (0, -1.0, "8 GB", True):
        with pytest.raises(ra.OptionError, match="memory_limit must be a positive number of bytes"):
            memory_limit_of(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "reason",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] can't allocate memory: you tried to allocate 6 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_an_allocation_that_fails_is_one_named_line(reason: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise reason

    monkeypatch.setattr(SearchCall, "run", fail)
    with pytest.raises(ra.MemoryLimitError, match="there is not enough memory") as caught:
        ra.maximize(nn.Sequential(nn.Linear(3, 1)), BOX)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), named_memory_errors():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_program_that_does_not_fit_is_left_out_and_the_bound_is_that_of_crown() -> None:
    problem = problem_of(random_network(3, 8, 6, 1, seed=3), BOX, Output(0))
    small = Deadline(memory=1000.0)
    ranges = [(-torch.ones(layer.units).double(), torch.ones(layer.units).double()) for layer in problem.network.layers]
    with pytest.raises(DoesNotFitError):
        encode(problem, ranges, deadline=small)
    for method in ("lp", "lp_tightened"):
        found, known = bound_problem(problem, method, deadline=small), bound_problem(problem, "crown")
        assert torch.equal(torch.stack(found), torch.stack(known))


def test_milp_without_memory_for_its_program_has_a_point_and_a_bound() -> None:
    result = ra.maximize(random_network(3, 8, 6, 1, seed=3), BOX, method="milp", time_limit=20.0, memory_limit=1e3)
    assert float(result.violation) == 0.0
    assert result.value <= result.bound
    assert bool(result.certified)


def test_fewer_walkers_go_where_not_all_fit_and_one_a_problem_must() -> None:
    model = random_network(3, 8, 6, 1, seed=3)
    each = 4 * (16 * 3 + 3 * 14 + 1)
    result = ra.maximize(model, BOX, method="ppga", iterations=3, restarts=64, memory_limit=5.5 * each)
    assert result.evaluations == 3 * 5
    with pytest.raises(ra.MemoryLimitError, match=r"a walker for each of 1 problems takes .* GB, and memory_limit is"):
        ra.maximize(model, BOX, method="ppga", iterations=3, memory_limit=0.5 * each)


def test_the_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("group")
    (folder / "max").write_text("1000\n")
    (folder / "current").write_text("400\n")
    monkeypatch.setattr(_memory, "_LIMITS", ((str(folder / "max"), str(folder / "current")),))
    assert free_memory() == 600.0
    (folder / "max").write_text("max\n")
    assert free_memory() > 600.0


def test_branch_and_bound_ends_with_what_it_has_when_its_boxes_fill_the_memory() -> None:
    model = random_network(6, 40, 40, 1, seed=3)
    box, few = ra.Box(-1.0, 1.0, shape=(6,)), 200 * 8 * (6 * 6 + 4 * 80 + 8)
    result = ra.maximize(model, box, method="branch_and_bound", iterations=50, memory_limit=float(few))
    assert result.iterations < 50
    assert result.value < result.bound
    answer = ra.verify(model, box, ra.Specification.require([1.0], float(result.value) + 1e-3), memory_limit=float(few))
    assert answer.verdict in (ra.Verdict.UNKNOWN, ra.Verdict.FALSIFIED)
