"""What a probe is, and what the probes share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

import relu_attack as ra


@dataclass(frozen=True)
class Observed:
    """What happened, in a few words, and whether it is what was expected."""

    text: str
    holds: bool


@dataclass(frozen=True)
class Probe:
    """A fault: its kind, what is expected, what runs it, and the test that holds it from then on."""

    name: str
    kind: str
    expected: str
    test: str
    run: Callable[[], Observed]


PROBES: dict[str, Probe] = {}


def probe(kind: str, expected: str, test: str) -> Callable[[Callable[[], Observed]], Callable[[], Observed]]:
    """Register a probe under the name of its function."""

    def register(run: Callable[[], Observed]) -> Callable[[], Observed]:
        PROBES[run.__name__] = Probe(run.__name__, kind, expected, test, run)
        return run

    return register


def linear(weight: Sequence[Sequence[float]], bias: Sequence[float], dtype: torch.dtype = torch.float64) -> nn.Linear:
    """Return a layer with these numbers."""
    layer = nn.Linear(len(weight[0]), len(weight), dtype=dtype).requires_grad_(False)
    layer.weight.copy_(torch.tensor(weight, dtype=torch.float64))
    layer.bias.copy_(torch.tensor(bias, dtype=torch.float64))
    return layer


def dense(*widths: int, seed: int = 0) -> nn.Sequential:
    """Return a network of dense layers with torch's own initial weights."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval().requires_grad_(False)


def double(*values: float) -> Tensor:
    """Return a float64 vector."""
    return torch.tensor(values, dtype=torch.float64)


def upper_bounds(model: nn.Module, domain: ra.Domain, methods: Sequence[str]) -> dict[str, float]:
    """Return the upper bound of output 0 by each method."""
    optimizer = ra.ReLUOptimizer(model, domain)
    return {method: float(optimizer.bounds(method=method)[1]) for method in methods}


def at_least(bounds: dict[str, float], exact: Fraction) -> Observed:
    """Compare bounds with an exact value that is attained."""
    below = {method: bound for method, bound in bounds.items() if Fraction(bound) < exact}
    text = f"attained {float(exact):.17g}; " + ", ".join(f"{method} {bound:.6g}" for method, bound in bounds.items())
    return Observed(text, not below)


def refusal(call: Callable[[], object]) -> Observed:
    """Expect a named error of one line."""
    try:
        found = call()
    except ra.ReLUAttackError as error:
        return Observed(f"{type(error).__name__}: {error}", "\n" not in str(error))
    except Exception as error:  # whatever comes from deep inside is what the probe looks for
        return Observed(f"{type(error).__name__}: {' '.join(str(error).split())[:100]}", False)
    return Observed(f"accepted: {found}"[:120], False)
