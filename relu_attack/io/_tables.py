"""CSV tables."""

from __future__ import annotations

import csv
import io
import os

from relu_attack._files import read_text
from relu_attack._limits import TABLE_BYTES
from relu_attack.errors import FileFormatError


def read_rows(path: str | os.PathLike[str]) -> list[tuple[int, list[str]]]:
    """Return the non-empty lines of a table, each with its number from 1 and its fields.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "table.csv").write_text('a,b\\n\\n1,"2,5"\\n')
    ...     read_rows(Path(folder) / "table.csv")
    [(1, ['a', 'b']), (3, ['1', '2,5'])]
    """
    reader = csv.reader(io.StringIO(read_text(path, most=TABLE_BYTES), newline=""))
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as reason:
        raise FileFormatError(f"{path}, line {reader.line_num}: is not CSV: {reason}") from None
