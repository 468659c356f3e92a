"""`AdversarialTraining`: training on worst-case inputs near the samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relu_attack._checks import ArrayLike, whole_number
from relu_attack._names import checked_names
from relu_attack.callbacks._batch import BatchKeys, Keys
from relu_attack.callbacks._lightning import Callback, LightningModule, Trainer
from relu_attack.callbacks._monitor import check_prefix
from relu_attack.callbacks._network import NetworkOf, check_network, find_network
from relu_attack.callbacks._options import AttackOptions, check_number
from relu_attack.errors import OptionError
from relu_attack.robustness import AttackArguments, Clip


class AdversarialTraining(Callback):
    """Replace a part of each training batch by the worst inputs near its samples (Madry et al., arXiv 1706.06083).

    Before each training step `worst_case` perturbs the first samples of the batch, whose labels stay the same. In a
    batch that is a list or a mapping, as the default collation makes them, the tensor of samples is replaced; in a
    tuple its numbers are overwritten, and restored after the step. With several processes each perturbs its own
    batches. Logged at each epoch are

    - ``adversarial/radius``, which grows during the warm-up,
    - ``adversarial/broken``, the share of the perturbed samples that the network misclassifies.

    Parameters
    ----------
    radius
        Radius of the perturbations after the warm-up.
    share
        Share of each batch that is perturbed, above 0 and at most 1.
    warmup_epochs
        Number of epochs with a smaller radius: that of epoch e, from 0, is ``radius`` times
        ``min(1, (e + 1) / (warmup_epochs + 1))``.
    norm, clip, normalize
        As in `worst_case`.
    method, restarts, iterations
        As in `worst_case`; by default one walker of 4 steps.
    seed
        Seed of the first batch, incremented for each later one.
    network, keys
        As in `WorstCaseMonitor`.
    log_key_prefix
        Prefix of the logged names.

    Raises
    ------
    OptionError, DomainError
        When the callback is created, for an impossible argument.
    UnsupportedModuleError, ModelError, ObjectiveError
        During training, for a network that cannot be lowered exactly or is not a classifier of such samples.

    Examples
    --------
    >>> from relu_attack.callbacks import AdversarialTraining
    >>> training = AdversarialTraining(radius=0.1, share=0.5, warmup_epochs=3)
    >>> [round(training.radius_at(epoch), 6) for epoch in range(5)]
    [0.025, 0.05, 0.075, 0.1, 0.1]
    """

    @checked_names(steps="iterations")
    def __init__(
        self,
        *,
        radius: float,
        share: float = 0.5,
        warmup_epochs: int = 0,
        norm: str = AttackArguments.norm,
        clip: Clip | None = AttackArguments.clip,
        normalize: tuple[ArrayLike, ArrayLike] | None = AttackArguments.normalize,
        method: str = AttackArguments.method,
        restarts: int = 1,
        iterations: int = 4,
        seed: int = AttackArguments.seed,
        network: NetworkOf = "model",
        keys: Keys = (0, 1),
        log_key_prefix: str = "adversarial",
    ) -> None:
        super().__init__()
        self._attack = AttackOptions(
            radius=radius,
            norm=norm,
            clip=clip,
            normalize=normalize,
            method=method,
            restarts=restarts,
            iterations=iterations,
            time_limit=None,
            seed=seed,
        )
        check_number("share", share)
        if not 0 < share <= 1:
            raise OptionError(f"share must be above 0 and at most 1, got {share!r}")
        whole_number(warmup_epochs, name="warmup_epochs", least=0)
        check_network(network)
        check_prefix(log_key_prefix)
        self.radius, self.share, self.warmup_epochs = radius, share, warmup_epochs
        self.network = network
        self.log_key_prefix = log_key_prefix
        self._keys = BatchKeys(keys)
        self._batches = 0
        self._undo: Callable[[], None] | None = None

    @property
    def state_key(self) -> str:
        """Name under which checkpoints keep the state."""
        return self._generate_state_key(log_key_prefix=self.log_key_prefix)

    def radius_at(self, epoch: int) -> float:
        """Return the radius of an epoch, from 0."""
        return self.radius * min(1.0, (epoch + 1) / (self.warmup_epochs + 1))

    def state_dict(self) -> dict[str, Any]:
        """Return the number of batches that were perturbed, which seeds depend on."""
        return {"batches": self._batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self._batches = state_dict["batches"]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Perturb the first samples of the batch."""
        x, label = self._keys.read(batch)
        count = round(self.share * len(x))
        if count == 0:
            return
        radius = self.radius_at(trainer.current_epoch)
        attack = replace(self._attack, radius=radius, seed=self._attack.seed + self._batches)
        worst = attack(find_network(pl_module, self.network), x[:count], label[:count])
        self._batches += 1
        moved = x.clone()
        moved[:count] = worst.x.to(x.dtype)
        self._undo = self._keys.replace(batch, moved)
        for name, number in (("radius", radius), ("broken", float(worst.success.double().mean()))):
            key = f"{self.log_key_prefix}/{name}"
            pl_module.log(key, number, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Restore the samples of the batch."""
        self._put_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the samples of the batch."""
        self._put_back()

    def _put_back(self) -> None:
        if self._undo is not None:
            self._undo()
            self._undo = None
