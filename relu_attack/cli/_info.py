"""``relu-attack info``: layers of a lowered model, and its unstable units over a set."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relu_attack._limits import VALUE_ENTRIES
from relu_attack.cli._messages import plain_messages

if TYPE_CHECKING:
    from torch import nn

    from relu_attack.domains import Domain
    from relu_attack.network import Network

CONFIGURATIONS = (".yaml", ".yml")


def info(
    model: Annotated[
        str,
        typer.Argument(help="A .safetensors or .pt file, module:factory, or a configuration with its model and set."),
    ],
    config: Annotated[Path | None, typer.Option(help="Configuration with the set.")] = None,
    shape: Annotated[str | None, typer.Option(help="Shape of one input, such as 1,28,28; needed for images.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Show a model's layers and units, the treatment of each module, and the stable units over a set."""
    with plain_messages():
        found = _describe(model, config, _read_shape(shape))
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        else:
            _show(found)


def _read_shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    sizes = [size.strip() for size in text.replace("x", ",").split(",")]
    # Ten digits are more than any size has.
    fitting = all(size.isdecimal() and len(size) <= 10 and int(size) > 0 for size in sizes)
    if not fitting or math.prod(map(int, sizes)) > VALUE_ENTRIES:
        raise typer.BadParameter(f"{text[:40]!r} must be whole numbers, such as 1,28,28", param_hint="--shape")
    return tuple(int(size) for size in sizes)


def _describe(name: str, config: Path | None, shape: tuple[int, ...] | None) -> dict[str, Any]:
    from relu_attack.network import lower

    model, domain = _load(name, config)
    if domain is not None:
        shape = domain.shape
    lowering = lower(model, shape or _guess_shape(model))
    network = lowering.network
    found: dict[str, Any] = {
        "model": name,
        "input_shape": list(network.input_shape),
        "output_shape": list(network.output_shape),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "units": network.units,
        "lowering": list(lowering.notes),
    }
    return found if domain is None else {**found, **_stability(network, domain)}


def _load(name: str, config: Path | None) -> tuple[nn.Module, Domain | None]:
    from relu_attack.config import load_configuration
    from relu_attack.io import load_factory, load_model

    sys.path.insert(0, "")  # a factory may stand in the working directory, as with python -m
    if Path(name).suffix in CONFIGURATIONS:
        _, loaded = load_configuration(name)
        return loaded.model, loaded.domain
    domain = None if config is None else load_configuration(config)[1].domain
    return load_factory(name) if ":" in name and not Path(name).exists() else load_model(name), domain


def _guess_shape(model: nn.Module) -> tuple[int, ...]:
    """Return the shape of one input if the first layer with weights determines it."""
    from torch import nn

    from relu_attack.errors import ModelError

    for module in model.modules():
        if isinstance(module, nn.Flatten | nn.Unflatten | nn.Conv1d | nn.Conv2d | nn.BatchNorm2d):
            break
        if isinstance(module, nn.Linear):
            return (module.in_features,)
        if isinstance(module, nn.BatchNorm1d):
            return (module.num_features,)
    raise ModelError("the shape of one input does not follow from the model; give --shape, such as --shape 1,28,28")


def _stability(network: Network, domain: Domain) -> dict[str, Any]:
    """Count the stable units over the set, by interval bounds."""
    import torch

    from relu_attack.bounds import bound_rows

    rows = torch.eye(network.outputs, dtype=torch.float64)
    with torch.inference_mode():
        bounds = bound_rows(network, domain, rows, "interval")
    layers = []
    for layer, (low, high) in zip(network.layers, bounds.layers, strict=True):
        bends = layer.slope < 1
        active, inactive = ((side[0] & bends).sum().item() for side in (low >= 0, high <= 0))
        units = int(bends.sum())
        layers.append({"units": units, "active": active, "inactive": inactive, "open": units - active - inactive})
    outputs = [
        {"lower": low, "upper": high}
        for low, high in zip(bounds.lower[0].tolist(), bounds.upper[0].tolist(), strict=True)
    ]
    return {"domain": type(domain).__name__, "bounds": bounds.method, "layers": layers, "outputs": outputs}


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    shapes = " -> ".join(str(tuple(found[key])) for key in ("input_shape", "output_shape"))
    console.print(
        f"{found['model']}: {shapes}, {found['parameters']} parameters, {found['units']} units", soft_wrap=True
    )
    console.print("\nWhat became of each module:")
    for note in found["lowering"]:
        console.print(f"  {note}", markup=False, soft_wrap=True)
    if "layers" not in found:
        console.print("\nGive --config for the units that are stable over its set.")
        return
    table = Table(title=f"units over the {found['domain']}, by {found['bounds']} bounds", title_justify="left")
    columns = ("units", "active", "inactive", "open")
    for name in ("layer", *columns):
        table.add_column(name, justify="right")
    for number, layer in enumerate(found["layers"], start=1):
        table.add_row(str(number), *(str(layer[name]) for name in columns))
    table.caption = "active and inactive units are linear over the whole set; open ones may bend"
    console.print()
    console.print(table)
    for index, output in enumerate(found["outputs"]):
        console.print(f"output {index}: from {output['lower']:.5g} to {output['upper']:.5g} at most")
