"""Files that may be compressed with gzip."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

from relu_attack.errors import FileFormatError


def read_bytes(path: str | os.PathLike[str], *, suffix: str) -> bytes:
    """Return the content of a file, decompressed where its name ends in ``.gz``.

    Parameters
    ----------
    path
        A file.
    suffix
        What its name must end in, before a ``.gz``: ``".onnx"``.

    Raises
    ------
    FileFormatError
        For another suffix, a file that cannot be read, or one that is no whole gzip file.
    """
    path = Path(path)
    if not path.name.endswith((suffix, f"{suffix}.gz")):
        raise FileFormatError(f"{path} must end in {suffix} or {suffix}.gz")
    try:
        content = path.read_bytes()
    except OSError as reason:
        raise FileFormatError(f"{path} cannot be read: {reason.strerror}") from None
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as reason:
        raise FileFormatError(f"{path} is not a whole gzip file: {reason}") from None
