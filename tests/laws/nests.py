"""A hypothesis strategy for random nests of layers with consistent shapes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn

from tests.network.support import lively

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Nest:
    """A random model in float64 and evaluation mode, and the shape of its input."""

    model: nn.Module
    shape: Shape

    def __repr__(self) -> str:
        return f"Nest(shape={self.shape}, model={self.model})"


def activations(draw: st.DrawFn, shape: Shape) -> nn.Module:
    slope = draw(st.sampled_from([0.0, 0.01, 0.5, 1.0, 2.5, -0.5, -2.0]))
    prelu = nn.PReLU(draw(st.sampled_from([1, shape[0]])))
    nn.init.uniform_(prelu.weight, -1.0, 2.0)
    low = draw(st.sampled_from([-1.0, 0.0, 0.25]))
    return draw(
        st.sampled_from([nn.ReLU(), nn.ReLU(), nn.LeakyReLU(slope), prelu, nn.ReLU6(), nn.Hardtanh(low, low + 1.5)])
    )


def vanishing(draw: st.DrawFn, shape: Shape) -> nn.Module:
    return draw(st.sampled_from([nn.Identity(), nn.Dropout(0.3), nn.AlphaDropout()]))


def linear(draw: st.DrawFn, shape: Shape) -> nn.Module:
    return nn.Linear(shape[0], draw(st.integers(1, 6)), bias=draw(st.booleans()))


def unflatten(draw: st.DrawFn, shape: Shape) -> nn.Module:
    divisors = [size for size in range(1, shape[0] + 1) if shape[0] % size == 0]
    channels = draw(st.sampled_from(divisors))
    return nn.Unflatten(1, draw(st.sampled_from([(channels, -1), (channels, 1, shape[0] // channels)])))


def flatten(draw: st.DrawFn, shape: Shape) -> nn.Module:
    return nn.Flatten()


def batch_norm(draw: st.DrawFn, shape: Shape) -> nn.Module:
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], affine=draw(st.booleans()))


def convolution(draw: st.DrawFn, shape: Shape) -> nn.Module:
    groups = draw(st.sampled_from([size for size in range(1, shape[0] + 1) if shape[0] % size == 0]))
    kind = nn.Conv2d if len(shape) == 3 else nn.Conv1d
    return kind(
        shape[0],
        groups * draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
        stride=draw(st.integers(1, 2)),
        padding=draw(st.integers(0, 2)),
        dilation=draw(st.integers(1, 2)),
        groups=groups,
        bias=draw(st.booleans()),
    )


def average_pool(draw: st.DrawFn, shape: Shape) -> nn.Module:
    kind = nn.AvgPool2d if len(shape) == 3 else nn.AvgPool1d
    kernel = draw(st.integers(1, 3))
    padding = draw(st.integers(0, kernel // 2))
    return kind(kernel, draw(st.integers(1, 2)), padding, draw(st.booleans()), draw(st.booleans()))


def adaptive_pool(draw: st.DrawFn, shape: Shape) -> nn.Module:
    kind = nn.AdaptiveAvgPool2d if len(shape) == 3 else nn.AdaptiveAvgPool1d
    return kind(draw(st.integers(1, 4)))


def max_pool(draw: st.DrawFn, shape: Shape) -> nn.Module:
    kind = nn.MaxPool2d if len(shape) == 3 else nn.MaxPool1d
    kernel = draw(st.integers(1, 3))
    return kind(
        kernel,
        draw(st.integers(1, 3)),
        draw(st.integers(0, kernel // 2)),
        draw(st.integers(1, 2)),
        ceil_mode=draw(st.booleans()),
    )


def padding(draw: st.DrawFn, shape: Shape) -> nn.Module:
    width = draw(st.integers(1, 2))
    if len(shape) == 3:
        return draw(st.sampled_from([nn.ZeroPad2d((width, 0, -1, 1)), nn.ConstantPad2d(1, 0.7)]))
    return draw(st.sampled_from([nn.ZeroPad1d((width, 0)), nn.ConstantPad1d((0, width), -0.7)]))


Make = Callable[[st.DrawFn, Shape], nn.Module]
FLAT: list[Make] = [linear, linear, activations, activations, batch_norm, vanishing, unflatten]
IMAGES: list[Make] = [
    convolution,
    convolution,
    activations,
    activations,
    batch_norm,
    average_pool,
    adaptive_pool,
    max_pool,
    padding,
    vanishing,
    flatten,
]


@st.composite
def nests(draw: st.DrawFn, *, longest: int = 8) -> Nest:
    """Draw a nested ``nn.Sequential`` of up to `longest` layers that ends in an affine map or an activation."""
    torch.manual_seed(draw(st.integers(0, 2**16)))
    side = st.integers(2, 5)
    shape = draw(
        st.one_of(st.tuples(st.integers(1, 6)), st.tuples(side, side), st.tuples(st.integers(1, 3), side, side))
    )
    modules: list[nn.Module] = []
    current = shape
    for _ in range(draw(st.integers(1, longest))):
        module = draw(st.sampled_from(IMAGES if len(current) > 1 else FLAT))(draw, current)
        after = shape_after(module, current)
        if after is not None and torch.Size(after).numel() <= 80:
            modules.append(module)
            current = after
    if draw(st.booleans()):
        modules += [nn.Flatten(), nn.Linear(torch.Size(current).numel(), draw(st.integers(1, 3)))]
    return Nest(lively(nested(draw, modules), seed=draw(st.integers(0, 2**16))), shape)


def shape_after(module: nn.Module, shape: Shape) -> Shape | None:
    """Return the shape that torch gives the result, or None where it refuses or a window sees padding only."""
    try:
        with torch.no_grad():
            result = module.eval()(torch.zeros(2, *shape))
    except RuntimeError:
        return None
    return tuple(result.shape[1:]) if bool(torch.isfinite(result).all()) else None


def nested(draw: st.DrawFn, modules: list[nn.Module]) -> nn.Sequential:
    """Put random stretches of the modules into sequences of their own."""
    model = nn.Sequential()
    while modules:
        length = draw(st.integers(1, len(modules)))
        stretch, modules = modules[:length], modules[length:]
        if draw(st.booleans()):
            model.extend(stretch)
        else:
            model.append(nested(draw, stretch) if len(stretch) > 1 and modules else nn.Sequential(*stretch))
    return model
