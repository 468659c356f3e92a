"""Saved results: a readable summary in JSON, and arrays in safetensors."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from relu_attack._checks import check_is
from relu_attack._files import as_path, left_beside, read_bytes, read_text, write_files
from relu_attack._limits import ARCHIVE_BYTES, JSON_BYTES, WEIGHT_BYTES
from relu_attack._plain import read_json
from relu_attack._version import __version__
from relu_attack.errors import FileFormatError

_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@dataclass(frozen=True)
class Kind:
    """Kind of a saved result, such as ``"result"``, and the version of its format.

    The version increases when older files can no longer be read.
    """

    name: str
    version: int

    @property
    def format(self) -> str:
        """Entry ``format`` of the summary."""
        return f"relu_attack {self.name} {self.version}"

    def save(
        self,
        path: str | os.PathLike[str],
        entries: Mapping[str, Any],
        tensors: Mapping[str, Tensor | None],
        settings: Mapping[str, Any] | None,
    ) -> None:
        """Write ``<path>.json`` and ``<path>.safetensors``; tensors that are None are left out.

        An earlier save can be loaded until both files are complete.
        """
        summary, arrays = _names(path)
        check_is(settings or {}, Mapping, name="settings", wanted="a mapping of plain data", error=FileFormatError)
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
        # The arrays come first: until the summary is moved, it is found by their checksum.
        write_files({arrays: content, summary: text + "\n"})

    def load(self, path: str | os.PathLike[str]) -> Saved:
        """Read the files of `save`, refusing one of another kind, and two that do not match."""
        summary, arrays = _names(path)
        entries, content = _read_both(path)
        if entries["format"] != self.format:
            raise FileFormatError(
                f"{summary} is not a saved {self.name}: its format is {entries['format']!r}, "
                f"it should be {self.format!r}"
            )
        return Saved(summary, entries, _read_arrays(arrays, content, summary, entries))


@dataclass(frozen=True)
class Saved:
    """Content of the two files, with the path of the summary for messages."""

    summary: Path
    entries: dict[str, Any]
    tensors: dict[str, Tensor]

    def need(self, *names: str) -> list[Tensor]:
        """Return the arrays of these names; raise `FileFormatError` for a missing one."""
        missing = [name for name in names if name not in self.tensors]
        if missing:
            raise FileFormatError(f"{self.summary.with_suffix('.safetensors')} lacks {', '.join(missing)}")
        return [self.tensors[name] for name in names]

    @contextmanager
    def reading(self) -> Iterator[dict[str, Any]]:
        """Context of the entries in which conversion errors become a `FileFormatError`."""
        try:
            yield self.entries
        except KeyError as reason:
            raise FileFormatError(f"{self.summary}: {reason} is missing or unknown; was the file edited?") from None
        except (TypeError, ValueError, OverflowError, RuntimeError) as reason:  # torch raises the last ones
            line = " ".join(str(reason).split())
            raise FileFormatError(f"{self.summary}: an entry is not what it should be: {line}") from None


def read_summary(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the summary of a saved result of any kind; ``format`` is text and ``settings`` a mapping.

    `path` is the common name of the two files, or either of them.
    """
    return _read_both(path)[0]


def _read_both(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes | None]:
    """Return the summary and the bytes of the arrays, None if they cannot be read.

    A process that was killed during replacement may have left the summary of the new arrays under a temporary name.
    """
    summary, arrays = _names(path)
    waiting = left_beside(summary)
    if not summary.exists() and not waiting and Path(path) != arrays and Path(path).is_file():
        raise FileFormatError(f"{path} is no saved answer; give its .json, which lies beside a .safetensors")
    try:
        content = read_bytes(arrays, most=WEIGHT_BYTES)
    except FileFormatError:
        content = None
    for other in waiting if content is not None else ():
        try:
            entries = _read_summary(other)
        except FileFormatError:  # incomplete file
            continue
        if _belong_together(entries, content):
            return entries, content
    return _read_summary(summary), content


def _read_summary(summary: Path) -> dict[str, Any]:
    entries = read_json(read_text(summary, most=JSON_BYTES), summary)
    found = entries.get("format") if isinstance(entries, dict) else None
    if not isinstance(found, str):
        raise FileFormatError(f"{summary} is not a saved result: it has no format; relu_attack writes one")
    if not isinstance(entries.get("settings"), dict):
        raise FileFormatError(f"{summary}: 'settings' must be a mapping; was the file edited?")
    return dict(entries)


def to_json(value: Any) -> Any:
    """Return a number or a list of numbers with words for non-finite values."""
    if isinstance(value, list):
        return [to_json(entry) for entry in value]
    return value if math.isfinite(value) else str(value)


def from_json(value: Any) -> Any:
    """Invert `to_json`."""
    if isinstance(value, list):
        return [from_json(entry) for entry in value]
    return _WORDS[value] if isinstance(value, str) else value


def check_archive(path: Path) -> None:
    """Reject a zip archive whose parts are too large when decompressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = sum(part.file_size for part in archive.infolist() if part.compress_type != zipfile.ZIP_STORED)
    except (OSError, ValueError, zipfile.BadZipFile) as reason:
        raise FileFormatError(f"{path} cannot be read: {reason}") from None
    if packed > ARCHIVE_BYTES:
        raise FileFormatError(f"{path} is too large: at most {ARCHIVE_BYTES} bytes are read, decompressed")


def _names(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    path = as_path(path)
    stem = path.name.removesuffix(".json").removesuffix(".safetensors")
    if not stem:
        raise FileFormatError(f"{path} is no name of a file; give a name such as results/answer")
    return path.with_name(f"{stem}.json"), path.with_name(f"{stem}.safetensors")


def _versions() -> dict[str, str]:
    return {"relu_attack": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def _belong_together(entries: Mapping[str, Any], content: bytes | None) -> bool:
    stated = entries.get("arrays")
    return (
        content is not None and isinstance(stated, dict) and stated.get("sha256") == hashlib.sha256(content).hexdigest()
    )


def _read_arrays(path: Path, content: bytes | None, summary: Path, entries: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        if content is None:
            content = read_bytes(path, most=WEIGHT_BYTES)
        tensors: dict[str, Tensor] = load(content)
    except FileFormatError as reason:
        raise FileFormatError(f"{reason}; it belongs to {summary.name}") from None
    except SafetensorError as reason:
        raise FileFormatError(f"{path} is not a safetensors file: {reason}") from None
    if not _belong_together(entries, content):
        raise FileFormatError(f"{path} is not the file that {summary.name} was saved with; their checksums differ")
    return tensors
