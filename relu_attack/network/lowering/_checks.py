"""Checks of a module before lowering: no hooks or overridden calls, finite real weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from relu_attack._checks import all_finite, first_index
from relu_attack.errors import ModelError, UnsupportedModuleError

_PARALLEL = ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel")


def check_call(module: nn.Module, path: str) -> None:
    """Raise for a module whose call may differ from its forward, or whose forward is not accessible.

    ModelError is raised for a class with a ``__call__`` of its own, and for a module with hooks or with a forward of
    the object; UnsupportedModuleError for wrappers of torch, with the attribute that holds the module.
    """
    kind = type(module)
    where = f"{path} ({kind.__name__})"
    if kind.__module__ == "torch._dynamo.eval_frame":
        raise UnsupportedModuleError(f"{where} is made by torch.compile; give the module in it, {path}._orig_mod")
    if kind.__name__ in _PARALLEL and kind.__module__.startswith("torch."):
        raise UnsupportedModuleError(f"{where} spreads a module over devices; give the module in it, {path}.module")
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedModuleError(f"{where} is made by TorchScript; give the module that it was made of")
    for name in ("__call__", "_call_impl"):
        method = getattr(kind, name)
        # A module of torch.fx has a __call__ of torch, which calls its forward.
        if method is not getattr(nn.Module, name) and not str(method.__module__).startswith("torch."):
            raise ModelError(f"{where} has a {name} of its own, which may change values; do in forward what it does")


def check_module(module: nn.Module, path: str) -> None:
    """Raise for a module that may compute something else than its class, or has unusable weights."""
    where = f"{path} ({type(module).__name__})"
    if any(is_lazy(parameter) for parameter in module._parameters.values() if parameter is not None):
        raise ModelError(f"{where} is not initialized; run the model once on an input")
    if module._forward_hooks or module._forward_pre_hooks:
        raise ModelError(f"{where} has forward hooks, which may change values; remove them")
    if "forward" in vars(module):
        raise ModelError(f"{where} has a forward method of its own, put on the object; make it a module of its own")
    if module.training and parametrize.is_parametrized(module):
        raise ModelError(f"{where} has parametrized weights in training mode, which may move; call model.eval()")
    for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        if tensor.is_meta:
            raise ModelError(f"{where} has a {name} without data (device meta); load the weights first")
        if tensor.is_complex():
            raise ModelError(f"{where} has a {name} of complex numbers; weights must be real")
        if not all_finite(tensor):
            index = first_index(~torch.isfinite(tensor))
            raise ModelError(f"{where} has a {name} that is NaN or infinite at index {index}; train or load it again")
