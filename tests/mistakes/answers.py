"""Mistakes with classifiers, files and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import relu_attack as ra
from relu_attack import io, plots
from relu_attack.compat import Attack, FoolboxAttack
from relu_attack.robustness import CachedModel
from tests.mistakes.support import (
    ACCURACY,
    FOUND,
    LABEL,
    NAN,
    NET,
    SCORED,
    WORST,
    Call,
    Other,
    X,
    accuracy,
    nan_model,
    network,
    worst,
)


def classifiers() -> Iterator[tuple[str, Call]]:
    yield "worst_case: no module", lambda: worst(model=torch.relu)
    yield "worst_case: one sample without a batch", lambda: worst(x=X[0])
    yield "worst_case: whole pixels", lambda: worst(x=torch.randint(0, 255, (4, 3)))
    yield "worst_case: a list of words", lambda: worst(x=["a", "b"])
    yield "worst_case: None", lambda: worst(x=None)
    yield "worst_case: an array of words", lambda: worst(x=np.array([["a"] * 3] * 4))
    yield "worst_case: truth values", lambda: worst(x=np.ones((4, 3), dtype=bool))
    yield "worst_case: sparse", lambda: worst(x=X.to_sparse())
    yield "worst_case: NaN", lambda: worst(x=torch.full((4, 3), NAN))
    yield "worst_case: empty", lambda: worst(x=torch.zeros(0, 3), labels=torch.zeros(0, dtype=torch.long))
    yield "worst_case: samples of another width", lambda: worst(x=torch.rand(4, 5))
    yield "worst_case: pixels from 0 to 255", lambda: worst(x=X * 255, radius=8.0)
    yield "worst_case: normalised samples", lambda: worst(x=(X - 0.5) / 0.1)
    yield "worst_case: L2, pixels from 0 to 255", lambda: worst(x=X * 255, radius=8.0, norm="l2")
    yield "worst_case: labels of fractions", lambda: worst(labels=torch.rand(4))
    yield "worst_case: one-hot labels", lambda: worst(labels=torch.eye(3)[LABEL])
    yield "worst_case: labels of words", lambda: worst(labels=["cat", "dog", "cat", "dog"])
    yield "worst_case: three labels for four", lambda: worst(labels=LABEL[:3])
    yield "worst_case: a label that there is not", lambda: worst(labels=[0, 1, 2, 3])
    yield "worst_case: label None", lambda: worst(labels=None)
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
    yield "worst_case: iterations 0", lambda: worst(iterations=0)
    yield "worst_case: restarts is a fraction", lambda: worst(restarts=2.5)
    yield "worst_case: time_limit 0", lambda: worst(time_limit=0)
    yield "worst_case: seed is a word", lambda: worst(seed="zero")
    yield "worst_case: x0 of one sample", lambda: worst(x0=X[0])
    yield "worst_case: normalize is a number", lambda: worst(normalize=0.5)
    yield "worst_case: normalize std 0", lambda: worst(normalize=(0.5, 0.0))
    yield "worst_case: normalize of other channels", lambda: worst(normalize=([0.5, 0.5], [0.1, 0.1]))
    yield "worst_case: normalize of words", lambda: worst(normalize=("mean", "std"))
    yield "worst_case: one class", lambda: worst(model=network(1), labels=0)
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
    yield "WorstCaseWithScores: other samples", lambda: ra.WorstCaseWithScores.of(NET, X[:2], LABEL[:2], WORST)
    yield "WorstCaseWithScores: other labels", lambda: ra.WorstCaseWithScores.of(NET, X, (LABEL + 1) % 3, WORST)
    yield "WorstCaseWithScores: a result", lambda: ra.WorstCaseWithScores.of(NET, X, LABEL, FOUND)  # type: ignore[arg-type]
    yield "WorstCaseWithScores: None", lambda: ra.WorstCaseWithScores.of(NET, X, LABEL, None)  # type: ignore[arg-type]
    yield "CachedModel: a function", lambda: CachedModel(torch.relu)  # type: ignore[arg-type]
    yield "Attack: no module", lambda: Attack(3, eps=0.1)  # type: ignore[arg-type]
    yield "FoolboxAttack: no module", lambda: FoolboxAttack()(3, X, LABEL, epsilons=0.1)  # type: ignore[call-overload]
    yield "FoolboxAttack: norm inf", lambda: FoolboxAttack("inf")(NET, X, LABEL, epsilons=0.1)
    yield "FoolboxAttack: a word", lambda: FoolboxAttack()(NET, X, LABEL, epsilons="0.1")  # type: ignore[call-overload]
    yield "FoolboxAttack: no radius", lambda: FoolboxAttack()(NET, X, LABEL, epsilons=[])
    yield "FoolboxAttack: None", lambda: FoolboxAttack()(NET, X, LABEL, epsilons=None)  # type: ignore[call-overload]
    yield "FoolboxAttack: no labels", lambda: FoolboxAttack()(NET, X, None, epsilons=0.1)  # type: ignore[call-overload]
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
    yield "write_witness: None", lambda: io.write_witness("witness.txt", None, None)  # type: ignore[arg-type]
    yield "format_witness: None", lambda: io.format_witness(None, None)  # type: ignore[arg-type]
    yield "build: a number", lambda: io.build(3)  # type: ignore[arg-type]
    yield "describe: a number", lambda: io.describe(3)  # type: ignore[arg-type]
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
