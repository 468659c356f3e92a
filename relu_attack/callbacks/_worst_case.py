"""`WorstCaseMonitor`: worst-case objective value over a set, logged after each validation epoch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from relu_attack._checks import ArrayLike, whole_number
from relu_attack._names import checked_names, one_of
from relu_attack.callbacks._batch import BatchKeys, Keys, Samples
from relu_attack.callbacks._images import log_images
from relu_attack.callbacks._lightning import Trainer
from relu_attack.callbacks._monitor import Monitor
from relu_attack.callbacks._network import NetworkOf
from relu_attack.callbacks._options import AttackOptions
from relu_attack.callbacks._targets import MonitorTarget, NearSamples, OverDomain, WorstInputs
from relu_attack.domains import Domain
from relu_attack.errors import OptionError
from relu_attack.objectives import Objective
from relu_attack.robustness import AttackArguments, Clip
from relu_attack.solvers import SearchArguments

REDUCTIONS = ("max", "mean")


class WorstCaseMonitor(Monitor[WorstInputs]):
    """Log the worst case of the network during training: the value found, a certified bound, and the gap.

    With a `domain` the value is the largest objective over it; with a `radius` it is the largest margin of a wrong
    class at an input near each sample, above 0 where the classifier is broken. Logged are

    - ``worst_case/value``, a forward pass of the network at an input of the set,
    - ``worst_case/bound``, an upper bound over the set in real arithmetic,
    - ``worst_case/gap``, their difference: the true worst case lies between them.

    Each search begins from the worst inputs of the one before.

    Parameters
    ----------
    domain
        Set of inputs, or a batch of sets.
    objective
        Objective to maximize: `Output`, `Linear` or `Margin`; output 0 by default. `Linear` with a negative weight
        gives the smallest output.
    radius
        Radius of the ball around each sample.
    samples
        Pair (x, labels) with x of shape (samples, \\*shape), or the number of samples to take from the first batches of
        the validation data, all if there are fewer; fixed for the whole training. 64 by default.
    norm, clip, normalize
        As in `worst_case`; for a `radius` only.
    method
        Method of `ReLUOptimizer.maximize` or, for a `radius`, of `worst_case`; ``"auto"`` by default.
    restarts, iterations, time_limit
        Walkers, steps of each walker, and seconds for each search. The default is one second over a domain, and 10
        walkers of 40 steps near samples. A search that is limited by time depends on the machine; one that is limited
        by steps is reproducible.
    bounds
        Method of the certified bound over a domain, as in `ReLUOptimizer.bounds`; near samples it is CROWN.
    reduction
        ``"max"`` or ``"mean"`` over several problems or samples, of the values and of the bounds.
    images
        Number of worst-case inputs that are logged as images, if they have shape (1 or 3, height, width); 8 by
        default.
    seed
        Seed of the first search, incremented for each later one.
    network
        Name of the attribute of the LightningModule that holds the network, ``"model"`` by default, or a function from
        the module to it.
    keys
        Position of samples and labels in a batch: indices of a sequence or keys of a mapping.
    every_n_epochs
        Number of epochs between two searches, each at the end of validation.
    log_key_prefix
        Prefix of the logged names.

    Attributes
    ----------
    worst_inputs : Tensor or None
        Worst-case inputs of the last search, on the CPU, shape (problems or samples, \\*shape of one input).
    answer : WorstInputs or None
        Result of the last search: `x`, and `value` and `bound` of each problem or sample.

    Raises
    ------
    OptionError, DomainError
        When the callback is created, for an impossible argument.
    UnsupportedModuleError, ModelError, ObjectiveError
        For a network that cannot be lowered exactly, or a set or an objective that do not fit it.

    Examples
    --------
    >>> import relu_attack as ra
    >>> from relu_attack.callbacks import WorstCaseMonitor
    >>> box = ra.Box(-1.0, 1.0, shape=(4,))
    >>> monitor = WorstCaseMonitor(domain=box, objective=ra.Output(0), method="ppga_lr", iterations=100)
    >>> monitor.state_key  # and beside it, for example, EarlyStopping("worst_case/value")
    "WorstCaseMonitor{'log_key_prefix': 'worst_case'}"
    """

    names = ("value", "bound", "gap")

    @checked_names(steps="iterations")
    def __init__(
        self,
        *,
        domain: Domain | None = None,
        objective: Objective | None = None,
        radius: float | None = None,
        samples: int | tuple[Tensor, Tensor] | None = None,
        norm: str = AttackArguments.norm,
        clip: Clip | None = AttackArguments.clip,
        normalize: tuple[ArrayLike, ArrayLike] | None = AttackArguments.normalize,
        method: str | None = None,
        restarts: int | None = AttackArguments.restarts,
        iterations: int | None = None,
        time_limit: float | None = AttackArguments.time_limit,
        bounds: str = "crown",
        reduction: str = "max",
        images: int = 8,
        seed: int = AttackArguments.seed,
        network: NetworkOf = "model",
        keys: Keys = (0, 1),
        every_n_epochs: int = 1,
        log_key_prefix: str = "worst_case",
    ) -> None:
        if (domain is None) == (radius is None):
            raise OptionError("give either a domain, to search as a whole, or a radius, to search near samples")
        one_of(reduction, REDUCTIONS, name="reduction")
        whole_number(images, name="images", least=0)
        self._target: MonitorTarget
        source: Samples | None = None
        if domain is not None:
            if samples is not None:
                raise OptionError("samples go with a radius, not with a domain")
            self._target = OverDomain(
                domain=domain,
                objective=objective,
                method=SearchArguments.method if method is None else method,
                restarts=restarts,
                iterations=iterations,
                time_limit=time_limit,
                bounds=bounds,
                seed=seed,
            )
        else:
            assert radius is not None
            if objective is not None or bounds != "crown":
                raise OptionError("objective and bounds go with a domain; with a radius margins are bounded by CROWN")
            attack = AttackOptions(
                radius=radius,
                norm=norm,
                clip=clip,
                normalize=normalize,
                method=AttackArguments.method if method is None else method,
                restarts=restarts,
                iterations=AttackArguments.iterations if iterations is None else iterations,
                time_limit=time_limit,
                seed=seed,
            )
            source = Samples(64 if samples is None else samples, BatchKeys(keys))
            self._target = NearSamples(attack=attack, samples=source)
        super().__init__(network=network, every_n_epochs=every_n_epochs, log_key_prefix=log_key_prefix, samples=source)
        self.reduction = reduction
        self.images = images
        self.worst_inputs: Tensor | None = None
        self.answer: WorstInputs | None = None
        self._searches = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the worst-case inputs, and the number of searches, which seeds depend on."""
        return {"searches": self._searches, "worst_inputs": self.worst_inputs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self._searches, self.worst_inputs = state_dict["searches"], state_dict["worst_inputs"]

    def _check(self, model: nn.Module) -> None:
        self._target.check(model)

    def _evaluate(self, model: nn.Module) -> WorstInputs:
        return self._target.search(model, x0=self.worst_inputs, searches=self._searches)

    def _take(self, answer: WorstInputs, trainer: Trainer) -> dict[str, float]:
        self._searches += 1
        self.answer, self.worst_inputs = answer, answer.x
        if trainer.is_global_zero:
            log_images(trainer, f"{self.log_key_prefix}/inputs", answer.x, self.images)
        value, bound = answer.reduced(self.reduction)
        return {"value": value, "bound": bound, "gap": bound - value}
