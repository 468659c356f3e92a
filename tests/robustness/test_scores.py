"""The scores beside a worst case are the model's own, and those of another question are refused."""

import pytest
import torch
from torch import Tensor, nn

from relu_attack import OptionError, WorstCase, WorstCaseWithScores, worst_case
from tests.problems import random_network

MODEL = random_network(5, 12, 3, seed=0).float()


def question() -> tuple[Tensor, Tensor]:
    x = torch.rand(6, 5, generator=torch.Generator().manual_seed(1))
    return x, MODEL(x).argmax(1)


def found(model: nn.Module = MODEL, **options: object) -> WorstCase:
    return worst_case(model, *question(), 0.1, **options)  # type: ignore[arg-type]


def test_scores_are_forward_passes_that_give_the_margins() -> None:
    (x, label), worst = question(), found()
    scored = WorstCaseWithScores.of(MODEL, x, label, worst)
    assert torch.equal(scored.clean_scores, MODEL(x).double())
    assert torch.equal(scored.worst_scores, MODEL(worst.x).double())
    own = scored.worst_scores.gather(1, label[:, None])
    others = scored.worst_scores.scatter(1, label[:, None], -torch.inf)
    torch.testing.assert_close((others - own).amax(1), worst.margin)
    assert torch.equal(scored.x, x)
    assert torch.equal(scored.label, label)


def test_a_normalization_comes_before_the_model_and_its_mode_is_kept() -> None:
    model = nn.Sequential(MODEL, nn.Dropout(0.5)).train()
    normalize = (0.5, 0.25)
    scored = WorstCaseWithScores.of(model, *question(), found(model, normalize=normalize), normalize=normalize)
    assert torch.equal(scored.clean_scores, MODEL((question()[0] - 0.5) / 0.25).double())
    assert model.training


def test_one_label_holds_for_all() -> None:
    x, _ = question()
    assert WorstCaseWithScores.of(MODEL, x, 1, worst_case(MODEL, x, 1, 0.1)).label.tolist() == [1] * 6


def test_worst_cases_of_another_question_are_refused() -> None:
    (x, label), worst = question(), found()
    with pytest.raises(OptionError, match=r"the samples have shape \(5, 5\), their worst cases \(6, 5\)"):
        WorstCaseWithScores.of(MODEL, x[:5], label[:5], worst)
    for model, labels, normalize in (
        (random_network(5, 12, 3, seed=1).float(), label, None),
        (MODEL, (label + 1) % 3, None),
        (MODEL, label, (0.5, 0.25)),
    ):
        with pytest.raises(OptionError, match="another model, other labels or another normalization"):
            WorstCaseWithScores.of(model, x, labels, worst, normalize=normalize)
