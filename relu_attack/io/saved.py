"""A saved answer: a summary to read in JSON, and the arrays beside it in safetensors."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from relu_attack.errors import FileFormatError

_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@dataclass(frozen=True)
class Kind:
    """What is saved, such as ``"result"``, and the version of its form.

    Attributes
    ----------
    name
        In words, for the messages.
    version
        It grows when files of before can no longer be read.
    """

    name: str
    version: int

    @property
    def format(self) -> str:
        """What the summary says under ``format``."""
        return f"relu_attack {self.name} {self.version}"

    def save(
        self,
        path: str | os.PathLike[str],
        entries: Mapping[str, Any],
        tensors: Mapping[str, Tensor | None],
        settings: Mapping[str, Any] | None,
    ) -> None:
        """Write ``<path>.json`` and ``<path>.safetensors``; tensors that are None are left out.

        Raises
        ------
        FileFormatError
            When the folder does not exist or cannot be written, or when the settings are no plain data.
        """
        summary, arrays = _names(path)
        if not summary.parent.is_dir():
            raise FileFormatError(f"{summary.parent} is not a folder; make it before saving {summary.name} there")
        content = save(
            {name: part.detach().cpu().clone().contiguous() for name, part in tensors.items() if part is not None}
        )
        whole = {
            "format": self.format,
            **entries,
            "arrays": {"file": arrays.name, "sha256": hashlib.sha256(content).hexdigest()},
            "versions": _versions(),
            "settings": dict(settings or {}),
        }
        try:
            text = json.dumps(whole, indent=2, allow_nan=False)
        except (TypeError, ValueError) as reason:
            raise FileFormatError(f"settings must be plain data that JSON can hold: {reason}") from None
        try:
            arrays.write_bytes(content)
            summary.write_text(text + "\n", encoding="utf-8")
        except OSError as reason:
            raise FileFormatError(f"{reason.filename or summary} cannot be written: {reason.strerror}") from None

    def load(self, path: str | os.PathLike[str]) -> Saved:
        """Read what `save` wrote.

        Raises
        ------
        FileFormatError
            When a file is missing or damaged, or is of another kind, or when the two do not belong together.
        """
        summary, arrays = _names(path)
        entries = read_summary(path)
        if entries["format"] != self.format:
            raise FileFormatError(
                f"{summary} is not a saved {self.name}: its format is {entries['format']!r}, "
                f"it should be {self.format!r}"
            )
        return Saved(summary, entries, _read_arrays(arrays, summary, entries))


@dataclass(frozen=True)
class Saved:
    """The content of the two files, and the path of the summary for messages."""

    summary: Path
    entries: dict[str, Any]
    tensors: dict[str, Tensor]

    def need(self, *names: str) -> list[Tensor]:
        """Return the arrays of these names; raise `FileFormatError` when one is missing."""
        missing = [name for name in names if name not in self.tensors]
        if missing:
            raise FileFormatError(f"{self.summary.with_suffix('.safetensors')} lacks {', '.join(missing)}")
        return [self.tensors[name] for name in names]

    @contextmanager
    def reading(self) -> Iterator[dict[str, Any]]:
        """Give the entries; what is wrong with one of them becomes a `FileFormatError`."""
        try:
            yield self.entries
        except KeyError as reason:
            raise FileFormatError(f"{self.summary}: {reason} is missing or unknown; was the file edited?") from None
        except (TypeError, ValueError) as reason:
            raise FileFormatError(f"{self.summary}: an entry is not what it should be: {reason}") from None


def read_summary(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the summary of an answer of any kind; its ``format`` is text and its ``settings`` are a mapping.

    Parameters
    ----------
    path
        The common name of the two files, or either of them.

    Raises
    ------
    FileFormatError
        When it cannot be read or is no summary.
    """
    summary, arrays = _names(path)
    if not summary.exists() and Path(path) != arrays and Path(path).is_file():
        raise FileFormatError(f"{path} is no saved answer; give its .json, which lies beside a .safetensors")
    try:
        entries = json.loads(summary.read_text(encoding="utf-8"))
    except OSError as reason:
        raise FileFormatError(f"{summary} cannot be read: {reason.strerror}") from None
    except (ValueError, RecursionError) as reason:
        raise FileFormatError(f"{summary} is not JSON: {reason}") from None
    found = entries.get("format") if isinstance(entries, dict) else None
    if not isinstance(found, str):
        raise FileFormatError(f"{summary} is not a saved result: it has no format; relu_attack writes one")
    if not isinstance(entries.get("settings"), dict):
        raise FileFormatError(f"{summary}: 'settings' must be a mapping; was the file edited?")
    return dict(entries)


def to_json(value: Any) -> Any:
    """Return a number, or a list of them, with a word for what JSON lacks."""
    if isinstance(value, list):
        return [to_json(entry) for entry in value]
    return value if math.isfinite(value) else str(value)


def from_json(value: Any) -> Any:
    """Return what `to_json` was given."""
    if isinstance(value, list):
        return [from_json(entry) for entry in value]
    return _WORDS[value] if isinstance(value, str) else value


def _names(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    path = Path(path)
    stem = path.name.removesuffix(".json").removesuffix(".safetensors")
    if not stem:
        raise FileFormatError(f"{path} is no name of a file; give a name such as results/answer")
    return path.with_name(f"{stem}.json"), path.with_name(f"{stem}.safetensors")


def _versions() -> dict[str, str]:
    from relu_attack import __version__

    return {"relu_attack": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def _read_arrays(path: Path, summary: Path, entries: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        tensors: dict[str, Tensor] = load(content)
    except OSError as reason:
        raise FileFormatError(f"{path} cannot be read: {reason.strerror}; it belongs to {summary.name}") from None
    except SafetensorError as reason:
        raise FileFormatError(f"{path} is not a safetensors file: {reason}") from None
    stated = entries.get("arrays")
    if not isinstance(stated, dict) or stated.get("sha256") != hashlib.sha256(content).hexdigest():
        raise FileFormatError(f"{path} is not the file that {summary.name} was saved with; their checksums differ")
    return tensors
