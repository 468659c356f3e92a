"""Reference models: the chain for proofs, and the model itself for the confirmation of witnesses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.model import Model
from relu_attack.network import Network


class ReferenceModel(ABC):
    """A model with its chain.

    Attributes
    ----------
    network
        The chain in float64 on the CPU.
    dtype
        Dtype of the model's inputs and computation.
    """

    network: Network
    dtype: torch.dtype

    @abstractmethod
    def run(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run the model itself.

        Parameters
        ----------
        x
            One flat input, float64, shape (inputs,), which the model rounds to its own dtype.

        Returns
        -------
        tuple of Tensor
            Outputs, float64, shape (outputs,). If the model cannot be run, outputs of several computations of its
            chain, all of which have to confirm a witness.
        """

    def compare(self, x: Tensor) -> None:  # noqa: B027
        """Raise `ModelError` if the outputs of model and chain differ at points (points, inputs).

        Models that cannot be run on many points are not compared.
        """

    @property
    def seconds(self) -> float:
        """How long the evaluation and the check of an input take, by measurement; 0 if unknown."""
        return 0.0

    @property
    def note(self) -> str:
        """Remark on how the model is run, or ""."""
        return ""


@dataclass(frozen=True, eq=False)
class Module(ReferenceModel):
    """A torch module."""

    network: Network
    dtype: torch.dtype
    model: Model

    @property
    def seconds(self) -> float:
        return self.model.seconds

    def run(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run the module on its device."""
        return (self.model.checked_outputs(x[None], where="at an input that may be a witness")[0].cpu(),)

    def compare(self, x: Tensor) -> None:
        """Run the module on its device beside the chain."""
        self.model.checked_outputs(x, where="where the search for a witness ended")
