"""Targets of `WorstCaseMonitor`: a set of inputs, or neighbourhoods of samples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from relu_attack._checks import whole_number
from relu_attack._digest import Digests, digest
from relu_attack._names import one_of
from relu_attack.api import ReLUOptimizer
from relu_attack.bounds import BOUNDS
from relu_attack.callbacks._batch import Samples
from relu_attack.callbacks._options import AttackOptions
from relu_attack.domains import Domain, check_domain
from relu_attack.errors import OptionError
from relu_attack.objectives import Objective
from relu_attack.result import Status
from relu_attack.robustness import model_digest
from relu_attack.solvers import MethodOptions, find_method

SECONDS = 1.0
"""Time for a search over a set that is given neither steps nor a time limit."""


@dataclass(frozen=True, eq=False)
class WorstInputs:
    """Worst-case inputs found, with values and bounds.

    Inputs have shape (problems, \\*shape of one input), on the CPU. `value` is that of each by a forward pass, and no
    input of its set has a larger one than `bound`, in real arithmetic; both are float64, (problems,). `digests` are of
    the network with the weights of then, the sets and the objective; None where unknown.
    """

    x: Tensor
    value: Tensor
    bound: Tensor
    digests: Digests | None = None

    def reduced(self, reduction: str) -> tuple[float, float]:
        """Return the largest or the mean value, and a bound on it."""
        if reduction == "max":
            return float(self.value.amax()), float(self.bound.amax())
        value, bound = (math.fsum(numbers.tolist()) / len(numbers) for numbers in (self.value, self.bound))
        # Sum and division are rounded, by less than two steps together; a bound is rounded up.
        return value, math.nextafter(math.nextafter(bound, math.inf), math.inf)


class MonitorTarget(ABC):
    """Target of a monitor."""

    @abstractmethod
    def search(self, model: nn.Module, *, x0: Tensor | None, searches: int) -> WorstInputs:
        """Search from the inputs of the last answer, with the seed of that many searches before."""

    def check(self, model: nn.Module) -> None:  # noqa: B027
        """Raise if the model does not fit the target, as far as that is known before the search."""


def check_problem(domain: Domain, objective: Objective | None, bounds: str) -> None:
    """Raise `OptionError` unless these are a set, an objective or None, and the name of a method of bounds."""
    check_domain(domain)
    if objective is not None and not isinstance(objective, Objective):
        raise OptionError(f"objective must be an Output, a Linear or a Margin, got {type(objective).__name__}")
    one_of(bounds, BOUNDS, name="bounds")


@dataclass(frozen=True, kw_only=True, eq=False)
class OverDomain(MonitorTarget):
    """The input of a set with the largest objective, by `ReLUOptimizer.maximize`."""

    domain: Domain
    objective: Objective | None
    method: str | MethodOptions
    restarts: int | None
    iterations: int | None
    time_limit: float | None
    bounds: str
    seed: int

    def __post_init__(self) -> None:
        check_problem(self.domain, self.objective, self.bounds)
        find_method(self.method).budget(iterations=self.iterations, time_limit=self.time_limit)
        if self.restarts is not None:
            whole_number(self.restarts, name="restarts", least=1)
        whole_number(self.seed, name="seed", least=0)

    def check(self, model: nn.Module) -> None:
        ReLUOptimizer(model, self.domain, self.objective)

    def search(self, model: nn.Module, *, x0: Tensor | None, searches: int) -> WorstInputs:
        optimizer = ReLUOptimizer(model, self.domain, self.objective)
        time_limit = SECONDS if self.iterations is None and self.time_limit is None else self.time_limit
        result = optimizer.maximize(
            self.method,
            restarts=self.restarts,
            iterations=self.iterations,
            time_limit=time_limit,
            seed=self.seed + searches,
            x0=x0,
            bound=self.bounds,
        )
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        bound = result.bound
        if not bool(result.certified.all()):  # a bound reported by a mixed-integer solver is no proof
            bound = torch.where(result.certified, bound, optimizer.bounds(self.bounds)[1])
        x = result.x if result.value.dim() else result.x[None]
        digests = Digests(model_digest(model), digest(self.domain), digest(self.objective))
        return WorstInputs(x.cpu(), result.value.reshape(-1).cpu(), bound.reshape(-1).cpu(), digests)


@dataclass(frozen=True, kw_only=True, eq=False)
class NearSamples(MonitorTarget):
    """The input near each sample with the largest margin of a wrong class, by `worst_case`."""

    attack: AttackOptions
    samples: Samples

    def search(self, model: nn.Module, *, x0: Tensor | None, searches: int) -> WorstInputs:
        x, label = self.samples.get()
        worst = replace(self.attack, seed=self.attack.seed + searches)(model, x, label, x0=x0, certify=True)
        assert worst.certified_margin is not None
        return WorstInputs(worst.x.cpu(), worst.margin.cpu(), worst.certified_margin.cpu(), worst.digests)
