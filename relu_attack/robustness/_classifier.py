"""The user's classifier: run as it is for values, and as a chain for the search and for proofs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike, all_finite, as_tensor, check_model
from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains import Box, Domain
from relu_attack.errors import ModelError, OptionError, SolverError
from relu_attack.model import Model, check_agreement, comparison_points, time_to_read, within_time
from relu_attack.network import Affine, Diagonal, Loss, Network, lower
from relu_attack.rounding import gamma


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Keep a model in evaluation mode for a while, and give each of its modules its own mode back."""
    check_model(model)
    training = [module for module in model.modules() if module.training]
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def read_pair(normalize: tuple[ArrayLike, ArrayLike]) -> tuple[Tensor, Tensor]:
    """Read means and deviations, each float64 of shape (1 or channels,)."""
    if not isinstance(normalize, tuple | list) or len(normalize) != 2:
        raise OptionError(f"normalize must be a pair (mean, std), got {type(normalize).__name__}")
    parts = []
    for name, value in zip(("mean", "std"), normalize, strict=True):
        numbers = as_tensor(value, name=f"normalize {name}", error=OptionError)
        numbers = numbers.to("cpu", torch.float64).flatten()
        if not bool(torch.isfinite(numbers).all()) or (name == "std" and not bool((numbers > 0).all())):
            wanted = "positive numbers" if name == "std" else "numbers"
            raise OptionError(f"normalize {name} must be {wanted}, got {numbers.tolist()}")
        parts.append(numbers)
    return parts[0], parts[1]


@dataclass(frozen=True, eq=False)
class Normalization:
    """The map ``x -> (x - mean) / std`` before a model, each of shape (channels, 1, ...), float64."""

    mean: Tensor
    std: Tensor

    @staticmethod
    def read(normalize: tuple[ArrayLike, ArrayLike], shape: tuple[int, ...]) -> Normalization:
        """Read numbers or one number a channel, the first dimension of `shape`."""
        parts = []
        for name, numbers in zip(("mean", "std"), read_pair(normalize), strict=True):
            if len(numbers) not in (1, shape[0]):
                raise OptionError(
                    f"normalize {name} has {len(numbers)} numbers, but samples {shape} have {shape[0]} channels"
                )
            parts.append(numbers.view(-1, *[1] * (len(shape) - 1)))
        return Normalization(*parts)

    def apply(self, x: Tensor) -> Tensor:
        """Return the normalized samples, in their own dtype."""
        return (x - self.mean.to(x.device, x.dtype)) / self.std.to(x.device, x.dtype)

    def undo(self, x: Tensor) -> Tensor:
        """Return the samples before they were normalized."""
        return x * self.std.to(x.device, x.dtype) + self.mean.to(x.device, x.dtype)

    def fold(self, network: Network, shape: tuple[int, ...]) -> Network:
        """Return a network of normalized inputs as one of the inputs before."""
        mean, std = (part.expand(shape).flatten().to(network.device, network.dtype) for part in (self.mean, self.std))
        scale = Diagonal(1 / std)
        loss = Loss(gamma(1, network.dtype), scale)
        centered = Affine(Diagonal(torch.ones_like(mean)), -mean)
        return network.after(Affine(scale, torch.zeros_like(mean), loss).after(centered))


@dataclass(frozen=True, eq=False)
class Classifier:
    """A model with its chain over the inputs of the user, before they are normalized."""

    model: Model
    _walking: dict[torch.dtype, Network] = field(default_factory=dict, init=False, repr=False)

    @staticmethod
    def create(
        module: nn.Module,
        x: Tensor,
        normalize: tuple[ArrayLike, ArrayLike] | None,
        *,
        sets: Domain | None = None,
        points: int = 16,
        deadline: Deadline = NEVER,
    ) -> Classifier:
        """Lower a module in evaluation mode, and compare it with its chain.

        They are compared at `points` points at most of the sets, by default within the range of the samples x (samples,
        \\*shape). An error is raised when the model has no exact form here or is no classifier, or `normalize` does not
        fit, and when the deadline ends before a model that is not small is read.
        """
        shape = tuple(x.shape[1:])
        normalization = None if normalize is None else Normalization.read(normalize, shape)
        reading = time_to_read(module, shape, deadline)
        with within_time(reading):
            lowering = lower(module, shape, deadline=reading)
        network = lowering.network
        if len(network.output_shape) != 1 or network.outputs < 2:
            raise ModelError(
                f"the model returns shape (samples, {', '.join(map(str, network.output_shape))}); "
                "a classifier returns (samples, classes) with two classes or more"
            )
        if normalization is not None:
            network = normalization.fold(network, shape)
        model = Model.of(module, network, None if normalization is None else normalization.apply, like=x)
        within = Box(x.amin(0), x.amax(0), shape=shape) if sets is None else sets
        with within_time(reading):
            compared = comparison_points(network, within, most=points, deadline=deadline)
            return Classifier(check_agreement(model, lowering, compared, deadline=reading))

    @property
    def network(self) -> Network:
        """The chain of the inputs before they are normalized, in float64 on the CPU."""
        return self.model.network

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in."""
        return self.model.dtype

    def walking(self, dtype: torch.dtype) -> Network:
        """Return the chain on the model's device in a precision to walk in; made once."""
        if dtype not in self._walking:
            self._walking[dtype] = self.network.to(device=self.model.device, dtype=dtype)
        return self._walking[dtype]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.network.outputs

    def logits(self, x: Tensor) -> Tensor:
        """Run the model itself on samples (samples, \\*shape) or flat ones.

        The result is float64, (samples, classes), on the device of `x`; a logit that is NaN or infinite is a
        SolverError.
        """
        found = self.model.outputs(x.flatten(1))
        if not all_finite(found):
            raise SolverError(f"the model answers NaN or infinity within the sets: it overflows {self.dtype}")
        return found
