"""Polytopes of many shapes, each with a way to draw points near it on which a network is trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from problems.region import Array, Region

Made = tuple[Region, Callable[[int], Array]]


def between(region: Region, generator: Generator) -> Made:
    """Draw training points uniformly between finite bounds."""
    low, high = region.lower, region.upper
    return region, lambda count: generator.uniform(low, high, (count, len(low)))


def rows(generator: Generator, inputs: int, count: int, *, room: float = 0.1, filled: int = 0, slabs: int = 0) -> Made:
    """Cut the unit box by random rows that a point of it satisfies; some slabs of relative width 1e-3 first."""
    A = generator.normal(size=(count, inputs))
    if filled:
        A = np.where(generator.random(A.shape).argsort(1) < filled, A, 0.0)
    middle = generator.uniform(0.2, 0.8, inputs)
    b = A @ middle + room
    for slab in range(slabs):
        side = A[2 * slab]
        half = 5e-4 * np.abs(side).sum()
        A[2 * slab + 1] = -side
        b[2 * slab : 2 * slab + 2] = np.array([1, -1]) * (side @ middle) + half
    return between(Region(lower=np.zeros(inputs), upper=np.ones(inputs), A=A, b=b), generator)


def equation(generator: Generator, inputs: int, count: int) -> Made:
    """Cut the unit box by random rows and one equation with positive coefficients."""
    region, _ = rows(generator, inputs, count - 1, room=0.3)
    weights = generator.uniform(0.5, 2.0, (1, inputs))
    A = region.A - (region.A @ weights[0])[:, None] * weights / (weights[0] @ weights[0])
    middle = np.full(inputs, 0.5)
    b = A @ middle + 0.3
    return between(
        Region(lower=region.lower, upper=region.upper, A=A, b=b, A_eq=weights, b_eq=weights @ middle), generator
    )


def unbounded(generator: Generator, inputs: int, count: int) -> Made:
    """Cut space by random rows around 0, with no bounds."""
    A = generator.normal(size=(count, inputs))
    A /= np.linalg.norm(A, axis=1, keepdims=True)
    region = Region(
        lower=np.full(inputs, -np.inf), upper=np.full(inputs, np.inf), A=A, b=generator.uniform(0.5, 1.5, count)
    )

    def draw(points: int) -> Array:
        return generator.normal(size=(points, inputs)) * generator.uniform(0, 1.5, (points, 1))

    return region, draw


def implied(generator: Generator, inputs: int, count: int) -> Made:
    """Cut the unit box by rows of which three pairs are equations, and others nearly parallel."""
    region, _ = rows(generator, inputs, count)
    A, b, middle = region.A.copy(), region.b.copy(), generator.uniform(0.3, 0.7, inputs)
    b = A @ middle + 0.1
    for pair in range(3):
        A[2 * pair + 1], b[2 * pair] = -A[2 * pair], A[2 * pair] @ middle
        b[2 * pair + 1] = -b[2 * pair]
    A[-3:] = A[6:9] + 1e-6 * generator.normal(size=(3, inputs))
    b[-3:] = A[-3:] @ middle + 0.1
    return between(Region(lower=np.zeros(inputs), upper=np.ones(inputs), A=A, b=b), generator)


def simplex(generator: Generator, inputs: int) -> Made:
    """Return the probability simplex."""
    region = Region(lower=np.zeros(inputs), upper=np.ones(inputs), A_eq=np.ones((1, inputs)), b_eq=np.ones(1))

    def draw(points: int) -> Array:
        weights = generator.gamma(generator.choice([0.02, 0.1, 1.0], (points, 1)), size=(points, inputs)) + 1e-9
        return weights / weights.sum(1, keepdims=True)

    return region, draw


def portfolio(generator: Generator, inputs: int, factors: int = 8, sectors: int = 5) -> Made:
    """Return weights that sum to 1, each at most 0.1, with bounded factor exposures and sectors."""
    loadings = generator.normal(size=(factors, inputs))
    sector = np.eye(sectors)[generator.integers(sectors, size=inputs)].T
    middle = np.full(inputs, 1 / inputs)
    A = np.vstack([loadings, -loadings, sector])
    b = A @ middle + np.concatenate([np.full(2 * factors, 0.15), np.full(sectors, 0.1)])
    lower, upper = np.zeros(inputs), np.full(inputs, 0.1)
    region = Region(lower=lower, upper=upper, A=A, b=b, A_eq=np.ones((1, inputs)), b_eq=np.ones(1))

    def draw(points: int) -> Array:
        weights = generator.gamma(generator.choice([0.2, 1.0], (points, 1)), size=(points, inputs)) + 1e-9
        return np.minimum(weights / weights.sum(1, keepdims=True), 0.1)

    return region, draw


def transport(generator: Generator, sources: int, sinks: int) -> Made:
    """Return flows from sources to sinks with given supplies and demands."""
    supply, demand = generator.uniform(1, 3, sources), generator.uniform(1, 3, sinks)
    demand *= supply.sum() / demand.sum()
    A_eq = np.vstack([np.kron(np.eye(sources), np.ones(sinks)), np.kron(np.ones(sources), np.eye(sinks))])
    upper = np.minimum(supply[:, None], demand).ravel()
    region = Region(lower=np.zeros(len(upper)), upper=upper, A_eq=A_eq, b_eq=np.concatenate([supply, demand]))

    def draw(points: int) -> Array:
        flows = generator.gamma(0.5, size=(points, sources, sinks)) + 1e-6
        for _ in range(20):
            flows *= (supply / flows.sum(2))[:, :, None]
            flows *= (demand / flows.sum(1))[:, None]
        return flows.reshape(points, -1)

    return region, draw


def network_flow(generator: Generator, nodes: int, arcs: int) -> Made:
    """Return flows on a random graph with capacities and a balance at each node."""
    tails = np.concatenate([np.arange(nodes), generator.integers(nodes, size=arcs - nodes)])
    heads = np.concatenate([np.roll(np.arange(nodes), -1), generator.integers(nodes, size=arcs - nodes)])
    heads = np.where(heads == tails, (heads + 1) % nodes, heads)
    balance = np.zeros((nodes, arcs))
    balance[tails, np.arange(arcs)] = 1
    balance[heads, np.arange(arcs)] -= 1
    upper = generator.uniform(0.5, 2, arcs)
    flow = generator.uniform(0.2, 0.8, arcs) * upper
    return between(Region(lower=np.zeros(arcs), upper=upper, A_eq=balance, b_eq=balance @ flow), generator)


def knapsack(generator: Generator, inputs: int, *, most: int = 0) -> Made:
    """Return amounts up to 1, or whole ones up to `most`, of which three budgets allow about a third."""
    A = generator.uniform(0.1, 1.0, (3, inputs))
    integer = tuple(range(inputs)) if most else ()
    upper = np.full(inputs, float(most or 1))
    return between(Region(lower=np.zeros(inputs), upper=upper, A=A, b=0.35 * A @ upper, integer=integer), generator)


def mixed(generator: Generator, inputs: int, count: int, whole: int) -> Made:
    """Cut a box of width 4 by rows; the first inputs are whole."""
    A = generator.normal(size=(count, inputs))
    middle = np.full(inputs, 2.0)
    region = Region(
        lower=np.zeros(inputs), upper=np.full(inputs, 4.0), A=A, b=A @ middle + 2.0, integer=tuple(range(whole))
    )
    return between(region, generator)
