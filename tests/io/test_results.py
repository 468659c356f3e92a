"""A result survives its files; files that are damaged or do not belong together are refused in one line."""

import dataclasses
import json
import math
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from relu_attack import (
    Box,
    FileFormatError,
    Output,
    OutputConstraints,
    Result,
    Status,
    Trace,
    maximize,
    minimize,
    output_bounds,
)
from relu_attack.io._results import load_result, save_result
from tests.problems import random_network

MODEL = random_network(3, 5, 2, seed=0)
NUMBERS = st.floats(width=64, allow_nan=True, allow_infinity=True)


def same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal to the last bit, NaN included."""
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(one.nan_to_num(7.5), other.nan_to_num(7.5))
    )


def assert_same(one: Result, other: Result) -> None:
    for field in dataclasses.fields(Result):
        before, after = getattr(one, field.name), getattr(other, field.name)
        if isinstance(before, Tensor):
            assert same(before, after), field.name
        elif isinstance(before, Trace):
            assert all(same(before_, after_) for before_, after_ in zip(*map(entries, (before, after)), strict=True))
        else:
            assert before == after, field.name


def entries(trace: Trace) -> list[Tensor]:
    return [trace.seconds, trace.iterations, trace.values]


@st.composite
def results(draw: st.DrawFn) -> Result:
    batch = draw(st.sampled_from([(), (1,), (3,)]))
    problems, records = math.prod(batch), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))

    def numbers(*shape: int) -> Tensor:
        count = math.prod(shape)
        return torch.tensor(draw(st.lists(NUMBERS, min_size=count, max_size=count)), dtype=torch.float64).view(shape)

    shape = draw(st.sampled_from([(2,), (1, 2, 2)]))
    return Result(
        x=numbers(*batch, *shape).to(dtype),
        value=numbers(*batch),
        bound=numbers(*batch),
        certified=torch.tensor(draw(st.lists(st.booleans(), min_size=problems, max_size=problems))).view(batch),
        scale=numbers(*batch),
        status=draw(st.sampled_from(list(Status))),
        violation=numbers(*batch),
        output_violation=numbers(*batch),
        integrality=numbers(*batch),
        method=draw(st.text(min_size=1, max_size=8)),
        found_by=tuple(draw(st.lists(st.text(max_size=8), min_size=problems, max_size=problems))),
        iterations=draw(st.integers(0, 10**12)),
        evaluations=draw(st.integers(0, 10**15)),
        runtime=draw(st.floats(0, 1e6)),
        trace=Trace(numbers(records), torch.arange(records), numbers(records, problems)),
        path=draw(st.sampled_from([None, torch.zeros(2, problems, 1, math.prod(shape))])),
    )


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True)
@given(results())
def test_what_is_loaded_is_what_was_saved(result: Result) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_result(result, f"{folder}/answer")
        assert_same(load_result(f"{folder}/answer"), result)


@pytest.mark.parametrize("search", [maximize, minimize])
@pytest.mark.parametrize("objective", [Output(0), Output([0, 1])])
def test_a_true_result_survives(search: object, objective: Output, tmp_path: Path) -> None:
    box = Box(0.0, 1.0, shape=(3,))
    result = search(MODEL, box, objective, method="ppga_lr", iterations=15, record_path=True)  # type: ignore[operator]
    save_result(result, tmp_path / "answer")
    assert_same(load_result(tmp_path / "answer"), result)


@pytest.mark.parametrize(("method", "status"), [("ppga_lr", Status.NOT_FOUND), ("milp", Status.INFEASIBLE)])
def test_a_result_without_a_feasible_point_survives(method: str, status: Status, tmp_path: Path) -> None:
    box = Box(0.0, 1.0, shape=(3,))
    # Each row holds somewhere, so that intervals refute neither; both hold nowhere.
    middle = float(sum(side[0] for side in output_bounds(MODEL, box))) / 2
    never = OutputConstraints([[1.0, 0.0], [-1.0, 0.0]], [middle, -middle - 0.01])
    result = maximize(MODEL, box, output_constraints=never, method=method, iterations=15)
    assert result.status is status
    save_result(result, tmp_path / "answer")
    assert_same(load_result(tmp_path / "answer"), result)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Two files of a result."""
    save_result(maximize(MODEL, Box(0.0, 1.0, shape=(3,)), iterations=15), tmp_path / "run.7", settings={"seed": 3})
    return tmp_path / "run.7"


def test_either_file_names_both(saved: Path) -> None:
    assert sorted(file.name for file in saved.parent.iterdir()) == ["run.7.json", "run.7.safetensors"]
    one, two = load_result(f"{saved}.json"), load_result(f"{saved}.safetensors")
    assert_same(one, two)


def test_the_summary_reads_as_the_answer(saved: Path) -> None:
    summary = json.loads(Path(f"{saved}.json").read_text())
    result = load_result(saved)
    assert summary["value"] == float(result.value)
    assert summary["gap"] == float(result.gap)
    assert summary["certified"] is True
    assert summary["found_by"] == list(result.found_by)
    assert (summary["output_violation"], summary["integrality"]) == (0.0, 0.0)
    assert summary["status"] == "ITERATION_LIMIT"
    assert summary["settings"] == {"seed": 3}
    assert set(summary["versions"]) == {"relu_attack", "torch", "python"}


def edit(saved: Path, **changes: object) -> None:
    file = Path(f"{saved}.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def check_refused(saved: Path, words: str) -> None:
    with pytest.raises(FileFormatError, match=words) as caught:
        load_result(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file_is_named(saved: Path, suffix: str) -> None:
    Path(f"{saved}{suffix}").unlink()
    check_refused(saved, rf"run\.7\{suffix} cannot be read: No such file")


def test_damaged_files_are_refused(saved: Path) -> None:
    Path(f"{saved}.safetensors").write_bytes(b"damaged")
    check_refused(saved, "is not a safetensors file")
    Path(f"{saved}.json").write_text("{")
    check_refused(saved, "is not JSON")


def test_arrays_of_another_run_are_refused(saved: Path) -> None:
    save_file({"x": torch.zeros(3)}, f"{saved}.safetensors")
    check_refused(saved, "is not the file that run.7.json was saved with")


def test_of_a_file_without_a_scale_the_gap_is_relative_to_the_value_alone(saved: Path) -> None:
    summary = json.loads(Path(f"{saved}.json").read_text())
    del summary["scale"]
    Path(f"{saved}.json").write_text(json.dumps(summary))
    assert float(load_result(saved).scale) == 0.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "is not a saved result"),
        ({"status": "GREAT"}, "'GREAT' is missing or unknown"),
        ({"value": "much"}, "'much' is missing or unknown"),
        ({"iterations": None}, "an entry is not what it should be"),
        ({"bound": [1.0, 2.0]}, "one entry a problem each"),
        ({"certified": [True, False]}, "one entry a problem each"),
        (
            {
                name: [1.0]
                for name in ("value", "bound", "scale", "certified", "violation", "output_violation", "integrality")
            },
            r"1 problems, but x has shape \(3,\)",
        ),
    ],
)
def test_edited_summaries_are_refused(saved: Path, changes: dict[str, object], words: str) -> None:
    edit(saved, **changes)
    check_refused(saved, words)


def test_a_lost_entry_is_named(saved: Path) -> None:
    file = Path(f"{saved}.json")
    content = json.loads(file.read_text())
    del content["method"]
    file.write_text(json.dumps(content))
    check_refused(saved, "'method' is missing")


def test_what_cannot_be_saved_is_said(saved: Path) -> None:
    result = load_result(saved)
    with pytest.raises(FileFormatError, match="is not a folder; make it before saving"):
        save_result(result, saved.parent / "no" / "answer")
    with pytest.raises(FileFormatError, match="settings must be plain data"):
        save_result(result, saved, settings={"model": MODEL})
    with pytest.raises(FileFormatError, match="is no name of a file"):
        save_result(result, saved.parent / ".json")
