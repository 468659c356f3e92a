"""The committed models are those of their cards, and predict as the cards say."""

import csv
import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from relu_attack.io import load_model

MODELS = Path(__file__).parents[1] / "models"
NAMES = ["concrete", "digits"]


def card(name: str) -> str:
    return (MODELS / name / "README.md").read_text(encoding="utf-8")


def model(name: str) -> nn.Sequential:
    return load_model(MODELS / name / "model.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_the_checksum_in_the_card_is_the_file_s(name: str) -> None:
    found = re.search(r"SHA-256 \| `([0-9a-f]{64})`", card(name))
    assert found is not None
    assert found[1] == hashlib.sha256((MODELS / name / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_the_card_and_the_index_name_the_layers(name: str) -> None:
    linear = [layer for layer in model(name) if isinstance(layer, nn.Linear)]
    layers = "-".join(str(size) for size in [linear[0].in_features, *(layer.out_features for layer in linear)])
    assert layers in card(name)
    assert layers in (MODELS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_small(name: str) -> None:
    assert (MODELS / name / "model.safetensors").stat().st_size < 300_000


def test_the_index_names_each_model() -> None:
    assert sorted(path.parent.name for path in MODELS.glob("*/model.safetensors")) == NAMES


def best_mixes() -> tuple[list[str], Tensor]:
    """Return the column names and the rows (rows, 9) of the strongest measured mixes."""
    with (MODELS / "concrete" / "best_mixes.csv").open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    return names, torch.tensor([[float(value) for value in row] for row in rows])


def test_concrete_predicts_the_strongest_mixes_as_well_as_its_card_says() -> None:
    found = re.search(r"\(RMSE ([\d.]+) MPa\)", card("concrete"))
    assert found is not None
    _, rows = best_mixes()
    with torch.no_grad():
        error = model("concrete")(rows[:, :8]).squeeze(1) - rows[:, 8]
    assert float(error.square().mean().sqrt()) == pytest.approx(float(found[1]), abs=0.01)


def test_concrete_s_scaling_is_its_first_layer() -> None:
    scaling = model("concrete")[0]
    assert isinstance(scaling, nn.BatchNorm1d)
    _, rows = best_mixes()
    assert scaling(rows[:, :8]).abs().mean() < 2  # kilograms in, standard deviations out


def test_concrete_s_files_agree_on_the_inputs() -> None:
    names, rows = best_mixes()
    summary = json.loads((MODELS / "concrete" / "data_summary.json").read_text(encoding="utf-8"))
    assert names == [*summary["inputs"], *summary["output"]]
    assert ", ".join(f"`{name}`" for name in summary["inputs"]) in card("concrete")
    for name, column in zip(names, rows.T, strict=True):
        spread = (summary["inputs"] | summary["output"])[name]
        assert spread["minimum"] <= spread["quantile_05"] <= spread["quantile_95"] <= spread["maximum"]
        assert bool(((column >= spread["minimum"] - 1e-3) & (column <= spread["maximum"] + 1e-3)).all()), name


def test_the_best_mixes_come_strongest_first_at_each_age() -> None:
    _, rows = best_mixes()
    assert 0 < len(rows) <= 50
    for age in rows[:, 7].unique():
        strengths = rows[rows[:, 7] == age, 8]
        assert torch.equal(strengths, strengths.sort(descending=True).values)


def test_digits_gets_its_ten_images_right() -> None:
    file = load_file(MODELS / "digits" / "test_images.safetensors")
    assert file["images"].dtype == torch.uint8
    assert file["images"].shape == (10, 1, 28, 28)
    assert file["labels"].tolist() == list(range(10))
    with torch.no_grad():
        scores = model("digits")(file["images"].float() / 255)
    assert scores.argmax(1).tolist() == file["labels"].tolist()
