"""Bars of class scores: two a class, as long as the scores; the label and the winner are named."""

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from relu_attack import OptionError
from relu_attack.plots import draw_scores

CLEAN, WORST = torch.tensor([3.0, -1.0, 0.5]), torch.tensor([1.0, -2.0, 1.5])


def drawn(clean: Tensor = CLEAN, worst: Tensor = WORST, **options: object) -> tuple[list[list[float]], list[str]]:
    """Return the lengths of both series of bars, and the names of the classes from above."""
    axes = Figure().subplots()
    draw_scores(axes, clean, worst, **options)  # type: ignore[arg-type]
    low, high = axes.get_ylim()
    assert low > high  # the first class is above
    return (
        [[bar.get_width() for bar in bars] for bars in axes.containers],
        [text.get_text() for text in axes.get_yticklabels()],
    )


def test_bars_are_the_scores() -> None:
    bars, names = drawn(label=0)
    assert bars == [CLEAN.tolist(), WORST.tolist()]
    assert names == ["0 (label)", "1", "2 (winner)"]


def test_classes_have_names_and_the_label_may_win() -> None:
    assert drawn(label=2, names=["cat", "dog", "fox"])[1] == ["cat", "dog", "fox (label, winner)"]
    assert drawn(names=["cat", "dog", "fox"])[1] == ["cat", "dog", "fox (winner)"]


def test_the_largest_values_are_written_at_their_bars() -> None:
    axes = Figure().subplots()
    draw_scores(axes, CLEAN, WORST, label=0)
    assert [(text.get_text(), text.xy[0]) for text in axes.texts] == [("3", 3.0), ("1.5", 1.5)]


def test_probabilities_sum_to_one() -> None:
    bars, _ = drawn(probabilities=True)
    assert [sum(series) for series in bars] == pytest.approx([1.0, 1.0])
    assert bars[1] == pytest.approx(WORST.double().softmax(0).tolist())


def test_of_many_classes_those_with_the_largest_scores_are_drawn_by_the_score_at_the_worst_case() -> None:
    clean, worst = torch.zeros(100), torch.zeros(100)
    clean[[7, 30]] = torch.tensor([9.0, 8.0])
    worst[[50, 7]] = torch.tensor([6.0, 5.0])
    worst[99] = -4.0
    bars, names = drawn(clean, worst, label=99, top=4)
    assert names == ["50 (winner)", "7", "30", "99 (label)"]
    assert bars == [[0.0, 9.0, 8.0, 0.0], [6.0, 5.0, 0.0, -4.0]]
    assert drawn(clean, worst, label=99, top=1)[1] == ["50 (winner)", "7", "99 (label)"]


@pytest.mark.parametrize(
    ("scores", "options", "words"),
    [
        ((CLEAN, WORST[:2]), {}, "give .classes,. twice"),
        ((CLEAN[None], WORST[None]), {}, "give .classes,. twice"),
        ((CLEAN, WORST * torch.nan), {}, "must be finite"),
        ((CLEAN, WORST), {"label": 3}, "label 3 is out of range; there are 3 classes"),
        ((CLEAN, WORST), {"names": ["a"]}, "1 names of classes, but 3 scores"),
        ((CLEAN, WORST), {"top": 0}, "top must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(scores: tuple[Tensor, Tensor], options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        drawn(*scores, **options)
