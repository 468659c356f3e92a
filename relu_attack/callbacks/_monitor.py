"""Base of the monitors: schedule, rank handling and logging."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from relu_attack._checks import whole_number
from relu_attack.callbacks._batch import Samples
from relu_attack.callbacks._lightning import (
    Callback,
    EarlyStopping,
    LightningModule,
    ModelCheckpoint,
    Trainer,
)
from relu_attack.callbacks._network import NetworkOf, check_network, find_network
from relu_attack.callbacks._weights import Weights
from relu_attack.errors import OptionError, ReLUAttackError
from relu_attack.robustness import evaluating

T = TypeVar("T")


def check_prefix(prefix: str) -> None:
    """Raise `OptionError` unless the prefix of the logged names is a word."""
    if not isinstance(prefix, str) or not prefix:
        raise OptionError(f"log_key_prefix must be a word, such as 'worst_case', got {prefix!r}")


class Monitor(Callback, ABC, Generic[T]):
    """A callback that evaluates the network at the end of validation and logs numbers.

    Logged numbers, in float64, are available to `EarlyStopping` and `ModelCheckpoint`. The network is evaluated with
    the weights of the validation, even if a callback that averages weights has removed them before, in evaluation mode
    and without gradients; it is left unchanged, and no random number of the training is drawn. Sanity checks and a
    `fast_dev_run` are skipped.

    An `EarlyStopping` on a number of this monitor waits for the first one. The `every_n_epochs` of a `ModelCheckpoint`
    must be a multiple of that of the monitor.

    With several processes the first one evaluates and broadcasts the result, so that it does not depend on the number
    of processes, and all stop together.

    Parameters
    ----------
    network
        Name of the attribute of the LightningModule that holds the network, or a function from the module to it.
    every_n_epochs
        Number of epochs between two evaluations, besides each call of `Trainer.validate`.
    log_key_prefix
        Prefix of the logged names, before a slash; different for several callbacks of a class.
    samples
        Source of the samples; None for a monitor without samples.
    """

    names: ClassVar[tuple[str, ...]]
    """Logged names, without the prefix."""

    def __init__(
        self, *, network: NetworkOf, every_n_epochs: int, log_key_prefix: str, samples: Samples | None = None
    ) -> None:
        super().__init__()
        check_network(network)
        whole_number(every_n_epochs, name="every_n_epochs", least=1)
        check_prefix(log_key_prefix)
        self.network = network
        self.every_n_epochs = every_n_epochs
        self.log_key_prefix = log_key_prefix
        self._samples = samples
        self._model: nn.Module | None = None
        self._weights: Weights | None = None
        self._waiting: list[EarlyStopping] = []

    @property
    def state_key(self) -> str:
        """Name under which checkpoints keep the state; it contains the prefix, so that several monitors may coexist."""
        return self._generate_state_key(log_key_prefix=self.log_key_prefix)

    @abstractmethod
    def _evaluate(self, model: nn.Module) -> T:
        """Evaluate the network, in the first process only; the result must be picklable."""

    @abstractmethod
    def _take(self, answer: T, trainer: Trainer) -> dict[str, float]:
        """Store the result, in every process, and return the numbers to log."""

    def _check(self, model: nn.Module) -> None:
        """Raise before the training what would otherwise be raised at its first validation."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that there is a validation and a network."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if not trainer.enable_validation:
            raise OptionError(f"{type(self).__name__} evaluates at the end of validation, but this training has none")
        self._let_others_wait(trainer)
        self._model = find_network(pl_module, self.network)
        with _without_gradients(), evaluating(self._model):
            self._check(self._model)

    def _let_others_wait(self, trainer: Trainer) -> None:
        """Prevent callbacks that monitor a number of this one from failing before its first evaluation."""
        keys = [f"{self.log_key_prefix}/{name}" for name in self.names]
        for stop in trainer.early_stopping_callbacks:
            if stop.monitor in keys and stop.strict:
                stop.strict = False
                self._waiting.append(stop)
        for keep in trainer.checkpoint_callbacks:
            if not isinstance(keep, ModelCheckpoint) or keep.monitor not in keys or keep.save_top_k == 0:
                continue
            if (keep.every_n_epochs or 0) % self.every_n_epochs:
                raise OptionError(
                    f"ModelCheckpoint(monitor={keep.monitor!r}) has every_n_epochs={keep.every_n_epochs}, the number "
                    f"is there every {self.every_n_epochs} epochs; give it every_n_epochs={self.every_n_epochs}"
                )

    def _end_waiting(self) -> None:
        while self._waiting:
            self._waiting.pop().strict = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave other callbacks as they were."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave other callbacks as they were."""
        self._end_waiting()
        self._weights = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Store the weights that validation runs on, and samples of its first batches."""
        if dataloader_idx or not trainer.is_global_zero or not self._is_due(trainer):
            return
        if batch_idx == 0:
            with _without_gradients():
                self._weights = Weights(find_network(pl_module, self.network))
        if self._samples is not None:
            self._samples.offer(batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the network and log the numbers."""
        if not self._is_due(trainer):
            return
        self._model = model = find_network(pl_module, self.network)
        with _without_gradients():
            answer = in_first_process(trainer, lambda: self._evaluate_within_weights(model))
            numbers = self._take(answer, trainer)
        self._weights = None
        self._end_waiting()
        for name, number in numbers.items():
            value = torch.tensor(number, dtype=torch.float64, device=pl_module.device)
            # The largest of equal numbers is that number, to the last digit; their mean need not be.
            pl_module.log(f"{self.log_key_prefix}/{name}", value, reduce_fx="max", sync_dist=True, batch_size=1)

    def _evaluate_within_weights(self, model: nn.Module) -> T:
        weights = self._weights or Weights(model)
        with evaluating(model), weights.within(model):
            return self._evaluate(model)

    def _is_due(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return False
        return trainer.state.fn != "fit" or (trainer.current_epoch + 1) % self.every_n_epochs == 0


def in_first_process(trainer: Trainer, work: Callable[[], T]) -> T:
    """Do work in the first process, and broadcast its result, or its error, to all."""
    outcome: T | ReLUAttackError | None = None
    if trainer.is_global_zero:
        try:
            outcome = work()
        except ReLUAttackError as error:
            outcome = error
    outcome = trainer.strategy.broadcast(outcome)
    if isinstance(outcome, ReLUAttackError):
        raise outcome
    assert outcome is not None
    return outcome


@contextmanager
def _without_gradients() -> Iterator[None]:
    """Record no gradients, outside the inference mode of validation, whose tensors could not be used afterwards."""
    with torch.inference_mode(False), torch.no_grad():
        yield
