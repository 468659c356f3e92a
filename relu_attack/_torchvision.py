"""Import torchvision and Lightning, beside a CPU-only torch too.

The wheel of torchvision is built against the CUDA build of torch. Beside a CPU-only build its compiled
operators do not load, and since torchvision describes two of them (`nms`, `qnms`) while it is imported, the
import itself raises. So does that of torchmetrics, which imports torchvision, and hence that of Lightning.
Declaring the two signatures lets the import go through.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from types import ModuleType

import torch

from relu_attack.errors import ReLUAttackWarning

MISSING_OPERATOR = "operator torchvision::nms does not exist"


class TorchvisionWarning(ReLUAttackWarning, RuntimeWarning):
    """The compiled operators of torchvision are missing; the rest of it works."""


def import_torchvision() -> ModuleType:
    """Import torchvision, with the signatures that its import asks for when its compiled operators are missing.

    A TorchvisionWarning is issued the first time, when the compiled operators did not load; it says what works and what
    does not.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as reason:
        if MISSING_OPERATOR not in str(reason):
            raise
    _declare_operators()
    return importlib.import_module("torchvision")


def import_lightning() -> ModuleType:
    """Import Lightning, after torchvision: its metrics import torchvision themselves."""
    import_torchvision()
    return importlib.import_module("pytorch_lightning")


@functools.cache  # the declarations live as long as the returned library does
def _declare_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    warnings.warn(
        "torchvision's compiled operators do not fit this torch, most often because torch is a CPU-only build: "
        "models, datasets, transforms and ops.MLP work; nms, the region-of-interest operators, deform_conv2d "
        "and torchvision's own image decoders do not",
        TorchvisionWarning,
        stacklevel=3,
    )
    return library
