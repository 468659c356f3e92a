"""What is known of critical radii during a search, and its records as plain data."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relu_attack.errors import FileFormatError
from relu_attack.robustness._minimum_norm import NearestBreaks
from relu_attack.robustness._record import RecordKind


@dataclass(eq=False)
class Radii:
    """What is known of samples: nearest breaks, certified radii, seconds; all of shape (samples,).

    `searched` is for which of them the attack and the bounds came to their end.
    """

    breaks: NearestBreaks
    lower: Tensor
    seconds: Tensor
    searched: Tensor

    @staticmethod
    def none(x: Tensor) -> Radii:
        """Begin with samples (samples, inputs) of which nothing is known."""
        zero = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        return Radii(NearestBreaks.none(x), zero, zero.clone(), zero.bool())

    @property
    def upper(self) -> Tensor:
        """Radii at which the samples are broken, infinite where no break is known."""
        return self.breaks.radius

    def entries(self, index: Tensor) -> dict[str, Any]:
        """Return what a record holds of some samples: numbers in decimals, points by their bytes."""
        points = self.breaks.x[index].cpu().numpy()
        kind = points.dtype.newbyteorder("<")
        return {
            "upper": [radius if math.isfinite(radius) else None for radius in self.upper[index].tolist()],
            "lower": self.lower[index].tolist(),
            "seconds": self.seconds[index].tolist(),
            "searched": bool(self.searched[index].all()),
            "dtype": kind.str,
            "x": base64.b64encode(points.astype(kind).tobytes()).decode(),
        }

    def read(self, index: Tensor, entries: Mapping[str, Any]) -> Tensor:
        """Take certified radii and seconds from a record; return its points, which the model has to confirm."""
        given = np.frombuffer(base64.b64decode(entries["x"]), dtype=np.dtype(entries["dtype"]))
        shape = (len(index), self.breaks.x.shape[1])
        if given.size != shape[0] * shape[1] or len(entries["lower"]) != len(index):
            raise FileFormatError("the record of critical_radius has points of another shape; was it edited?")
        device = self.lower.device
        self.lower[index] = torch.tensor(entries["lower"], dtype=torch.float64, device=device)
        self.seconds[index] = torch.tensor(entries["seconds"], dtype=torch.float64, device=device)
        self.searched[index] = entries["searched"]
        return torch.tensor(given.astype(np.float64)).view(shape).to(self.breaks.x)


def _holds_radii(batch: Mapping[str, Any]) -> bool:
    known = [radius for radius in batch["upper"] if radius is not None]
    lists = (known, batch["lower"], batch["seconds"])
    base64.b64decode(batch["x"], validate=True)
    return (
        len(batch["lower"]) == len(batch["seconds"]) == len(batch["upper"]) > 0
        and all(math.isfinite(value) and value >= 0 for part in lists for value in part)
        and batch["dtype"] in ("<f4", "<f8")
        and isinstance(batch["searched"], bool)
    )


RADII = RecordKind("critical_radius", "relu_attack critical radius 1", _holds_radii)
"""Records of `critical_radius`: the entries of `Radii`."""
