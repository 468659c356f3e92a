"""What the tests of the network share: models with lively statistics, and the comparison with the model."""

import torch
from torch import Tensor, nn

from relu_attack.network import Lowering, lower


def lively(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Return the model in float64 and evaluation mode, with random statistics where the fresh ones do nothing."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.3, 2.0, generator=generator)
            if module.affine:
                nn.init.normal_(module.weight, generator=generator)
                nn.init.normal_(module.bias, generator=generator)
    return model


def points(shape: tuple[int, ...], *, batch: int = 4, seed: int = 0) -> Tensor:
    """Return random inputs of a model, wide enough to reach every piece of an activation."""
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(batch, *shape, dtype=torch.float64, generator=generator)


def assert_close(actual: Tensor, expected: Tensor, *, relative: float = 1e-12) -> None:
    """Compare relative to the largest number expected."""
    assert actual.shape == expected.shape
    scale = expected.abs().max().clamp_min(1e-300) if expected.numel() else expected.new_ones(())
    assert bool(((actual - expected).abs() <= relative * scale).all()), (actual - expected).abs().max() / scale


def assert_lowers(model: nn.Module, shape: tuple[int, ...]) -> Lowering:
    """Lower the model, compare its value and gradient with the model's own, and return what lowering gave."""
    model = lively(model)
    x = points(shape).requires_grad_()
    expected = model(x)
    lowering = lower(model, shape)
    network = lowering.network
    evaluation = network.forward(x.detach().flatten(1))
    assert network.input_shape == shape
    assert network.output_shape == tuple(expected.shape[1:])
    assert_close(evaluation.outputs, expected.detach().flatten(1))

    objective = torch.randn(expected.flatten(1).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((expected.flatten(1) * objective).sum(), x)
    assert_close(network.gradient(evaluation.pattern, objective), gradient.flatten(1))
    return lowering
