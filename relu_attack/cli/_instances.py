"""Files of ``relu-attack verify-all``: the list of instances, and results with digests of their instances."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from relu_attack._files import write_files
from relu_attack.cli._verify import WORDS
from relu_attack.errors import FileFormatError
from relu_attack.io import digest_of_network, digest_of_property, read_rows
from relu_attack.result import Verdict

COUNTED = (*WORDS.values(), "error")
DECIDED = (WORDS[Verdict.VERIFIED], WORDS[Verdict.FALSIFIED])
WANTED = "must read onnx,vnnlib,timeout"


@dataclass(frozen=True)
class Instance:
    """A line of the list: both files as named there, and the time limit in seconds."""

    onnx: str
    vnnlib: str
    timeout: float


@dataclass(frozen=True)
class Identity:
    """Identity of an instance: digests of both files, and the version of the package."""

    network_sha256: str = ""
    property_sha256: str = ""
    version: str = ""

    @staticmethod
    def of(instance: Instance, folder: Path, known: dict[str, str] | None = None) -> Identity:
        """Return the identity of an instance from its files; `known` holds digests of networks read before."""
        from relu_attack._version import __version__

        network = (known or {}).get(instance.onnx) or digest_of_network(folder / instance.onnx)
        if known is not None:
            known[instance.onnx] = network
        return Identity(network, digest_of_property(folder / instance.vnnlib), __version__)


@dataclass(frozen=True)
class InstanceRow:
    """A line of the results; `result` is one of the competition's words, or ``error``."""

    onnx: str
    vnnlib: str
    timeout: str
    result: str
    seconds: str = ""
    bound: str = ""
    decided_by: str = ""
    regions: str = ""
    message: str = ""
    network_sha256: str = ""
    property_sha256: str = ""
    version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Key of the row."""
        return self.onnx, self.vnnlib

    def answers(self, instance: Instance, identity: Identity) -> bool:
        """Return whether the row is final for these files and this version."""
        if (
            identity != Identity(self.network_sha256, self.property_sha256, self.version)
            or "" in vars(identity).values()
        ):
            return False
        try:
            return self.result in DECIDED or float(self.timeout) >= instance.timeout
        except ValueError:
            return False


COLUMNS = [field.name for field in fields(InstanceRow)]
IDENTITY_COLUMNS = len(fields(Identity))


def read_instances(path: Path, timeout: float | None) -> list[Instance]:
    """Read the list of a benchmark; `timeout` replaces the one of each line, which may then lack it."""
    found: list[Instance] = []
    for number, line in read_rows(path):
        where = f"{path}, line {number}"
        entries = [entry.strip() for entry in line]
        if len(entries) == 2 and timeout is None:
            raise FileFormatError(f"{where}: {WANTED}, got no timeout; add it, or give --timeout for all lines")
        if len(entries) not in (2, 3) or not all(entries[:2]):
            raise FileFormatError(f"{where}: {WANTED}, got {_shown(line)}")
        try:
            limit = float(entries[2]) if timeout is None else timeout
        except ValueError:
            raise FileFormatError(f"{where}: {WANTED}, got {_shown(line)}") from None
        if not (math.isfinite(limit) and limit > 0):
            raise FileFormatError(f"{where}: the timeout must be positive seconds, got {limit}")
        found.append(Instance(entries[0], entries[1], limit))
    if not found:
        raise FileFormatError(f"{path} holds no instance; each line {WANTED}")
    return found


def read_results(path: Path) -> dict[tuple[str, str], InstanceRow]:
    """Return the results of an earlier run by their files; an incomplete line is skipped.

    Files of earlier versions, which do not say what content they are of, are read as well.
    """
    if not path.exists():
        return {}
    lines = [line for _, line in read_rows(path)]
    if not lines or lines[0] not in (COLUMNS, COLUMNS[:-IDENTITY_COLUMNS]):
        raise FileFormatError(f"{path} holds no results of verify-all: its first line must be {','.join(COLUMNS)}")
    rows = [InstanceRow(*line) for line in lines[1:] if len(line) == len(lines[0])]
    return {row.key: row for row in rows if row.result in COUNTED}


def write_results(path: Path, rows: Iterable[InstanceRow]) -> None:
    """Write header and rows atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(asdict(row).values() for row in rows)
    write_files({path: text.getvalue()})


def _shown(line: list[str]) -> str:
    text = str(line)
    return text if len(text) <= 80 else f"{text[:80]}..."
