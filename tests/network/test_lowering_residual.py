"""Models with a forward of their own: skip connections are units that pass values on, and functions are as modules."""

import operator
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from relu_attack._torchvision import import_torchvision
from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network import Network, lower
from relu_attack.network.operators import Composition, Dense, LinearOperator, Stacked
from tests.network.residual import Forward, small_resnet
from tests.network.support import assert_lowers, points
from tests.problems import Residual, residual_network


def passing(network: Network) -> list[int]:
    """Return how many units of each layer pass their value on."""
    return [int((layer.slope == 1).sum()) for layer in network.layers]


def maps(operator: LinearOperator) -> int:
    """Count the dense operators that a product takes."""
    if isinstance(operator, Dense):
        return 1
    return sum(map(maps, getattr(operator, "operators", ())))


def linear(module: nn.Module, x: Tensor) -> Tensor:
    return module.get_submodule("layer")(x)


def on_vectors(forward: Callable[..., Tensor], **modules: nn.Module) -> Forward:
    return Forward(forward, **(modules or {"layer": nn.Linear(4, 4)}))


def test_a_residual_block_passes_its_input_by_the_layer_that_it_skips() -> None:
    lowering = assert_lowers(residual_network(width=5, seed=0), (2,))
    assert [layer.units for layer in lowering.network.layers] == [5, 10, 5]
    assert passing(lowering.network) == [0, 5, 0]
    assert lowering.notes == (
        "model[0]: Linear 2 -> 5",
        "model[1]: ReLU, 5 units",
        "model[2].skip: Identity vanishes",
        "model[2].first: Linear 5 -> 5",
        "model[2]: ReLU, 5 units; 5 more pass other values on",
        "model[2].second: Linear 5 -> 5",
        "model[2]: sum of two values, (5,)",
        "model[2]: ReLU, 5 units",
        "model[3]: Linear 5 -> 1",
    )


def test_blocks_of_images_with_strides() -> None:
    network = assert_lowers(small_resnet(), (1, 8, 8)).network
    assert passing(network) == [0, 128, 0, 64, 0]


@pytest.mark.filterwarnings("ignore::relu_attack._torchvision.TorchvisionWarning")
def test_the_blocks_of_torchvision() -> None:
    resnet = import_torchvision().models.resnet
    down = nn.Sequential(nn.Conv2d(2, 4, 1, 2, bias=False), nn.BatchNorm2d(4))
    blocks = [resnet.BasicBlock(2, 2), resnet.BasicBlock(2, 4, 2, down), resnet.Bottleneck(4, 1)]
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    lowering = assert_lowers(model, (1, 7, 7))
    assert "model[2].relu: ReLU, 50 units; 50 more pass other values on" in lowering.notes
    assert "model[3].downsample[0]: Conv2d (2, 5, 5) -> (4, 3, 3)" in lowering.notes


@pytest.mark.filterwarnings("ignore::relu_attack._torchvision.TorchvisionWarning")
def test_a_whole_residual_network_of_torchvision() -> None:
    torch.manual_seed(0)
    resnet = import_torchvision().models.resnet
    model = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=3)
    assert lower(model.double().eval(), (3, 16, 16)).network.outputs == 3


def test_dense_connections_pass_what_is_concatenated_later() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        features = [x]
        for _ in range(3):
            features.append(F.relu(self.get_submodule(f"layer{len(features)}")(torch.cat(features, 1))))
        return torch.cat(features, dim=-1)

    layers = {f"layer{index}": nn.Linear(2 + 3 * (index - 1), 3) for index in (1, 2, 3)}
    network = assert_lowers(Forward(forward, **layers), (2,)).network
    assert passing(network) == [2, 5, 8]


def test_a_value_is_passed_on_no_longer_than_it_is_needed() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        y = F.relu(linear(self, x)) + x
        for _ in range(3):
            y = F.relu(linear(self, y))
        return y.view(x.size(0), 2, 2)

    assert passing(assert_lowers(on_vectors(forward), (4,)).network) == [4, 0, 0, 0]


def test_a_value_under_two_names_is_passed_once() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        again = self.get_submodule("dropout")(x).view(-1, 4)
        return F.relu(linear(self, x)) + x + again

    model = on_vectors(forward, layer=nn.Linear(4, 4), dropout=nn.Dropout())
    assert passing(assert_lowers(model, (4,)).network) == [4]


def test_what_two_values_have_in_common_is_computed_once() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        y = linear(self, x)
        return F.relu(y) + y

    layer = assert_lowers(on_vectors(forward), (4,)).network.layers[0]
    assert isinstance(layer.affine.operator, Composition)
    assert isinstance(layer.affine.operator.operators[-1], Stacked)
    assert maps(layer.affine.operator) == 1


SCALE = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
ON_VECTORS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "sum of a value and itself": lambda self, x: x + x,
    "difference": lambda self, x: F.relu(self.layer(x)) - x,
    "torch.add with alpha": lambda self, x: torch.add(F.relu(self.layer(x)), x, alpha=-0.5),
    "torch.sub with alpha": lambda self, x: x.sub(F.relu(self.layer(x)), alpha=2),
    "sum with a number": lambda self, x: 1 + F.relu(x + 0.5) - 2,
    "number minus value": lambda self, x: 3 - x,
    "negation": lambda self, x: -F.relu(x) + torch.neg(x),
    "product with a number": lambda self, x: 0.1 * F.relu(self.layer(x)) * 2 + x,
    "product with a parameter": lambda self, x: self.layer.bias * x + self.layer.weight[0],
    "product with a tensor": lambda self, x: (x * SCALE + SCALE[:1]) / SCALE,
    "product with what is computed of a parameter": lambda self, x: x * torch.exp(-self.layer.bias.abs()).view(1, -1),
    "constant that widens a value": lambda self, x: x.view(-1, 4, 1) * SCALE.view(1, 1, 4) + SCALE.view(4, 1),
    "quotient": lambda self, x: x.div(4) / 0.3,
    "in place, at the end of its use": lambda self, x: in_place(self.layer(x), x),
    "torch.relu": lambda self, x: torch.relu(self.layer(x)),
    "Tensor.relu": lambda self, x: self.layer(x).relu(),
    "relu in place": lambda self, x: F.relu(self.layer(x), inplace=True) * 2,
    "F.leaky_relu": lambda self, x: F.leaky_relu(self.layer(x), 0.2),
    "F.relu6": lambda self, x: F.relu6(4 * x),
    "F.hardtanh": lambda self, x: F.hardtanh(input=x, min_val=-0.5, max_val=2.0),
    "torch.clamp": lambda self, x: torch.clamp(x, -1, 2) + x.clamp(min=0.0),
    "F.dropout": lambda self, x: F.dropout(x, 0.3, training=self.training),
    "torch.flatten": lambda self, x: torch.flatten(x.view(-1, 2, 2), 1) + x.view(x.size(0), 2, 2).flatten(start_dim=1),
    "view by sizes": lambda self, x: x.view(x.shape[0], x.shape[1] // 2, -1).reshape(x.shape),
    "unpacked sizes": lambda self, x: unpacked(x),
    "slices": lambda self, x: x[:, ::2] - x[:, 1::2] + x[:, 2:],
    "torch.cat": lambda self, x: torch.cat([x, F.relu(x), x], dim=1),
    "contiguous": lambda self, x: x.contiguous(),
    "nothing": lambda self, x: x,
}
ON_IMAGES: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "F.max_pool2d": lambda self, x: F.max_pool2d(x, 2, padding=1, ceil_mode=True),
    "F.avg_pool2d": lambda self, x: F.avg_pool2d(x, 2, stride=1, count_include_pad=False),
    "F.adaptive_avg_pool2d": lambda self, x: F.adaptive_avg_pool2d(x, (2, None)),
    "whole average": lambda self, x: F.avg_pool2d(x, x.shape[-1]).flatten(1),
    "squeeze": lambda self, x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(dim=2),
    "squeeze of nothing": lambda self, x: torch.squeeze(x, 2),
    "unsqueeze": lambda self, x: torch.unsqueeze(x.flatten(1), 1).unsqueeze(-1),
    "F.pad": lambda self, x: F.pad(x[:, :, ::2, 1], (1, 0, 0, 2), value=0.5),
    "F.pad of channels": lambda self, x: F.pad(x, (0, 0, 0, 0, 1, 1)),
    "torch.cat of columns": lambda self, x: torch.cat([x, F.relu(x), x[:, :, :, 1:]], -1),
    "torch.cat of rows": lambda self, x: torch.cat([x, F.relu(x)], dim=2),
    "torch.cat of channels": lambda self, x: torch.cat((F.relu(x), x[:, :1]), 1),
    "scale of channels": lambda self, x: x * self.layer.bias.view(1, -1, 1, 1) + self.layer.bias[:, None, None],
}


def in_place(x: Tensor, y: Tensor) -> Tensor:
    x += y
    x *= 2
    x -= 1
    x /= 4
    return x.add_(y).mul_(0.5)


def unpacked(x: Tensor) -> Tensor:
    batch, width = x.size()
    return x.reshape((batch, 1, width)).view(batch, width)


@pytest.mark.parametrize("forward", ON_VECTORS.values(), ids=ON_VECTORS.keys())
def test_functions_on_vectors(forward: Callable[..., Tensor]) -> None:
    assert_lowers(on_vectors(forward), (4,))
    assert_lowers(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), on_vectors(forward), nn.ReLU()), (3,))


@pytest.mark.parametrize("forward", ON_IMAGES.values(), ids=ON_IMAGES.keys())
def test_functions_on_images(forward: Callable[..., Tensor]) -> None:
    model = Forward(forward, layer=nn.Conv2d(2, 2, 1))
    assert_lowers(model, (2, 4, 4))
    assert_lowers(nn.Sequential(nn.Conv2d(1, 2, 2), nn.LeakyReLU(0.1), model), (1, 5, 5))


def test_functions_on_signals() -> None:
    assert_lowers(Forward(lambda self, x: F.max_pool1d(F.avg_pool1d(x, 2), 2) + F.adaptive_avg_pool1d(x, 2)), (2, 8))


def test_other_arguments_of_a_forward_have_their_defaults() -> None:
    class Optional(nn.Linear):
        def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: float = 2.0) -> Tensor:
            return F.relu(x) * scale if mask is None else x * mask

    assert_lowers(Optional(3, 3), (3,))


def test_a_condition_on_the_module_itself_is_none_on_the_value() -> None:
    class Optional(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return x if self.training else super().forward(x)

    assert_lowers(Optional(nn.Linear(3, 3), nn.Linear(3, 3)), (3,))


def test_modules_used_twice_and_blocks_within_blocks() -> None:
    shared = nn.Linear(3, 3)
    inner = nn.Sequential(Residual(shared, nn.Linear(3, 3)), nn.LeakyReLU(0.3))
    model = nn.Sequential(Residual(inner, Residual(shared, shared)), inner)
    network = assert_lowers(model, (3,)).network
    assert max(passing(network)) == 6


def test_a_sequence_with_a_forward_of_its_own() -> None:
    class Skipping(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return x + super().forward(x)

    assert_lowers(nn.Sequential(Skipping(nn.Linear(3, 5), nn.PReLU(), nn.Linear(5, 3)), nn.ReLU()), (3,))


class InPlace(nn.Module):
    """What is in place here changes a value that is used again."""

    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        y = x * 1.0
        alias = y.view(-1, 4)[:, 1:]
        return self.how(y)[:, 1:] + alias


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "function": lambda x: F.relu(x, inplace=True),
    "method": lambda x: x.relu_(),
    "sum": lambda x: operator.iadd(x, 2),
    "product of a view": lambda x: operator.imul(x.view(-1, 4), 2.0),
    "clamp": lambda x: torch.clamp_(x, -1, 1),
    "module": nn.ReLU(inplace=True),
    "sequence": nn.Sequential(nn.Identity(), nn.LeakyReLU(0.1, inplace=True)),
    "block": Forward(lambda self, x: x.mul_(2)),
}


@pytest.mark.parametrize("how", IN_PLACE.values(), ids=IN_PLACE.keys())
def test_working_in_place_on_a_value_that_is_used_again_is_refused(how: Callable[[Tensor], Tensor]) -> None:
    model = InPlace(how)
    with torch.no_grad():  # it does change the value
        assert not torch.equal(model(points((4,))), how(points((4,)))[:, 1:] + points((4,))[:, 1:])
    with pytest.raises(UnsupportedModuleError, match="works in place on a value that is used again, which changes it"):
        lower(model, (4,))


REFUSED: dict[str, tuple[Callable[[nn.Module, Tensor], object], str]] = {
    "function without a form": (
        lambda self, x: torch.sigmoid(x),
        r"model\[0\] \(Forward\) calls sigmoid, which has no",
    ),
    "method without a form": (lambda self, x: x.mean(1), r"model\[0\] \(Forward\) calls mean, which has no exact form"),
    "attribute without a form": (lambda self, x: x.T, r"calls T, which has no exact form here; supported: \+, -, "),
    "module without a form": (lambda self, x: self.gelu(x), r"model\[0\].gelu is GELU, which has no exact form here"),
    "product of values": (lambda self, x: x * F.relu(x), r"\(Forward\) calls mul on two values that depend on the"),
    "quotient by a value": (lambda self, x: 1 / x, r"calls truediv by a value that depends on the input"),
    "condition": (lambda self, x: x if x.sum() > 0 else -x, r"model\[0\] is Forward, whose forward cannot be traced: "),
    "condition on a size": (lambda self, x: x if x.dim() == 2 else -x, r"cannot be traced: TraceError: symbolically"),
    "number": (lambda self, x: x * float(x[0, 0]), "cannot be traced: TypeError"),
    "assignment": (lambda self, x: operator.setitem(x, 0, 1.0) or x, "cannot be traced: TypeError"),
    "a large number": (lambda self, x: x + (2**53 + 1), r"calls add with an integer beyond 2\*\*53"),
    "large numbers": (lambda self, x: x * torch.full((4,), 2**60), r"calls mul with an integer beyond 2\*\*53"),
    "sum of shapes": (lambda self, x: x + x[:, :1], r"calls add on values of shapes \(4,\) and \(1,\)"),
    "concatenation of the batch": (
        lambda self, x: torch.cat([x, x]),
        "calls cat along dimension 0; supported: one after",
    ),
    "concatenation with a constant": (
        lambda self, x: torch.cat([x, SCALE[None]], 1),
        "calls cat on arguments that are not values of the input",
    ),
    "view of the batch": (lambda self, x: x.view(-1), r"calls view\(-1,\) on a value of shape \(batch, \*\(4,\)\)"),
    "view that may move the batch": (lambda self, x: x.view(-1, 2), r"calls view\(-1, 2\) on a value of shape"),
    "view to two unknowns": (lambda self, x: x.view(-1, -1, 2), r"calls view\(-1, -1, 2\) on a value of shape"),
    "squeeze of everything": (
        lambda self, x: x.squeeze(),
        "calls squeeze with arguments that have no form here",
    ),
    "unsqueeze of the batch": (
        lambda self, x: x.unsqueeze(0),
        "calls unsqueeze along dimension 0; supported: one",
    ),
    "row of the batch": (lambda self, x: x[0], r"calls getitem with 0; supported: slices and numbers after"),
    "sum of a value over the batch": (
        lambda self, x: x / x.size(0),
        "calls truediv on the size of the batch, which is",
    ),
    "activation of two values": (lambda self, x: F.leaky_relu(x, x), "calls leaky_relu on 2 values that depend on"),
    "arguments": (lambda self, x: torch.add(x, x, out=x), "calls add with arguments that have no form here: "),
    "one end of clamp": (lambda self, x: x.clamp(max=3), "calls clamp with arguments that have no form here: min=None"),
    "rounding": (lambda self, x: torch.div(x, 2, rounding_mode="floor"), "calls div with arguments that have no form"),
    "several answers": (lambda self, x: (x, x), r"returns a tuple; supported: one tensor that depends on the input"),
    "constant answer": (lambda self, x: SCALE, r"returns a Tensor; supported: one tensor that depends on the input"),
    "second input of a module": (lambda self, x: self.pair(x, x), r"cannot be traced: TypeError"),
    "module outside the model": (
        lambda self, x: self.outside[0](x),
        "NameError: module is not installed as a submodule",
    ),
}


@pytest.mark.parametrize(("forward", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_form_is_refused_by_name(forward: Callable[..., Tensor], message: str) -> None:
    model = nn.Sequential(Forward(forward, gelu=nn.GELU(), pair=Residual(nn.Linear(4, 4), nn.Linear(4, 4))))
    model[0].outside = [nn.Linear(4, 4)]
    with pytest.raises(UnsupportedModuleError, match=message) as caught:
        lower(model, (4,))
    assert "\n" not in str(caught.value)


WRONG: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], str]] = {
    "division by zero": (lambda self, x: x / 0, r"model\[0\] \(Forward\) calls truediv by zero"),
    "not a number": (lambda self, x: x * float("nan"), "has a coefficient that is NaN or infinite"),
    "constant of another size": (
        lambda self, x: x + SCALE[:3],
        r"calls add with a constant of shape \(3,\), which does",
    ),
    "constant for a batch": (
        lambda self, x: x + torch.ones(2, 4),
        r"calls add with a constant of shape \(2, 4\), which",
    ),
    "view that does not come out even": (lambda self, x: x.view(-1, 3), "calls view"),
    "place outside": (
        lambda self, x: x[:, 4],
        r"calls getitem with \(slice\(None, None, None\), 4\) on a value of shape",
    ),
    "size outside": (lambda self, x: x * x.size(2), r"calls size\(2\) on a value of shape \(batch, 4\)"),
    "values that do not fit": (lambda self, x: torch.cat([x, x.view(-1, 2, 2)], 1), r"calls cat on values of shapes"),
}


@pytest.mark.parametrize(("forward", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_says_so(forward: Callable[..., Tensor], message: str) -> None:
    with pytest.raises((ModelError, UnsupportedModuleError), match=message):
        lower(nn.Sequential(Forward(forward)), (4,))


def test_modules_within_a_block_are_checked_and_named() -> None:
    block = Residual(nn.Linear(3, 3), nn.Linear(3, 3))
    block.second.weight.data[1, 2] = torch.nan
    with pytest.raises(ModelError, match=r"model\[0\].second \(Linear\) has a weight that is NaN or infinite at index"):
        lower(nn.Sequential(block), (3,))
    block = Residual(nn.Linear(3, 3), Residual(nn.Linear(3, 3), nn.Linear(3, 3)))
    block.second.register_forward_hook(lambda *arguments: None)
    with pytest.raises(ModelError, match=r"model.second \(Residual\) has forward hooks"):
        lower(block, (3,))
    with pytest.raises(ModelError, match=r"model.first \(BatchNorm1d\) is in training mode"):
        lower(Residual(nn.BatchNorm1d(3), nn.Linear(3, 3)), (3,))


def test_tracing_leaves_the_model_as_it_was() -> None:
    model = on_vectors(lambda self, x: x * SCALE + 1)
    before = set(vars(model)), {name for name, _ in model.named_modules()}
    lower(model, (4,))
    assert (set(vars(model)), {name for name, _ in model.named_modules()}) == before
    assert model(torch.ones(2, 4, dtype=torch.float64)).shape == (2, 4)
