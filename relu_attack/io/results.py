"""Results in files: a summary to read in JSON, the arrays beside it in safetensors."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from relu_attack.errors import FileFormatError
from relu_attack.result import Result, Status, Trace

FORMAT = "relu_attack result 2"
_NUMBERS = ("value", "bound", "violation", "output_violation", "integrality")
_ARRAYS = ("x", "trace.seconds", "trace.iterations", "trace.values")
_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def summarize(result: Result) -> dict[str, Any]:
    """Return what a result says, but for its arrays, as JSON holds it.

    Parameters
    ----------
    result
        For a batch the numbers of each problem are a list.

    Returns
    -------
    dict
        Value, bound, gap, relative gap, violations, integrality, whether the bound is certified, status, message,
        method, who found the point, iterations, evaluations and runtime in seconds. Numbers that JSON lacks are the
        words ``"inf"``, ``"-inf"`` and ``"nan"``.
    """
    numbers = (*_NUMBERS, "gap", "relative_gap")
    return {
        **{name: _to_json(getattr(result, name).tolist()) for name in numbers},
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
        What `maximize` or `minimize` returned.
    path
        The common name of the two files; a suffix ``.json`` or ``.safetensors`` is left out.
    settings
        What else to keep in the JSON file under ``settings``, such as the seed; plain data.

    Raises
    ------
    FileFormatError
        When the folder does not exist or cannot be written, or when the settings are no plain data.

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
    summary, arrays = _names(path)
    if not summary.parent.is_dir():
        raise FileFormatError(f"{summary.parent} is not a folder; make it before saving {summary.name} there")
    trace = result.trace
    tensors = dict(zip(_ARRAYS, (result.x, trace.seconds, trace.iterations, trace.values), strict=True))
    if result.path is not None:
        tensors["path"] = result.path
    content = save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()})
    entries = {
        "format": FORMAT,
        **summarize(result),
        "arrays": {"file": arrays.name, "sha256": hashlib.sha256(content).hexdigest()},
        "versions": _versions(),
        "settings": dict(settings or {}),
    }
    try:
        text = json.dumps(entries, indent=2, allow_nan=False)
    except (TypeError, ValueError) as reason:
        raise FileFormatError(f"settings must be plain data that JSON can hold: {reason}") from None
    try:
        arrays.write_bytes(content)
        summary.write_text(text + "\n", encoding="utf-8")
    except OSError as reason:
        raise FileFormatError(f"{reason.filename or summary} cannot be written: {reason.strerror}") from None


def load_result(path: str | os.PathLike[str]) -> Result:
    """Load what `save_result` saved.

    Parameters
    ----------
    path
        The common name of the two files, or either of them.

    Returns
    -------
    Result
        On the CPU, every number as it was.

    Raises
    ------
    FileFormatError
        When a file is missing or damaged, or when the two do not belong together.
    """
    summary, arrays = _names(path)
    entries = _read_summary(summary)
    tensors = _read_arrays(arrays, summary, entries)
    try:
        numbers = {name: torch.tensor(_from_json(entries[name]), dtype=torch.float64) for name in _NUMBERS}
        result = Result(
            x=tensors["x"],
            **numbers,
            certified=torch.tensor(entries["certified"], dtype=torch.bool),
            status=Status[entries["status"]],
            method=str(entries["method"]),
            found_by=tuple(str(name) for name in entries["found_by"]),
            iterations=int(entries["iterations"]),
            evaluations=int(entries["evaluations"]),
            runtime=float(entries["runtime"]),
            trace=Trace(*(tensors[name] for name in _ARRAYS[1:])),
            path=tensors.get("path"),
        )
    except KeyError as reason:
        raise FileFormatError(f"{summary}: {reason} is missing or unknown; was the file edited?") from None
    except (TypeError, ValueError) as reason:
        raise FileFormatError(f"{summary}: an entry is not what it should be: {reason}") from None
    _check_shapes(result, summary)
    return result


def _names(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    path = Path(path)
    stem = path.name.removesuffix(".json").removesuffix(".safetensors")
    if not stem:
        raise FileFormatError(f"{path} is no name of a file; give a name such as results/answer")
    return path.with_name(f"{stem}.json"), path.with_name(f"{stem}.safetensors")


def _versions() -> dict[str, str]:
    from relu_attack import __version__

    return {"relu_attack": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise FileFormatError(f"{path} cannot be read: {reason.strerror}") from None
    except ValueError as reason:
        raise FileFormatError(f"{path} is not JSON: {reason}") from None
    found = entries.get("format") if isinstance(entries, dict) else None
    if found != FORMAT:
        raise FileFormatError(f"{path} is not a saved result: its format is {found!r}, it should be {FORMAT!r}")
    return dict(entries)


def _read_arrays(path: Path, summary: Path, entries: dict[str, Any]) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        tensors = load(content)
    except OSError as reason:
        raise FileFormatError(f"{path} cannot be read: {reason.strerror}; it belongs to {summary.name}") from None
    except SafetensorError as reason:
        raise FileFormatError(f"{path} is not a safetensors file: {reason}") from None
    stated = entries.get("arrays")
    if not isinstance(stated, dict) or stated.get("sha256") != hashlib.sha256(content).hexdigest():
        raise FileFormatError(f"{path} is not the file that {summary.name} was saved with; their checksums differ")
    missing = [name for name in _ARRAYS if name not in tensors]
    if missing:
        raise FileFormatError(f"{path} lacks {', '.join(missing)}")
    return tensors


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


def _to_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_json(entry) for entry in value]
    return value if math.isfinite(value) else str(value)


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(entry) for entry in value]
    return _WORDS[value] if isinstance(value, str) else value
