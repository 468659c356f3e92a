"""Model files: weights as arrays, architecture as plain data, no code."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from relu_attack._checks import check_is, in_one_line
from relu_attack._files import as_path, left_beside, read_bytes, read_text, write_files
from relu_attack._limits import TEXT_BYTES, WEIGHT_BYTES
from relu_attack._plain import read_json, read_yaml
from relu_attack.errors import FileFormatError
from relu_attack.io._architecture import Architecture, build, describe
from relu_attack.io._saved import check_archive

SUFFIXES = (".safetensors", ".pt")


def save_model(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Save a model's weights and architecture.

    Parameters
    ----------
    model
        An ``nn.Sequential`` of supported layers, nested or not; own layers need `relu_attack.register_layer`.
    path
        A name in ``.safetensors``: one file with both; or in ``.pt``: the weights, and the architecture beside it
        as ``.yaml``. The same model gives the same bytes in ``.safetensors``.

    Raises
    ------
    UnsupportedModuleError
        For a module that has no description.
    FileFormatError
        For another suffix, or a folder that does not exist or cannot be written. A model that was saved
        there before can be loaded until the new one is complete.

    Examples
    --------
    >>> import tempfile
    >>> from torch import nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), f"{folder}/model.safetensors")
    ...     load_model(f"{folder}/model.safetensors")
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    path = _checked_suffix(path)
    if not path.parent.is_dir():
        raise FileFormatError(f"{path.parent} is not a folder; make it before saving {path.name} there")
    model = model if isinstance(model, nn.Sequential) else nn.Sequential(model)
    architecture = describe(model)
    # repeated layers share memory, which safetensors rejects
    weights = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    if path.suffix == ".pt":
        buffer = io.BytesIO()
        torch.save(weights, buffer)
        content = buffer.getvalue()
        text = yaml.safe_dump(architecture, sort_keys=False, default_flow_style=None, width=120)
        # The weights come first: until the description is moved, it is found by its first line.
        write_files({path: content, path.with_suffix(".yaml"): f"{_first_line(content)}\n{text}"})
    else:
        # safetensors writes several keys of metadata in an order that changes from run to run
        write_files({path: save(weights, metadata={"architecture": json.dumps(architecture)})})


def load_model(
    path: str | os.PathLike[str], *, architecture: Architecture | str | os.PathLike[str] | None = None
) -> nn.Sequential:
    """Load a model from weights and an architecture. No code of the files is run.

    Parameters
    ----------
    path
        A ``.safetensors`` file, or a ``.pt`` file with a state dict.
    architecture
        A description for `build`, or a YAML or JSON file with one. By default the description that `save_model` stored
        in the ``.safetensors`` file, else the file of the same name in ``.yaml``.

    Returns
    -------
    nn.Sequential
        On the CPU, in evaluation mode, with the dtype of the file.

    Raises
    ------
    FileFormatError
        For a missing or malformed file, one that contains code, or weights that do not fit the architecture; names the
        file and the weight.
    """
    path = _checked_suffix(path)
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist or is no file")
    weights, stored = _read_safetensors(path) if path.suffix == ".safetensors" else (_read_state_dict(path), None)
    beside = path.with_suffix(".yaml")
    if architecture is None:
        if stored is None:
            beside = _description_of(path, beside)
        if stored is None and not beside.is_file():
            raise FileFormatError(f"{path} says nothing of its architecture; give architecture= or write {beside.name}")
        architecture = beside if stored is None else stored
    if isinstance(architecture, str | os.PathLike):
        layers = read_yaml(read_text(architecture, most=TEXT_BYTES), architecture, language="YAML or JSON")
    else:
        layers = architecture
    with torch.device("meta"):  # no memory and no random numbers: weights are replaced
        model = build(layers)
    expected = model.state_dict()
    # counts the batches of training; converters from other frameworks leave it out
    weights = {name: torch.tensor(0) for name in expected if name.endswith("num_batches_tracked")} | weights
    _check_weights(path, expected, weights)
    model.load_state_dict(weights, assign=True)
    return model


def load_factory(name: str) -> nn.Module:
    """Import ``"module:factory"`` and call the factory, which takes no arguments and returns a model.

    The import runs the code of the module; it must be trusted.

    Parameters
    ----------
    name
        Module and function separated by a colon, such as ``"my_package.models:surrogate"``.

    Returns
    -------
    nn.Module
        The result of the factory, in its mode.

    Raises
    ------
    FileFormatError
        For a missing module or factory, an exception of either, or a result that is not an ``nn.Module``.
    """
    check_is(name, str, name="name", wanted="text such as 'my_package.models:surrogate'", error=FileFormatError)
    module_name, _, factory_name = name.partition(":")
    if not module_name or not factory_name:
        raise FileFormatError(f"{name!r} must be module:factory, such as my_package.models:surrogate")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as reason:
        raise FileFormatError(f"{name}: importing {module_name} failed: {in_one_line(reason)}") from reason
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise FileFormatError(f"{name}: {module_name} has no function {factory_name!r}")
    try:
        model = factory()
    except (Exception, SystemExit) as reason:
        raise FileFormatError(f"{name}: calling it without arguments failed: {in_one_line(reason)}") from reason
    if not isinstance(model, nn.Module):
        raise FileFormatError(f"{name} must return an nn.Module, got {type(model).__name__}")
    return model


def _first_line(content: bytes) -> str:
    """Return the first line of a description, which identifies its weights."""
    return f"# of the weights with sha256 {hashlib.sha256(content).hexdigest()}"


def _description_of(path: Path, beside: Path) -> Path:
    """Return the description of weights, including one that a killed process left under a temporary name."""
    waiting = left_beside(beside)
    if waiting:
        line = _first_line(read_bytes(path, most=WEIGHT_BYTES))
        for other in waiting:
            with other.open(encoding="utf-8", errors="replace") as file:
                if file.readline(len(line) + 1) == f"{line}\n":
                    return other
    return beside


def _checked_suffix(path: str | os.PathLike[str]) -> Path:
    path = as_path(path)
    if path.suffix not in SUFFIXES:
        raise FileFormatError(f"{path} must end in {' or '.join(SUFFIXES)}")
    return path


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Architecture | None]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError) as reason:
        raise FileFormatError(f"{path} is not a safetensors file: {in_one_line(reason)}") from None
    if "architecture" not in metadata:
        return weights, None
    architecture: Architecture = read_json(metadata["architecture"], f"{path}: the stored architecture")
    return weights, architecture


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    if zipfile.is_zipfile(path):  # older versions of torch wrote no archives
        check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickle protocols and TorchScript; the error below suffices
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as reason:
        found = re.search(r"GLOBAL (\S+)", str(reason))
        what = f"holds code or objects ({found[1]})" if found else "is a pickle that may hold code"
        raise FileFormatError(f"{path} {what} and is not unpickled; save model.state_dict() instead") from None
    except Exception as reason:  # unpickling a damaged file may raise anything
        raise FileFormatError(f"{path} is not a file of weights from torch.save: {in_one_line(reason)}") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise FileFormatError(f"{path} must hold a state dict of names and tensors; save model.state_dict()")
    return dict(content)


def _check_weights(path: Path, expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    for kind, names in (
        ("lacks the weight", [name for name in expected if name not in weights]),
        ("has a weight that the architecture has not:", [name for name in weights if name not in expected]),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise FileFormatError(f"{path} {kind} {names[0]!r}{more}; is it the file of this architecture?")
    for name, value in weights.items():
        wanted = expected[name]
        if value.shape != wanted.shape:
            raise FileFormatError(
                f"{path}: weight {name!r} has shape {tuple(value.shape)}, the architecture needs {tuple(wanted.shape)}"
            )
        # A small file may contain views of one number with any shape.
        if value.is_meta or value.layout != torch.strided or value.untyped_storage().nbytes() < value.nbytes:
            raise FileFormatError(f"{path}: weight {name!r} does not hold a number for each of its entries")
        if wanted.is_floating_point() and not value.is_floating_point():
            raise FileFormatError(f"{path}: weight {name!r} is {value.dtype}; floating-point numbers are needed")
