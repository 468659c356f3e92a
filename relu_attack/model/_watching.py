"""Side effects of a forward pass: the modules that it enters, and the state that it changes."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils.parametrize import ParametrizationList

from relu_attack.errors import ModelError
from relu_attack.network import Visit, member


class ThreadHook:
    """Global hook that is called with the modules entered in the thread that created it."""

    def __init__(self, action: Callable[[nn.Module], object]) -> None:
        self._action, self._thread = action, threading.get_ident()

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        """Call the action with a module."""
        if threading.get_ident() == self._thread:
            self._action(module)


def check_global_hooks() -> None:
    """Raise `ModelError` if global forward hooks are registered, which may change values."""
    for name in ("_global_forward_hooks", "_global_forward_pre_hooks"):
        hooks = getattr(torch.nn.modules.module, name, {})
        if any(not isinstance(hook, ThreadHook) for hook in list(hooks.values())):
            raise ModelError("a forward hook of all modules is registered, which may change values; remove it")


@contextmanager
def before_modules(action: Callable[[nn.Module], object]) -> Iterator[None]:
    """Call `action` with each module that is entered in this thread."""
    handle = register_module_forward_pre_hook(ThreadHook(action))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded_entries() -> Iterator[list[nn.Module]]:
    """Record the modules that are entered in this thread, in order."""
    entered: list[nn.Module] = []
    with before_modules(entered.append):
        yield entered


def check_entries(module: nn.Module, entered: Sequence[nn.Module], visits: Sequence[Visit]) -> None:
    """Compare the modules that a forward entered with those that were lowered.

    ModelError names the first module that was entered more often or less often than it was lowered.
    """
    paths = {id(found): member("model", name) for name, found in module.named_modules()}
    visits = [visit for visit in visits if id(visit.module) in paths]  # functions are lowered as modules
    computing = _in_parametrizations(module)  # weights, which are constants
    real = Counter(id(found) for found in entered if id(found) not in computing)
    lowered = Counter(id(visit.module) for visit in visits)
    for found in (*entered, *(visit.module for visit in visits)):
        runs, seen = real[id(found)], lowered[id(found)]
        if runs != seen and id(found) not in computing:
            where = f"{paths.get(id(found), 'a module outside the model')} ({type(found).__name__})"
            raise ModelError(
                f"{where} is entered {runs} times by the model's own forward pass but {seen} times when it is traced: "
                "the forward depends on whether its input is a tensor; make it the same for every input"
            )


def _in_parametrizations(module: nn.Module) -> set[int]:
    lists = [found for found in module.modules() if isinstance(found, ParametrizationList)]
    return {id(part) for found in lists for part in found.modules()}


def random_state(device: torch.device) -> dict[str, object]:
    """Return the states of the random number generators that a forward may use, by library."""
    _, keys, *rest = np.random.get_state(legacy=True)
    state: dict[str, object] = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (keys.tobytes() if isinstance(keys, np.ndarray) else keys, rest),
        "random": random.getstate(),
    }
    if device.type == "cuda":
        state["torch.cuda"] = torch.cuda.get_rng_state(device).numpy().tobytes()
    return state


def tensor_versions(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Return identity and version counter of each parameter and buffer."""
    return {name: (id(tensor), _version(tensor)) for name, tensor in _named_tensors(module)}


def _named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
