"""The gradient walks as methods."""

from __future__ import annotations

from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers.ascent._capture import CUDAGraph
from relu_attack.solvers.ascent._options import PPGA, PPGALR, GradientWalk
from relu_attack.solvers.ascent._search import search
from relu_attack.solvers.ascent._walk import Walk
from relu_attack.solvers.core import Answer, Interrupted, Settings, choose


def gradient_walk(problem: Problem, options: GradientWalk, settings: Settings) -> Answer:
    """Gradient Walk: ``x <- P_X(x + gamma g)``, from a new random start whenever a walker stalls.

    Source: Tong, Zhu, Serra, Burer, Optimization over Trained Neural Networks: Going Large with Gradient-Based
    Algorithms, arXiv 2512.24295.
    """
    return _search(problem, options, settings)


def ppga(problem: Problem, options: PPGA, settings: Settings) -> Answer:
    """PPGA, perturbed projected gradient ascent: Gradient Walk in which a walker that stalls is perturbed.

    It goes on from ``P_X(x_best + rho w u)``, u Gaussian, w the widths of the set; rho grows while the walker falls
    back, and is reset on gain. Of walkers that share a maximum one restarts elsewhere. Source: arXiv 2512.24295.
    """
    return _search(problem, options, settings)


def ppga_lr(problem: Problem, options: PPGALR, settings: Settings) -> Answer:
    """PPGA_LR: PPGA with a linear-region valve and a step length for each walker, see `AdaptiveStep`."""
    return _search(problem, options, settings)


def _search(problem: Problem, options: GradientWalk, settings: Settings) -> Answer:
    if options.capture and settings.device.type != "cuda":
        raise OptionError(f"capture records a CUDA graph, but the device is {settings.device}; give device='cuda'")
    graph = CUDAGraph() if options.capture else None
    return search(problem, settings, Walk.of(options), normalized=options.learning_rate is None, graph=graph)


def first_point(problem: Problem, settings: Settings) -> Tensor:
    """Return the best input (inputs,) that PPGA_LR finds for a single problem within the budget.

    Raises
    ------
    Interrupted
        With that input, on Ctrl-C.
    """
    answer = ppga_lr(problem, PPGALR(), settings)
    x = choose(problem, answer.candidates)[0].flatten()
    if answer.status is Status.INTERRUPTED:
        raise Interrupted(x)
    return x
