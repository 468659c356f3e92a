"""The user's model: its forward pass, which gives all values, and its chain, which engines use."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from relu_attack._checks import all_finite
from relu_attack._deadline import NEVER, Deadline
from relu_attack.errors import ModelError
from relu_attack.model._running import run_in_parts
from relu_attack.model._stochastic import largest_chain_rounding, largest_rounding
from relu_attack.network import Network

# Differences up to this many spacings of the largest output count as rounding without an estimate.
_CERTAINLY_ROUNDING = 64
# Number of inputs, those of the largest differences, at which rounding is estimated.
_ESTIMATED_INPUTS = 2


@dataclass(frozen=True, eq=False)
class Model:
    """A user's module with its chain.

    The chain `network` is a function of the user's inputs, in float64 on the CPU. The module has the mode of its
    forward passes, `device` and `dtype` are its own; `before` transforms inputs (batch, \\*shape) before it, None for
    the identity. `seconds` are those of the evaluation and check of an input, by measurement; 0 before one.
    """

    module: nn.Module
    network: Network
    device: torch.device
    dtype: torch.dtype
    before: Callable[[Tensor], Tensor] | None = None
    seconds: float = 0.0

    @staticmethod
    def of(
        module: nn.Module,
        network: Network,
        before: Callable[[Tensor], Tensor] | None = None,
        *,
        like: Tensor | None = None,
    ) -> Model:
        """Return a module with its chain; without weights it has the device and dtype of `like`, or CPU, float64."""
        tensors = (tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point())
        first = next(tensors, torch.zeros((), dtype=torch.float64) if like is None else like)
        return Model(module, network, first.device, first.dtype, before)

    def snapshot(self) -> Model:
        """Return a deep copy of the model, unaffected by later changes of the module.

        A module that cannot be copied is used itself: its values are compared with the chain in any case.
        """
        try:
            return replace(self, module=copy.deepcopy(self.module))
        except Exception:  # copying runs arbitrary code of the module
            return self

    def outputs(self, x: Tensor, *, deadline: Deadline = NEVER) -> Tensor:
        """Evaluate the module.

        Flat inputs (batch, inputs) are rounded to its dtype; outputs are float64, (batch, outputs), on the device of
        `x`. ModelError is raised if the module raises or returns another shape,
        OutOfTimeError beyond the deadline.
        """
        answer = run_in_parts(self._run, self._rounded(x), deadline=deadline)
        return self._read(answer).to(x.device)

    def checked_outputs(self, x: Tensor, *, where: str, expected: Tensor | None = None) -> Tensor:
        """Evaluate the module and compare the outputs with those of the chain, as `check` does."""
        found = self.outputs(x)
        self.check(x, found, where=where, expected=expected)
        return found

    def check(
        self,
        x: Tensor,
        outputs: Tensor,
        *,
        where: str,
        against: Tensor | None = None,
        expected: Tensor | None = None,
        chain: Network | None = None,
        deadline: Deadline = NEVER,
    ) -> None:
        """Raise unless outputs of the module equal those of the chain up to the rounding of its forward pass.

        `where` describes the points, for the message. Outputs are compared with `against`, earlier outputs of the
        model, if given; else with `expected`, those of the chain, if they are known; else with those of `chain`, on
        another device or in the dtype of a walk, by default the one in float64. OutOfTimeError is raised beyond the
        deadline.
        """
        outputs = outputs.cpu()
        if not all_finite(outputs):
            row = int(torch.nonzero(~torch.isfinite(outputs))[0, 0])
            raise ModelError(
                f"the model's own forward pass returns NaN or infinity {where}, for the input {_shown(x[row])}: it "
                f"overflows {self.dtype}; scale its weights, or call model.double()"
            )
        network = self.network if chain is None else chain
        expected = expected if against is None else against
        if expected is None:
            expected = network.values(x.to(network.device, network.dtype), deadline=deadline)
        expected = expected.to("cpu", torch.float64)
        difference = (outputs - expected).abs().nan_to_num(torch.inf)
        digits = torch.finfo(self.dtype)
        certain = _CERTAINLY_ROUNDING * (digits.eps * outputs.abs().amax(0) + digits.tiny)
        if not bool((difference > certain).any()):
            return
        worst = (difference / certain).nan_to_num(0.0).amax(1).argsort(descending=True)[:_ESTIMATED_INPUTS]
        answers = outputs[worst].view(-1, *self.network.output_shape).to(self.device)
        # Estimates beyond this are not needed, and each pass takes as long as a forward pass of the model.
        enough = torch.where(difference[worst].amax(0) > certain, difference[worst].amax(0), 0.0)
        own = largest_rounding(
            self._run,
            self._rounded(x[worst.to(x.device)]),
            answers,
            enough=enough.to(self.device).view_as(answers[0]),
            deadline=deadline,
        )
        rounding = own.flatten().cpu()
        if against is None and bool((rounding < enough).any()):
            points, near = x[worst.to(x.device)].to("cpu", torch.float64), torch.finfo(network.dtype).eps
            left = enough - rounding
            rounding += largest_chain_rounding(
                self.network, points, expected[worst], near, enough=left, deadline=deadline
            )
        rounding = torch.maximum(rounding, certain)
        if bool((difference[worst] > rounding).any()):
            place, output = divmod(int((difference[worst] / rounding).nan_to_num(0.0).argmax()), outputs.shape[1])
            row = int(worst[place])
            raise ModelError(
                f"the model's own forward pass is {float(difference[row, output]):.3g} away from "
                f"{'its chain' if against is None else 'its earlier output'} {where}: output {output} is "
                f"{float(outputs[row, output]):.6g}, not {float(expected[row, output]):.6g}, at the input "
                f"{_shown(x[row])}; does its forward depend on anything but its input, or were its weights changed?"
            )

    def _rounded(self, x: Tensor) -> Tensor:
        return x.view(-1, *self.network.input_shape).to(self.device, self.dtype)

    def _run(self, x: Tensor) -> Tensor:
        answer: Tensor = self.module(x if self.before is None else self.before(x))
        return answer

    def _read(self, answer: Tensor) -> Tensor:
        """Return outputs as rows after a check of their shape."""
        if answer.shape[1:] != self.network.output_shape:
            raise ModelError(
                f"the model returns shape (batch, {', '.join(map(str, answer.shape[1:]))}); "
                f"expected (batch, {', '.join(map(str, self.network.output_shape))})"
            )
        return answer.flatten(1)


def _shown(x: Tensor) -> str:
    """Format the first entries of a point."""
    numbers = x.flatten()[:4].tolist()
    return f"({', '.join(f'{number:.6g}' for number in numbers)}{', ...' if x.numel() > len(numbers) else ''})"
