"""auto_LiRPA (https://github.com/Verified-Intelligence/auto_LiRPA), where it can be imported.

The package index has no release of it for this torch, but its source runs: clone it, put the clone on PYTHONPATH, and
install appdirs, graphviz and tqdm.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import Tensor, nn

METHODS = {"crown": "CROWN", "alpha_crown": "CROWN-Optimized"}
"""What it calls our methods."""


def find() -> ModuleType | str:
    """Return the package, or in one line why it cannot be had."""
    try:
        return importlib.import_module("auto_LiRPA")
    except ImportError as reason:
        return f"auto_LiRPA is not importable ({reason}); benchmarks/peers/auto_lirpa.py says how to get it"


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Change torch's default dtype for a while: some tensors of the package are made in it, whatever the model's is."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Peer:
    """Bounds of all outputs over boxes by auto_LiRPA, with its default options.

    Parameters
    ----------
    package
        What `find` returned.
    model
        Any model.
    lower, upper
        Boxes, shape (boxes, inputs).
    dtype
        In which it computes. Boxes are rounded to it as any user would, not outward.
    """

    def __init__(self, package: ModuleType, model: nn.Module, lower: Tensor, upper: Tensor, dtype: torch.dtype) -> None:
        lower, upper = lower.to(dtype), upper.to(dtype)
        model = copy.deepcopy(model).to(dtype).requires_grad_(False)
        self._module = package.BoundedModule(model, torch.zeros_like(lower[:1]))
        perturbation = package.PerturbationLpNorm(norm=float("inf"), x_L=lower, x_U=upper)
        self._input = package.BoundedTensor((lower + upper) / 2, perturbation)

    def bound(self, method: str) -> tuple[Tensor, Tensor]:
        """Return lower and upper bounds, each of shape (boxes, outputs)."""
        # Its slopes are optimized by autograd; without a graph CROWN needs less time and memory.
        with torch.set_grad_enabled(method == "alpha_crown"), default_dtype(self._input.dtype):
            lower, upper = self._module.compute_bounds(x=(self._input,), method=METHODS[method])
        return lower.detach(), upper.detach()
