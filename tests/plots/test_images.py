"""The clean image, the worst one, their difference and the class scores stand side by side."""

import dataclasses

import numpy as np
import pytest
import torch

from relu_attack import OptionError, WorstCaseWithScores, worst_case
from relu_attack.plots import plot_images, plot_worst_case
from tests.problems import random_network


def test_both_images_share_a_scale_and_the_difference_is_signed() -> None:
    clean, worst = torch.full((1, 3, 4), 0.5), torch.full((1, 3, 4), 0.5)
    worst[0, 0, 0], worst[0, 2, 3] = 0.75, 0.0
    axes = plot_images(clean, worst, clean_label="a", worst_label="b", title="c").axes
    pictures = [place.images[0] for place in axes[:3]]
    assert pictures[0].get_clim() == pictures[1].get_clim() == (0.0, 0.75)
    assert pictures[2].get_clim() == (-0.5, 0.5)
    np.testing.assert_allclose(pictures[2].get_array(), (worst - clean)[0])
    assert [place.get_title() for place in axes[:3]] == ["a", "b", "difference, at most 0.5"]


@pytest.mark.parametrize(("shape", "drawn"), [((3, 4), (3, 4)), ((1, 3, 4), (3, 4)), ((3, 5, 4), (5, 4, 3))])
def test_gray_and_colored_images_are_drawn(shape: tuple[int, ...], drawn: tuple[int, ...]) -> None:
    axes = plot_images(torch.zeros(shape), torch.ones(shape)).axes
    assert axes[0].images[0].get_array().shape == drawn
    assert axes[2].images[0].get_array().shape == drawn[:2]


def test_equal_images_are_drawn() -> None:
    axes = plot_images(torch.ones(2, 2), torch.ones(2, 2)).axes
    assert axes[2].get_title() == "difference, at most 0"


@pytest.mark.parametrize(
    ("clean", "worst", "words"),
    [((3, 4), (4, 3), "must be the same"), ((2, 3, 4), (2, 3, 4), "give .height, width.")],
)
def test_what_is_no_pair_of_images_is_refused(clean: tuple[int, ...], worst: tuple[int, ...], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        plot_images(torch.zeros(clean), torch.zeros(worst))


def test_of_colours_the_channel_that_changes_most_is_shown() -> None:
    clean, worst = torch.zeros(3, 1, 2), torch.zeros(3, 1, 2)
    worst[:, 0, 0], worst[:, 0, 1] = torch.tensor([0.25, -0.5, 0.25]), torch.tensor([0.0, 0.125, 0.0])
    axes = plot_images(clean, worst).axes
    assert axes[2].images[0].get_array().tolist() == [[-0.5, 0.125]]
    assert axes[2].get_title() == "difference, at most 0.5"


def test_scores_stand_beside_the_images_when_given() -> None:
    images = torch.zeros(2, 2), torch.ones(2, 2)
    assert len(plot_images(*images).axes) == 4  # the scale of the difference is one
    figure = plot_images(*images, scores=(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])), label=1, names="ab")
    assert [bar.get_width() for bars in figure.axes[3].containers for bar in bars] == [1.0, 2.0, 3.0, 0.0]
    assert [text.get_text() for text in figure.axes[3].get_yticklabels()] == ["a (winner)", "b (label)"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["clean", "worst case"]


def scored(shape: tuple[int, ...], samples: int = 3, radius: float = 0.2) -> WorstCaseWithScores:
    model = torch.nn.Sequential(torch.nn.Flatten(), *random_network(int(np.prod(shape)), 8, 4, seed=0))
    x = torch.rand(samples, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    label = model(x).argmax(1)
    return WorstCaseWithScores.of(model, x, label, worst_case(model, x, label, radius, certify=True))


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (3, 4, 4)])
def test_a_worst_case_is_drawn_a_row_each(shape: tuple[int, ...]) -> None:
    found = scored(shape)
    axes = plot_worst_case(found, samples=[2, 0]).axes
    for row, sample in enumerate((2, 0)):
        clean, worst, _, scores = axes[4 * row : 4 * row + 4]
        for place, image in ((clean, found.x[sample]), (worst, found.worst.x[sample])):
            picture = np.asarray(place.images[0].get_array())
            expected = image.permute(1, 2, 0) if shape[0] == 3 else image.reshape(4, 4)
            np.testing.assert_allclose(picture, expected)
        assert clean.get_ylabel() == f"sample {sample}"
        bars = [[bar.get_width() for bar in series] for series in scores.containers]
        assert bars == [found.clean_scores[sample].tolist(), found.worst_scores[sample].tolist()]
        label, winner = int(found.label[sample]), int(found.worst_scores[sample].argmax())
        assert clean.get_title() == f"clean: taken for {label}\nlabel {label}"
        assert worst.get_title().startswith(f"worst case: taken for {winner}\n")


@pytest.mark.parametrize(("radius", "words"), [(1.0, "broken, margin"), (1e-6, "proven safe, margin -")])
def test_what_is_known_of_a_sample_is_told(radius: float, words: str) -> None:
    found = scored((4, 4), samples=1, radius=radius)
    assert plot_worst_case(found).axes[1].get_title().splitlines()[1].startswith(words)


@pytest.mark.parametrize("certified", [None, torch.tensor([0.5])])
def test_an_unbroken_sample_without_a_proof_is_not_called_safe(certified: torch.Tensor | None) -> None:
    found = scored((4, 4), samples=1, radius=1e-6)
    uncertain = dataclasses.replace(found, worst=dataclasses.replace(found.worst, certified_margin=certified))
    assert plot_worst_case(uncertain).axes[1].get_title().splitlines()[1].startswith("not broken, margin -")


def test_of_many_samples_the_first_are_drawn() -> None:
    axes = plot_worst_case(scored((2, 2), samples=20)).axes
    assert [place.get_ylabel() for place in axes if place.get_ylabel().startswith("sample")] == [
        f"sample {number}" for number in range(8)
    ]


def test_samples_that_are_not_there_and_inputs_that_are_no_images_are_refused() -> None:
    found = scored((2, 2))
    with pytest.raises(OptionError, match="sample 3 is out of range; there are 3, from 0 to 2"):
        plot_worst_case(found, samples=[0, 3])
    with pytest.raises(OptionError, match="name at least one"):
        plot_worst_case(found, samples=[])
    with pytest.raises(OptionError, match="3 names of classes, but 4 scores"):
        plot_worst_case(found, names=["a", "b", "c"])
    with pytest.raises(OptionError, match=r"an image has shape \(5,\)"):
        plot_worst_case(scored((5,)))
