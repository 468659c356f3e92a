"""Random networks that are hard for rounding: folds, cancellation, ties, scales from 1e-8 to 1e8."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.fuzz.oracle import Residual, Scaled


@dataclass(frozen=True)
class DrawnNetwork:
    """A network in evaluation mode, the shape of one input, and where it comes from."""

    model: nn.Module
    shape: tuple[int, ...]
    label: str

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype


def _normal(rng: random.Random) -> float:
    return rng.gauss(0, 1)


def _canceling(rng: random.Random) -> float:
    size = rng.choice([1.0, 1e8, 2.0**24, 2.0**40, 1e16, 0.1, 1 / 3, 1e-8])
    return size * rng.choice([-1, 1]) * (1 + rng.choice([0, 0, 1e-7, 2.0**-52, 2.0**-23]))


STYLES: dict[str, Callable[[random.Random], float]] = {
    "normal": _normal,
    "scales": lambda rng: rng.gauss(0, 1) * 10 ** rng.uniform(-8, 8),
    "cancel": _canceling,
    "whole": lambda rng: float(rng.randint(-3, 3)),
    "ties": lambda rng: rng.choice([0.0, 1.0, -1.0, 0.5, -0.5, 2.0]),
    "sparse": lambda rng: rng.gauss(0, 1) if rng.random() < 0.4 else 0.0,
    "denormal": lambda rng: rng.choice([1e-310, -1e-310, 5e-324, 1e-300, 1e-160, -1e-160, 1e-40, -1e-44, 1.0, 1e30]),
    "huge": lambda rng: rng.gauss(0, 1) * rng.choice([1, 1e8, 1e12]),
    "tenths": lambda rng: rng.randint(-30, 30) / 10,
}


def draw_network(rng: random.Random) -> DrawnNetwork:
    """Draw a small network of any kind, its weights of any style, float32 or float64."""
    kind, style = rng.choice(list(KINDS)), rng.choice(list(STYLES))
    dtype = rng.choice([torch.float32, torch.float64])
    layers, shape = KINDS[kind](rng, rng.randint(1, 3))
    model = nn.Sequential(*layers).to(dtype).eval().requires_grad_(False)
    for module in model.modules():
        _fill(module, rng, style if rng.random() < 0.8 else rng.choice(list(STYLES)))
    return DrawnNetwork(model, shape, f"{kind}/{style}/{str(dtype).removeprefix('torch.')}")


def numbers(rng: random.Random, shape: tuple[int, ...], style: str) -> Tensor:
    """Draw a float64 tensor in a style."""
    draw = STYLES[style]
    return torch.tensor([draw(rng) for _ in range(math.prod(shape))], dtype=torch.float64).reshape(shape)


def _fill(module: nn.Module, rng: random.Random, style: str) -> None:
    def set_(tensor: Tensor, drawn: str) -> None:
        tensor.copy_(numbers(rng, tuple(tensor.shape), drawn))

    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
        set_(module.weight, style)
        if module.bias is not None:
            set_(module.bias, rng.choice([style, "normal", "ties", "cancel"]))
        if rng.random() < 0.15 and len(module.weight) > 1:
            module.weight[1] = module.weight[0]
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        set_(module.running_mean, rng.choice(["normal", "tenths", "cancel"]))
        set_(module.weight, "normal")
        set_(module.bias, "normal")
        spread = numbers(rng, tuple(module.running_var.shape), "normal").abs() * 10 ** rng.uniform(-6, 3) + 1e-9
        module.running_var.copy_(spread)
    elif isinstance(module, nn.PReLU):
        slopes = [rng.choice([0.25, -0.5, 2.0, 0.1, 3.3, -1.7, 1.0, 0.0]) for _ in range(module.weight.numel())]
        module.weight.copy_(torch.tensor(slopes))


def _activation(rng: random.Random, channels: int) -> nn.Module:
    return rng.choice(
        [
            nn.ReLU(),
            nn.ReLU(),
            nn.ReLU(),
            nn.LeakyReLU(rng.choice([0.01, 0.1, 0.3, 1.5, -0.2, 1e-9, 0.999999])),
            nn.PReLU(rng.choice([1, channels])),
            nn.ReLU6(),
            nn.Hardtanh(*rng.choice([(-1.0, 1.0), (-0.1, 0.3), (-1e-3, 1e5), (0.1, 0.7)])),
        ]
    )


Layers = tuple[list[nn.Module], tuple[int, ...]]


def _plain(rng: random.Random, outputs: int) -> Layers:
    inputs = width = rng.randint(1, 4)
    layers: list[nn.Module] = []
    for _ in range(rng.choice([1, 2, 2, 3, 4])):
        units = rng.randint(1, 5)
        layers += [nn.Linear(width, units, bias=rng.random() < 0.85), _activation(rng, units)]
        width = units
    return [*layers, nn.Linear(width, outputs)], (inputs,)


def _affine(rng: random.Random, outputs: int) -> Layers:
    inputs = rng.randint(1, 4)
    return [nn.Linear(inputs, outputs)], (inputs,)


def _folded(rng: random.Random, outputs: int) -> Layers:
    inputs = width = rng.randint(1, 4)
    layers: list[nn.Module] = []
    for _ in range(rng.randint(1, 3)):
        for _ in range(rng.randint(1, 2)):
            units = rng.randint(1, 4)
            layers.append(nn.Linear(width, units))
            width = units
        if rng.random() < 0.7:
            layers.append(_activation(rng, width))
    layers.append(nn.Linear(width, outputs))
    return ([*layers, nn.Linear(outputs, outputs)] if rng.random() < 0.5 else layers), (inputs,)


def _scaled(rng: random.Random, outputs: int) -> Layers:
    layers, shape = _plain(rng, outputs)
    mean = numbers(rng, shape, rng.choice(["normal", "tenths", "scales"]))
    deviation = numbers(rng, shape, "normal").abs() * 10 ** rng.uniform(-4, 4) + 1e-6
    return [Scaled(mean, deviation), *layers], shape


def _normalized(rng: random.Random, outputs: int) -> Layers:
    inputs = width = rng.randint(1, 4)
    layers: list[nn.Module] = [nn.BatchNorm1d(inputs)] if rng.random() < 0.4 else []
    for _ in range(rng.randint(1, 2)):
        units = rng.randint(1, 4)
        pair: list[nn.Module] = [nn.BatchNorm1d(units), _activation(rng, units)]
        layers += [nn.Linear(width, units), *(pair if rng.random() < 0.5 else reversed(pair))]
        width = units
    return [*layers, nn.Linear(width, outputs)], (inputs,)


def _residual(rng: random.Random, outputs: int) -> Layers:
    inputs, width = rng.randint(1, 4), rng.randint(2, 3)
    layers: list[nn.Module] = [nn.Linear(inputs, width), nn.ReLU()]
    for _ in range(rng.randint(1, 2)):
        units = rng.randint(1, 3)
        body: list[nn.Module] = [nn.Linear(width, units), nn.ReLU(), nn.Linear(units, width)]
        if rng.random() < 0.3:
            body.append(nn.BatchNorm1d(width))
        layers.append(Residual(nn.Sequential(*body)))
        if rng.random() < 0.5:
            layers.append(nn.ReLU())
    return [*layers, nn.Linear(width, outputs)], (inputs,)


def _convolutional_1d(rng: random.Random, outputs: int) -> Layers:
    length, before, channels = rng.randint(3, 5), rng.randint(1, 2), rng.randint(1, 2)
    padding = rng.randint(0, 1)
    layers: list[nn.Module] = [nn.Conv1d(before, channels, 2, padding=padding)]
    if rng.random() < 0.3:
        layers.append(nn.BatchNorm1d(channels))
    layers.append(_activation(rng, channels))
    places = length + 2 * padding - 1
    size = min(places, rng.randint(2, 3))
    layers.append(rng.choice([nn.MaxPool1d, nn.AvgPool1d])(size, stride=1))
    return [*layers, nn.Flatten(), nn.Linear(channels * (places - size + 1), outputs)], (before, length)


def _convolutional_2d(rng: random.Random, outputs: int) -> Layers:
    channels = rng.randint(1, 2)
    layers: list[nn.Module] = [nn.Conv2d(1, channels, 2, padding=1)]
    if rng.random() < 0.4:
        layers.append(nn.BatchNorm2d(channels))
    layers.append(_activation(rng, channels))
    places = 4
    if rng.random() < 0.7:
        layers.append(rng.choice([nn.MaxPool2d, nn.AvgPool2d])(3, stride=1))
        places = 2
    return [*layers, nn.Flatten(), nn.Linear(channels * places**2, outputs)], (1, 3, 3)


KINDS: dict[str, Callable[[random.Random, int], Layers]] = {
    "plain": _plain,
    "affine": _affine,
    "folded": _folded,
    "scaled": _scaled,
    "normalized": _normalized,
    "residual": _residual,
    "convolution1d": _convolutional_1d,
    "convolution2d": _convolutional_2d,
}
