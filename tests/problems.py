"""Small problems with a known maximum and its source; every method runs the list."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from relu_attack import Box, Domain, L1Ball, L2Ball, Linear, LInfBall, Margin, Objective, Output, Polytope
from tests import exact

# Methods whose steps are gradient steps of a batch of walkers, with a path; and those that solve programs over linear
# rows, which an L2Ball does not have.
GRADIENT_WALKS = ("gradient_walk", "ppga", "ppga_lr")
PROGRAMS = ("lp_walk", "milp_walk", "milp")


@dataclass(frozen=True)
class KnownProblem:
    """A problem, its maximum, where that comes from, and how near steps of a fixed length get to it.

    `swing` is relative to the maximum: 1e-5 where the maximum is at a corner of the set or flat, and more where it
    is at a kink inside, around which steps of a fixed length swing.
    """

    name: str
    model: nn.Module
    domain: Domain
    objective: Objective
    maximum: float
    source: str
    swing: float = 1e-5

    def __str__(self) -> str:
        return self.name


def network(*layers: tuple[Sequence[Sequence[float]], Sequence[float]]) -> nn.Sequential:
    """Return a ReLU network in float64 with these weights and biases."""
    model = nn.Sequential()
    for weight, bias in layers:
        linear = nn.Linear(len(weight[0]), len(weight), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight, dtype=torch.float64))
            linear.bias.copy_(torch.tensor(bias, dtype=torch.float64))
        model.extend([linear, nn.ReLU()])
    return model[:-1]


def random_network(*widths: int, seed: int, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Return a ReLU network with normal weights and biases."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        (torch.randn(after, before, generator=generator).tolist(), torch.randn(after, generator=generator).tolist())
        for before, after in itertools.pairwise(widths)
    ]
    return network(*layers).to(dtype)


def box(lower: Sequence[float], upper: Sequence[float]) -> Box:
    return Box(torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64))


def absolute_value() -> KnownProblem:
    return KnownProblem(
        name="absolute value",
        model=network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])),
        domain=box([-2.0], [3.0]),
        objective=Output(0),
        maximum=3.0,
        source="|x| = relu(x) + relu(-x) on [-2, 3]",
    )


def affine_maximum() -> KnownProblem:
    first, second = ([1.0, -2.0], 0.5), ([-3.0, 1.0], 0.25)
    model = network(
        ([[4.0, -3.0], [-3.0, 1.0], [3.0, -1.0]], [0.25, 0.25, -0.25]),
        ([[1.0, 1.0, -1.0]], [0.0]),
    )
    values = [w[0] * x + w[1] * y + b for w, b in (first, second) for x in (-1.0, 1.0) for y in (-1.0, 1.0)]
    return KnownProblem(
        name="maximum of affine functions",
        model=model,
        domain=box([-1.0, -1.0], [1.0, 1.0]),
        objective=Output(0),
        maximum=max(values),
        source="max(a, b) = relu(a - b) + b; an affine function is largest at a corner",
    )


def exclusive_or() -> KnownProblem:
    return KnownProblem(
        name="exclusive or",
        model=network(([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]), ([[1.0, -2.0]], [0.0])),
        domain=box([0.0, 0.0], [1.0, 1.0]),
        objective=Output(0),
        maximum=1.0,
        source="Goodfellow, Bengio, Courville, Deep Learning, section 6.1: 1 where x + y = 1, as at a corner",
    )


def hats() -> KnownProblem:
    """Two rows of hats ``height * (1 - |x - top| / 0.1)``, apart from each other, one row for each input."""
    rows = [[(0.15, 1.0), (0.5, 3.0), (0.85, 2.0)], [(0.25, 2.0), (0.75, 1.5)]]
    weight, bias, height = [], [], []
    for index, row in enumerate(rows):
        for top, tall in row:
            for corner, bend in ((top - 0.1, 1.0), (top, -2.0), (top + 0.1, 1.0)):
                weight.append([float(index == 0), float(index == 1)])
                bias.append(-corner)
                height.append(10 * bend * tall)
    return KnownProblem(
        name="hats",
        model=network((weight, bias), ([height], [0.0])),
        domain=box([0.0, 0.0], [1.0, 1.0]),
        objective=Output(0),
        maximum=5.0,
        source="hats do not overlap, so the sum is largest at the tallest of each input",
        swing=0.25,
    )


def linear_problems() -> list[KnownProblem]:
    """Return linear models over each kind of set, with the support function of the set as the maximum."""
    slope = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    model = network((torch.diag(torch.tensor([2.0, 1.0, 1.0])).tolist(), [1.0, 0.0, 0.0]))
    objective = Linear(slope / torch.tensor([2.0, 1.0, 1.0]))
    constant = 0.5
    center = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    at_center = float(slope @ center) + constant
    knapsack = Polytope(A=[[1.0, 1.0, 1.0]], b=[1.5], lower=0.0, upper=1.0, shape=(3,))
    sets: list[tuple[str, Domain, float, str]] = [
        ("box", box([-1.0, -1.0, -1.0], [1.0, 2.0, 3.0]), 1 + 2 + 1.5 + constant, "each term by itself"),
        ("l1 ball", L1Ball(center, 0.5), at_center + 0.5 * 2.0, "radius times the largest coefficient"),
        ("l2 ball", L2Ball(center, 0.5), at_center + 0.5 * float(slope.norm()), "radius times the norm"),
        ("linf ball", LInfBall(center, 0.5), at_center + 0.5 * 3.5, "radius times the sum of magnitudes"),
        ("simplex", Polytope(A_eq=[[1.0] * 3], b_eq=[1.0], lower=0.0), 1.0 + constant, "the largest coefficient"),
        ("knapsack", knapsack, 1.0 + 0.5 * 0.5 + constant, "Dantzig 1957: fill by value until the budget is spent"),
    ]
    return [
        KnownProblem(f"linear over {name}", model, domain, objective, maximum, source)
        for name, domain, maximum, source in sets
    ]


def margin() -> KnownProblem:
    return KnownProblem(
        name="margin of two classes",
        model=network(([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), ([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [0.0, 0.5, 9.0])),
        domain=box([-1.0, -1.0], [1.0, 2.0]),
        objective=Margin(target=1, label=0),
        maximum=2.5,
        source="relu(y) + 0.5 - relu(x) at any x <= 0 and y = 2",
    )


def enumerated(seed: int) -> KnownProblem:
    """Return a random network of two inputs, solved by visiting every linear region in exact arithmetic."""
    model = random_network(2, 5, 4, 1, seed=seed)
    domain = box([-1.0, -0.5], [1.0, 1.5])
    return KnownProblem(
        name=f"random network {seed}",
        model=model,
        domain=domain,
        objective=Output(0),
        maximum=float(exact.maximum(exact.layers_of(model), domain.lower, domain.upper)),
        source="every linear region, in fractions",
        swing=2e-2,
    )


class Residual(nn.Module):
    """The block of a residual network, ``relu(skip(x) + second(relu(first(x))))``."""

    def __init__(self, first: nn.Module, second: nn.Module, skip: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second, self.skip = first, second, skip or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.skip(x) + self.second(torch.relu(self.first(x))))


def residual_network(*, width: int = 4, seed: int) -> nn.Sequential:
    """Return a network of two inputs, one residual block and one output in float64."""
    stem, _, first, _, second, _, head = random_network(2, width, width, width, 1, seed=seed)
    return nn.Sequential(stem, nn.ReLU(), Residual(first, second), head)


def enumerated_residual(seed: int) -> KnownProblem:
    """Return a residual network of two inputs, solved by visiting every linear region in exact arithmetic."""
    model = residual_network(seed=seed)
    layers = exact.residual_layers(model[0], model[2].first, model[2].second, model[3])
    domain = box([-1.0, -0.5], [1.0, 1.5])
    return KnownProblem(
        name=f"residual network {seed}",
        model=model,
        domain=domain,
        objective=Output(0),
        maximum=float(exact.maximum(layers, domain.lower, domain.upper)),
        source="every linear region, in fractions",
        swing=2e-2,
    )


PROBLEMS = [
    absolute_value(),
    affine_maximum(),
    exclusive_or(),
    hats(),
    margin(),
    *linear_problems(),
    *(enumerated(seed) for seed in range(6)),
    *(enumerated_residual(seed) for seed in range(2)),
]
