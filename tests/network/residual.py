"""Models with skip connections, for tests: small blocks, a small ResNet, and random graphs of layers."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.laws.nests import FLAT, IMAGES, Nest, Shape, shape_after
from tests.network.support import lively
from tests.problems import Residual

SIZES = 60


class Forward(nn.Module):
    """Modules with a forward that is given as a function of them and the input."""

    def __init__(self, forward: Callable[..., Tensor], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def small_resnet(*, seed: int = 0) -> nn.Module:
    """Return a residual network of images (1, 8, 8) and three classes in float64, in evaluation mode."""
    torch.manual_seed(seed)

    def block(before: int, after: int, stride: int) -> nn.Module:
        first = nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after))
        second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1), nn.BatchNorm2d(after))
        return Residual(first, second, None if before == after else nn.Conv2d(before, after, 1, stride))

    stem = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)]
    return lively(nn.Sequential(*stem, block(2, 2, 1), block(2, 4, 2), *head), seed=seed)


class Graph(nn.Module):
    """A random directed acyclic graph: each step takes values before it and adds one; the last one comes out."""

    def __init__(self, steps: list[tuple[str, list[int], nn.Module]]) -> None:
        super().__init__()
        self.plan = [(kind, sources) for kind, sources, _ in steps]
        self.layers = nn.ModuleList(module for _, _, module in steps)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for (kind, sources), layer in zip(self.plan, self.layers, strict=True):
            taken = [values[source] for source in sources]
            if kind == "add":
                values.append(taken[0] + taken[1])
            elif kind == "subtract":
                values.append(taken[0] - 0.5 * taken[1])
            elif kind == "concatenate":
                values.append(torch.cat(taken, 1))
            else:
                values.append(layer(taken[0]))
        return values[-1]


@st.composite
def graphs(draw: st.DrawFn, *, longest: int = 10) -> Nest:
    """Draw a module with skip connections, perhaps inside an ``nn.Sequential`` between other layers."""
    torch.manual_seed(draw(st.integers(0, 2**16)))
    side = st.integers(2, 4)
    shape = draw(st.one_of(st.tuples(st.integers(1, 5)), st.tuples(st.integers(1, 2), side, side)))
    shapes, steps = [shape], []
    for _ in range(draw(st.integers(2, longest))):
        kind, sources, module = draw_step(draw, shapes)
        if module is None:
            steps.append((kind, sources, nn.Identity()))
            shapes.append(combined(kind, [shapes[source] for source in sources]))
        else:
            after = shape_after(module, shapes[sources[0]])
            if after is not None and torch.Size(after).numel() <= SIZES:
                steps.append((kind, sources, module))
                shapes.append(after)
    model: nn.Module = Graph(steps)
    if draw(st.booleans()):
        tail = [nn.ReLU(), nn.Flatten(), nn.Linear(torch.Size(shapes[-1]).numel(), 2)]
        model = nn.Sequential(nn.Dropout(), nn.Sequential(model, *tail))
    return Nest(lively(model, seed=draw(st.integers(0, 2**16))), shape)


def draw_step(draw: st.DrawFn, shapes: list[Shape]) -> tuple[str, list[int], nn.Module | None]:
    """Draw what to do with which values: the last one, and another that fits it where there is one."""
    last, place = shapes[-1], len(shapes) - 1
    same = [index for index, shape in enumerate(shapes) if shape == last]
    beside = [index for index, shape in enumerate(shapes) if len(shape) == len(last) and shape[1:] == last[1:]]
    kind = draw(st.sampled_from(["layer", "layer", "layer", "block", "add", "add", "subtract", "concatenate"]))
    if kind in ("add", "subtract"):
        return kind, draw(st.permutations([place, draw(st.sampled_from(same))])), None
    if kind == "concatenate":
        sources = [place, *draw(st.lists(st.sampled_from(beside), max_size=2))]
        if sum(torch.Size(shapes[source]).numel() for source in sources) <= SIZES:
            return kind, sources, None
    if kind == "block":
        return kind, [place], Residual(affine(draw, last), affine(draw, last))
    source = draw(st.sampled_from([place, place, draw(st.integers(0, place))]))
    make = draw(st.sampled_from(IMAGES if len(shapes[source]) > 1 else FLAT))
    return "layer", [source], make(draw, shapes[source])


def affine(draw: st.DrawFn, shape: Shape) -> nn.Module:
    """Return an affine layer that keeps a shape."""
    if len(shape) == 3:
        return nn.Conv2d(shape[0], shape[0], 3, padding=1, bias=draw(st.booleans()))
    return nn.Linear(shape[-1], shape[-1], bias=draw(st.booleans())) if len(shape) == 1 else nn.Identity()


def combined(kind: str, shapes: list[Shape]) -> Shape:
    """Return the shape of what comes of several values."""
    return (sum(shape[0] for shape in shapes), *shapes[0][1:]) if kind == "concatenate" else shapes[0]
