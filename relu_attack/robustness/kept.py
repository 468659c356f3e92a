"""A model that is asked many times, and read anew only when it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from relu_attack._checks import ArrayLike
from relu_attack.robustness.classifier import Classifier, Normalization, check_module

Normalize = tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True, eq=False)
class _State:
    """What the reading of a model depends on."""

    sample: tuple[tuple[int, ...], torch.dtype, torch.device]
    description: str
    tensors: list[Tensor]

    @staticmethod
    def of(model: nn.Module, x: Tensor, normalize: Normalize | None) -> _State:
        """Look at the tensors themselves, not at copies."""
        sample = (tuple(x.shape[1:]), x.dtype, x.device)
        tensors = [tensor.detach() for tensor in chain(model.parameters(), model.buffers())]
        if normalize is not None:
            normalization = Normalization.read(normalize, sample[0])
            tensors += [normalization.mean, normalization.std]
        return _State(sample, f"{model} {normalize is None}", tensors)

    def copy(self) -> _State:
        return _State(self.sample, self.description, [tensor.clone() for tensor in self.tensors])

    def equals(self, other: _State) -> bool:
        return (
            self.sample == other.sample
            and self.description == other.description
            and len(self.tensors) == len(other.tensors)
            and all(_equal(*pair) for pair in zip(self.tensors, other.tensors, strict=True))
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)


class KeptModel(nn.Module):
    """A model whose chain `worst_case` keeps between calls.

    Each call compares all parameters and buffers, and what the modules print of themselves, with those of the last one,
    and reads the model anew where they differ. A change that neither shows, as in an attribute of a module of your own,
    is not seen: then the search follows the model as it was. Margins are those of the model as it is in any case, and
    for certified margins it is always read anew.

    Parameters
    ----------
    model
        As in `worst_case`.

    Raises
    ------
    ModelError
        When it is no module.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> import relu_attack as ra
    >>> from relu_attack.robustness import KeptModel
    >>> model = KeptModel(nn.Sequential(nn.Linear(2, 2)).requires_grad_(False))
    >>> x, label = torch.tensor([[0.75, 0.25]]), torch.tensor([0])
    >>> first, second = (ra.worst_case(model, x, label, radius=0.375) for _ in range(2))
    >>> torch.equal(first.x, second.x)
    True
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        check_module(model)
        self.model: nn.Module = model.model if isinstance(model, KeptModel) else model
        self.training = self.model.training  # else it would have to be put into evaluation mode at each call
        self._state: _State | None = None
        self._classifier: Classifier | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Run the model itself."""
        answer: Tensor = self.model(x)
        return answer

    def read(self, x: Tensor, normalize: Normalize | None) -> Classifier:
        """Return the model as a classifier of samples like `x`, the one of the last call if it still holds."""
        state = _State.of(self.model, x, normalize)
        if self._classifier is None or self._state is None or not state.equals(self._state):
            self._classifier = Classifier.create(self.model, x, normalize)
            self._state = state.copy()
        return self._classifier


def read_classifier(model: nn.Module, x: Tensor, normalize: Normalize | None, *, anew: bool) -> Classifier:
    """Read a model for samples `x` (samples, \\*shape), `anew` in any case or only when it has changed."""
    if not isinstance(model, KeptModel):
        return Classifier.create(model, x, normalize)
    return Classifier.create(model.model, x, normalize) if anew else model.read(x, normalize)
