"""Models that are verified: the chain for proofs, and the model itself, run again at a witness."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relu_attack.domains import Domain
from relu_attack.network import Network


class Original(ABC):
    """A model with its chain.

    Attributes
    ----------
    network
        The chain in float64 on the CPU.
    dtype
        What the model takes and computes in.
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
            What it answers, float64, shape (outputs,). Where the model cannot be run, answers of several
            computations of its chain: only what all of them confirm counts.
        """

    @property
    def note(self) -> str:
        """What is to be known of how the model is run; "" for nothing."""
        return ""


@dataclass(frozen=True, eq=False)
class Module(Original):
    """A torch module.

    Attributes
    ----------
    network, dtype
        As in `Original`.
    module
        The module.
    shape
        The shape of one input as the module takes it.
    """

    network: Network
    dtype: torch.dtype
    module: nn.Module
    shape: tuple[int, ...]

    @staticmethod
    def of(module: nn.Module, network: Network, domain: Domain) -> Module:
        """Return a module with its chain, for the inputs of a set."""
        parameter = next(module.parameters(), None)
        return Module(network, torch.float64 if parameter is None else parameter.dtype, module, domain.shape)

    def run(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run the module on the device of its parameters."""
        parameter = next(self.module.parameters(), x)
        with torch.no_grad():
            answer = self.module(x.view(1, *self.shape).to(parameter.device, self.dtype))
        return (answer.detach().to("cpu", torch.float64).flatten(),)
