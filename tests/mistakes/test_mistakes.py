"""A walk through every public call with the mistakes that are made: each is answered with one named line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import relu_attack as ra
from tests.mistakes.answers import classifiers, files, pictures
from tests.mistakes.questions import claims, objectives, optimizers
from tests.mistakes.sets import balls, sets
from tests.mistakes.support import (
    Call,
    Frame,
)
from tests.mistakes.trainings import trainings

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
        ("plot_worst_case: without scores", r"WorstCaseWithScores\.of\(model, x, label, worst\)"),
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
