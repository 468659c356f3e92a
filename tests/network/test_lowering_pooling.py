"""Pooling and constant padding: windows of every kind, also ragged ones."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network import lower
from relu_attack.network.operators import Convolution, Selection, Sparse
from tests.network.support import assert_lowers, points


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (2, None, 0), (3, 2, 1), (4, 3, 2), (2, 3, 1)])
@pytest.mark.parametrize("size", [6, 7, 8])
def test_average_pooling(
    kernel: int, stride: int | None, padding: int, ceil_mode: bool, count_include_pad: bool, size: int
) -> None:
    lowering = assert_lowers(nn.AvgPool1d(kernel, stride, padding, ceil_mode, count_include_pad), (2, size))
    assert lowering.network.units == 0
    assert_lowers(nn.AvgPool2d(kernel, stride, padding, ceil_mode, count_include_pad), (2, size, 5))


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_average_pooling_with_a_divisor_and_a_window_that_is_no_square(ceil_mode: bool) -> None:
    module = nn.AvgPool2d((2, 3), (1, 2), (0, 1), ceil_mode, divisor_override=5)
    lowering = assert_lowers(module, (2, 4, 6))
    assert lowering.notes == (f"model: AvgPool2d (2, 4, 6) -> {lowering.network.output_shape}",)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 8])
def test_adaptive_average_pooling_to_sizes_that_divide_and_that_do_not(size: int) -> None:
    lowering = assert_lowers(nn.AdaptiveAvgPool1d(size), (2, 6))
    assert isinstance(lowering.network.output.operator, Selection if size == 6 else Sparse)
    assert_lowers(nn.AdaptiveAvgPool2d(size), (2, 6, 5))


def test_adaptive_average_pooling_to_the_size_that_is_there_vanishes() -> None:
    lowering = assert_lowers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d((3, None))), (1, 5, 6))
    assert lowering.notes[1] == "model[1]: AdaptiveAvgPool2d vanishes, its windows see one entry each"
    assert isinstance(lowering.network.output.operator, Convolution)


@pytest.mark.parametrize("size", [(3, None), (None, 1), (2, 5)])
def test_adaptive_average_pooling_with_a_size_for_each_dimension(size: tuple[int | None, int | None]) -> None:
    assert_lowers(nn.AdaptiveAvgPool2d(size), (2, 6, 5))


def test_global_average_pooling_of_a_large_image() -> None:
    assert_lowers(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)), (2, 12, 12))


def test_an_adaptive_size_of_zero() -> None:
    with pytest.raises(ModelError, match=r"\(AdaptiveAvgPool1d\) has output_size=0; every size must be at least 1"):
        lower(nn.AdaptiveAvgPool1d(0), (2, 6))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(1, 1, 0, 1), (2, None, 0, 1), (3, 2, 1, 1), (3, 1, 1, 2), (2, 3, 1, 1), (5, 4, 2, 1), (4, 2, 0, 1)],
)
@pytest.mark.parametrize("size", [6, 7, 8])
def test_max_pooling(kernel: int, stride: int | None, padding: int, dilation: int, ceil_mode: bool, size: int) -> None:
    assert_lowers(nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode=ceil_mode), (2, size))
    assert_lowers(nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode), (1, size, 6))


def test_max_pooling_with_a_window_that_is_no_square() -> None:
    assert_lowers(nn.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2)), (2, 5, 7))


@st.composite
def max_pools(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    dimensions = draw(st.sampled_from([1, 2]))
    kernel, stride, dilation, padding, sizes = ([] for _ in range(5))
    for _ in range(dimensions):
        kernel.append(draw(st.integers(1, 5)))
        stride.append(draw(st.integers(1, 5)))
        dilation.append(draw(st.integers(1, 2)))
        padding.append(draw(st.integers(0, kernel[-1] // 2)))
        sizes.append(draw(st.integers(max(dilation[-1] * (kernel[-1] - 1) + 1 - 2 * padding[-1], 2), 12)))
    module = (nn.MaxPool1d, nn.MaxPool2d)[dimensions - 1]
    arguments = (tuple(numbers) for numbers in (kernel, stride, padding, dilation))
    return module(*arguments, ceil_mode=draw(st.booleans())), (draw(st.integers(1, 3)), *sizes)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(max_pools())
def test_any_max_pooling_is_that_of_torch_and_so_is_its_gradient(case: tuple[nn.Module, tuple[int, ...]]) -> None:
    module, shape = case
    try:
        module(torch.zeros(1, *shape))
    except RuntimeError:  # torch asks for more: that no window is in the padding
        assume(False)
    assert_lowers(module, shape)


def test_max_pooling_takes_no_memory_for_the_size_of_its_image() -> None:
    network = lower(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.MaxPool2d(2)), (1, 64, 64)).network
    for layer in network.layers:
        assert layer.slopes.untyped_storage().nbytes() <= 8 * 64
        assert layer.affine.constants.untyped_storage().nbytes() <= 8 * 64
    single = network.to(dtype=torch.float32)
    assert all(layer.slopes.untyped_storage().nbytes() <= 4 * 64 for layer in single.layers)


def test_max_pooling_leaves_out_what_no_window_sees() -> None:
    network = lower(nn.MaxPool2d(2, stride=3), (1, 5, 5)).network
    assert [int((layer.slope == 0).sum()) for layer in network.layers] == [2 * 4, 2 * 2]


def test_max_pooling_of_negative_values_never_takes_the_padding() -> None:
    module = nn.MaxPool1d(3, 2, 1)
    x = -points((1, 6)).abs() - 1
    assert bool((lower(module, (1, 6)).network.forward(x.flatten(1)).outputs < 0).all())


def test_max_pooling_plays_a_pair_that_windows_share_once() -> None:
    lowering = lower(nn.MaxPool2d(2), (1, 4, 4))
    assert lowering.notes == ("model: MaxPool2d: 2 rounds of pairwise maxima, 12 pass-through units",)
    assert [layer.units for layer in lowering.network.layers] == [8 + 8, 4 + 4]
    overlapping = lower(nn.MaxPool2d(2, 1), (1, 3, 3))
    assert [int((layer.slope == 0).sum()) for layer in overlapping.network.layers] == [6, 4]


def test_max_pooling_between_layers() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.MaxPool2d(3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)
    )
    assert_lowers(model, (1, 8, 8))


def test_max_pooling_that_returns_indices_is_refused() -> None:
    with pytest.raises(UnsupportedModuleError) as caught:
        lower(nn.Sequential(nn.MaxPool1d(2, return_indices=True)), (1, 4))
    assert str(caught.value) == "model[0] is MaxPool1d with return_indices=True; supported: False"


@pytest.mark.parametrize(("module", "shape"), [(nn.AvgPool1d(2), (6,)), (nn.MaxPool2d(2), (4, 5))])
def test_pooling_without_channels_is_what_torch_does(module: nn.Module, shape: tuple[int, ...]) -> None:
    assert_lowers(module, shape)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.MaxPool2d(2), (4,), r"takes a value of shape \(channels, height, width\) but gets one of shape \(4,\)"),
        (nn.AvgPool1d(2), (2, 3, 4), r"takes a value of shape \(channels, length\) but gets one of shape \(2, 3, 4\)"),
        (nn.AdaptiveAvgPool2d(1), (4,), r"takes a value of shape \(channels, height, width\) but gets .* \(4,\)"),
        (nn.MaxPool1d(5), (1, 4), r"has a window \(5,\) that is larger than a value of shape \(1, 4\)"),
        (nn.MaxPool1d(2, padding=2), (1, 4), r"has padding \(2,\); it may be at most half of its window \(2,\)"),
        (nn.AvgPool1d(2, 0), (1, 4), r"has kernel \(2,\), stride \(0,\), dilation \(1,\); they start at 1"),
        (nn.MaxPool1d(2, 1, 2, 3), (1, 1), r"has a window that sees padding only, on a value of shape \(1, 1\)"),
    ],
)
def test_pooling_that_does_not_fit(module: nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=rf"model\[0\] \({type(module).__name__}\) {message}"):
        lower(nn.Sequential(module), shape)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.ZeroPad1d(2), (2, 3)),
        (nn.ZeroPad2d((1, 2, 3, 0)), (2, 3, 4)),
        (nn.ConstantPad1d((1, 2), 3.5), (2, 3)),
        (nn.ConstantPad1d((0, 2), -1.0), (3,)),
        (nn.ConstantPad2d((1, 0, 2, 1), -1.5), (2, 3, 4)),
        (nn.ConstantPad2d((-1, 2, 1, -2), 2.0), (2, 3, 4)),
        (nn.ZeroPad2d((-1, -1, -1, 0)), (2, 3, 4)),
    ],
)
def test_padding_and_cropping(module: nn.Module, shape: tuple[int, ...]) -> None:
    lowering = assert_lowers(module, shape)
    assert lowering.notes == (f"model: {type(module).__name__} {shape} -> {lowering.network.output_shape}",)


def test_padding_before_a_convolution() -> None:
    assert_lowers(nn.Sequential(nn.ConstantPad2d(1, 0.5), nn.Conv2d(2, 3, 3), nn.ReLU()), (2, 4, 4))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.ZeroPad2d(1), (4,), r"pads 2 dimensions but gets a value of shape \(4,\)"),
        (nn.ZeroPad1d((-2, -2)), (1, 4), r"crops a value of shape \(1, 4\) by \(-2, -2\), which leaves no entry"),
    ],
)
def test_padding_that_does_not_fit(module: nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        lower(module, shape)


def test_padding_with_a_number_that_is_not_finite() -> None:
    with pytest.raises(ModelError, match=r"model\[0\] has a coefficient that is NaN or infinite"):
        lower(nn.Sequential(nn.ConstantPad1d(1, float("inf"))), (1, 4))


def test_float32_pooling_runs_in_inference_mode() -> None:
    module = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.MaxPool1d(2), nn.AvgPool1d(2))
    network = lower(module, (1, 10)).network.to(dtype=torch.float32)
    x = points((1, 10)).float()
    with torch.inference_mode():
        evaluation = network.forward(x.flatten(1))
        gradient = network.gradient(evaluation.preactivations, torch.ones_like(evaluation.outputs))
    x.requires_grad_()
    (expected,) = torch.autograd.grad(module(x).sum(), x)
    torch.testing.assert_close(gradient.clone(), expected.flatten(1))
