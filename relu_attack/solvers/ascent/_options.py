"""Options of the gradient walks."""

from __future__ import annotations

from dataclasses import dataclass

from relu_attack.errors import OptionError

# Shortest steps of PPGA_LR on boxes, and on other sets, along whose boundaries walkers slide as they climb: they end
# 0.4 % higher on L2 balls with 200 inputs and between slabs, and level or higher on two other polytopes.
SHORTEST, SHORTEST_FINE = 2e-3, 5e-5
# Factors on steps without gain, likewise: where walkers slide, what a step loses the next ones bring back. With 0.6
# they end 0.05 to 1.5 % higher on six of nine sets that are no boxes and up to 0.08 % lower on two; over boxes, level.
TRIM, TRIM_FINE = 0.3, 0.6


@dataclass(frozen=True, kw_only=True)
class GradientWalk:
    """Options of every gradient walk.

    Attributes
    ----------
    learning_rate
        Raw gradient step ``x + learning_rate * gradient`` in the user's coordinates. By default steps are
        relative: `step` times the size of the set, along the normalized gradient.
    step
        Relative step length: the length of a move over that of the diagonal of the set's bounding box.
    window
        Steps between two checks for stalled walkers.
    tolerance
        Relative gain over a window below which a walker counts as stalled.
    capture
        Whether the steps of a window are recorded once as a CUDA graph and launched together, on a device with CUDA:
        for small networks, where launching kernels takes longer than running them. The time is then read once a
        window. A recorded path needs every step, and is walked step by step.
    """

    learning_rate: float | None = None
    step: float = 0.1
    window: int = 10
    tolerance: float = 1e-4
    capture: bool = False

    def __post_init__(self) -> None:
        for name in ("learning_rate", "step", "window"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{name} must be a positive number, got {value}")
        if not isinstance(self.window, int):
            raise OptionError(f"window must be a whole number of steps, got {self.window}")
        if not isinstance(self.capture, bool):
            raise OptionError(f"capture must be True or False, got {self.capture!r}")
        if not self.tolerance >= 0:
            raise OptionError(f"tolerance must not be negative, got {self.tolerance}")


@dataclass(frozen=True, kw_only=True)
class PPGA(GradientWalk):
    """Options of the walks that perturb stalled walkers.

    Attributes
    ----------
    radius
        Standard deviation of the first perturbation, in widths of the set.
    radius_growth
        Factor on the radius each time that a walker falls back to a maximum that is no better.
    """

    radius: float = 0.3
    radius_growth: float = 1.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.radius <= 1:
            raise OptionError(f"radius must be in (0, 1] widths of the set, got {self.radius}")
        if not 1 <= self.radius_growth < float("inf"):
            raise OptionError(f"radius_growth must be at least 1, got {self.radius_growth}")


@dataclass(frozen=True, kw_only=True)
class PPGALR(PPGA):
    """Options of PPGA_LR; step lengths are relative, as `step` is.

    Attributes
    ----------
    longest_step, shortest_step
        An excursion begins with a step drawn between `step` and `longest_step`, log-uniformly, so that walkers differ,
        and ends once no step down to `shortest_step` gains: by default 2e-3 where the set is a box and 5e-5 where it is
        not. A raw `learning_rate` sets the very first step instead.
    growth, trim
        Factors on the step after a window that was still rising at its end, and after one without gain; the latter is
        0.3 by default where the set is a box and 0.6 where it is not.
    overshoot
        How far past the boundary of the linear region the valve goes, as a share of the way to it.
    """

    longest_step: float = 10.0
    shortest_step: float | None = None
    growth: float = 2.0
    trim: float | None = None
    overshoot: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        shortest = min(SHORTEST_FINE, self.step) if self.shortest_step is None else self.shortest_step
        if not 0 < shortest <= self.step <= self.longest_step:
            raise OptionError(
                "steps must satisfy 0 < shortest_step <= step <= longest_step, "
                f"got {shortest}, {self.step}, {self.longest_step}"
            )
        trim = TRIM if self.trim is None else self.trim
        if not (1 <= self.growth < float("inf") and 0 < trim < 1 and 0 <= self.overshoot < float("inf")):
            raise OptionError(
                "growth must be at least 1, trim in (0, 1), overshoot at least 0, and all of them finite, "
                f"got {self.growth}, {trim}, {self.overshoot}"
            )
