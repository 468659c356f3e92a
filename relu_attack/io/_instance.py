"""Instance of the verification competition: a network and a property, each in a file."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from relu_attack._deadline import OutOfTimeError, interruptible
from relu_attack._files import as_path
from relu_attack._limits import PROPERTY_BYTES
from relu_attack._memory import named_memory_errors
from relu_attack._names import checked_names
from relu_attack.errors import FileFormatError
from relu_attack.io._compressed import read_bytes
from relu_attack.io.onnx import read_model, read_onnx
from relu_attack.io.vnnlib import claims_of, read_vnnlib
from relu_attack.result import Verification
from relu_attack.solvers import SearchArguments
from relu_attack.verification import TIME_LIMIT, make_budget, nothing_known, verify_claims


@checked_names()
def verify_files(
    network: str | os.PathLike[str],
    unsafe: str | os.PathLike[str],
    *,
    time_limit: float = TIME_LIMIT,
    memory_limit: float | None = SearchArguments.memory_limit,
    seed: int = SearchArguments.seed,
    progress: bool = SearchArguments.progress,
) -> Verification:
    """Verify a property in VNN-LIB of a network in ONNX.

    Proofs cover every decimal number of the files. A witness satisfies the property's formulas exactly and is confirmed
    by onnxruntime or, if that is not installed, by the chain, as `Verification.note` then states.

    Parameters
    ----------
    network
        A name in ``.onnx`` or ``.onnx.gz``.
    unsafe
        A name in ``.vnnlib`` or ``.vnnlib.gz``.
    time_limit
        Seconds, including reading.
    memory_limit, seed, progress
        As in `relu_attack.verify`.

    Returns
    -------
    Verification
        FALSIFIED is ``sat`` of the competition, VERIFIED is ``unsat``. The witness has shape (inputs,).

    Raises
    ------
    FileFormatError, UnsupportedModuleError, ModelError
        For files that cannot be read, or that do not match. A missing file is searched for with and without ``.gz``.
    """
    began = time.perf_counter()
    with named_memory_errors(), interruptible() as interruption:
        budget = make_budget(time_limit, memory_limit, began, interruption)
        try:
            model = read_onnx(find(network), deadline=budget.deadline)
            asked = read_vnnlib(find(unsafe), deadline=budget.deadline)
            claims = claims_of(asked, deadline=budget.deadline)
        except OutOfTimeError:
            return nothing_known(budget, "the files")
        chain = model.network
        for word, declared, own in (("inputs", asked.inputs, chain.inputs), ("outputs", asked.outputs, chain.outputs)):
            if declared != own:
                raise FileFormatError(f"{unsafe} declares {declared} {word}, but {network} has {own}")
        return verify_claims(model, claims, (chain.inputs,), budget=budget, seed=seed, progress=progress)


def digest_of_network(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a network and of its tensors in other files; "" if it cannot be read."""
    try:
        return read_model(find(path))[1]
    except FileFormatError:
        return ""


def digest_of_property(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a property, decompressed; "" if it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(find(path), suffix=".vnnlib", most=PROPERTY_BYTES)).hexdigest()
    except FileFormatError:
        return ""


def find(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file, or of its compressed or decompressed form if only that exists."""
    path = as_path(path)
    other = path.with_suffix("") if path.suffix == ".gz" else Path(f"{path}.gz")
    return other if other.exists() and not path.exists() else path
