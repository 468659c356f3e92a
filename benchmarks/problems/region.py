"""Sets as plain arrays, so that peers need nothing of the package, and the check of a returned point."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


def _no_rows() -> Array:
    return np.zeros((0, 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """The inputs between bounds that satisfy rows, or lie in a ball, or are whole where they must be.

    Attributes
    ----------
    lower, upper
        Bounds, infinite where there is none, (inputs,).
    A, b, A_eq, b_eq
        Inequalities ``A x <= b`` and equations.
    norm, center, radius
        ``"l1"`` or ``"l2"`` for a ball within the bounds, or an empty string.
    integer, one_hot
        Inputs that must be whole, and groups of which one is 1.
    shape
        Shape of an input of the network.
    """

    lower: Array
    upper: Array
    A: Array = field(default_factory=_no_rows)
    b: Array = field(default_factory=lambda: np.zeros(0))
    A_eq: Array = field(default_factory=_no_rows)
    b_eq: Array = field(default_factory=lambda: np.zeros(0))
    norm: str = ""
    center: Array = field(default_factory=lambda: np.zeros(0))
    radius: float = 0.0
    integer: tuple[int, ...] = ()
    one_hot: tuple[tuple[int, ...], ...] = ()
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        inputs = len(self.lower)
        for name in ("A", "A_eq"):
            if getattr(self, name).size == 0:
                object.__setattr__(self, name, np.zeros((0, inputs)))
        if not self.shape:
            object.__setattr__(self, "shape", (inputs,))

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self.lower)

    @property
    def bounded(self) -> bool:
        """Whether every input has both bounds."""
        return bool(np.isfinite(self.lower).all() and np.isfinite(self.upper).all())

    @property
    def is_box(self) -> bool:
        """Whether there are only bounds."""
        return not (self.norm or self.integer or self.one_hot or len(self.A) or len(self.A_eq)) and self.bounded

    def rows(self) -> tuple[Array, Array, Array]:
        """Return all rows with norm 1 and their lower and upper sides; rows of one-hot groups are among them."""
        groups = np.zeros((len(self.one_hot), self.inputs))
        for row, group in zip(groups, self.one_hot, strict=True):
            row[list(group)] = 1.0
        matrix = np.vstack([self.A, self.A_eq, groups])
        low = np.concatenate([np.full(len(self.A), -np.inf), self.b_eq, np.ones(len(groups))])
        high = np.concatenate([self.b, self.b_eq, np.ones(len(groups))])
        norms = np.linalg.norm(matrix, axis=1)
        return matrix / norms[:, None], low / norms, high / norms

    def violation(self, x: Array) -> Array:
        """Return by how much points (..., inputs) are outside, relative to the scale of what they violate.

        The scale of a row of norm 1 is what its terms range over between the bounds, at most the larger of |b| and 1;
        that of a bound is the width of the input, at most the larger bound; that of a ball its radius.
        """
        width = self.upper - self.lower
        largest = np.maximum(*(np.where(np.isfinite(end), np.abs(end), 0.0) for end in (self.lower, self.upper)))
        scale = np.minimum(width, largest)
        scale = np.where(scale > 0, scale, 1.0)
        parts = [np.maximum(np.maximum(self.lower - x, x - self.upper) / scale, 0.0).max(-1)]
        matrix, low, high = self.rows()
        if len(matrix):
            reach = (np.abs(matrix) * np.where(np.isfinite(width), width, np.finfo(float).max)).sum(1)
            sizes = np.minimum(reach, np.maximum(np.abs(high), 1.0))
            value = x @ matrix.T
            parts.append(np.maximum(np.maximum(low - value, value - high) / sizes, 0.0).max(-1))
        if self.norm:
            size = np.linalg.norm(x - self.center, ord={"l1": 1, "l2": 2}[self.norm], axis=-1)
            parts.append(np.maximum(size / self.radius - 1, 0.0))
        if self.integer:
            whole = x[..., list(self.integer)]
            parts.append(np.abs(whole - np.round(whole)).max(-1))
        found: Array = np.maximum.reduce(parts)
        return np.where(np.isfinite(x).all(-1), found, np.inf)
