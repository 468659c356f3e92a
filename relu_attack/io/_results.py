"""Files of results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from relu_attack._checks import check_is
from relu_attack.errors import FileFormatError, OptionError
from relu_attack.io._saved import Kind, from_json, to_json
from relu_attack.result import Result, Status, Trace

RESULT = Kind("result", version=2)
_NUMBERS = ("value", "bound", "scale", "violation", "output_violation", "integrality")
_ARRAYS = ("x", "trace.seconds", "trace.iterations", "trace.values")


def summarize(result: Result) -> dict[str, Any]:
    """Return the summary of a result for JSON: everything except its arrays.

    The values of a batch are lists; non-finite numbers are the words ``"inf"``, ``"-inf"`` and ``"nan"``.
    """
    numbers = (*_NUMBERS, "gap", "relative_gap")
    return {
        **{name: to_json(getattr(result, name).tolist()) for name in numbers},
        "certified": result.certified.tolist(),
        "status": result.status.name,
        "message": result.message,
        "method": result.method,
        "found_by": list(result.found_by),
        "iterations": result.iterations,
        "evaluations": result.evaluations,
        "runtime": result.runtime,
    }


def save_result(result: Result, path: str | os.PathLike[str], *, settings: Mapping[str, Any] | None = None) -> None:
    """Save a result as ``<path>.json`` and ``<path>.safetensors``.

    Parameters
    ----------
    result
        Result of `maximize` or `minimize`.
    path
        The common name of the two files; a suffix ``.json`` or ``.safetensors`` is left out.
    settings
        Additional plain data for the JSON file under ``settings``, such as the seed.

    Raises
    ------
    FileFormatError
        For a folder that does not exist or cannot be written, or settings that are not plain data.

    Examples
    --------
    >>> import tempfile
    >>> import torch, relu_attack as ra
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    >>> result = ra.maximize(model, ra.Box(0.0, 1.0, shape=(2,)), iterations=20, seed=7)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_result(result, f"{folder}/answer", settings={"seed": 7})
    ...     loaded = load_result(f"{folder}/answer")
    >>> bool((loaded.x == result.x).all()), bool(loaded.value == result.value), loaded.status == result.status
    (True, True, True)
    """
    check_is(result, Result, name="result", wanted="what maximize or minimize returned", error=OptionError)
    trace = result.trace
    tensors = dict(zip(_ARRAYS, (result.x, trace.seconds, trace.iterations, trace.values), strict=True))
    RESULT.save(path, summarize(result), {**tensors, "path": result.path}, settings)


def load_result(path: str | os.PathLike[str]) -> Result:
    """Load a result saved by `save_result`.

    Parameters
    ----------
    path
        The common name of the two files, or either of them.

    Returns
    -------
    Result
        On the CPU, with exact values.

    Raises
    ------
    FileFormatError
        For a missing or damaged file, or two files that do not match.
    """
    saved = RESULT.load(path)
    x, *records = saved.need(*_ARRAYS)
    with saved.reading() as entries:
        known = [name for name in _NUMBERS if name in entries or name != "scale"]
        numbers = {name: torch.tensor(from_json(entries[name]), dtype=torch.float64) for name in known}
        # Older files have none: the gap was relative to the value.
        numbers.setdefault("scale", torch.zeros_like(numbers["value"]))
        result = Result(
            x=x,
            **numbers,
            certified=torch.tensor(entries["certified"], dtype=torch.bool),
            status=Status[entries["status"]],
            method=str(entries["method"]),
            found_by=tuple(str(name) for name in entries["found_by"]),
            iterations=int(entries["iterations"]),
            evaluations=int(entries["evaluations"]),
            runtime=float(entries["runtime"]),
            trace=Trace(*records),
            path=saved.tensors.get("path"),
        )
    _check_shapes(result, saved.summary)
    return result


def _check_shapes(result: Result, summary: Path) -> None:
    problems = result.value.numel()
    shapes = {tuple(getattr(result, name).shape) for name in (*_NUMBERS, "certified")}
    if len(shapes) != 1 or result.value.dim() > 1:
        raise FileFormatError(f"{summary}: value, bound and violations must have one entry a problem each")
    if result.value.dim() == 1 and result.x.shape[:1] != (problems,):
        raise FileFormatError(f"{summary} has {problems} problems, but x has shape {tuple(result.x.shape)}")
    trace = result.trace
    records = (len(trace.seconds), len(trace.iterations), tuple(trace.values.shape))
    if records != (records[0], records[0], (records[0], problems)):
        raise FileFormatError(f"{summary}: the entries of the trace differ in length: {records}")
