"""A cache of the lowered model between calls."""

from __future__ import annotations

from torch import Tensor, nn

from relu_attack._checks import ArrayLike, check_model
from relu_attack._deadline import NEVER, Deadline
from relu_attack._digest import Contents
from relu_attack.domains import Domain
from relu_attack.robustness._classifier import Classifier, read_pair

Normalize = tuple[ArrayLike, ArrayLike]


class CachedModel(nn.Module):
    """A model whose chain `worst_case` caches between calls.

    Each call compares all that the forward pass reads with what it read at the last call: classes and code of the
    modules, their modes, parameters, buffers and other attributes. Where they differ, the model is lowered again.
    Changes that an object of a library hides are not detected; the search then follows the earlier model. Margins are
    those of the present model in any case, and certified margins lower it at each call.

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
    >>> from relu_attack.robustness import CachedModel
    >>> model = CachedModel(nn.Sequential(nn.Linear(2, 2)).requires_grad_(False))
    >>> x, label = torch.tensor([[0.75, 0.25]]), torch.tensor([0])
    >>> first, second = (ra.worst_case(model, x, label, radius=0.375) for _ in range(2))
    >>> torch.equal(first.x, second.x)
    True
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        check_model(model)
        self.model: nn.Module = model.model if isinstance(model, CachedModel) else model
        self.training = self.model.training  # else it would have to be put into evaluation mode at each call
        self._contents: Contents | None = None
        self._classifier: Classifier | None = None
        self._digest: tuple[Contents, str] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Run the model itself, on a copy of `x`: it may work in place."""
        answer: Tensor = self.model(x.clone())
        return answer

    def read(
        self, x: Tensor, normalize: Normalize | None, *, sets: Domain | None = None, deadline: Deadline = NEVER
    ) -> Classifier:
        """Return the model as a classifier of samples like `x`, the one of the last call if it still holds."""
        pair = None if normalize is None else read_pair(normalize)
        contents = Contents.of(self.model, x.shape[1:], x.dtype, str(x.device), pair)
        if self._classifier is None or self._contents is None or not contents.equals(self._contents):
            self._classifier = Classifier.create(self.model, x, normalize, sets=sets, deadline=deadline)
            self._contents = contents.copy()
        return self._classifier

    def digest(self) -> str:
        """Return the SHA-256 of all that the forward pass reads, in hexadecimal; hashed only when that has changed."""
        contents = Contents.of(self.model)
        if self._digest is None or not contents.equals(self._digest[0]):
            self._digest = contents.copy(), contents.digest()
        return self._digest[1]


def read_classifier(
    model: nn.Module,
    x: Tensor,
    normalize: Normalize | None,
    *,
    refresh: bool,
    sets: Domain | None = None,
    deadline: Deadline = NEVER,
) -> Classifier:
    """Lower a model for samples `x` (samples, \\*shape) in their sets; a cached one on change or `refresh`."""
    if isinstance(model, CachedModel) and not refresh:
        return model.read(x, normalize, sets=sets, deadline=deadline)
    module = model.model if isinstance(model, CachedModel) else model
    # A certificate rests on the chain; what is found without one is compared with the model in any case.
    return Classifier.create(module, x, normalize, sets=sets, points=16 if refresh else 4, deadline=deadline)
