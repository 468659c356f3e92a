"""Models survive their files; a file that is not what it should be is refused in one line, and never run."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from relu_attack.errors import FileFormatError
from relu_attack.io import load_factory, load_model, save_model

LINEAR = [{"Linear": [3, 2]}]
WEIGHTS = {"0.weight": torch.ones(2, 3), "0.bias": torch.zeros(2)}

# A model of each layer with the shape of one input.
MODELS: list[tuple[nn.Sequential, tuple[int, ...]]] = [
    (nn.Sequential(nn.Linear(3, 4), nn.PReLU(4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False)), (3,)),
    (
        nn.Sequential(
            nn.Conv1d(2, 4, 3, padding=1), nn.ReLU6(), nn.AvgPool1d(2), nn.Dropout1d(), nn.AdaptiveAvgPool1d(1)
        ),
        (2, 8),
    ),
    (nn.Sequential(nn.ZeroPad1d((1, 0)), nn.ConstantPad1d(1, 0.5), nn.MaxPool1d(2), nn.Hardtanh(-1.5, 0.5)), (2, 5)),
    (
        nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, bias=False), nn.BatchNorm2d(2), nn.LeakyReLU(0.2)),
            nn.Dropout2d(0.3),
            nn.Sequential(nn.MaxPool2d(2), nn.Sequential(nn.Flatten(), nn.Dropout(0.4)), nn.Linear(8, 3)),
            nn.Unflatten(1, (3, 1)),
        ),
        (1, 9, 9),
    ),
    (nn.Sequential(nn.ZeroPad2d(1), nn.ConstantPad2d((1, 0, 2, 1), -1.0), nn.AvgPool2d(3, 2)), (1, 6, 6)),
    (nn.Sequential(nn.AdaptiveAvgPool2d((2, 3)), nn.Identity(), nn.AlphaDropout(), nn.Dropout2d()), (1, 6, 6)),
    (nn.Sequential(OrderedDict(hidden=nn.Linear(3, 4), relu=nn.ReLU(), out=nn.Linear(4, 1))), (3,)),
]


def randomize(model: nn.Module) -> None:
    """Draw every weight and running statistic, so that a lost one shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]:
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(("model", "shape"), MODELS, ids=[f"model{index}" for index in range(len(MODELS))])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_round_trip(
    model: nn.Sequential, shape: tuple[int, ...], suffix: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = model.to(dtype).eval()
    randomize(model)
    save_model(model, tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    assert str(loaded) == str(model)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(loaded(x), model(x))
    assert not any(module.training for module in loaded.modules())
    assert all(value.dtype == dtype and value.requires_grad for value in loaded.parameters())


def test_a_single_layer_becomes_a_sequential(tmp_path: Path) -> None:
    save_model(nn.Linear(3, 2), tmp_path / "model.safetensors")
    assert list(load_model(tmp_path / "model.safetensors").state_dict()) == ["0.weight", "0.bias"]


def test_a_layer_in_two_places_is_saved(tmp_path: Path) -> None:
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    save_model(model, tmp_path / "model.safetensors")
    assert torch.equal(load_model(tmp_path / "model.safetensors")(torch.ones(1, 3)), model(torch.ones(1, 3)))


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    for name in ("a", "b"):
        save_model(model, tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    save_model(nn.Linear(3, 2), tmp_path / "model.safetensors")
    before = torch.get_rng_state()
    load_model(tmp_path / "model.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("form", ["list", "yaml", "json", "beside"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_an_architecture_from_elsewhere(form: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save(WEIGHTS, path)
    else:
        save_file(WEIGHTS, path)
    architecture: Any = LINEAR if form == "list" else None
    if form in ("yaml", "json"):
        architecture = tmp_path / f"other.{form}"
        architecture.write_text('[{"Linear": [3, 2]}]')
    if form == "beside":
        (tmp_path / "model.yaml").write_text("- Linear: [3, 2]\n")
    assert torch.equal(load_model(path, architecture=architecture)(torch.ones(1, 3)), torch.full((1, 2), 3.0))


def test_the_architecture_beside_a_pt_file_is_readable(tmp_path: Path) -> None:
    save_model(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), tmp_path / "model.pt")
    assert yaml.safe_load((tmp_path / "model.yaml").read_text()) == [
        {"Linear": {"in_features": 3, "out_features": 2}},
        "ReLU",
    ]


def test_batch_counts_may_be_missing(tmp_path: Path) -> None:
    weights = {"0.running_mean": torch.ones(2), "0.running_var": torch.ones(2)}
    save_file(weights, tmp_path / "model.safetensors")
    model = load_model(
        tmp_path / "model.safetensors", architecture=[{"BatchNorm1d": {"num_features": 2, "affine": False}}]
    )
    assert torch.allclose(model(torch.ones(1, 2)), torch.zeros(1, 2))


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_pickle_is_refused_and_not_run(writer: str, tmp_path: Path) -> None:
    folder, path = tmp_path / "made", tmp_path / "model.pt"
    content = {"0.weight": Evil(folder)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(
        FileFormatError,
        match=r"model\.pt (holds code or objects|is a pickle that may hold code).* and is not unpickled; save",
    ):
        load_model(path, architecture=LINEAR)
    assert not folder.exists()
    if writer == "torch":
        torch.load(path, weights_only=False)
        assert folder.exists()  # the file was armed


def test_a_pickled_module_is_refused_by_its_class(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2), tmp_path / "model.pt")
    with pytest.raises(
        FileFormatError, match=r"holds code or objects \(torch\.nn\.modules\.linear\.Linear\) and is not"
    ):
        load_model(tmp_path / "model.pt", architecture=LINEAR)


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04junk", b"\x80\x04junk"])
@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (".safetensors", "model.safetensors is not a safetensors file"),
        (".pt", "model.pt (is not a file of weights from torch.save|is a pickle that may hold code)"),
    ],
)
def test_a_file_of_another_kind_is_refused(content: bytes, suffix: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        load_model(path, architecture=LINEAR)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"none\.safetensors does not exist or is no file$"):
        load_model(tmp_path / "none.safetensors")
    save_model(nn.Linear(3, 2), tmp_path / "model.safetensors")
    with pytest.raises(FileFormatError, match=r"none\.yaml cannot be read: No such file"):
        load_model(tmp_path / "model.safetensors", architecture=tmp_path / "none.yaml")


@pytest.mark.parametrize("suffix", [".onnx", ""])
def test_another_suffix_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    with pytest.raises(FileFormatError, match=r"must end in \.safetensors or \.pt$"):
        load_model(path)
    with pytest.raises(FileFormatError, match=r"must end in \.safetensors or \.pt$"):
        save_model(nn.Linear(3, 2), path)


def test_saving_into_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"nowhere is not a folder; make it before saving model\.pt there$"):
        save_model(nn.Linear(3, 2), tmp_path / "nowhere" / "model.pt")


def test_an_architecture_must_be_had(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "model.pt")
    with pytest.raises(
        FileFormatError, match=r"says nothing of its architecture; give architecture= or write model.yaml"
    ):
        load_model(tmp_path / "model.pt")


def test_a_stored_architecture_must_be_json(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors", metadata={"architecture": "[{"})
    with pytest.raises(FileFormatError, match="the stored architecture is not JSON"):
        load_model(tmp_path / "model.safetensors")


def test_an_architecture_file_must_be_yaml(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "model.pt")
    (tmp_path / "model.yaml").write_text("[{")
    with pytest.raises(FileFormatError, match=r"model\.yaml is not YAML or JSON") as caught:
        load_model(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [torch.zeros(3), {"0.weight": 3}, [torch.zeros(3)]])
def test_a_pt_file_must_hold_a_state_dict(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(FileFormatError, match=r"model\.pt must hold a state dict of names and tensors"):
        load_model(tmp_path / "model.pt", architecture=LINEAR)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0.bias": None}, r"lacks the weight '0\.bias'; is it the file of this architecture\?$"),
        ({"0.bias": None, "0.weight": None}, r"lacks the weight '0\.weight' and 1 more; is it"),
        ({"1.bias": torch.ones(1)}, r"has a weight that the architecture has not: '1\.bias'; is it"),
        ({"0.weight": torch.ones(3, 2)}, r"weight '0\.weight' has shape \(3, 2\), the architecture needs \(2, 3\)$"),
        ({"0.bias": torch.ones(2).int()}, r"weight '0\.bias' is torch\.int32; floating-point numbers are needed$"),
        ({"0.bias": torch.ones(2) * 1j}, r"weight '0\.bias' is torch\.complex64; floating-point numbers are needed$"),
    ],
)
def test_weights_must_fit_the_architecture(changes: dict[str, Tensor | None], message: str, tmp_path: Path) -> None:
    weights = {name: value for name, value in (WEIGHTS | changes).items() if value is not None}
    torch.save(weights, tmp_path / "model.pt")
    with pytest.raises(FileFormatError, match=message):
        load_model(tmp_path / "model.pt", architecture=LINEAR)


FACTORIES = """
from torch import nn

number = 3

def surrogate():
    return nn.Linear(3, 2)

def weights():
    return surrogate().state_dict()

def needs_size(size):
    return nn.Linear(size, 2)

def fails():
    raise OSError("no such disk")
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some_factories.py").write_text(FACTORIES)
    (tmp_path / "broken_factories.py").write_text("import no_such_package_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    return "some_factories"


def test_a_factory_is_called(factories: str) -> None:
    assert isinstance(load_factory(f"{factories}:surrogate"), nn.Linear)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some_factories", r"^'some_factories' must be module:factory, such as"),
        (":surrogate", r"^':surrogate' must be module:factory"),
        (
            "no_such_module:build",
            r"^no_such_module:build: importing no_such_module failed: ModuleNotFoundError: No mod",
        ),
        ("broken_factories:build", r"importing broken_factories failed: .*No module named 'no_such_package_anywhere'$"),
        ("some_factories:none", r"some_factories has no function 'none'$"),
        ("some_factories:number", r"some_factories has no function 'number'$"),
        ("some_factories:needs_size", r"calling it without arguments failed: TypeError"),
        ("some_factories:fails", r"calling it without arguments failed: OSError: no such disk$"),
        ("some_factories:weights", r"^some_factories:weights must return an nn\.Module, got OrderedDict$"),
    ],
)
def test_a_bad_factory_is_named(name: str, message: str, factories: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        load_factory(name)
