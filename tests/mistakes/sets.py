"""Mistakes in sets of inputs."""

from __future__ import annotations

from collections.abc import Iterator

import torch

import relu_attack as ra
from tests.mistakes.support import (
    BOX,
    INF,
    NAN,
    Call,
    Frame,
    X,
    polytope,
)


def sets() -> Iterator[tuple[str, Call]]:
    yield "Box: turned around", lambda: ra.Box(1.0, 0.0, shape=(3,))
    yield "Box: no shape", lambda: ra.Box(0.0, 1.0)
    yield "Box: NaN", lambda: ra.Box([NAN], [1.0])
    yield "Box: infinite", lambda: ra.Box([0.0], [INF])
    yield "Box: words", lambda: ra.Box("low", "high", shape=(3,))
    yield "Box: None", lambda: ra.Box(None, 1.0, shape=(3,))
    yield "Box: two lengths", lambda: ra.Box([0.0, 0.0], [1.0, 1.0, 1.0])
    yield "Box: shape is a number", lambda: ra.Box(0.0, 1.0, shape=3)
    yield "Box: shape is negative", lambda: ra.Box(0.0, 1.0, shape=(-3,))
    yield "Box: shape of fractions", lambda: ra.Box(0.0, 1.0, shape=(1.5,))
    yield "Box: shape is a word", lambda: ra.Box(0.0, 1.0, shape="abc")
    yield "Box: empty", lambda: ra.Box([], [])
    yield "Box: integer out of range", lambda: ra.Box([0.0], [1.0], integer=[5])
    yield "Box: integer is a word", lambda: ra.Box([0.0], [1.0], integer="0")
    yield "Box: integer is a number", lambda: ra.Box([0.0], [1.0], integer=0)
    yield "Box: integer of fractions", lambda: ra.Box([0.0], [1.0], integer=[0.5])
    yield "Box: integer without a whole number", lambda: ra.Box([0.2], [0.8], integer=[0])
    yield "Box: one_hot is flat", lambda: ra.Box([0.0, 0.0], [1.0, 1.0], one_hot=[0, 1])
    yield "Box: one_hot twice", lambda: ra.Box([0.0, 0.0], [1.0, 1.0], one_hot=[[0, 1], [1, 0]])
    yield "Box: one_hot out of range", lambda: ra.Box([0.0, 0.0], [1.0, 1.0], one_hot=[[0, 7]])
    yield "Box: one_hot is a number", lambda: ra.Box([0.0, 0.0], [1.0, 1.0], one_hot=3)
    yield "Box: data frames of two shapes", lambda: ra.Box(Frame([[0.0] * 3] * 2), Frame([[1.0] * 2] * 3))
    yield "Polytope: nothing", lambda: ra.Polytope()
    yield "Polytope: A without b", lambda: polytope(b=None)
    yield "Polytope: b of another length", lambda: polytope(b=[1.0, 2.0])
    yield "Polytope: A of another width", lambda: polytope(A=[[1.0, 1.0]], lower=[0.0] * 3)
    yield "Polytope: A is one row", lambda: polytope(A=[1.0, 1.0, 1.0], b=[1.0, 1.0])
    yield "Polytope: NaN", lambda: polytope(A=[[NAN, 1.0, 1.0]])
    yield "Polytope: b is NaN", lambda: polytope(b=[NAN])
    yield "Polytope: words", lambda: polytope(A=[["a", "b", "c"]])
    yield "Polytope: infeasible", lambda: polytope(b=[-1.0])
    yield "Polytope: unbounded", lambda: polytope(lower=None, upper=None)
    yield "Polytope: bounds turned around", lambda: polytope(lower=2.0)
    yield "Polytope: integer out of range", lambda: polytope(integer=[9])
    yield "Polytope: one_hot without room", lambda: polytope(A=[[1.0, 1.0, 1.0]], b=[0.5], one_hot=[[0, 1, 2]])
    yield "Polytope: a frame of another width", lambda: polytope(A=Frame([[1.0, 1.0]]), lower=[0.0] * 3)
    yield "Polytope: a frame of words", lambda: polytope(A=Frame([["a", "b", "c"]]))
    yield "Polytope: equation that fails", lambda: polytope(A_eq=[[1.0, 1.0, 1.0]], b_eq=[9.0])
    yield "Polytope: shape does not fit", lambda: polytope(shape=(2, 2))
    yield "Box: points of another width", lambda: BOX.project(torch.zeros(2, 5))
    yield "Box: points are a list", lambda: BOX.project([0.0, 0.0, 0.0])  # type: ignore[arg-type]
    yield "Box: points are a word", lambda: BOX.contains("x")  # type: ignore[arg-type]
    yield "Box: points are None", lambda: BOX.violation(None)  # type: ignore[arg-type]
    yield "Box: a direction of another width", lambda: BOX.maximizer(torch.zeros(7))
    yield "Box: as many points as a word", lambda: BOX.sample("3")  # type: ignore[arg-type]
    yield "Box: fewer points than none", lambda: BOX.sample(-1)
    yield "Box: sparse", lambda: ra.Box(torch.zeros(3).to_sparse(), 1.0)
    yield "LInfBall: a set that there is not", lambda: ra.LInfBall(X, 0.1).single(9)
    yield "L2Ball: a set that there is not", lambda: ra.L2Ball(X, 0.1).single(9)
    yield "Box: fix an input out of range", lambda: BOX.with_fixed([7], 0.0)
    yield "Box: fix an input outside", lambda: BOX.with_fixed([0], 7.0)
    yield "Box: fix by a word", lambda: BOX.with_fixed("first", 0.0)


def balls() -> Iterator[tuple[str, Call]]:
    for ball in (ra.LInfBall, ra.L2Ball, ra.L1Ball):
        name = ball.__name__
        yield f"{name}: words", lambda ball=ball: ball("center", 0.1)
        yield f"{name}: NaN", lambda ball=ball: ball([0.0, NAN], 0.1)
        yield f"{name}: no center", lambda ball=ball: ball(None, 0.1)
        yield f"{name}: negative radius", lambda ball=ball: ball([0.0], -0.1)
        yield f"{name}: radius None", lambda ball=ball: ball([0.0], None)
        yield f"{name}: radius of words", lambda ball=ball: ball([0.0], "0.1")
        yield f"{name}: radii without a batch", lambda ball=ball: ball([0.0], [0.1, 0.2])
        yield f"{name}: infinite radius", lambda ball=ball: ball([0.0], INF)
        yield f"{name}: clip is a number", lambda ball=ball: ball([0.0], 0.1, clip=1.0)
        yield f"{name}: clip is turned around", lambda ball=ball: ball([0.0], 0.1, clip=(1.0, 0.0))
        yield f"{name}: clip is far away", lambda ball=ball: ball([200.0, 17.0], 8.0, clip=(0.0, 1.0))
        yield f"{name}: clip of another shape", lambda ball=ball: ball([0.0], 0.1, clip=([0.0, 0.0], 1.0))
        yield f"{name}: clip of words", lambda ball=ball: ball([0.0], 0.1, clip=("a", "b"))
        yield f"{name}: shape does not fit", lambda ball=ball: ball([0.0, 0.0, 0.0], 0.1, shape=(2,))
        yield f"{name}: shape is a word", lambda ball=ball: ball([0.0, 0.0, 0.0], 0.1, shape="3")
        yield f"{name}: a set", lambda ball=ball: ball({0.1, 0.2}, 0.1)
        yield f"{name}: a ragged list", lambda ball=ball: ball([[0.0], [0.0, 1.0]], 0.1)
        yield f"{name}: complex", lambda ball=ball: ball(torch.zeros(2, dtype=torch.complex64), 0.1)
        yield f"{name}: empty", lambda ball=ball: ball([], 0.1)
        yield f"{name}: a data frame of words", lambda ball=ball: ball(Frame([["a"]]), 0.1)
