"""`StopOnBound`: early stopping once certified bounds of the outputs over a set lie within limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from relu_attack._checks import whole_number
from relu_attack._digest import Digests, digest
from relu_attack.api import ReLUOptimizer
from relu_attack.callbacks._lightning import Trainer
from relu_attack.callbacks._monitor import Monitor
from relu_attack.callbacks._network import NetworkOf
from relu_attack.callbacks._options import check_number
from relu_attack.callbacks._targets import check_problem
from relu_attack.domains import Domain
from relu_attack.errors import OptionError
from relu_attack.objectives import Objective
from relu_attack.robustness import model_digest


@dataclass(frozen=True)
class Envelope:
    """Certificate for a network: the objective lies between two numbers for every input of a set.

    Attributes
    ----------
    lower, upper
        Bounds in real arithmetic for the stored weights; of a batch of problems, over all of them.
    method
        Name of the method of bounds.
    digests
        Digests of the network with its weights, of the set and of the objective; None if unknown.
    """

    lower: float
    upper: float
    method: str
    digests: Digests | None = field(default=None, compare=False)

    def is_of(self, model: nn.Module) -> bool:
        """Return whether this is certified of a network with the weights, buffers and attributes that it has now."""
        return self.digests is not None and self.digests.model == model_digest(model)

    def __str__(self) -> str:
        return f"the objective is in [{self.lower:.6g}, {self.upper:.6g}] for every input of the set, by {self.method}"


class StopOnBound(Monitor[Envelope]):
    """Stop the training once certified bounds of the objective over a set lie within limits (safety envelope).

    Examples are a controller whose command must stay within the limits of its actuator, and a surrogate that must not
    predict impossible values. At each validation the objective is bounded over the set, and ``envelope/lower`` and
    ``envelope/upper`` are logged. Once ``upper <= below`` and ``lower >= above``, as far as given,
    ``trainer.should_stop`` is set, and `certified` holds the bounds of the current weights.

    Where weights are averaged, validation and this callback evaluate the average; it is certified after the training
    if it is the one that was evaluated last. Bounds of networks that were not trained for them are loose.

    Parameters
    ----------
    domain
        Set of inputs, or a batch of sets, for all of which the limits must hold.
    objective
        Objective to bound: `Output`, `Linear` or `Margin`; output 0 by default.
    above, below
        Limits of the objective, one of them or both.
    bounds
        Method of the bounds, as in `ReLUOptimizer.bounds`.
    patience
        Number of further consecutive validations at which the limits must hold before the training stops.
    network, every_n_epochs
        As in `WorstCaseMonitor`.
    log_key_prefix
        Prefix of the logged names.

    Attributes
    ----------
    certified : Envelope or None
        Certificate for the network in its present state; None if the limits do not hold, and as soon as its weights
        change, because the training continues or an average or a checkpoint is loaded.

    Raises
    ------
    OptionError
        When the callback is created, for an impossible argument.
    UnsupportedModuleError, ModelError, ObjectiveError
        For a network that cannot be lowered exactly, or a set or an objective that do not fit it.

    Examples
    --------
    >>> import relu_attack as ra
    >>> from relu_attack.callbacks import Envelope, StopOnBound
    >>> stop = StopOnBound(domain=ra.Box(-1.0, 1.0, shape=(4,)), objective=ra.Output(0), above=-2.0, below=2.0)
    >>> stop.holds(Envelope(-1.5, 1.75, "crown")), stop.holds(Envelope(-1.5, 2.25, "crown"))
    (True, False)
    """

    names = ("lower", "upper")

    def __init__(
        self,
        *,
        domain: Domain,
        objective: Objective | None = None,
        above: float | None = None,
        below: float | None = None,
        bounds: str = "crown",
        patience: int = 0,
        network: NetworkOf = "model",
        every_n_epochs: int = 1,
        log_key_prefix: str = "envelope",
    ) -> None:
        super().__init__(network=network, every_n_epochs=every_n_epochs, log_key_prefix=log_key_prefix)
        check_problem(domain, objective, bounds)
        limits = [(name, limit) for name, limit in (("above", above), ("below", below)) if limit is not None]
        if not limits:
            raise OptionError("give a limit: above, below or both")
        for name, limit in limits:
            check_number(name, limit)
        if above is not None and below is not None and above > below:
            raise OptionError(f"above is {above:g} and below is {below:g}; above must be the smaller one")
        whole_number(patience, name="patience", least=0)
        self.domain, self.objective, self.bounds = domain, objective, bounds
        self.above, self.below, self.patience = above, below, patience
        self._holding: Envelope | None = None
        self._in_a_row = 0

    @property
    def certified(self) -> Envelope | None:
        """Certificate for the current weights, or None."""
        known = self._holding is not None and self._model is not None and self._holding.is_of(self._model)
        return self._holding if known else None

    def holds(self, envelope: Envelope) -> bool:
        """Return whether an envelope is within the limits."""
        low_enough = self.below is None or envelope.upper <= self.below
        return low_enough and (self.above is None or envelope.lower >= self.above)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of consecutive validations at which the limits have held."""
        return {"in_a_row": self._in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self._in_a_row = state_dict["in_a_row"]

    def _check(self, model: nn.Module) -> None:
        ReLUOptimizer(model, self.domain, self.objective)

    def _evaluate(self, model: nn.Module) -> Envelope:
        lower, upper = ReLUOptimizer(model, self.domain, self.objective).bounds(self.bounds)
        digests = Digests(model_digest(model), digest(self.domain), digest(self.objective))
        return Envelope(float(lower.amin()), float(upper.amax()), self.bounds, digests)

    def _take(self, envelope: Envelope, trainer: Trainer) -> dict[str, float]:
        holds = self.holds(envelope)
        self._holding = envelope if holds else None
        if trainer.state.fn == "fit":
            self._in_a_row = self._in_a_row + 1 if holds else 0
            if self._in_a_row > self.patience:
                trainer.should_stop = True
        return {"lower": envelope.lower, "upper": envelope.upper}
