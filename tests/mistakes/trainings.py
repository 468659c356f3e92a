"""Mistakes in callbacks."""

from __future__ import annotations

from collections.abc import Iterator

from relu_attack import callbacks
from tests.mistakes.support import (
    BOX,
    NAN,
    Call,
    X,
)


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
            "iterations is a fraction": {"iterations": 1.5},
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
