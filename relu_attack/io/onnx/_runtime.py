"""The file itself, run by onnxruntime, which is imported when something is to be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from relu_attack._limits import MESSAGE_CHARACTERS
from relu_attack.errors import ModelError
from relu_attack.io.onnx._graph import read_model

if TYPE_CHECKING:
    import onnx

Runtime: TypeAlias = Callable[[Tensor], Tensor]


def start_runtime(path: Path, input_name: str, shape: tuple[int, ...], digest: str) -> Runtime | None:
    """Return a function that runs an ONNX file on one flat input of its type; None without onnxruntime.

    Parameters
    ----------
    path, input_name, shape
        The file, and what goes in.
    digest
        That of the file as it was read.

    Returns
    -------
    callable
        It returns the flat output in float64.

    Raises
    ------
    ModelError
        When onnxruntime does not load or run the file, or when the file is no longer the one that was read.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    model, now = read_model(path)
    if now != digest:
        raise ModelError(f"{path} is no longer the file that was read; read it again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # none: what is wrong is in the error
    try:
        session = onnxruntime.InferenceSession(_content(model, path), options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # onnxruntime has a class of its own for each kind of failure, all plain exceptions
        raise ModelError(
            f"{path}: onnxruntime does not load the file, so that no witness can be confirmed: {_line(reason)}"
        ) from None

    def run(x: Tensor) -> Tensor:
        try:
            (outputs,) = session.run(None, {input_name: x.view(shape).numpy()})
            return torch.from_numpy(outputs).double().flatten()
        except Exception as reason:
            raise ModelError(
                f"{path}: onnxruntime does not run the file, so that no witness can be confirmed: {_line(reason)}"
            ) from None

    return run


def _content(model: onnx.ModelProto, path: Path) -> bytes | str:
    """Return the model with all its tensors, as it was read; its path where that is more than protobuf can write."""
    from google.protobuf.message import EncodeError

    try:
        content: bytes = model.SerializeToString()
        return content
    except (EncodeError, ValueError):
        return str(path)


def _line(reason: Exception) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}..."
