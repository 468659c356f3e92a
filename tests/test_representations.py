"""Representations in one short line, copies, the success of a result, warnings and the log."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra

BOX = ra.Box(-1.0, 1.0, shape=(2,))
CLAIM = ra.Specification.require([[1.0, 0.0], [0.0, 1.0]], [100.0, 100.0])
X, LABELS = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(40, dtype=torch.long)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)).eval()


def found(**options: float) -> ra.Result:
    return ra.maximize(model(), BOX, method="ppga_lr", iterations=5, restarts=2, **options)  # type: ignore[arg-type]


def worst() -> ra.WorstCase:
    return ra.worst_case(model(), X, LABELS, 0.1, iterations=2, restarts=1, certify=True)


SHOWN: dict[str, Callable[[], object]] = {
    "Output(index=1)": lambda: ra.Output(1),
    "Linear(coefficients=[1, -0.5])": lambda: ra.Linear([1.0, -0.5]),
    "Linear(coefficients=0 to 99)": lambda: ra.Linear(torch.arange(100.0)),
    "Margin(target=[0, 1], label=2)": lambda: ra.Margin([0, 1], 2),
    "OutputConstraints(rows=1, outputs=2)": lambda: ra.OutputConstraints([[1.0, 0.0]], [1.0]),
    "Specification(outputs=2, clauses=2, rows=2)": lambda: CLAIM,
    "Clause(rows=1, outputs=2)": lambda: CLAIM.clauses[0],
    "ReLUOptimizer(inputs=2, units=8, outputs=2, domain=Box(": lambda: ra.ReLUOptimizer(model(), BOX),
    "Result(value=": found,
    "Trace(records=": lambda: found().trace,
    "Verification(verdict=VERIFIED, bound=-": lambda: ra.verify(model(), BOX, CLAIM),
    "CheckedBounds(outputs=2, verdict=VERIFIED)": lambda: ra.check_bounds(model(), BOX, -100.0, 100.0),
    "WorstCase(samples=40, broken=": worst,
    "WorstCaseWithScores(samples=40, classes=2, worst=WorstCase(": lambda: ra.WorstCaseWithScores.of(
        model(), X, LABELS, worst()
    ),
    "RobustAccuracy(samples=40, clean=": lambda: ra.robust_accuracy(
        model(), [(X, LABELS)], 0.1, iterations=2, restarts=1, progress=False
    ),
}


@pytest.mark.parametrize(("beginning", "make"), SHOWN.items())
def test_it_is_one_short_line(beginning: str, make: Callable[[], object]) -> None:
    line = repr(make())
    assert line.startswith(beginning)
    assert "\n" not in line
    assert len(line) <= 180
    assert "tensor(" not in line


def test_a_batch_is_shown_by_the_range_of_its_numbers() -> None:
    result = ra.maximize(model(), BOX, ra.Linear(torch.rand(20, 2)), method="ppga_lr", iterations=2, restarts=1)
    low, high = float(result.value.amin()), float(result.value.amax())
    assert repr(result).startswith(f"Result(value={low:.6g} to {high:.6g}, bound=")
    assert repr(result).endswith("problems=20)")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_results_and_optimizers_can_be_copied_and_pickled(again: Callable[[object], object]) -> None:
    result, optimizer = found(), ra.ReLUOptimizer(model(), BOX, ra.Linear([1.0, 2.0]))
    other, searcher = again(result), again(optimizer)
    assert isinstance(other, ra.Result)
    assert isinstance(searcher, ra.ReLUOptimizer)
    assert all(torch.equal(value, vars(other)[key]) for key, value in vars(result).items() if isinstance(value, Tensor))
    before, after = (each.maximize("ppga_lr", iterations=5) for each in (optimizer, searcher))
    assert torch.equal(before.value, after.value)


def test_success_is_a_feasible_input_for_every_problem_whatever_the_gap() -> None:
    result = found()
    assert result.success
    assert result.message == result.status.value


@pytest.mark.parametrize("limit", [-1e3, [-1e3, 1e3]])
def test_no_success_without_a_feasible_input(limit: float | list[float]) -> None:
    rows = [[1.0, 0.0]] if isinstance(limit, float) else [[1.0, 0.0], [0.0, 1.0]]
    result = ra.maximize(model(), BOX, output_constraints=ra.OutputConstraints(rows, limit), iterations=5)
    assert not result.success
    assert result.status in (ra.Status.INFEASIBLE, ra.Status.NOT_FOUND)


def test_warnings_are_of_one_class() -> None:
    with pytest.warns(ra.ReLUAttackWarning, match="outside the set"):
        ra.maximize(model(), BOX, method="ppga_lr", iterations=1, restarts=1, x0=torch.full((2,), 5.0))


def test_wrong_values_are_value_errors() -> None:
    with pytest.raises(ValueError, match="upper"):
        ra.Box(1.0, 0.0, shape=(2,))
    with pytest.raises(ValueError, match="out of range"):
        ra.maximize(model(), BOX, ra.Output(9))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: ra.maximize(model(), BOX, time_limit=1.0), "auto: exact methods"),
        (lambda: ra.maximize(model(), BOX, method="branch_and_bound", iterations=2), "branch_and_bound: problem 0"),
        (lambda: ra.maximize(model(), BOX, method="milp", time_limit=5.0), "1 problems of 2 inputs and 8 units"),
        (lambda: ra.verify(model(), BOX, CLAIM), "verify: VERIFIED"),
    ],
)
def test_the_log_says_what_was_done(call: Callable[[], object], word: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="relu_attack"):
        call()
    assert any(word in record.getMessage() for record in caplog.records)
    assert {record.name for record in caplog.records} == {"relu_attack"}


def test_the_log_is_silent_unless_it_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    found()
    assert capfd.readouterr() == ("", "")
    handlers = logging.getLogger("relu_attack").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
