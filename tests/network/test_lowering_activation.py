"""Activations: slopes of every size, and clamps as two rectifiers."""

import pytest
import torch
from torch import nn

from relu_attack.errors import ModelError
from relu_attack.network import Lowering, lower
from tests.network.support import assert_close, assert_lowers


def slopes_of(lowering: Lowering) -> list[float]:
    return [value for layer in lowering.network.layers for value in layer.slope.tolist()]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("shape", [(6,), (2, 3, 3)])
def test_relu(shape: tuple[int, ...], inplace: bool) -> None:
    lowering = assert_lowers(nn.Sequential(nn.Identity(), nn.ReLU(inplace=False)), shape)
    assert lowering.network.layers[0].is_relu
    size = lowering.network.units
    assert lower(nn.ReLU(inplace=inplace), shape).notes == (f"model: ReLU, {size} units",)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.5, 1.0])
def test_leaky_relu_of_an_ordinary_slope_takes_one_unit(slope: float) -> None:
    lowering = assert_lowers(nn.LeakyReLU(slope), (2, 3))
    assert slopes_of(lowering) == [slope] * 6


@pytest.mark.parametrize("slope", [1.5, 4.0, 1e6])
def test_a_slope_above_one_is_rescaled(slope: float) -> None:
    lowering = assert_lowers(nn.LeakyReLU(slope), (2, 3))
    assert slopes_of(lowering) == [1 / slope] * 6
    assert_lowers(nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(slope), nn.Linear(4, 2)), (3,))


@pytest.mark.parametrize("slope", [-0.2, -1.0, -3.0])
def test_a_negative_slope_takes_a_rectifier_and_a_unit_that_passes(slope: float) -> None:
    lowering = assert_lowers(nn.LeakyReLU(slope), (2, 3))
    assert slopes_of(lowering) == [0.0] * 6 + [1.0] * 6
    assert lowering.notes == (f"model: LeakyReLU, 12 units of slope {slope:g}",)
    assert_lowers(nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(slope), nn.Linear(4, 2)), (3,))


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_slope_that_is_no_number(slope: float) -> None:
    with pytest.raises(ModelError, match=r"model\[0\] \(LeakyReLU\) has a negative_slope of (nan|inf); it must be"):
        lower(nn.Sequential(nn.LeakyReLU(slope)), (3,))


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 2)])
def test_prelu_with_a_slope_for_each_channel(shape: tuple[int, ...]) -> None:
    module = nn.PReLU(5)
    module.weight.data = torch.tensor([-1.5, 0.0, 0.25, 1.0, 4.0])
    lowering = assert_lowers(module, shape)
    entries = torch.Size(shape).numel()
    units = entries + entries // 5
    assert lowering.network.units == units
    assert lowering.notes == (f"model: PReLU, {units} units with 5 slopes",)


@pytest.mark.parametrize("slope", [0.25, 2.0, -0.5])
def test_prelu_with_one_slope(slope: float) -> None:
    assert_lowers(nn.Sequential(nn.Linear(4, 3), nn.PReLU(1, init=slope), nn.Linear(3, 2)), (4,))


def test_prelu_with_slopes_for_other_channels() -> None:
    with pytest.raises(ModelError, match=r"\(PReLU\) has 3 slopes but gets a value of shape \(4, 2\), 4 channels"):
        lower(nn.PReLU(3), (4, 2))


@pytest.mark.parametrize("module", [nn.ReLU6(), nn.Hardtanh(), nn.Hardtanh(-0.5, 3.0), nn.Hardtanh(1.0, 2.0)])
def test_clamps(module: nn.Module) -> None:
    assert_lowers(module, (2, 4))
    assert_lowers(nn.Sequential(nn.Conv1d(2, 3, 2), module, nn.Conv1d(3, 1, 2)), (2, 4))


def test_a_clamp_takes_two_layers() -> None:
    lowering = lower(nn.ReLU6(), (3,))
    assert [layer.units for layer in lowering.network.layers] == [3, 3]
    assert lowering.notes == ("model: ReLU6 [0, 6], 6 units in two layers",)


def test_a_clamp_loses_no_digits_to_a_large_value() -> None:
    x = torch.tensor([[-1e12, -1.5, 0.3, 1e12]], dtype=torch.float64)
    module = nn.Hardtanh(-1.25, 0.75)
    assert_close(lower(module, (4,)).network.forward(x).outputs, module(x), relative=1e-15)
