"""Evaluation of an ONNX file by onnxruntime, which is imported on demand."""

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
    """Return a function that evaluates an ONNX file at one flat input of its type; None without onnxruntime.

    The output is flat and float64. ModelError is raised if onnxruntime fails to load or run the file, or if the file no
    longer has the digest that it was read with.
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
    options.log_severity_level = 4  # no log: errors are raised
    try:
        session = onnxruntime.InferenceSession(_content(model, path), options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # onnxruntime has many exception classes without a common base
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
    """Return the model with all its tensors; its path if the model is too large for protobuf."""
    from google.protobuf.message import EncodeError

    try:
        content: bytes = model.SerializeToString()
        return content
    except (EncodeError, ValueError):
        return str(path)


def _line(reason: Exception) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}..."
