"""Witnesses in the standard format survive their files, digit by digit."""

import gzip
import io
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack.errors import FileFormatError, OptionError
from relu_attack.io import format_witness, read_witness, write_witness

NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5)


@given(x=NUMBERS, y=NUMBERS)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_is_written_is_read_exactly(
    x: list[float], y: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("witness") / "w.counterexample"
    write_witness(path, torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
    found = read_witness(path)
    assert [values.tolist() for values in found] == [x, y]
    assert all(values.dtype == torch.float64 for values in found)


def test_format_is_the_standard_one() -> None:
    assert format_witness(torch.tensor([[0.5, -1.0]]), torch.tensor([0.1])) == (
        "((X_0 0.5)\n (X_1 -1.0)\n (Y_0 0.10000000149011612))"
    )
    stream = io.StringIO()
    write_witness(stream, torch.ones(1), torch.zeros(1))
    assert stream.getvalue() == "((X_0 1.0)\n (Y_0 0.0))\n"


def test_layout_of_other_tools_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.gz"
    path.write_bytes(gzip.compress(b"sat\n( (X_1 2e-3 )( X_0\t1.5)\n(Y_0 -3) )\n\n"))
    x, y = read_witness(path)
    assert (x.tolist(), y.tolist()) == ([1.5, 0.002], [-3.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unsat", " is not a witness: it must read ((X_0 number) ... (Y_0 number))"),
        ("((X_0 1.0)", " is not a witness: it must read ((X_0 number) ... (Y_0 number))"),
        ("(X_0 1.0)()", " is not a witness: it must read ((X_0 number) ... (Y_0 number))"),
        ("((X_0 one))", ": X_0 is 'one', which is no finite number"),
        ("((X_0 inf))", ": X_0 is 'inf', which is no finite number"),
        ("((X_0 1.0) (X_0 2.0))", " has two values of X_0"),
        ("((X_0 1.0) (X_2 2.0))", " lacks X_1"),
        ("((Y_0 1.0))", " lacks X_0"),
    ],
)
def test_file_that_is_no_witness(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "w.txt"
    path.write_text(text)
    with pytest.raises(FileFormatError) as caught:
        read_witness(path)
    assert str(caught.value) == f"{path}{message}"


def test_number_that_is_not_finite_is_not_written() -> None:
    with pytest.raises(OptionError, match="y of the witness is not finite"):
        format_witness(torch.ones(1), torch.tensor([math.inf]))


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "w.txt"
    with pytest.raises(FileFormatError) as caught:
        write_witness(path, torch.ones(1), torch.ones(1))
    assert str(caught.value) == f"{path} cannot be written: No such file or directory"
