"""The rounding of a module's own forward pass, and of its chain's, estimated by stochastic arithmetic.

The forward is run again while the result of each function on values that depend on the input is multiplied by 1 plus or
minus a multiple of the spacing of its dtype, signs at random. The outputs move by that multiple of what rounding moves
them by, whatever cancels on the way and in whichever order sums are taken; noise and other differences do not grow with
the multiple, and so are told from rounding (Vignes, A stochastic arithmetic for reliable scientific computation,
Mathematics and Computers in Simulation 35, 1993; Parker, Monte Carlo arithmetic, 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from relu_attack.model._running import run_in_parts
from relu_attack.network import Affine, Network

# All of as many passes miss the rounding by a factor of 10 less often than once in 1e8 outputs. The error of
# a sum of n terms in sequence is up to sqrt(n) times what a perturbed term moves it by: 64 covers 4096 of them.
_PASSES, _SAFETY = 8, 64.0
# Perturbations stay below this, relative to 1, so that values keep their order of magnitude.
_LARGEST = 2.0**-4
_DEPENDS = "_relu_attack_depends_on_the_input"
# Functions that a GPU, and a processor where it is allowed to, computes in fewer digits than the dtype has.
_PRODUCTS = frozenset(("linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "conv1d", "conv2d", "conv3d"))
_SPACINGS = {"highest": 0.0, "high": 2.0**-10, "medium": 2.0**-7}
"""The spacing of what products of float32 may be computed in, for each word of `torch.set_float32_matmul_precision`."""


def largest_rounding(
    module: Callable[[Tensor], Tensor], x: Tensor, answer: Tensor, *, enough: Tensor | None = None
) -> Tensor:
    """Return by how much rounding may have moved each output at a few inputs.

    Parameters
    ----------
    module, x
        As in `run_module`.
    answer
        What it answered, float64, shape (batch, \\*shape of one answer).
    enough
        Sizes of the shape of one answer at which a larger one makes no difference: passes end once all are reached.

    Returns
    -------
    Tensor
        The largest move of each output over inputs and perturbed passes, times a factor of safety; float64, of the
        shape of one answer. An estimate, no bound.
    """
    moved = torch.zeros_like(answer[0])
    generator = torch.Generator(x.device)
    multiple = _coarsest(x) ** -0.5  # the middle between what is lost in rounding and what is no small change
    x = x.clone()
    setattr(x, _DEPENDS, True)
    for sign in _drawn_signs(generator):
        with _Perturbed(generator, sign * multiple):
            perturbed = run_in_parts(module, x)
        moved = torch.maximum(moved, _largest_move(perturbed, answer))
        if _reaches(moved * (_SAFETY / multiple), enough):
            break
    return moved.mul_(_SAFETY / multiple)


def largest_chain_rounding(
    network: Network, x: Tensor, answer: Tensor, spacing: float, *, enough: Tensor | None = None
) -> Tensor:
    """Return by how much rounding, and what folding lost, may have moved each output of a chain at a few inputs.

    Parameters
    ----------
    network
        The chain in float64 on the CPU.
    x
        Likewise, shape (batch, inputs).
    answer
        The outputs of the chain there, shape (batch, outputs).
    spacing
        The spacing of the numbers, relative to 1, in which the chain was evaluated.
    enough
        As in `largest_rounding`, shape (outputs,).

    Returns
    -------
    Tensor
        As `largest_rounding` does, shape (outputs,).
    """
    moved = torch.zeros_like(answer[0])
    generator, multiple = torch.Generator(), spacing**-0.5

    def shaken(values: Tensor, size: Tensor) -> Tensor:
        return values + size * (1 - 2 * torch.randint(0, 2, values.shape, generator=generator, dtype=torch.int8))

    def apply(affine: Affine, h: Tensor, reach: float) -> Tensor:
        bias = shaken(affine.bias, reach * spacing * affine.bias.abs())
        z = affine.operator.apply(shaken(h, reach * spacing * h.abs())) + bias
        return shaken(z, reach * (spacing * z.abs() + affine.lost(h.abs())))

    for sign in _drawn_signs(generator):
        h = x
        for layer in network.layers:
            h = layer.activate(apply(layer.affine, h, sign * multiple))
        last = apply(network.output, h, sign * multiple)
        moved = torch.maximum(moved, _largest_move(last, answer))
        if _reaches(moved * (_SAFETY / multiple), enough):
            break
    return moved.mul_(_SAFETY / multiple)


def _largest_move(perturbed: Tensor, answer: Tensor) -> Tensor:
    """Return how far the outputs of a pass are from the answer at most, of the shape of one answer."""
    return (perturbed - answer).abs().nan_to_num(torch.inf).amax(0)


def _reaches(sizes: Tensor, enough: Tensor | None) -> bool:
    """Return whether no larger sizes are needed."""
    return enough is not None and bool((sizes >= enough).all())


def _drawn_signs(generator: torch.Generator) -> Iterator[int]:
    """Yield 1 and -1 for each of several seeds: a unit that one pass turns off the other takes upward."""
    for seed in range(_PASSES // 2):
        for sign in (1, -1):
            generator.manual_seed(seed)
            yield sign


class _Perturbed(TorchFunctionMode):
    """Perturbs, in this thread, the results of functions on values that depend on the input of a run."""

    def __init__(self, generator: torch.Generator, multiple: float) -> None:
        super().__init__()
        self._generator, self._multiple = generator, multiple

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [part for part in _tensors((args, kwargs)) if getattr(part, _DEPENDS, False)]
        if not given:
            return result
        if isinstance(result, Tensor) and result.is_floating_point():
            result = self._perturb(func, result, given)
        for part in _tensors(result):
            setattr(part, _DEPENDS, True)
        return result

    def _perturb(self, function: Callable[..., Any], result: Tensor, given: Sequence[Tensor]) -> Tensor:
        step = self._multiple * _spacing(function, result)
        step = max(min(step, _LARGEST), -_LARGEST)
        signs = torch.rand(result.shape, generator=self._generator, device=result.device) < 0.5
        # In the dtype of the result: a number of torch's default dtype may hold no such step.
        factor = 1 + step * (1 - 2 * signs.to(result.dtype))
        if any(result is part for part in given):  # an operation in place: the caller goes on with this tensor
            return result.mul_(factor)
        storage = result.untyped_storage().data_ptr()
        if any(part.untyped_storage().data_ptr() == storage for part in given):  # a view must stay one
            return result
        return result * factor


def _tensors(parts: Any) -> Iterator[Tensor]:
    if isinstance(parts, Tensor):
        yield parts
    elif isinstance(parts, dict):
        for part in parts.values():
            yield from _tensors(part)
    elif isinstance(parts, tuple | list):
        for part in parts:
            yield from _tensors(part)


def _spacing(function: Callable[..., Any], result: Tensor) -> float:
    """Return the spacing of the numbers, relative to 1, in which a result was computed."""
    if getattr(function, "__name__", "") in _PRODUCTS:
        return _coarsest(result)
    return torch.finfo(result.dtype).eps


def _coarsest(x: Tensor) -> float:
    """Return the spacing, relative to 1, in which products of such numbers may be computed."""
    spacing = torch.finfo(x.dtype).eps
    if x.dtype != torch.float32:
        return spacing
    allowed = torch.get_float32_matmul_precision()
    if x.is_cuda and (torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32):
        allowed = allowed if allowed == "medium" else "high"
    return max(spacing, _SPACINGS[allowed])
