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
        They hold in real arithmetic for the weights as they are stored. Of a batch of problems, over all of them.
    method
        Name of the method of bounds.
    digests
        Of the network with the weights that this is certified of, the set and the objective; None where unknown.
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

    For a controller whose command must stay within its actuator's limits, or a surrogate that must not predict the
    impossible. At each validation the objective is bounded over the set, and ``envelope/lower`` and ``envelope/upper``
    are logged. The limits hold when ``upper <= below`` and ``lower >= above``, those of the two that are given; then
    ``trainer.should_stop`` is set, and `certified` says what is proven of the weights as they are.

    Where weights are averaged, validation and this callback look at the average; after the training it is certified if
    it is the one that was looked at last.

    Bounds are loose for networks that were not trained for them, so an envelope may hold and not be proven.

    Parameters
    ----------
    domain
        The set of inputs, or a batch of sets: then the limits hold for all.
    objective
        What is bounded: `Output`, `Linear` or `Margin`; output 0 by default.
    above, below
        The limits, one of them or both.
    bounds
        Method of the bounds, see `ReLUOptimizer.bounds`.
    patience
        For how many further validations in a row the limits must hold before the training stops; 0 by default.
    network, every_n_epochs
        As in `WorstCaseMonitor`.
    log_key_prefix
        In place of ``envelope`` in the names above.

    Attributes
    ----------
    certified : Envelope or None
        What is proven of the network as it is when this is read; None where the limits do not hold, and as soon as its
        weights are others, as when the training goes on, or an average or a checkpoint is put in.

    Raises
    ------
    OptionError
        At once, for an argument that cannot be used.
    UnsupportedModuleError, ModelError, ObjectiveError
        When the network has no exact form here, or the set and the objective do not fit it.

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
        """Return for how many validations in a row the limits have held."""
        return {"in_a_row": self._in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self._in_a_row = state_dict["in_a_row"]

    def _check(self, model: nn.Module) -> None:
        ReLUOptimizer(model, self.domain, self.objective)

    def _look(self, model: nn.Module) -> Envelope:
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
