"""Numbers in a configuration: a scalar, a list, a mapping by name, or an array in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, PlainValidator, ValidationInfo

from relu_attack._limits import COUNT
from relu_attack._names import suggest
from relu_attack.config._base import InputFile, Real, Section, Whole, context_of, read_each, shown
from relu_attack.errors import FileFormatError
from relu_attack.io import check_archive, read_rows

Array: TypeAlias = npt.NDArray[Any]


class ArrayFile(Section):
    """An array in a ``.safetensors``, ``.npz``, ``.npy`` or ``.csv`` file.

    `key` names the array where the file holds several, `index` an entry along its first dimension; it is divided by
    `divide_by`, such as 255 for an image of bytes.
    """

    file: InputFile
    key: str | None = None
    index: Annotated[Whole, Field(ge=0, le=COUNT)] | None = None
    divide_by: Annotated[Real, Field(gt=0, allow_inf_nan=False)] | None = None

    def read(self) -> Array:
        """Return the array; raise `FileFormatError` when the file has no such array."""
        arrays = _read_arrays(self.file)
        if self.key is None and len(arrays) > 1:
            raise FileFormatError(f"{self.file} holds several arrays; name one as key: {', '.join(sorted(arrays))}")
        key = next(iter(arrays)) if self.key is None else self.key
        if key not in arrays:
            raise FileFormatError(f"{self.file} has no array {key!r}; {suggest(key, arrays)}")
        array = arrays[key]
        if self.index is not None:
            if array.ndim == 0 or self.index >= len(array):
                raise FileFormatError(f"{self.file}: index {self.index} is out of range for shape {array.shape}")
            array = array[self.index]
        return array if self.divide_by is None else array / self.divide_by


def _read_arrays(path: Path) -> dict[str, Array]:
    from safetensors.numpy import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            check_archive(path)
            with np.load(path, allow_pickle=False) as content:
                return dict(content)
        if path.suffix == ".npy":
            return {"array": np.load(path, allow_pickle=False)}
        if path.suffix == ".csv":
            return {"table": _read_csv(path)}
    except FileFormatError:
        raise
    except Exception as reason:  # the readers of damaged files raise whatever they stumble over
        raise FileFormatError(f"{path} cannot be read as numbers: {' '.join(str(reason).split())}") from None
    raise FileFormatError(f"{path} must end in .safetensors, .npz, .npy or .csv")


def _read_csv(path: Path) -> Array:
    rows = [row for _, row in read_rows(path)]
    if not rows:
        raise FileFormatError(f"{path} holds no numbers")
    try:
        return np.array([[float(entry) for entry in row] for row in rows])
    except ValueError:  # a first row of names
        return np.array([[float(entry) for entry in row] for row in rows[1:]])


def read_numbers(value: Any, info: ValidationInfo) -> float | Array:
    """Return a number or an array. By name, an input that is left out is NaN: the section says what that means."""
    if isinstance(value, dict) and "file" in value:
        try:
            array = ArrayFile.model_validate(value, context=info.context).read()
        except FileFormatError as reason:
            raise ValueError(str(reason)) from None
    elif isinstance(value, dict):
        return read_named(value, info, missing=np.nan)
    elif isinstance(value, list):
        array = _read_list(value)
    else:
        return read_number(value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"must hold numbers, got an array of {array.dtype}")
    if bool(np.isnan(array).any()):
        raise ValueError("holds NaN; every entry must be a number")
    return array


def read_named(value: dict[Any, Any], info: ValidationInfo, *, missing: float = 0.0) -> Array:
    """Return one number for each input from a mapping of names to numbers."""
    names = context_of(info).names
    if names is None:
        raise ValueError("gives numbers by name, but the inputs have no names; list them under the key inputs")
    numbers = np.full(len(names), missing)

    def read(name: Any, entry: Any) -> None:
        if name not in names:
            raise ValueError(f"is no input; {suggest(name, names)}")
        numbers[names.index(name)] = read_number(entry)

    read_each(value.items(), read)
    return numbers


def read_terms(value: Any, info: ValidationInfo) -> Array:
    """Return the coefficients of a weighted sum, from names and weights or a list of names of weight 1."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        value = dict.fromkeys(value, 1.0)
    if not isinstance(value, dict) or not value:
        raise ValueError(f"must be names of inputs with their weights, or a list of names; got {shown(value)}")
    return read_named(value, info)


def read_number(value: Any) -> float:
    """Return a number that may be written as text."""
    # YAML reads 1e-3 as text
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else np.nan
    except (ValueError, OverflowError):
        number = np.nan
    if np.isnan(number) or (np.isinf(number) and isinstance(value, str) and "inf" not in value.lower()):
        raise ValueError(f"must be a number, got {shown(value)}")
    return float(number)


def _read_list(value: list[Any]) -> Array:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("must be a list of numbers, or of lists of the same length") from None


Numbers: TypeAlias = Annotated[float | Array, PlainValidator(read_numbers)]
Terms: TypeAlias = Annotated[Array, PlainValidator(read_terms)]
