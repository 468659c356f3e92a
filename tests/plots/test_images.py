"""The clean image, the worst one and their difference stand side by side, on one scale."""

import numpy as np
import pytest
import torch

from relu_attack import OptionError
from relu_attack.plots import plot_images


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
