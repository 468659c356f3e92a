"""Reading of files with optional gzip compression."""

from __future__ import annotations

import gzip
import io
import os
import zlib

from relu_attack import _files
from relu_attack._files import as_path
from relu_attack.errors import FileFormatError


def read_bytes(path: str | os.PathLike[str], *, suffix: str, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes, decompressed if its name ends in ``.gz``.

    `suffix`, such as ``".onnx"``, is required before ``.gz``.
    """
    path = as_path(path)
    if not path.name.endswith((suffix, f"{suffix}.gz")):
        raise FileFormatError(f"{path} must end in {suffix} or {suffix}.gz")
    content = _files.read_bytes(path, most=most)
    if path.suffix != ".gz":
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            return _files.read_up_to(file, path, most=most)
    except (OSError, EOFError, zlib.error) as reason:
        raise FileFormatError(f"{path} is not a whole gzip file: {reason}") from None
