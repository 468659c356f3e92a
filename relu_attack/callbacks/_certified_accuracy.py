"""`CertifiedAccuracyMonitor`: clean, attacked and certified accuracy during the training of a classifier."""

from __future__ import annotations

from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack._names import checked_names
from relu_attack.callbacks._batch import BatchKeys, Keys, Samples
from relu_attack.callbacks._lightning import Trainer
from relu_attack.callbacks._monitor import Monitor
from relu_attack.callbacks._network import NetworkOf
from relu_attack.callbacks._options import AttackOptions
from relu_attack.robustness import AttackArguments, Clip, RobustAccuracy, robust_accuracy


class CertifiedAccuracyMonitor(Monitor[RobustAccuracy]):
    """Log the accuracy of a classifier on fixed samples when each may be moved within a ball.

    Logged are three shares, in this order:

    - ``accuracy/certified``, proven correct on the whole ball: a lower bound of the accuracy in the worst case,
    - ``accuracy/attacked``, not misclassified at any input found in the ball: an upper bound of it,
    - ``accuracy/clean``, correct at the sample itself.

    Parameters
    ----------
    radius
        Radius of the ball around each sample.
    samples
        Pair (x, labels) with x of shape (samples, \\*shape), or the number of samples to take from the first batches of
        the validation data, all if there are fewer; fixed for the whole training.
    norm, clip, normalize, method, restarts, iterations, time_limit, seed
        As in `worst_case`.
    network, keys, every_n_epochs
        As in `WorstCaseMonitor`.
    log_key_prefix
        Prefix of the logged names.

    Attributes
    ----------
    accuracy : RobustAccuracy or None
        The last result, with the margins of each sample.

    Raises
    ------
    OptionError, DomainError
        When the callback is created, for an impossible argument.
    UnsupportedModuleError, ModelError, ObjectiveError
        For a network that cannot be lowered exactly or is not a classifier of such samples.

    Examples
    --------
    >>> from relu_attack.callbacks import CertifiedAccuracyMonitor
    >>> monitor = CertifiedAccuracyMonitor(radius=0.05, samples=128, every_n_epochs=5)
    >>> monitor.log_key_prefix  # ModelCheckpoint(monitor="accuracy/certified", mode="max") keeps the safest weights
    'accuracy'
    """

    names = ("clean", "attacked", "certified")

    @checked_names(steps="iterations")
    def __init__(
        self,
        *,
        radius: float,
        samples: int | tuple[Tensor, Tensor] = 64,
        norm: str = AttackArguments.norm,
        clip: Clip | None = AttackArguments.clip,
        normalize: tuple[ArrayLike, ArrayLike] | None = AttackArguments.normalize,
        method: str = AttackArguments.method,
        restarts: int | None = AttackArguments.restarts,
        iterations: int = AttackArguments.iterations,
        time_limit: float | None = AttackArguments.time_limit,
        seed: int = AttackArguments.seed,
        network: NetworkOf = "model",
        keys: Keys = (0, 1),
        every_n_epochs: int = 1,
        log_key_prefix: str = "accuracy",
    ) -> None:
        source = Samples(samples, BatchKeys(keys))
        super().__init__(network=network, every_n_epochs=every_n_epochs, log_key_prefix=log_key_prefix, samples=source)
        self._source = source
        self._attack = AttackOptions(
            radius=radius,
            norm=norm,
            clip=clip,
            normalize=normalize,
            method=method,
            restarts=restarts,
            iterations=iterations,
            time_limit=time_limit,
            seed=seed,
        )
        self.accuracy: RobustAccuracy | None = None

    def _evaluate(self, model: nn.Module) -> RobustAccuracy:
        options = self._attack.options()
        accuracy = robust_accuracy(model, [self._source.get()], self._attack.radius, progress=False, **options)
        if not accuracy.complete:
            raise KeyboardInterrupt
        return accuracy

    def _take(self, accuracy: RobustAccuracy, trainer: Trainer) -> dict[str, float]:
        self.accuracy = accuracy
        assert accuracy.certified is not None
        return {"clean": accuracy.clean, "attacked": accuracy.attacked, "certified": accuracy.certified}
