"""The kinds of problems, how each is made from a seed, and which seeds are for tuning and which for reporting.

A seed gives the network, its training and the set. No constant of the package may be chosen on the reporting seeds.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from torch import nn

from problems import networks, polytopes
from problems.polytopes import Made
from problems.problem import Problem
from problems.region import Array, Region

TUNING, REPORTING = (1, 2), (101, 102)
# Raised with every change that makes other problems.
VERSION = 1
CACHE = Path(__file__).parent / ".made"
POINTS, CHOICES = 8192, 1_000_000

Make = Callable[[str, Generator], Problem]


def _regressor(
    made: Callable[[Generator], Made], model: Callable[[int], nn.Sequential], function: networks.Function | None = None,
    scale: float = 1.0,
) -> Make:  # fmt: skip
    """Return how to train a regressor near a set, by default of waves."""

    def make(name: str, generator: Generator) -> Problem:
        region, draw = made(generator)
        network = networks.fit(
            model(region.inputs), draw(POINTS), function or networks.waves(region.inputs), scale=scale
        )
        return with_optimum(Problem(name=name, model=network, region=region))

    return make


def _classifier(model: Callable[[], nn.Sequential], norm: str, radius: float, *, certified: bool = False) -> Make:
    """Return how to train a classifier of digits, and a ball around an image that it gets right."""

    def make(name: str, generator: Generator) -> Problem:
        images, labels = networks.digits()
        train = networks.certify if certified else networks.classify
        network = train(model(), images[:4000], labels[:4000])
        images, labels = images[4000:], labels[4000:]
        scores = network(images)
        right = torch.nonzero(scores.argmax(1) == labels)[:, 0]
        place = int(right[int(generator.integers(len(right)))])
        label, image = int(labels[place]), images[place].flatten().double().numpy()
        second = int(scores[place].topk(2).indices[1])
        low, high = np.zeros(784), np.ones(784)
        if norm == "linf":
            low, high, norm_given = np.maximum(image - radius, 0), np.minimum(image + radius, 1), ""
        else:
            norm_given = norm
        region = Region(lower=low, upper=high, norm=norm_given, center=image, radius=radius, shape=(1, 28, 28))
        return Problem(name=name, model=network, region=region, plus=second, minus=label)

    return make


def _box(low: float | Array, high: float | Array, inputs: int) -> Callable[[Generator], Made]:
    return lambda generator: polytopes.between(
        Region(lower=np.full(inputs, low, float), upper=np.full(inputs, high, float)), generator
    )


def _widths(generator: Generator) -> Made:
    widths = np.geomspace(2e-3, 20, 20)
    low = generator.normal(size=20) * widths
    return polytopes.between(Region(lower=low, upper=low + widths), generator)


def _ball(generator: Generator) -> Made:
    none = np.full(200, np.inf)
    center = generator.normal(size=200)
    region = Region(lower=-none, upper=none, norm="l2", center=center, radius=3.0)
    return region, lambda count: center + generator.normal(size=(count, 200)) * 3 / np.sqrt(200)


def _whole(inputs: int, most: int) -> Callable[[Generator], Made]:
    return lambda generator: polytopes.between(
        Region(lower=np.zeros(inputs), upper=np.full(inputs, float(most)), integer=tuple(range(inputs))), generator
    )


def _groups(groups: int, choices: int) -> Callable[[Generator], Made]:
    def made(generator: Generator) -> Made:
        inputs = groups * choices
        one_hot = tuple(tuple(range(choices * group, choices * (group + 1))) for group in range(groups))
        region = Region(lower=np.zeros(inputs), upper=np.ones(inputs), integer=tuple(range(inputs)), one_hot=one_hot)

        def draw(count: int) -> Array:
            return np.eye(choices)[generator.integers(choices, size=(count, groups))].reshape(count, -1)

        return region, draw

    return made


def _untrained(name: str, generator: Generator) -> Problem:
    """Return a deep network with He's initial weights over the unit box."""
    region, _ = _box(0.0, 1.0, 100)(generator)
    model = networks.dense(100, *[100] * 6, 1, he=True).eval().requires_grad_(False)
    return Problem(name=name, model=model, region=region)


def _dense(*widths: int, leak: float = 0.0, norm: bool = False) -> Callable[[int], nn.Sequential]:
    return lambda inputs: networks.dense(inputs, *widths, 1, leak=leak, norm=norm)


KINDS: dict[str, Make] = {
    "rows20x50": _regressor(lambda g: polytopes.rows(g, 20, 50), _dense(128, 128)),
    "rows20x500": _regressor(lambda g: polytopes.rows(g, 20, 500), _dense(128, 128)),
    "rows200x500": _regressor(lambda g: polytopes.rows(g, 200, 500), _dense(128, 128)),
    "rows1000x50": _regressor(lambda g: polytopes.rows(g, 1000, 50), _dense(100, 100)),
    "sparse300x200": _regressor(lambda g: polytopes.rows(g, 300, 200, filled=4), _dense(100, 100)),
    "slabs30": _regressor(lambda g: polytopes.rows(g, 30, 20, slabs=3), _dense(100, 100)),
    "unbounded30": _regressor(lambda g: polytopes.unbounded(g, 30, 200), _dense(100, 100)),
    "equation200x60": _regressor(lambda g: polytopes.equation(g, 200, 60), _dense(100, 100, 100)),
    "implied20": _regressor(lambda g: polytopes.implied(g, 20, 30), _dense(100, 100)),
    "simplex500": _regressor(lambda g: polytopes.simplex(g, 500), _dense(64, 64)),
    "portfolio80": _regressor(lambda g: polytopes.portfolio(g, 80), _dense(100, 100)),
    "transport10x15": _regressor(lambda g: polytopes.transport(g, 10, 15), _dense(100, 100)),
    "flow100x300": _regressor(lambda g: polytopes.network_flow(g, 100, 300), _dense(100, 100)),
    "knapsack100": _regressor(lambda g: polytopes.knapsack(g, 100), _dense(64, 64)),
    "large_scale": _regressor(lambda g: polytopes.rows(g, 30, 20), _dense(64, 64, 64), scale=1e6),
    "tiny_scale": _regressor(lambda g: polytopes.rows(g, 30, 20), _dense(64, 64, 64), scale=1e-7),
    "widths20": _regressor(_widths, _dense(100, 100)),
    "rosenbrock10": _regressor(_box(-1.0, 1.0, 10), _dense(64, 64, 64), networks.rosenbrock),
    "rastrigin10": _regressor(_box(-1.0, 1.0, 10), _dense(200, 200), networks.rastrigin),
    "ackley20": _regressor(_box(-1.0, 1.0, 20), _dense(64, 64, 64), networks.ackley),
    "leaky50": _regressor(_box(0.0, 1.0, 50), _dense(100, 100, 100, leak=0.05)),
    "batchnorm50": _regressor(lambda g: polytopes.rows(g, 50, 30), _dense(100, 100, norm=True)),
    "residual40": _regressor(_box(0.0, 1.0, 40), lambda inputs: networks.residual(inputs, 64, 3)),
    "he100": _untrained,
    "ball200": _regressor(_ball, _dense(100, 100)),
    "l1_digits": _classifier(lambda: networks.dense(784, 50, 50, 10), "l1", 8.0),
    "linf_flat": _classifier(lambda: networks.dense(784, *[128] * 6, 10, he=True), "linf", 0.05, certified=True),
    "linf_batchnorm": _classifier(lambda: networks.dense(784, *[100] * 4, 10, norm=True), "linf", 0.04),
    "linf_conv": _classifier(networks.convolutional, "linf", 0.05),
    "onehot8x5": _regressor(_groups(8, 5), _dense(100, 100)),
    "onehot20x6": _regressor(_groups(20, 6), _dense(100, 100)),
    "integers6": _regressor(_whole(6, 8), _dense(100, 100)),
    "knapsack_whole50": _regressor(lambda g: polytopes.knapsack(g, 50, most=3), _dense(64, 64)),
    "mixed30": _regressor(lambda g: polytopes.mixed(g, 30, 10, 12), _dense(64, 64)),
}


def with_optimum(problem: Problem) -> Problem:
    """Try all points of a set that has only choices or only whole numbers, if they are not too many."""
    region = problem.region
    values: list[Array] = []
    if region.one_hot:
        values = [np.eye(len(group)) for group in region.one_hot]
    elif len(region.integer) == region.inputs and not len(region.A):
        values = [np.arange(low, high + 1)[:, None] for low, high in zip(region.lower, region.upper, strict=True)]
    if not values or np.prod([float(len(part)) for part in values]) > CHOICES:
        return problem
    tails = np.array(list(itertools.product(*map(range, map(len, values[1:])))))
    tail = np.concatenate([part[column] for part, column in zip(values[1:], tails.T, strict=True)], 1)
    function, best = problem.objective(torch.float64), -np.inf
    with torch.inference_mode():
        for head in values[0]:
            points = torch.tensor(np.concatenate([np.broadcast_to(head, (len(tail), len(head))), tail], 1))
            best = max(best, *(float(function(part).max()) for part in points.split(20_000)))
    return Problem(name=problem.name, model=problem.model, region=region, optimum=best)


def path_of(name: str) -> Path:
    """Return where a problem is kept."""
    return CACHE / f"{name}-v{VERSION}.pt"


def prepare(name: str) -> Path:
    """Make the problem of a name such as ``"rows20x50-1"`` where it is not there, and return its file."""
    path = path_of(name)
    if not path.exists():
        kind, _, seed = name.rpartition("-")
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        torch.manual_seed(number)
        torch.set_num_threads(1)
        made = KINDS[kind](name, np.random.default_rng([int(seed), number]))
        CACHE.mkdir(exist_ok=True)
        torch.save(made, path)
    return path


def load(name: str) -> Problem:
    """Read a problem that has been made."""
    problem: Problem = torch.load(prepare(name), weights_only=False)
    return problem
