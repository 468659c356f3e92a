"""Fully connected and convolutional layers, with every option that has an exact form."""

import pytest
import torch
from torch import nn

from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network import lower
from relu_attack.network.operators import Composition, Convolution, Dense
from tests.network.support import assert_lowers


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias: bool) -> None:
    lowering = assert_lowers(nn.Linear(5, 3, bias=bias), (5,))
    assert lowering.notes == ("model: Linear 5 -> 3",)
    assert isinstance(lowering.network.output.operator, Dense)


def test_linear_keeps_leading_dimensions_of_size_one() -> None:
    assert_lowers(nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2)), (1, 5))


def test_consecutive_linear_layers_become_one_map_where_it_is_no_more_work() -> None:
    lowering = assert_lowers(nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 3)), (5,))
    assert isinstance(lowering.network.output.operator, Dense)


@pytest.mark.parametrize("shape", [(4,), (2, 5), (5, 1)])
def test_linear_of_a_wrong_shape_says_what_it_takes_and_gets(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        lower(nn.Sequential(nn.Identity(), nn.Linear(5, 3)), shape)
    assert str(caught.value) == (
        f"model[1] (Linear) takes 5 inputs but gets a value of shape {shape}; "
        "put an nn.Flatten before it or correct the input's shape"
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv1d(bias: bool, stride: int, padding: int, dilation: int, groups: int) -> None:
    assert_lowers(nn.Conv1d(4, 6, 3, stride, padding, dilation, groups, bias), (4, 9))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [1, (2, 1)])
@pytest.mark.parametrize("padding", [0, (2, 1)])
@pytest.mark.parametrize("dilation", [1, (1, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d(bias: bool, stride: int, padding: int, dilation: int, groups: int) -> None:
    lowering = assert_lowers(nn.Conv2d(2, 4, (3, 2), stride, padding, dilation, groups, bias), (2, 5, 6))
    assert isinstance(lowering.network.output.operator, Convolution)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_named_padding(padding: str, dilation: int, kernel: int) -> None:
    assert_lowers(nn.Conv1d(2, 4, kernel, padding=padding, dilation=dilation), (2, 10))
    assert_lowers(nn.Conv2d(1, 2, (kernel, 3), padding=padding, dilation=(dilation, 1)), (1, 10, 4))


def test_padding_that_both_sides_share_needs_no_map_of_its_own() -> None:
    same = lower(nn.Conv1d(1, 1, 3, padding="same"), (1, 6)).network.output.operator
    uneven = lower(nn.Conv1d(1, 1, 2, padding="same"), (1, 6)).network.output.operator
    assert isinstance(same, Convolution)
    assert isinstance(uneven, Composition)


def test_notes_name_the_shapes() -> None:
    assert lower(nn.Conv2d(1, 2, 3), (1, 5, 6)).notes == ("model: Conv2d (1, 5, 6) -> (2, 3, 4)",)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_other_padding_modes_are_refused(mode: str) -> None:
    with pytest.raises(UnsupportedModuleError) as caught:
        lower(nn.Sequential(nn.Conv1d(1, 1, 3, padding=1, padding_mode=mode)), (1, 6))
    assert str(caught.value) == (f"model[0] is Conv1d with padding_mode='{mode}'; supported: padding_mode='zeros'")


@pytest.mark.parametrize("shape", [(6, 6), (2, 6, 6), (36,)])
def test_conv2d_on_a_wrong_shape_says_what_it_takes_and_gets(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        lower(nn.Sequential(nn.Conv2d(1, 2, 3)), shape)
    assert str(caught.value) == (
        f"model[0] (Conv2d) takes a value of shape (1, height, width) but gets one of shape {shape}"
    )


def test_conv1d_on_a_value_without_channels() -> None:
    with pytest.raises(ModelError, match=r"model \(Conv1d\) takes a value of shape \(1, length\) but gets .* \(6,\)"):
        lower(nn.Conv1d(1, 2, 3), (6,))


def test_a_kernel_larger_than_its_input() -> None:
    with pytest.raises(ModelError, match=r"kernel that is larger than its padded input.* \(1, 3\)"):
        lower(nn.Conv1d(1, 2, 5), (1, 3))


def test_an_impossible_stride() -> None:
    module = nn.Conv1d(1, 2, 3)
    module.stride = (0,)
    with pytest.raises(ModelError, match=r"stride \(0,\) and dilation \(1,\); they start at 1"):
        lower(module, (1, 5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_weights_of_every_float_dtype_are_copied_exactly(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).to(dtype)
    network = lower(model, (5,)).network
    first, last = network.layers[0].affine, network.output
    for affine, module in ((first, model[0]), (last, model[2])):
        assert isinstance(affine.operator, Dense)
        assert torch.equal(affine.operator.weight, module.weight.detach().double())
        assert torch.equal(affine.bias, module.bias.detach().double())


def test_the_network_is_a_snapshot() -> None:
    model = nn.Linear(3, 2).double()
    network = lower(model, (3,)).network
    x = torch.ones(1, 3, dtype=torch.float64)
    before = network.forward(x).outputs.clone()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    assert torch.equal(network.forward(x).outputs, before)
