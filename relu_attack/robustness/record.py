"""The file in which `robust_accuracy` writes down what is done, to go on after an interruption."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from relu_attack._checks import warn
from relu_attack._files import read_text, write_files
from relu_attack._limits import JSON_BYTES
from relu_attack._plain import read_json
from relu_attack.errors import FileFormatError, OptionError

_FORMAT = "relu_attack robust accuracy 1"
_FIELDS = ("clean", "worst", "certified")


@dataclass(frozen=True, eq=False)
class Margins:
    """The margins of a batch, each float64 of shape (samples,): clean, worst found, certified bound or None."""

    clean: Tensor
    worst: Tensor
    certified: Tensor | None

    def to_cpu(self) -> Margins:
        """Return them on the CPU."""
        return Margins(self.clean.cpu(), self.worst.cpu(), None if self.certified is None else self.certified.cpu())


class Record:
    """The batches that are done, in memory and in a file, if there is one.

    Parameters
    ----------
    path
        The file; None for none.
    question
        What identifies model and options.
    batches
        What is known: for each batch the digest of its samples, and the lists of its margins.
    """

    def __init__(self, path: Path | None, question: str, batches: list[dict[str, Any]]) -> None:
        self._path, self._question, self._batches = path, question, batches
        self._warned = False

    @staticmethod
    def open(path: str | Path | None, model: nn.Module, options: Mapping[str, Any]) -> Record:
        """Read the file if there is one.

        Raises
        ------
        FileFormatError
            When it is no such record.
        OptionError
            When it was made with another model or other options.
        """
        if path is None:
            return Record(None, "", [])
        file, question = Path(path), _digest(model, options)
        if not file.exists():
            return Record(file, question, [])
        try:
            content = read_json(read_text(file, most=JSON_BYTES), file)
            known, batches = content["question"], content["batches"]
            if content["format"] != _FORMAT or not all(_is_batch(batch) for batch in batches):
                raise ValueError
        except (FileFormatError, ValueError, KeyError, TypeError, OverflowError):
            raise FileFormatError(f"{file} is no record of robust_accuracy; give another file, or remove it") from None
        if known != question:
            raise OptionError(f"{file} was made with another model, radius or options; give another file, or remove it")
        return Record(file, question, batches)

    def find(self, number: int, x: Tensor, label: Tensor) -> Margins | None:
        """Return what is known of a batch, or None.

        Raises
        ------
        OptionError
            When the record is one of other samples.
        """
        if number >= len(self._batches):
            return None
        batch = self._batches[number]
        if batch["samples"] != _digest_of(x, label):
            raise OptionError(
                f"{self._path} has other samples in batch {number}; give the loader that it was made with, unshuffled"
            )
        clean, worst, certified = (
            None if batch[name] is None else torch.tensor(batch[name], dtype=torch.float64) for name in _FIELDS
        )
        assert clean is not None
        assert worst is not None
        return Margins(clean, worst, certified)

    def add(self, number: int, x: Tensor, label: Tensor, margins: Margins) -> None:
        """Write a batch down; the file is whole at any moment. Where it cannot be written, warn once and go on."""
        if self._path is None:
            return
        lists = {name: None if part is None else part.tolist() for name, part in vars(margins).items()}
        self._batches[number:] = [{"samples": _digest_of(x, label), **lists}]
        content = {"format": _FORMAT, "question": self._question, "batches": self._batches}
        try:
            write_files({self._path: json.dumps(content, allow_nan=False)})
        except FileFormatError as reason:  # such as a full disk; the next batch is tried again
            if not self._warned:
                warn(f"{reason}; the run goes on, but what is done now is lost if it is interrupted")
            self._warned = True


def _is_batch(batch: Mapping[str, Any]) -> bool:
    parts = [batch["clean"], batch["worst"], *([] if batch["certified"] is None else [batch["certified"]])]
    return len({len(part) for part in parts}) == 1 and all(math.isfinite(value) for part in parts for value in part)


def _digest(model: nn.Module, options: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(str(model).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    for name, option in sorted(options.items()):
        parts = option if isinstance(option, tuple | list) else [option]
        digest.update(name.encode())
        for part in parts:
            digest.update(_bytes(part) if isinstance(part, Tensor) else repr(part).encode())
    return digest.hexdigest()


def _digest_of(x: Tensor, label: Tensor) -> str:
    digest = hashlib.sha256(str((tuple(x.shape), x.dtype)).encode())
    for tensor in (x, label):
        digest.update(_bytes(torch.as_tensor(tensor)))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
