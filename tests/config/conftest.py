"""The files that configurations name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from relu_attack.io import save_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model of three inputs and two outputs, and arrays."""
    torch.manual_seed(0)
    save_model(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), tmp_path / "model.safetensors")
    save_file(
        {"a": torch.tensor([[0, 51, 102]], dtype=torch.uint8), "b": torch.zeros(2)}, tmp_path / "arrays.safetensors"
    )
    (tmp_path / "table.csv").write_text("sand,lime,age\n0.5,0.25,1\n")
    np.save(tmp_path / "row.npy", np.array([[1.0, 1.0, 1.0]]))
    return tmp_path
