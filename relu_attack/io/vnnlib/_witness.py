"""Witnesses in the standard format ``((X_0 v) ... (Y_0 v))``."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from relu_attack._checks import check_is
from relu_attack._files import decode, write_files
from relu_attack._limits import PROPERTY_BYTES
from relu_attack.errors import FileFormatError, OptionError
from relu_attack.io._compressed import read_bytes

PAIR = r"\(\s*([XY])_(0|[1-9][0-9]*)\s+([^\s()]+)\s*\)"
WHOLE = re.compile(rf"(?:sat\s*)?\(\s*(?:{PAIR}\s*)*\)")


def format_witness(x: Tensor, y: Tensor) -> str:
    """Return an input and its outputs in the standard format, each number with all its digits.

    Parameters
    ----------
    x, y
        An input and the outputs of the network, each of shape (entries,) or with more dimensions in row-major order.

    Raises
    ------
    OptionError
        For a number that is not finite.

    Examples
    --------
    >>> print(format_witness(torch.tensor([0.5, -1.0]), torch.tensor([0.1], dtype=torch.float64)))
    ((X_0 0.5)
     (X_1 -1.0)
     (Y_0 0.1))
    """
    for name, values in (("x", x), ("y", y)):
        check_is(values, Tensor, name=name, wanted="a tensor", error=FileFormatError)
        if not bool(torch.isfinite(values).all()):
            raise OptionError(f"{name} of the witness is not finite; a witness is an input with its outputs")
    pairs = [
        f"({side}_{index} {value!r})"
        for side, values in (("X", x), ("Y", y))
        for index, value in enumerate(values.detach().double().flatten().tolist())
    ]
    joined = "\n ".join(pairs)
    return f"({joined})"


def write_witness(target: str | os.PathLike[str] | TextIO, x: Tensor, y: Tensor) -> None:
    """Write an input and its outputs in the standard format to a path or an open file.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    OptionError
        For a number that is not finite.
    """
    text = format_witness(x, y) + "\n"
    if not isinstance(target, str | os.PathLike):
        target.write(text)
        return
    write_files({Path(target): text})


def read_witness(path: str | os.PathLike[str]) -> tuple[Tensor, Tensor]:
    """Read an input and its outputs in the standard format.

    Parameters
    ----------
    path
        Any file, compressed if its name ends in ``.gz``. The word ``sat`` may come first, as in files of results.

    Returns
    -------
    x, y
        Float64, of shapes (inputs,) and (outputs,); y is empty for a file without outputs.

    Raises
    ------
    FileFormatError
        For any other content than numbered inputs and outputs; names the file.
    """
    text = decode(read_bytes(path, suffix="", most=PROPERTY_BYTES), path).strip()
    if WHOLE.fullmatch(text) is None:
        raise FileFormatError(f"{path} is not a witness: it must read ((X_0 number) ... (Y_0 number))")
    values: dict[str, dict[int, float]] = {"X": {}, "Y": {}}
    for side, index, number in re.findall(PAIR, text):
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FileFormatError(f"{path}: {side}_{index} is {number!r}, which is no finite number")
        if values[side].setdefault(int(index), value) != value:
            raise FileFormatError(f"{path} has two values of {side}_{index}")
    return _row(path, "X", values["X"]), _row(path, "Y", values["Y"])


def _row(path: str | os.PathLike[str], side: str, values: dict[int, float]) -> Tensor:
    missing = next((index for index in range(len(values)) if index not in values), None)
    if missing is not None or (side == "X" and not values):
        raise FileFormatError(f"{path} lacks {side}_{missing or 0}")
    return torch.tensor([values[index] for index in range(len(values))], dtype=torch.float64)
