"""Modules of which nothing is left: batch normalization folds, dropout vanishes, reshaping moves no number."""

import pytest
import torch
from torch import nn

from relu_attack._torchvision import import_torchvision
from relu_attack.errors import ModelError
from relu_attack.network import lower
from relu_attack.network.operators import Convolution, Dense, Sparse
from tests.network.support import assert_lowers


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (3,)), (nn.BatchNorm1d, (3, 4)), (nn.BatchNorm2d, (3, 4, 5))]
)
def test_batch_norm(kind: type[nn.BatchNorm1d], shape: tuple[int, ...], affine: bool) -> None:
    assert_lowers(nn.Sequential(kind(3, affine=affine), nn.ReLU(), kind(3, eps=0.1, affine=affine)), shape)


@pytest.mark.parametrize(
    ("before", "norm", "shape", "kind"),
    [
        (nn.Linear(4, 3), nn.BatchNorm1d(3), (4,), Dense),
        (nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), (2, 5), Convolution),
        (nn.Conv2d(2, 4, 2, padding=1, groups=2, bias=False), nn.BatchNorm2d(4), (2, 5, 5), Convolution),
        (nn.AvgPool2d(2), nn.BatchNorm2d(2), (2, 5, 5), Sparse),
    ],
)
def test_batch_norm_folds_into_the_map_before_it(
    before: nn.Module, norm: nn.Module, shape: tuple[int, ...], kind: type
) -> None:
    lowering = assert_lowers(nn.Sequential(before, norm, nn.ReLU()), shape)
    assert isinstance(lowering.network.layers[0].affine.operator, kind)
    assert lowering.notes[1] == f"model[1]: {type(norm).__name__} folded into the map before it"


@pytest.mark.parametrize(
    ("norm", "after", "shape", "kind"),
    [
        (nn.BatchNorm1d(4), nn.Linear(4, 3), (4,), Dense),
        (nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3, padding=1, groups=2), (4, 5, 5), Convolution),
        (nn.BatchNorm2d(2), nn.AvgPool2d(2), (2, 5, 5), Sparse),
    ],
)
def test_batch_norm_folds_into_the_map_after_it(
    norm: nn.Module, after: nn.Module, shape: tuple[int, ...], kind: type
) -> None:
    lowering = assert_lowers(nn.Sequential(nn.ReLU(), norm, after), shape)
    assert isinstance(lowering.network.output.operator, kind)
    assert lowering.notes[1] == f"model[1]: {type(norm).__name__} folded into the map after it"


def test_batch_norm_in_training_mode() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.BatchNorm1d(3)))
    with pytest.raises(ModelError) as caught:
        lower(model, (3,))
    assert str(caught.value) == (
        "model[1][0] (BatchNorm1d) is in training mode, where its result depends on the batch; call model.eval()"
    )


def test_batch_norm_without_running_statistics() -> None:
    with pytest.raises(ModelError, match=r"no running statistics \(track_running_stats=False\)"):
        lower(nn.BatchNorm1d(3, track_running_stats=False).eval(), (3,))


@pytest.mark.parametrize(
    ("norm", "shape", "expected"),
    [
        (nn.BatchNorm1d(3), (4,), r"\(3, \[length\]\)"),
        (nn.BatchNorm1d(3), (3, 2, 2), r"\(3, \[length\]\)"),
        (nn.BatchNorm2d(3), (3, 2), r"\(3, height, width\)"),
    ],
)
def test_batch_norm_of_a_wrong_shape(norm: nn.Module, shape: tuple[int, ...], expected: str) -> None:
    with pytest.raises(ModelError, match=rf"takes a value of shape {expected} but gets one of shape"):
        lower(norm.eval(), shape)


DROPOUTS = [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout]


@pytest.mark.parametrize("kind", DROPOUTS)
def test_dropout_vanishes_in_evaluation_mode(kind: type[nn.Module]) -> None:
    lowering = lower(nn.Sequential(nn.Linear(3, 3), kind(inplace=True), nn.Linear(3, 2)).eval(), (3,))
    assert isinstance(lowering.network.output.operator, Dense)
    assert lowering.notes[1] == f"model[1]: {kind.__name__} vanishes in evaluation mode"


@pytest.mark.parametrize("kind", DROPOUTS)
def test_dropout_in_training_mode(kind: type[nn.Module]) -> None:
    with pytest.raises(ModelError) as caught:
        lower(nn.Sequential(kind()), (3,))
    assert str(caught.value) == (
        f"model[0] ({kind.__name__}) is in training mode, where its result is random; call model.eval()"
    )


def test_training_mode_does_not_matter_without_such_layers() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU()).train()
    assert lower(model, (3,)).network.units == 2


def test_identity_vanishes() -> None:
    lowering = assert_lowers(nn.Sequential(nn.Identity(), nn.Linear(3, 2)), (3,))
    assert lowering.notes[0] == "model[0]: Identity vanishes"


@pytest.mark.parametrize(
    ("module", "shape", "after"),
    [
        (nn.Flatten(), (2, 3, 4), (24,)),
        (nn.Flatten(), (5,), (5,)),
        (nn.Flatten(2), (2, 3, 4), (2, 12)),
        (nn.Flatten(1, 2), (2, 3, 4), (6, 4)),
        (nn.Flatten(-2, -1), (2, 3, 4), (2, 12)),
        (nn.Flatten(0, 0), (2, 3), (2, 3)),
        (nn.Unflatten(1, (2, 3)), (6,), (2, 3)),
        (nn.Unflatten(-1, (2, -1)), (3, 4), (3, 2, 2)),
        (nn.Unflatten(1, (1, 2, 2)), (4, 3), (1, 2, 2, 3)),
    ],
)
def test_reshaping_keeps_the_order(module: nn.Module, shape: tuple[int, ...], after: tuple[int, ...]) -> None:
    lowering = assert_lowers(module, shape)
    assert lowering.network.output_shape == after
    assert lowering.notes == (f"model: {type(module).__name__} {shape} -> {after}",)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Flatten(0), (2, 3), "start_dim=0, end_dim=-1, which merges the batch dimension; start at dimension 1"),
        (
            nn.Flatten(1, 4),
            (2, 3),
            r"start_dim=1, end_dim=4, which does not fit a value of shape \(batch, \*\(2, 3\)\)",
        ),
        (nn.Unflatten(0, (2, 3)), (6,), r"has dim=0; with a value of shape \(6,\) it must be 1 to 1"),
        (
            nn.Unflatten(1, (4, 2)),
            (6,),
            r"splits dimension 1 of \(batch, \*\(6,\)\) into \(4, 2\), which does not come",
        ),
        (nn.Unflatten(1, (4, -1)), (6,), r"into \(4, -1\), which does not come out even"),
    ],
)
def test_reshaping_that_does_not_fit(module: nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        lower(module, shape)


def test_unflatten_of_a_named_dimension() -> None:
    module = nn.Unflatten(1, (2, 3))
    module.dim = "features"
    with pytest.raises(ModelError, match="names its dimension 'features'; give its number"):
        lower(module, (6,))


@pytest.mark.filterwarnings("ignore::relu_attack._torchvision.TorchvisionWarning")
def test_the_mlp_of_torchvision() -> None:
    mlp = import_torchvision().ops.MLP
    model = mlp(5, [7, 6, 2], norm_layer=nn.BatchNorm1d, dropout=0.3, inplace=True)
    lowering = assert_lowers(model, (5,))
    assert lowering.network.units == 13
    with pytest.raises(ModelError, match=r"call model\.eval\(\)"):
        lower(model.train(), (5,))


def test_a_subclass_of_sequential_is_walked_like_one() -> None:
    class Block(nn.Sequential):
        pass

    assert_lowers(nn.Sequential(Block(nn.Linear(3, 4), nn.ReLU()), Block(nn.Linear(4, 2))), (3,))


def test_a_model_without_modules_is_the_identity() -> None:
    network = assert_lowers(nn.Sequential(), (2, 3)).network
    assert network.units == 0
    assert torch.equal(network.output.operator.matrix(), torch.eye(6, dtype=torch.float64))
