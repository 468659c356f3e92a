"""The file itself, run by onnxruntime, which is imported when something is to be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from relu_attack.io.compressed import read_bytes

Runtime: TypeAlias = Callable[[Tensor], Tensor]


def start_runtime(path: Path, input_name: str, shape: tuple[int, ...]) -> Runtime | None:
    """Return a function that runs an ONNX file on one flat input of its type; None without onnxruntime.

    The function returns the flat output in float64.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    content = read_bytes(path, suffix=".onnx")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        (outputs,) = session.run(None, {input_name: x.view(shape).numpy()})
        return torch.from_numpy(outputs).double().flatten()

    return run
