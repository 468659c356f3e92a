"""Linear objectives over the outputs; each becomes rows that fold into the last affine map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, as_tensor, first_index
from relu_attack._repr import one_line
from relu_attack.errors import ObjectiveError


class Objective(ABC):
    """A linear function of the outputs, or a batch of them, one for each problem."""

    @abstractmethod
    def rows(self, outputs: int) -> tuple[Tensor, bool]:
        """Return the coefficients for a network with that many outputs.

        Returns
        -------
        rows, batched
            Float64 coefficients, shape (objectives, outputs), and whether they are a batch.

        Raises
        ------
        ObjectiveError
            When the objective does not fit the number of outputs.
        """


@dataclass(frozen=True, eq=False, repr=False)
class Output(Objective):
    """One output of the network.

    Parameters
    ----------
    index
        Which output, from 0; a sequence or integer tensor of shape (problems,) for a batch.

    Examples
    --------
    >>> Output(1).rows(3)[0]
    tensor([[0., 1., 0.]], dtype=torch.float64)
    """

    index: int | Sequence[int] | Tensor

    def __repr__(self) -> str:
        return one_line(self, index=_as_given(self.index))

    def rows(self, outputs: int) -> tuple[Tensor, bool]:
        index, batched = _indices(self.index, outputs, name="Output index")
        return _one_hot(index, outputs), batched


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Objective):
    """A weighted sum of the outputs.

    Parameters
    ----------
    coefficients
        Shape (outputs,), or (problems, outputs) for a batch.
    """

    coefficients: ArrayLike

    def __repr__(self) -> str:
        return one_line(self, coefficients=_as_given(self.coefficients))

    def rows(self, outputs: int) -> tuple[Tensor, bool]:
        rows = as_tensor(self.coefficients, name="Linear coefficients", error=ObjectiveError)
        rows = rows.to("cpu", torch.float64, copy=True)
        if rows.dim() not in (1, 2) or rows.shape[-1] != outputs:
            raise ObjectiveError(
                f"Linear coefficients have shape {tuple(rows.shape)}, but the model has {outputs} outputs; "
                f"give shape ({outputs},) or (problems, {outputs})"
            )
        if rows.shape[0] == 0:
            raise ObjectiveError("Linear coefficients are a batch of 0 objectives; at least one is needed")
        if not bool(torch.isfinite(rows).all()):
            raise ObjectiveError(f"Linear coefficients are not finite at index {first_index(~torch.isfinite(rows))}")
        return torch.atleast_2d(rows), rows.dim() == 2


@dataclass(frozen=True, eq=False, repr=False)
class Margin(Objective):
    """How far one class is ahead of another: ``f[target] - f[label]``; above 0 the label has lost.

    Parameters
    ----------
    target, label
        Class indices, from 0; sequences or integer tensors of shape (problems,) for a batch.
    """

    target: int | Sequence[int] | Tensor
    label: int | Sequence[int] | Tensor

    def __repr__(self) -> str:
        return one_line(self, target=_as_given(self.target), label=_as_given(self.label))

    def rows(self, outputs: int) -> tuple[Tensor, bool]:
        target, target_batched = _indices(self.target, outputs, name="Margin target")
        label, label_batched = _indices(self.label, outputs, name="Margin label")
        if len(target) != len(label) and 1 not in (len(target), len(label)):
            raise ObjectiveError(f"Margin has {len(target)} targets but {len(label)} labels; the numbers must match")
        if bool((target == label).any()):
            raise ObjectiveError("Margin target and label are the same class; they must differ")
        return _one_hot(target, outputs) - _one_hot(label, outputs), target_batched or label_batched


def _indices(value: int | Sequence[int] | Tensor, outputs: int, *, name: str) -> tuple[Tensor, bool]:
    wanted = f"{name} must be an integer or a 1-D batch of integers, got {value!r}"
    try:
        index = torch.as_tensor(value).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ObjectiveError(wanted) from None
    if index.numel() == 0:
        raise ObjectiveError(f"{name} is a batch of 0 objectives; at least one is needed")
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool or index.dim() > 1:
        raise ObjectiveError(wanted)
    wrong = (index < 0) | (index >= outputs)
    if bool(wrong.any()):
        raise ObjectiveError(
            f"{name} {int(index[wrong].flatten()[0])} is out of range; "
            f"the model has {outputs} outputs, 0 to {outputs - 1}"
        )
    return torch.atleast_1d(index).long(), index.dim() == 1


def _as_given(value: object) -> object:
    """Return numbers for a representation: a tensor of them, or what else was given."""
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return type(value)


def _one_hot(index: Tensor, outputs: int) -> Tensor:
    return torch.nn.functional.one_hot(index, outputs).to(torch.float64)
