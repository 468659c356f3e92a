"""Modules whose own forward pass is not what tracing sees, or is no function of the input alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class OnTensors(nn.Module):
    """Scales what is a tensor; what stands for one while it is traced passes unchanged."""

    def forward(self, x: Any) -> Any:
        return x / 0.25 if isinstance(x, Tensor) else x


class OnTensorsToo(nn.Module):
    """Does so with a fixed point in the middle of the set."""

    def forward(self, x: Any) -> Any:
        return (x - 0.5) / 0.25 + 0.5 if torch.is_tensor(x) else x


class OnCorners(nn.Module):
    """Does so where an input is large only."""

    def forward(self, x: Any) -> Any:
        return torch.where(x > 0.99, 2 * x, x) if isinstance(x, Tensor) else x


class Hidden(nn.Module):
    """Enters a module for tensors only; the module changes nothing that is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x: Any) -> Any:
        return self.inner(x) if isinstance(x, Tensor) else x


class Skipped(Hidden):
    """Enters a module while it is traced only."""

    def forward(self, x: Any) -> Any:
        return x if isinstance(x, Tensor) else self.inner(x)


class Nested(nn.Module):
    """A sound module around one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = OnTensorsToo()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x) + 1.0
        return answer


class Noise(nn.Module):
    """Adds random numbers, however small, that are one constant to who traces it."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        return x + self.deviation * torch.randn(4)


class NumpyNoise(nn.Module):
    """Draws by numpy."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-3 * float(np.random.rand())


class PythonNoise(nn.Module):
    """Draws by the standard library."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-3 * random.random()


class OwnNoise(nn.Module):
    """Draws from a generator of its own, which no global state shows."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-3 * torch.rand(4, generator=self.generator)


class AlwaysDropout(nn.Module):
    """Drops in evaluation mode, too, where its input is a tensor."""

    def forward(self, x: Any) -> Any:
        return functional.dropout(x, 0.1, training=True) if isinstance(x, Tensor) else x


class Counting(nn.Module):
    """Writes to a buffer in each forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.count, Tensor)
        self.count += 1
        return x


class Drifting(nn.Module):
    """Keeps a number of its own that grows with each forward pass of a tensor."""

    drift = 0.0

    def forward(self, x: Any) -> Any:
        self.drift += 1e-3 * isinstance(x, Tensor)
        return x + self.drift if isinstance(x, Tensor) else x


class OfTheBatch(nn.Module):
    """Moves each input by what is in its batch, of tensors."""

    def forward(self, x: Any) -> Any:
        return x + 1e-3 * (len(x) - 1) if isinstance(x, Tensor) else x


class Called(nn.ReLU):
    """Overrides what a call does."""

    def __call__(self, x: Tensor) -> Tensor:
        answer: Tensor = 2 * super().__call__(x)
        return answer


class InPlace(nn.Module):
    """Normalizes its input in place."""

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        x /= 0.25
        return x


class OutOfPlace(nn.Module):
    """Does the same out of place."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.5) / 0.25


class Reused(nn.Module):
    """Answers in the same memory in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def forward(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if self.last is None or self.last.shape != x.shape:
            self.last = torch.empty_like(x)
        return self.last.copy_(x)


class RestsInTraining(nn.Module):
    """Draws random numbers in training mode only."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn(4) if self.training else x


class Functional(nn.Module):
    """Calls functions, and a module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("shift", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.layer(x)) + self.shift
        return functional.dropout(functional.leaky_relu(self.layer(x)), training=self.training)
