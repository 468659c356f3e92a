"""Mistakes in objectives, optimizers and claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

import relu_attack as ra
from tests.mistakes.support import (
    BOX,
    CLAIM,
    NAN,
    NET,
    NO_GPU,
    Call,
    Other,
    X,
    maximize,
    nan_model,
    optimizer,
)


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
    yield "violated_by: a word", lambda: CLAIM.violated_by("x")  # type: ignore[arg-type]
    yield "violation: other outputs", lambda: ra.OutputConstraints([1.0, 0.0], 1.0).violation(torch.zeros(5))
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
    yield "ra.output_bounds: a method that there is not", lambda: ra.output_bounds(NET, BOX, "exact")
    yield "ra.output_bounds: no domain", lambda: ra.output_bounds(NET, 3)  # type: ignore[arg-type]
    yield "ra.output_bounds: no model", lambda: ra.output_bounds(3, BOX)  # type: ignore[arg-type]
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
