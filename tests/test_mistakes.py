"""A walk through every public call with the mistakes that are made: each is answered with one named line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack import callbacks, io, plots
from relu_attack.compat import Attack
from relu_attack.robustness import KeptModel

Call = Callable[[], object]
NAN, INF = math.nan, math.inf
X = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
LABEL = torch.tensor([0, 1, 2, 0])
BOX = ra.Box(0.0, 1.0, shape=(3,))
CLAIM = ra.Specification.require([1.0, 0.0, 0.0], 100.0)
NO_GPU = not torch.cuda.is_available()


def network(outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, outputs)).eval()


class Frame:
    """Numbers that only an array can be made of, as a DataFrame of pandas is."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.columns = [f"column {place}" for place in range(len(rows[0]))]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, column: str) -> Any:
        return [row[self.columns.index(column)] for row in self.rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.rows, dtype=dtype)


class Other(nn.Module):
    """A network with a forward pass of the user's own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.inner, self.function = network(), function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.inner(x))


NET = network()
QUICK: dict[str, Any] = {"method": "ppga_lr", "iterations": 2, "restarts": 1}
FOUND = ra.maximize(NET, BOX, **QUICK)
WORST = ra.worst_case(NET, X, LABEL, 0.1, steps=2, restarts=1)
SCORED = ra.ScoredWorstCase.of(NET, X, LABEL, WORST)
ACCURACY = ra.robust_accuracy(NET, [(X, LABEL)], 0.1, steps=2, restarts=1, progress=False)


def maximize(*arguments: Any, **options: Any) -> object:
    return ra.maximize(*arguments, **{**QUICK, **options})


def optimizer(**options: Any) -> object:
    return ra.ReLUOptimizer(**{"model": NET, "domain": BOX, **options})


def worst(**options: Any) -> object:
    given = {"model": NET, "x": X, "label": LABEL, "radius": 0.1, "steps": 2, "restarts": 1, **options}
    return ra.worst_case(**given)


def accuracy(model: Any = NET, loader: Any = ((X, LABEL),), radius: Any = 0.1, **options: Any) -> object:
    return ra.robust_accuracy(model, loader, radius, **{"steps": 2, "restarts": 1, "progress": False, **options})


def box(*arguments: Any, **options: Any) -> object:
    return ra.Box(*arguments, **options)


def polytope(**options: Any) -> object:
    return ra.Polytope(**{"A": [[1.0, 1.0, 1.0]], "b": [1.0], "lower": 0.0, "upper": 1.0, **options})


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


def sets() -> Iterator[tuple[str, Call]]:
    yield "Box: turned around", lambda: box(1.0, 0.0, shape=(3,))
    yield "Box: no shape", lambda: box(0.0, 1.0)
    yield "Box: NaN", lambda: box([NAN], [1.0])
    yield "Box: infinite", lambda: box([0.0], [INF])
    yield "Box: words", lambda: box("low", "high", shape=(3,))
    yield "Box: None", lambda: box(None, 1.0, shape=(3,))
    yield "Box: two lengths", lambda: box([0.0, 0.0], [1.0, 1.0, 1.0])
    yield "Box: shape is a number", lambda: box(0.0, 1.0, shape=3)
    yield "Box: shape is negative", lambda: box(0.0, 1.0, shape=(-3,))
    yield "Box: shape of fractions", lambda: box(0.0, 1.0, shape=(1.5,))
    yield "Box: shape is a word", lambda: box(0.0, 1.0, shape="abc")
    yield "Box: empty", lambda: box([], [])
    yield "Box: integer out of range", lambda: box([0.0], [1.0], integer=[5])
    yield "Box: integer is a word", lambda: box([0.0], [1.0], integer="0")
    yield "Box: integer is a number", lambda: box([0.0], [1.0], integer=0)
    yield "Box: integer of fractions", lambda: box([0.0], [1.0], integer=[0.5])
    yield "Box: integer without a whole number", lambda: box([0.2], [0.8], integer=[0])
    yield "Box: one_hot is flat", lambda: box([0.0, 0.0], [1.0, 1.0], one_hot=[0, 1])
    yield "Box: one_hot twice", lambda: box([0.0, 0.0], [1.0, 1.0], one_hot=[[0, 1], [1, 0]])
    yield "Box: one_hot out of range", lambda: box([0.0, 0.0], [1.0, 1.0], one_hot=[[0, 7]])
    yield "Box: one_hot is a number", lambda: box([0.0, 0.0], [1.0, 1.0], one_hot=3)
    yield "Box: data frames of two shapes", lambda: box(Frame([[0.0] * 3] * 2), Frame([[1.0] * 2] * 3))
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
    yield "Box: fix an input out of range", lambda: BOX.with_fixed([7], 0.0)
    yield "Box: fix an input outside", lambda: BOX.with_fixed([0], 7.0)
    yield "Box: fix by a word", lambda: BOX.with_fixed("first", 0.0)


def objectives() -> Iterator[tuple[str, Call]]:
    def bad(objective: Any) -> Call:
        return lambda: maximize(NET, BOX, objective)

    yield "Output: out of range", bad(ra.Output(3))
    yield "Output: negative", bad(ra.Output(-1))
    yield "Output: a fraction", bad(ra.Output(0.5))  # type: ignore[arg-type]
    yield "Output: a word", bad(ra.Output("first"))  # type: ignore[arg-type]
    yield "Output: None", bad(ra.Output(None))  # type: ignore[arg-type]
    yield "Output: empty", bad(ra.Output([]))
    yield "Linear: two of three", bad(ra.Linear([1.0, 2.0]))
    yield "Linear: NaN", bad(ra.Linear([1.0, 2.0, NAN]))
    yield "Linear: words", bad(ra.Linear(["a", "b", "c"]))  # type: ignore[list-item]
    yield "Linear: a number", bad(ra.Linear(1.0))
    yield "Linear: None", bad(ra.Linear(None))  # type: ignore[arg-type]
    yield "Linear: a cube", bad(ra.Linear(torch.zeros(1, 1, 3)))
    yield "Margin: the same class", bad(ra.Margin(1, 1))
    yield "Margin: out of range", bad(ra.Margin(0, 5))
    yield "Margin: two and three", bad(ra.Margin([0, 1], [1, 2, 0]))
    yield "objective is a number", bad(3)
    yield "objective is a list", bad([1.0, 0.0, 0.0])
    yield "objective is a class", bad(ra.Output)
    yield "OutputConstraints: words", lambda: ra.OutputConstraints("a", 1.0)  # type: ignore[arg-type]
    yield "OutputConstraints: NaN", lambda: ra.OutputConstraints([[NAN]], [1.0])
    yield "OutputConstraints: two limits", lambda: ra.OutputConstraints([[1.0]], [1.0, 2.0])
    yield "OutputConstraints: None", lambda: ra.OutputConstraints(None, 1.0)  # type: ignore[arg-type]
    yield "OutputConstraints: empty", lambda: ra.OutputConstraints([], [])
    yield "OutputConstraints: a cube", lambda: ra.OutputConstraints(torch.zeros(1, 1, 3), 1.0)
    yield (
        "OutputConstraints: other outputs",
        lambda: maximize(NET, BOX, output_constraints=ra.OutputConstraints([1.0], 1.0)),
    )
    yield "output_constraints is a pair", lambda: maximize(NET, BOX, output_constraints=([[1.0, 0.0, 0.0]], [1.0]))
    yield "Specification: no clause", lambda: ra.Specification([])
    yield "Specification: numbers", lambda: ra.Specification([1, 2])  # type: ignore[list-item]
    yield "Specification: None", lambda: ra.Specification(None)  # type: ignore[arg-type]
    yield "Specification: a word", lambda: ra.Specification("unsafe")  # type: ignore[arg-type]
    yield "require: NaN", lambda: ra.Specification.require([NAN], [1.0])
    yield "require: words", lambda: ra.Specification.require("a", "b")  # type: ignore[arg-type]
    yield "unsafe: nothing", lambda: ra.Specification.unsafe()
    yield "unsafe: numbers", lambda: ra.Specification.unsafe(1, 2)  # type: ignore[arg-type]
    yield "label: out of range", lambda: ra.Specification.label(3, outputs=3)
    yield "label: one output", lambda: ra.Specification.label(0, outputs=1)
    yield "label: a word", lambda: ra.Specification.label("cat", outputs=3)  # type: ignore[arg-type]
    yield "label: outputs is a word", lambda: ra.Specification.label(0, outputs="3")  # type: ignore[arg-type]
    yield "and: a number", lambda: CLAIM & 3  # type: ignore[operator]
    yield "or: None", lambda: CLAIM | None  # type: ignore[operator]
    yield "and: other outputs", lambda: CLAIM & ra.Specification.require([1.0], 1.0)
    yield "violated_by: other outputs", lambda: CLAIM.violated_by(torch.zeros(5))


def optimizers() -> Iterator[tuple[str, Call]]:
    yield "model is a function", lambda: optimizer(model=torch.relu)
    yield "model is a class", lambda: optimizer(model=nn.ReLU)
    yield "model is None", lambda: optimizer(model=None)
    yield "model is a file", lambda: optimizer(model="net.pt")
    yield "model is its weights", lambda: optimizer(model=NET.state_dict())
    yield "model of another width", lambda: optimizer(model=nn.Linear(7, 1))
    yield "model with a GELU", lambda: optimizer(model=nn.Sequential(nn.Linear(3, 2), nn.GELU()))
    yield "model returns a tuple", lambda: optimizer(model=Other(lambda y: (y, y)))
    yield "model returns a number", lambda: optimizer(model=Other(lambda y: 3.0))
    yield "model returns None", lambda: optimizer(model=Other(lambda y: None))
    yield "model raises", lambda: optimizer(model=Other(lambda y: 1 / 0))
    yield "model with NaN", lambda: optimizer(model=nan_model())
    yield "model on the device meta", lambda: optimizer(model=nn.Linear(3, 2, device="meta"))
    yield "model that is lazy", lambda: optimizer(model=nn.LazyLinear(2))
    yield "domain is a tuple", lambda: optimizer(domain=(0.0, 1.0))
    yield "domain is None", lambda: optimizer(domain=None)
    yield "domain is a class", lambda: optimizer(domain=ra.Box)
    yield "domain is a tensor", lambda: optimizer(domain=X)
    yield "device is a word", lambda: optimizer(device="gpu")
    yield "device is a sentence", lambda: optimizer(device="cpu, cuda")
    yield "device is a number that there is not", lambda: optimizer(device=7)
    yield "device is a fraction", lambda: optimizer(device=0.5)
    yield "device meta", lambda: optimizer(device="meta")
    if NO_GPU:
        yield "device cuda without one", lambda: optimizer(device="cuda")
        yield "maximize: cuda without one", lambda: maximize(NET, BOX, device="cuda")
        yield "device cuda:3 without one", lambda: optimizer(device=torch.device("cuda:3"))
    yield "dtype is a word", lambda: optimizer(dtype="float32")
    yield "dtype is half", lambda: optimizer(dtype=torch.float16)
    yield "dtype is whole", lambda: optimizer(dtype=torch.int64)
    yield "bounds: a method that there is not", lambda: ra.ReLUOptimizer(NET, BOX).bounds("crowm")
    yield "bounds: None", lambda: ra.ReLUOptimizer(NET, BOX).bounds(None)  # type: ignore[arg-type]
    yield "bounds: half", lambda: ra.ReLUOptimizer(NET, BOX).bounds("crown", dtype=torch.float16)
    yield "ra.bounds: a method that there is not", lambda: ra.bounds(NET, BOX, "exact")
    yield "ra.bounds: no domain", lambda: ra.bounds(NET, 3)  # type: ignore[arg-type]
    yield "ra.bounds: no model", lambda: ra.bounds(3, BOX)  # type: ignore[arg-type]
    yield "method that there is not", lambda: maximize(NET, BOX, method="ppga-lr")
    yield "method is None", lambda: maximize(NET, BOX, method=None)
    yield "method is a list", lambda: maximize(NET, BOX, method=["ppga"])
    yield "restarts 0", lambda: maximize(NET, BOX, restarts=0)
    yield "restarts is a word", lambda: maximize(NET, BOX, restarts="many")
    yield "restarts is a fraction", lambda: maximize(NET, BOX, restarts=1.5)
    yield "iterations 0", lambda: maximize(NET, BOX, iterations=0)
    yield "time_limit 0", lambda: maximize(NET, BOX, time_limit=0)
    yield "time_limit is a word", lambda: maximize(NET, BOX, time_limit="10s")
    yield "time_limit is NaN", lambda: maximize(NET, BOX, time_limit=NAN)
    yield "time_limit is negative", lambda: maximize(NET, BOX, time_limit=-1.0)
    yield "seed is a word", lambda: maximize(NET, BOX, seed="zero")
    yield "seed is negative", lambda: maximize(NET, BOX, seed=-1)
    yield "seed is None", lambda: maximize(NET, BOX, seed=None)
    yield "x0 of another shape", lambda: maximize(NET, BOX, x0=torch.zeros(5))
    yield "x0 is NaN", lambda: maximize(NET, BOX, x0=torch.full((3,), NAN))
    yield "x0 is a word", lambda: maximize(NET, BOX, x0="center")
    yield "bound that there is not", lambda: maximize(NET, BOX, bound="exact")
    yield "minimize: no domain", lambda: ra.minimize(NET, None)  # type: ignore[arg-type]
    yield "minimize: a method that there is not", lambda: ra.minimize(NET, BOX, method="adam")


def nan_model() -> nn.Module:
    model = network()
    model[0].weight.data[0, 0] = NAN
    return model


def claims() -> Iterator[tuple[str, Call]]:
    yield "verify: a number", lambda: ra.verify(NET, BOX, 3)  # type: ignore[arg-type]
    yield "verify: None", lambda: ra.verify(NET, BOX, None)  # type: ignore[arg-type]
    yield "verify: a function", lambda: ra.verify(NET, BOX, lambda y: y[0] < 1)  # type: ignore[arg-type]
    yield "verify: constraints", lambda: ra.verify(NET, BOX, ra.OutputConstraints([1.0, 0.0, 0.0], 1.0))  # type: ignore[arg-type]
    yield "verify: an objective", lambda: ra.verify(NET, BOX, ra.Output(0))  # type: ignore[arg-type]
    yield "verify: the class", lambda: ra.verify(NET, BOX, ra.Specification)  # type: ignore[arg-type]
    yield "verify: other outputs", lambda: ra.verify(NET, BOX, ra.Specification.require([1.0], 1.0))
    yield "verify: no domain", lambda: ra.verify(NET, X, CLAIM)  # type: ignore[arg-type]
    yield "verify: no model", lambda: ra.verify("net.onnx", BOX, CLAIM)  # type: ignore[arg-type]
    yield "verify: a batch", lambda: ra.verify(NET, ra.LInfBall(X, 0.1), CLAIM)
    yield "verify: a ball and a number", lambda: ra.verify(NET, ra.LInfBall(X[0], 0.1), 3)  # type: ignore[arg-type]
    yield "verify: time_limit 0", lambda: ra.verify(NET, BOX, CLAIM, time_limit=0)
    yield "verify: time_limit is a word", lambda: ra.verify(NET, BOX, CLAIM, time_limit="1m")  # type: ignore[arg-type]
    yield "verify: seed is a fraction", lambda: ra.verify(NET, BOX, CLAIM, seed=0.5)  # type: ignore[arg-type]
    yield "check_bounds: one of three", lambda: ra.check_bounds(NET, BOX, [0.0], [1.0])
    yield "check_bounds: NaN", lambda: ra.check_bounds(NET, BOX, [NAN] * 3, [0.0] * 3)
    yield "check_bounds: words", lambda: ra.check_bounds(NET, BOX, "low", "high")  # type: ignore[arg-type]
    yield "check_bounds: None", lambda: ra.check_bounds(NET, BOX, None, 1.0)  # type: ignore[arg-type]
    yield "check_bounds: no domain", lambda: ra.check_bounds(NET, None, 0.0, 1.0)  # type: ignore[arg-type]


def classifiers() -> Iterator[tuple[str, Call]]:
    yield "worst_case: no module", lambda: worst(model=torch.relu)
    yield "worst_case: one sample without a batch", lambda: worst(x=X[0])
    yield "worst_case: whole pixels", lambda: worst(x=torch.randint(0, 255, (4, 3)))
    yield "worst_case: a list of words", lambda: worst(x=["a", "b"])
    yield "worst_case: None", lambda: worst(x=None)
    yield "worst_case: NaN", lambda: worst(x=torch.full((4, 3), NAN))
    yield "worst_case: empty", lambda: worst(x=torch.zeros(0, 3), label=torch.zeros(0, dtype=torch.long))
    yield "worst_case: samples of another width", lambda: worst(x=torch.rand(4, 5))
    yield "worst_case: pixels from 0 to 255", lambda: worst(x=X * 255, radius=8.0)
    yield "worst_case: normalised samples", lambda: worst(x=(X - 0.5) / 0.1)
    yield "worst_case: L2, pixels from 0 to 255", lambda: worst(x=X * 255, radius=8.0, norm="l2")
    yield "worst_case: labels of fractions", lambda: worst(label=torch.rand(4))
    yield "worst_case: one-hot labels", lambda: worst(label=torch.eye(3)[LABEL])
    yield "worst_case: labels of words", lambda: worst(label=["cat", "dog", "cat", "dog"])
    yield "worst_case: three labels for four", lambda: worst(label=LABEL[:3])
    yield "worst_case: a label that there is not", lambda: worst(label=[0, 1, 2, 3])
    yield "worst_case: label None", lambda: worst(label=None)
    yield "worst_case: radius is a word", lambda: worst(radius="8/255")
    yield "worst_case: radius None", lambda: worst(radius=None)
    yield "worst_case: negative radius", lambda: worst(radius=-0.1)
    yield "worst_case: radius NaN", lambda: worst(radius=NAN)
    yield "worst_case: three radii", lambda: worst(radius=[0.1, 0.1, 0.1])
    yield "worst_case: norm inf", lambda: worst(norm="inf")
    yield "worst_case: norm is a number", lambda: worst(norm=2)
    yield "worst_case: clip is a number", lambda: worst(clip=1.0)
    yield "worst_case: clip is turned around", lambda: worst(clip=(1.0, 0.0))
    yield "worst_case: clip of words", lambda: worst(clip=("0", "1"))
    yield "worst_case: targets is a word", lambda: worst(targets="every")
    yield "worst_case: a target is the label", lambda: worst(targets=LABEL)
    yield "worst_case: method that there is not", lambda: worst(method="pgd")
    yield "worst_case: method is None", lambda: worst(method=None)
    yield "worst_case: steps 0", lambda: worst(steps=0)
    yield "worst_case: restarts is a fraction", lambda: worst(restarts=2.5)
    yield "worst_case: time_limit 0", lambda: worst(time_limit=0)
    yield "worst_case: seed is a word", lambda: worst(seed="zero")
    yield "worst_case: x0 of one sample", lambda: worst(x0=X[0])
    yield "worst_case: normalize is a number", lambda: worst(normalize=0.5)
    yield "worst_case: normalize std 0", lambda: worst(normalize=(0.5, 0.0))
    yield "worst_case: normalize of other channels", lambda: worst(normalize=([0.5, 0.5], [0.1, 0.1]))
    yield "worst_case: normalize of words", lambda: worst(normalize=("mean", "std"))
    yield "worst_case: one class", lambda: worst(model=network(1), label=0)
    yield "worst_case: a model of pictures", lambda: worst(model=nn.Sequential(nn.Conv2d(1, 2, 3)))
    yield "worst_case: a model that returns a tuple", lambda: worst(model=Other(lambda y: (y, y)))
    yield "worst_case: a model with NaN", lambda: worst(model=nan_model())
    yield "robust_accuracy: no module", lambda: accuracy(model=3)
    yield "robust_accuracy: a pair of tensors", lambda: accuracy(loader=(X, LABEL))
    yield "robust_accuracy: batches that are mappings", lambda: accuracy(loader=[{"x": X, "y": LABEL}])
    yield "robust_accuracy: batches of three", lambda: accuracy(loader=[(X, LABEL, LABEL)])
    yield "robust_accuracy: a tensor", lambda: accuracy(loader=X)
    yield "robust_accuracy: None", lambda: accuracy(loader=None)
    yield "robust_accuracy: a number", lambda: accuracy(loader=3)
    yield "robust_accuracy: no batch", lambda: accuracy(loader=[])
    yield "robust_accuracy: words", lambda: accuracy(loader=["ab"])
    yield "robust_accuracy: lists of numbers as labels", lambda: accuracy(loader=[(X, ["a", "b", "c", "d"])])
    yield "robust_accuracy: radius is a word", lambda: accuracy(radius="0.1")
    yield "robust_accuracy: radius of each", lambda: accuracy(radius=[0.1, 0.2, 0.3, 0.4])
    yield "robust_accuracy: pixels from 0 to 255", lambda: accuracy(loader=[(X * 255, LABEL)], radius=8.0)
    yield "robust_accuracy: resume is a folder", lambda: accuracy(resume=Path.cwd())
    yield "robust_accuracy: resume is a number", lambda: accuracy(resume=3)
    yield "ScoredWorstCase: other samples", lambda: ra.ScoredWorstCase.of(NET, X[:2], LABEL[:2], WORST)
    yield "ScoredWorstCase: other labels", lambda: ra.ScoredWorstCase.of(NET, X, (LABEL + 1) % 3, WORST)
    yield "ScoredWorstCase: a result", lambda: ra.ScoredWorstCase.of(NET, X, LABEL, FOUND)  # type: ignore[arg-type]
    yield "ScoredWorstCase: None", lambda: ra.ScoredWorstCase.of(NET, X, LABEL, None)  # type: ignore[arg-type]
    yield "KeptModel: a function", lambda: KeptModel(torch.relu)  # type: ignore[arg-type]
    yield "Attack: no module", lambda: Attack(3, eps=0.1)  # type: ignore[arg-type]
    yield "Attack: eps is a word", lambda: Attack(NET, eps="8/255")(X, LABEL)  # type: ignore[arg-type]
    yield "Attack: whole pixels", lambda: Attack(NET, eps=0.1)(torch.randint(0, 255, (4, 3)), LABEL)


def files() -> Iterator[tuple[str, Call]]:
    missing = Path("there/is/no/such/file")
    for load in (ra.load_result, ra.load_worst_case, ra.load_accuracies, ra.load_model):
        name = load.__name__
        yield f"{name}: nothing there", lambda load=load: load(missing)
        yield f"{name}: a folder", lambda load=load: load(Path.cwd())
        yield f"{name}: None", lambda load=load: load(None)
        yield f"{name}: a number", lambda load=load: load(3)
        yield f"{name}: an empty name", lambda load=load: load("")
        yield f"{name}: a name with a zero", lambda load=load: load("a\0b")
    for save, what in (
        (ra.save_result, FOUND),
        (ra.save_worst_case, SCORED),
        (ra.save_accuracies, [(0.1, ACCURACY)]),
    ):
        name = save.__name__
        yield f"{name}: no folder", lambda save=save, what=what: save(what, missing)
        yield f"{name}: another answer", lambda save=save: save(3, "answer")
        yield f"{name}: None", lambda save=save: save(None, "answer")
        yield f"{name}: path is None", lambda save=save, what=what: save(what, None)
        yield f"{name}: path is a number", lambda save=save, what=what: save(what, 3)
        yield f"{name}: settings of tensors", lambda save=save, what=what: save(what, "answer", settings={"x": X})
        yield f"{name}: settings is a list", lambda save=save, what=what: save(what, "answer", settings=[1])
    yield "save_worst_case: without scores", lambda: ra.save_worst_case(WORST, "answer")  # type: ignore[arg-type]
    yield "save_accuracies: one accuracy", lambda: ra.save_accuracies(ACCURACY, "answer")  # type: ignore[arg-type]
    yield "save_accuracies: without radii", lambda: ra.save_accuracies([ACCURACY], "answer")  # type: ignore[list-item]
    yield "save_accuracies: none", lambda: ra.save_accuracies([], "answer")
    yield "save_model: no module", lambda: ra.save_model(3, "net")  # type: ignore[arg-type]
    yield "save_model: no folder", lambda: ra.save_model(NET, missing)
    yield "save_model: a name of no format", lambda: ra.save_model(NET, "net.pkl")
    yield "load_model: weights without an architecture", lambda: ra.load_model("net.safetensors")
    yield "verify_files: nothing there", lambda: ra.verify_files("net.onnx", "claim.vnnlib")
    yield "verify_files: None", lambda: ra.verify_files(None, None)  # type: ignore[arg-type]
    yield "read_onnx: nothing there", lambda: io.read_onnx(missing)
    yield "read_onnx: a number", lambda: io.read_onnx(3)  # type: ignore[arg-type]
    yield "read_onnx: a folder", lambda: io.read_onnx(Path.cwd())
    yield "read_vnnlib: nothing there", lambda: io.read_vnnlib(missing)
    yield "read_vnnlib: None", lambda: io.read_vnnlib(None)  # type: ignore[arg-type]
    yield "parse_vnnlib: nothing", lambda: io.parse_vnnlib("")
    yield "parse_vnnlib: prose", lambda: io.parse_vnnlib("the output is at most 3")
    yield "parse_vnnlib: a bracket", lambda: io.parse_vnnlib("(assert (<= X_0 1)")
    yield "parse_vnnlib: None", lambda: io.parse_vnnlib(None)  # type: ignore[arg-type]
    yield "read_witness: nothing there", lambda: io.read_witness(missing)
    yield "read_witness: None", lambda: io.read_witness(None)  # type: ignore[arg-type]
    yield "write_witness: no folder", lambda: io.write_witness(missing, X[0], X[0])
    yield "load_factory: no colon", lambda: io.load_factory("module")
    yield "load_factory: no module", lambda: io.load_factory("no_such_module:make")
    yield "load_factory: a number", lambda: io.load_factory(3)  # type: ignore[arg-type]
    yield "load_factory: no such name", lambda: io.load_factory("math:no_such_name")
    yield "load_factory: no network", lambda: io.load_factory("math:pi")


def pictures() -> Iterator[tuple[str, Call]]:
    axes = plt.figure().subplots()
    plt.close("all")
    image = torch.rand(4, 4)
    yield "plot_worst_case: without scores", lambda: plots.plot_worst_case(WORST)  # type: ignore[arg-type]
    yield "plot_worst_case: a result", lambda: plots.plot_worst_case(FOUND)  # type: ignore[arg-type]
    yield "plot_worst_case: None", lambda: plots.plot_worst_case(None)  # type: ignore[arg-type]
    yield "plot_worst_case: no images", lambda: plots.plot_worst_case(SCORED)
    yield "plot_worst_case: a sample that there is not", lambda: plots.plot_worst_case(SCORED, samples=[9])
    yield "plot_worst_case: samples is a number", lambda: plots.plot_worst_case(SCORED, samples=3)  # type: ignore[arg-type]
    yield "plot_worst_case: two names of three", lambda: plots.plot_worst_case(SCORED, names=["a", "b"])
    yield "plot_worst_case: top 0", lambda: plots.plot_worst_case(SCORED, top=0)
    yield "plot_accuracy: one accuracy", lambda: plots.plot_accuracy(ACCURACY)  # type: ignore[arg-type]
    yield "plot_accuracy: one pair", lambda: plots.plot_accuracy((0.1, ACCURACY))  # type: ignore[arg-type]
    yield "plot_accuracy: without radii", lambda: plots.plot_accuracy([ACCURACY])  # type: ignore[list-item]
    yield "plot_accuracy: turned around", lambda: plots.plot_accuracy([(ACCURACY, 0.1)])  # type: ignore[list-item]
    yield "plot_accuracy: worst cases", lambda: plots.plot_accuracy([(0.1, WORST)])  # type: ignore[list-item]
    yield "plot_accuracy: none", lambda: plots.plot_accuracy([])
    yield "plot_accuracy: None", lambda: plots.plot_accuracy(None)  # type: ignore[arg-type]
    yield "plot_accuracy: a mapping", lambda: plots.plot_accuracy({0.1: ACCURACY})  # type: ignore[arg-type]
    yield "plot_accuracy: norm inf", lambda: plots.plot_accuracy([(0.1, ACCURACY)], norm="inf")
    yield "plot_accuracy: radius NaN", lambda: plots.plot_accuracy([(NAN, ACCURACY)])
    yield "plot_trace: a worst case", lambda: plots.plot_trace(WORST)  # type: ignore[arg-type]
    yield "plot_trace: None", lambda: plots.plot_trace(None)  # type: ignore[arg-type]
    yield "plot_trace: a list", lambda: plots.plot_trace([FOUND])  # type: ignore[arg-type]
    yield "plot_images: other shapes", lambda: plots.plot_images(image, torch.rand(5, 5))
    yield "plot_images: flat", lambda: plots.plot_images(X[0], X[0])
    yield "plot_images: None", lambda: plots.plot_images(None, image)  # type: ignore[arg-type]
    yield "plot_images: scores is a tensor", lambda: plots.plot_images(image, image, scores=X[0])  # type: ignore[arg-type]
    yield "draw_scores: other lengths", lambda: plots.draw_scores(axes, X[0], torch.rand(5))
    yield "draw_scores: NaN", lambda: plots.draw_scores(axes, torch.tensor([NAN, 1.0]), torch.tensor([1.0, 2.0]))
    yield "draw_scores: None", lambda: plots.draw_scores(axes, None, X[0])  # type: ignore[arg-type]
    yield "draw_scores: label out of range", lambda: plots.draw_scores(axes, X[0], X[1], label=7)
    yield "draw_scores: top is a word", lambda: plots.draw_scores(axes, X[0], X[1], top="all")  # type: ignore[arg-type]


def trainings() -> Iterator[tuple[str, Call]]:
    for name in ("WorstCaseMonitor", "CertifiedAccuracyMonitor", "AdversarialTraining"):
        for word, options in {
            "radius is a word": {"radius": "0.1"},
            "radius 0": {"radius": 0},
            "radius NaN": {"radius": NAN},
            "radius of each": {"radius": [0.1]},
            "norm that there is not": {"norm": "inf"},
            "clip is a number": {"clip": 1.0},
            "clip is turned around": {"clip": (1.0, 0.0)},
            "normalize is a number": {"normalize": 0.5},
            "method that there is not": {"method": "pgd"},
            "restarts 0": {"restarts": 0},
            "steps is a fraction": {"steps": 1.5},
            "seed is a word": {"seed": "zero"},
            "network is a number": {"network": 3},
            "network is empty": {"network": ""},
            "keys is a word": {"keys": "x"},
            "keys of three": {"keys": (0, 1, 2)},
            "prefix is empty": {"log_key_prefix": ""},
        }.items():
            yield f"{name}: {word}", lambda n=name, o=options: getattr(callbacks, n)(**{"radius": 0.1, **o})
    yield "WorstCaseMonitor: nothing", lambda: callbacks.WorstCaseMonitor()
    yield "WorstCaseMonitor: both", lambda: callbacks.WorstCaseMonitor(domain=BOX, radius=0.1)
    yield "WorstCaseMonitor: domain is a tuple", lambda: callbacks.WorstCaseMonitor(domain=(0.0, 1.0))  # type: ignore[arg-type]
    yield "WorstCaseMonitor: objective is a number", lambda: callbacks.WorstCaseMonitor(domain=BOX, objective=0)  # type: ignore[arg-type]
    yield "WorstCaseMonitor: samples is a tensor", lambda: callbacks.WorstCaseMonitor(radius=0.1, samples=X)  # type: ignore[arg-type]
    yield "WorstCaseMonitor: samples of words", lambda: callbacks.WorstCaseMonitor(radius=0.1, samples=("a", "b"))  # type: ignore[arg-type]
    yield "WorstCaseMonitor: images is a flag", lambda: callbacks.WorstCaseMonitor(radius=0.1, images=True)
    yield (
        "WorstCaseMonitor: reduction that there is not",
        lambda: callbacks.WorstCaseMonitor(radius=0.1, reduction="sum"),
    )
    yield "AdversarialTraining: share 2", lambda: callbacks.AdversarialTraining(radius=0.1, share=2)
    yield "AdversarialTraining: warmup -1", lambda: callbacks.AdversarialTraining(radius=0.1, warmup_epochs=-1)
    yield "StopOnBound: no limit", lambda: callbacks.StopOnBound(domain=BOX)
    yield "StopOnBound: limit is a word", lambda: callbacks.StopOnBound(domain=BOX, below="1")  # type: ignore[arg-type]
    yield "StopOnBound: limits turned around", lambda: callbacks.StopOnBound(domain=BOX, above=1.0, below=0.0)
    yield "StopOnBound: domain None", lambda: callbacks.StopOnBound(domain=None, below=1.0)  # type: ignore[arg-type]
    yield "StopOnBound: bounds that there are not", lambda: callbacks.StopOnBound(domain=BOX, below=1.0, bounds="milp")


GROUPS = (sets, balls, objectives, optimizers, claims, classifiers, files, pictures, trainings)
CALLS = {name: call for group in GROUPS for name, call in group()}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_mistake_is_answered_with_one_named_line(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ra.ReLUAttackError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert 10 < len(str(caught.value)) < 500
    assert not list(tmp_path.iterdir()), "a call that fails leaves no file"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("device is a sentence", "it must be a device of torch that is here: 'cpu'"),
        ("verify: a number", "specification must be a Specification, such as Specification.require"),
        ("plot_worst_case: without scores", r"ScoredWorstCase\.of\(model, x, label, worst\)"),
        ("plot_accuracy: one accuracy", r"such as \[\(0\.1, accuracy\)\]"),
        ("robust_accuracy: a pair of tensors", r"for a single batch give \[\(x, label\)\]"),
        ("robust_accuracy: batches that are mappings", "its keys are 'x', 'y'"),
        ("worst_case: pixels from 0 to 255", r"LInfBall is empty.*clip=\(0, 255\)"),
        ("worst_case: normalised samples", r"LInfBall is empty.*normalize=\(mean, std\)"),
        ("worst_case: L2, pixels from 0 to 255", r"L2Ball is empty.*clip=\(0, 255\)"),
        ("robust_accuracy: pixels from 0 to 255", r"clip=\(0, 255\)"),
    ],
)
def test_it_says_what_would_be_right(name: str, words: str) -> None:
    with pytest.raises(ra.ReLUAttackError, match=words):
        CALLS[name]()


def test_frames_of_numbers_are_read_as_the_array_that_they_are() -> None:
    rows = [[1.0, 1.0, 1.0], [1.0, 0.1, 0.0]]
    plain = ra.Polytope(np.array(rows), np.array([1.0, 0.3]), lower=0.0, upper=1.0)
    framed = ra.Polytope(Frame(rows), np.array([1.0, 0.3]), lower=0.0, upper=1.0)  # type: ignore[arg-type]
    point = torch.full((3,), 0.9)
    assert torch.equal(plain.project(point), framed.project(point))
    box = ra.Box(Frame([[0.0, 0.5]]), Frame([[1.0, 2.0]]))  # type: ignore[arg-type]
    assert box.upper.flatten().tolist() == [1.0, 2.0]
