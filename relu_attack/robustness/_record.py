"""Record files, from which an interrupted run resumes: batches that are done, with digests of what they are of."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relu_attack._checks import warn
from relu_attack._digest import digest
from relu_attack._files import as_path, read_text, write_files
from relu_attack._limits import JSON_BYTES
from relu_attack._plain import read_json
from relu_attack.errors import FileFormatError, OptionError
from relu_attack.robustness._arguments import AttackArguments


@dataclass(frozen=True)
class RecordKind:
    """Kind of a record: the call that writes it, its format, and whether entries are those of a batch.

    `is_batch` may raise KeyError, TypeError or ValueError for what is none.
    """

    call: str
    format: str
    is_batch: Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, eq=False)
class Margins:
    """The margins of a batch, each float64 of shape (samples,): clean, worst found, certified bound or None."""

    clean: Tensor
    worst: Tensor
    certified: Tensor | None

    def to_cpu(self) -> Margins:
        """Return them on the CPU."""
        return Margins(self.clean.cpu(), self.worst.cpu(), None if self.certified is None else self.certified.cpu())

    def entries(self) -> dict[str, list[float] | None]:
        """Return what a record holds of them."""
        return {name: None if part is None else part.tolist() for name, part in vars(self).items()}

    @staticmethod
    def of(entries: Mapping[str, Any]) -> Margins:
        """Return the margins of what a record holds."""
        clean, worst = (torch.tensor(entries[name], dtype=torch.float64) for name in ("clean", "worst"))
        bounds = entries["certified"]
        return Margins(clean, worst, None if bounds is None else torch.tensor(bounds, dtype=torch.float64))


class Record:
    """The batches that are done, in memory and in a file, if there is one.

    `question` is what it is of: digests of the model and of each option. `batches` are, for each, the digest of its
    samples and its entries, plain data.
    """

    def __init__(
        self, kind: RecordKind, path: Path | None, question: Mapping[str, str], batches: list[dict[str, Any]]
    ) -> None:
        self._kind, self._path, self._question, self._batches = kind, path, question, batches
        self._warned = False

    @staticmethod
    def open(kind: RecordKind, path: str | Path | None, model: str, options: Mapping[str, Any]) -> Record:
        """Read the file if there is one.

        `options` are all else that entries depend on; a record of another model or other options is refused by name.
        """
        if path is None:
            return Record(kind, None, {}, [])
        file = as_path(path)
        question = {"model": model, **{name: digest(option) for name, option in options.items()}}
        if not file.exists():
            return Record(kind, file, question, [])
        try:
            content = read_json(read_text(file, most=JSON_BYTES), file)
            known, batches = dict(content["question"]), content["batches"]
            known = {AttackArguments.OLD_NAMES.get(name, name): value for name, value in known.items()}
            if content["format"] != kind.format or not all(kind.is_batch(batch) for batch in batches):
                raise ValueError
        except (FileFormatError, ValueError, KeyError, TypeError, OverflowError):
            raise FileFormatError(f"{file} is no record of {kind.call}; give another file, or remove it") from None
        others = sorted(name for name in {*known, *question} if known.get(name) != question.get(name))
        if others:
            raise OptionError(
                f"{file} was made with another model, radius or options: {', '.join(others)} "
                f"differ{'s' if len(others) == 1 else ''}; "
                "give another file, or remove it"
            )
        return Record(kind, file, question, batches)

    def find(self, number: int, x: Tensor, label: Tensor) -> Mapping[str, Any] | None:
        """Return the entries of a batch, or None; a record of other samples is refused."""
        if number >= len(self._batches):
            return None
        batch = self._batches[number]
        if batch["samples"] != digest(x, label):
            raise OptionError(
                f"{self._path} has other samples in batch {number}; give the loader that it was made with, unshuffled"
            )
        return batch

    def add(self, number: int, x: Tensor, label: Tensor, entries: Mapping[str, Any]) -> None:
        """Write a batch down, the next one or in place of what was known of it."""
        self.put(number, x, label, entries)
        self.write()

    def put(self, number: int, x: Tensor, label: Tensor, entries: Mapping[str, Any]) -> None:
        """Take a batch, which the next `write` writes down."""
        if self._path is not None:
            self._batches[number : number + 1] = [{"samples": digest(x, label), **entries}]

    def write(self) -> None:
        """Write the file, which is whole at any moment. Where it cannot be written, warn once and go on."""
        if self._path is None:
            return
        content = {"format": self._kind.format, "question": self._question, "batches": self._batches}
        try:
            write_files({self._path: json.dumps(content, allow_nan=False)})
        except FileFormatError as reason:  # such as a full disk; the next batch is tried again
            if not self._warned:
                warn(f"{reason}; the run goes on, but what is done now is lost if it is interrupted")
            self._warned = True


def _holds_margins(batch: Mapping[str, Any]) -> bool:
    parts = [batch["clean"], batch["worst"], *([] if batch["certified"] is None else [batch["certified"]])]
    return len({len(part) for part in parts}) == 1 and all(math.isfinite(value) for part in parts for value in part)


MARGINS = RecordKind("robust_accuracy", "relu_attack robust accuracy 2", _holds_margins)
"""Records of `robust_accuracy`: the entries of `Margins`."""
