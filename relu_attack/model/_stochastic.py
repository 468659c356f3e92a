"""Estimates of the rounding of a module's forward pass, and of its chain, by stochastic arithmetic.

The forward is run again while the result of each function of input-dependent values is multiplied by 1 plus or minus a
multiple of the spacing of its dtype, with random signs. The outputs change by that multiple of their rounding error,
regardless of cancellation and of the order of sums. Noise and other differences do not grow with the multiple, which
distinguishes them from rounding (Vignes, A stochastic arithmetic for reliable scientific computation,
Mathematics and Computers in Simulation 35, 1993; Parker, Monte Carlo arithmetic, 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from relu_attack._deadline import NEVER, Deadline
from relu_attack.model._running import run_in_parts
from relu_attack.network import Affine, Network

# The probability that all passes underestimate the rounding by a factor of 10 is below 1e-8 for an output. The error of
# a sequential sum of n terms is up to sqrt(n) times the change by one perturbed term: 64 covers 4096 terms.
_PASSES, _SAFETY = 8, 64.0
# Largest relative perturbation, which preserves the order of magnitude of values.
_MAX_PERTURBATION = 2.0**-4
_DEPENDS = "_relu_attack_depends_on_the_input"
# Functions that a GPU, or a CPU if allowed, evaluates in lower precision than the dtype.
_PRODUCTS = frozenset(("linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "conv1d", "conv2d", "conv3d"))
_SPACINGS = {"highest": 0.0, "high": 2.0**-10, "medium": 2.0**-7}
"""Spacing of float32 products for each setting of `torch.set_float32_matmul_precision`; 0 for full precision."""


def largest_rounding(
    module: Callable[[Tensor], Tensor],
    x: Tensor,
    answer: Tensor,
    *,
    enough: Tensor | None = None,
    deadline: Deadline = NEVER,
) -> Tensor:
    """Estimate the rounding error of each output at a few inputs.

    `answer` is the output for `x`. `enough` are sufficient estimates, in the shape of one output: passes end once all
    are reached. The result is the largest change of each output over inputs and perturbed passes, times a safety
    factor; it is an estimate, not a bound. OutOfTimeError is raised beyond the deadline.
    """
    moved = torch.zeros_like(answer[0])
    generator = torch.Generator(x.device)
    multiple = _coarsest(x) ** -0.5  # geometric mean of the spacing and 1
    x = x.clone()
    setattr(x, _DEPENDS, True)
    for sign in _drawn_signs(generator):
        with _Perturbed(generator, sign * multiple):
            perturbed = run_in_parts(module, x, deadline=deadline)
        moved = torch.maximum(moved, _largest_move(perturbed, answer))
        if _reaches(moved * (_SAFETY / multiple), enough):
            break
    return moved.mul_(_SAFETY / multiple)


def largest_chain_rounding(
    network: Network,
    x: Tensor,
    answer: Tensor,
    spacing: float,
    *,
    enough: Tensor | None = None,
    deadline: Deadline = NEVER,
) -> Tensor:
    """Estimate the rounding error of each output of a chain at a few inputs, including that of folding.

    `answer` are its outputs at x (batch, inputs), and `spacing` is the relative spacing of the arithmetic in which the
    chain was evaluated; `enough` and the result are as for `largest_rounding`.
    """
    moved = torch.zeros_like(answer[0])
    generator, multiple = torch.Generator(), spacing**-0.5

    def perturbed_by(values: Tensor, size: Tensor) -> Tensor:
        return values + size * (1 - 2 * torch.randint(0, 2, values.shape, generator=generator, dtype=torch.int8))

    def apply(affine: Affine, h: Tensor, reach: float) -> Tensor:
        bias = perturbed_by(affine.bias, reach * spacing * affine.bias.abs())
        z = affine.operator.apply(perturbed_by(h, reach * spacing * h.abs())) + bias
        return perturbed_by(z, reach * (spacing * z.abs() + affine.lost(h.abs())))

    for sign in _drawn_signs(generator):
        h = x
        for layer in network.layers:
            deadline.require()
            h = layer.activate(apply(layer.affine, h, sign * multiple))
        last = apply(network.output, h, sign * multiple)
        moved = torch.maximum(moved, _largest_move(last, answer))
        if _reaches(moved * (_SAFETY / multiple), enough):
            break
    return moved.mul_(_SAFETY / multiple)


def _largest_move(perturbed: Tensor, answer: Tensor) -> Tensor:
    """Return the largest distance of the outputs of a pass from the reference, in the shape of one output."""
    return (perturbed - answer).abs().nan_to_num(torch.inf).amax(0)


def _reaches(sizes: Tensor, enough: Tensor | None) -> bool:
    """Return whether all estimates are sufficient."""
    return enough is not None and bool((sizes >= enough).all())


def _drawn_signs(generator: torch.Generator) -> Iterator[int]:
    """Yield 1 and -1 for each of several seeds: opposite perturbations move a unit to both sides of its boundary."""
    for seed in range(_PASSES // 2):
        for sign in (1, -1):
            generator.manual_seed(seed)
            yield sign


class _Perturbed(TorchFunctionMode):
    """Torch function mode of this thread that perturbs the results of functions of input-dependent values."""

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
        step = max(min(step, _MAX_PERTURBATION), -_MAX_PERTURBATION)
        factor = _coin_tosses(result, self._generator).to(result.dtype).mul_(2 * step).add_(1 - step)
        if any(result is part for part in given):  # in-place operation: the caller continues with this tensor
            return result.mul_(factor)
        storage = result.untyped_storage().data_ptr()
        if any(part.untyped_storage().data_ptr() == storage for part in given):  # a view must stay a view
            return result
        return result * factor


def _coin_tosses(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return random booleans in the shape of a tensor: one of each byte of random words."""
    words = torch.empty(like.numel() // 8 + 1, dtype=torch.int64, device=like.device).random_(generator=generator)
    return (words.view(torch.uint8)[: like.numel()] & 1).view(torch.bool).view(like.shape)


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
    """Return the relative spacing of the arithmetic of a function."""
    if getattr(function, "__name__", "") in _PRODUCTS:
        return _coarsest(result)
    return torch.finfo(result.dtype).eps


def _coarsest(x: Tensor) -> float:
    """Return the relative spacing in which products of such tensors may be evaluated."""
    spacing = torch.finfo(x.dtype).eps
    if x.dtype != torch.float32:
        return spacing
    allowed = torch.get_float32_matmul_precision()
    if x.is_cuda and (torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32):
        allowed = allowed if allowed == "medium" else "high"
    return max(spacing, _SPACINGS[allowed])
