"""Worst cases and accuracies survive their files; files that are damaged or do not belong together are refused."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import relu_attack as ra
from relu_attack.io import _robustness, _saved
from tests.problems import random_network

MODEL = random_network(3, 6, 4, seed=0)
Accuracies = list[tuple[float, ra.RobustAccuracy]]


def worst_case(*, certify: bool = True) -> ra.WorstCaseWithScores:
    x = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    label = MODEL(x.double()).argmax(1)
    return ra.WorstCaseWithScores.of(MODEL, x, label, ra.worst_case(MODEL, x, label, 0.1, certify=certify))


def accuracies(*, certify: bool = True) -> Accuracies:
    found = worst_case()
    batch = [(found.x, found.label)]
    radii = (0.0, 0.1, 0.3)
    return [
        (radius, ra.robust_accuracy(MODEL, batch, radius, certify=certify, iterations=5, progress=False))
        for radius in radii
    ]


def assert_same(one: object, other: object) -> None:
    assert type(one) is type(other)
    for field in dataclasses.fields(one):  # type: ignore[arg-type]
        before, after = getattr(one, field.name), getattr(other, field.name)
        if isinstance(before, Tensor):
            assert before.dtype == after.dtype
            assert torch.equal(before, after), field.name
        elif dataclasses.is_dataclass(before):
            assert_same(before, after)
        else:
            assert before == after, field.name


@pytest.mark.parametrize("certify", [True, False])
def test_a_worst_case_is_loaded_as_it_was_saved(certify: bool, tmp_path: Path) -> None:
    found = worst_case(certify=certify)
    ra.save_worst_case(found, tmp_path / "worst.json", settings={"radius": 0.1})
    assert_same(ra.load_worst_case(tmp_path / "worst"), found)
    summary = json.loads((tmp_path / "worst.json").read_text())
    assert (summary["samples"], summary["broken"]) == (5, int(found.worst.success.sum()))
    assert (summary["proven_safe"] is None) == (not certify)
    assert summary["settings"] == {"radius": 0.1}


@pytest.mark.parametrize("certify", [True, False])
def test_accuracies_are_loaded_as_they_were_saved(certify: bool, tmp_path: Path) -> None:
    found = accuracies(certify=certify)
    ra.save_accuracies(found, tmp_path / "sweep", settings={"norm": "linf"})
    loaded = ra.load_accuracies(tmp_path / "sweep.safetensors")
    assert [radius for radius, _ in loaded] == [radius for radius, _ in found]
    for (_, before), (_, after) in zip(found, loaded, strict=True):
        assert_same(before, after)


def test_a_count_that_was_interrupted_before_its_first_batch_survives(tmp_path: Path) -> None:
    none = torch.zeros(0, dtype=torch.float64)
    nothing = ra.RobustAccuracy(float("nan"), float("nan"), None, 0, none, none, None, complete=False)
    ra.save_accuracies([(0.1, nothing)], tmp_path / "sweep")
    ((_, loaded),) = ra.load_accuracies(tmp_path / "sweep")
    assert (loaded.samples, loaded.complete, str(loaded.clean)) == (0, False, "nan")


def test_radii_that_are_none_are_refused(tmp_path: Path) -> None:
    for pairs, words in (([], "there are no accuracies"), ([(-1.0, accuracies()[0][1])], "finite number from 0")):
        with pytest.raises(ra.OptionError, match=words):
            ra.save_accuracies(pairs, tmp_path / "sweep")
    with pytest.raises(ra.FileFormatError, match="is not a folder; make it before saving"):
        ra.save_accuracies(accuracies(), tmp_path / "no" / "sweep")


def edit(path: Path, **changes: object) -> None:
    file = Path(f"{path}.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def put(path: Path, name: str, tensor: Tensor | None, kind: _saved.Kind) -> None:
    """Replace an array, or take it away, and write both files anew, so that the checksum fits."""
    entries = json.loads(Path(f"{path}.json").read_text())
    tensors: dict[str, Tensor | None] = {**load_file(f"{path}.safetensors"), name: tensor}
    kind.save(path, {key: entries[key] for key in entries if key not in ("format", "settings")}, tensors, None)


def check_refused(load: Callable[[Path], object], path: Path, words: str) -> None:
    with pytest.raises(ra.FileFormatError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.fixture(params=["worst case", "accuracies"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[Path], object], Path]:
    """What loads a kind of file, and such a file."""
    path = tmp_path / "saved.7"
    if request.param == "worst case":
        ra.save_worst_case(worst_case(), path)
        return ra.load_worst_case, path
    ra.save_accuracies(accuracies(), path)
    return ra.load_accuracies, path


def test_files_that_are_missing_damaged_or_of_another_kind_are_refused(
    files: tuple[Callable[[Path], object], Path],
) -> None:
    load, path = files
    check_refused(ra.load_result, path, "is not a saved result: its format is 'relu_attack (worst case|accuracies) 1'")
    arrays, summary = Path(f"{path}.safetensors"), Path(f"{path}.json")
    content, text = arrays.read_bytes(), summary.read_text()
    arrays.write_bytes(content[:-1])
    check_refused(load, path, "is not a safetensors file")
    save_file({"x": torch.zeros(3)}, arrays)
    check_refused(load, path, "checksums differ")
    arrays.unlink()
    check_refused(load, path, "cannot be read: No such file")
    arrays.write_bytes(content)
    for wrong, words in (("{", "is not JSON"), ("[]", "it has no format"), ('{"format": 3}', "it has no format")):
        summary.write_text(wrong)
        check_refused(load, path, words)
    summary.write_text(text)
    edit(path, settings=[])
    check_refused(load, path, "'settings' must be a mapping")
    summary.unlink()
    check_refused(load, path, "cannot be read: No such file")


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("label", None, "lacks label"),
        ("worst.margin", None, r"lacks worst\.margin"),
        ("x", torch.zeros(0, 3), "there is no sample in x"),
        ("worst.x", torch.zeros(5, 4), r"worst\.x has shape \(5, 4\), it should be \(5, 3\)"),
        ("clean_scores", torch.zeros(4, 4), r"clean_scores has shape \(4, 4\)"),
        ("worst_scores", torch.zeros(5, 3), r"worst_scores has shape \(5, 3\), it should be \(5, 4\)"),
        ("worst.margin", torch.zeros(4), r"margin has shape \(4,\), it should be \(5,\)"),
        ("worst.certified_margin", torch.zeros(5, 1), r"certified_margin has shape \(5, 1\)"),
        ("label", torch.full((5,), 4), "label must be whole numbers below 4"),
        ("worst.target", torch.zeros(5), "target must be whole numbers below 4"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(
    name: str, tensor: Tensor | None, words: str, tmp_path: Path
) -> None:
    ra.save_worst_case(worst_case(), tmp_path / "worst")
    put(tmp_path / "worst", name, tensor, _robustness.WORST_CASE)
    check_refused(ra.load_worst_case, tmp_path / "worst", words)


def test_an_edited_summary_of_a_worst_case_is_refused(tmp_path: Path) -> None:
    ra.save_worst_case(worst_case(), tmp_path / "worst")
    edit(tmp_path / "worst", status="GREAT")
    check_refused(ra.load_worst_case, tmp_path / "worst", "'GREAT' is missing or unknown")
    edit(tmp_path / "worst", status="FEASIBLE", evaluations=None)
    check_refused(ra.load_worst_case, tmp_path / "worst", "an entry is not what it should be")


def test_accuracies_that_are_not_those_of_the_margins_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sweep"
    ra.save_accuracies(accuracies(), path)
    stated = json.loads(Path(f"{path}.json").read_text())["radii"]
    for changed, words in (
        ({**stated[1], "certified": 1.0 - stated[1]["certified"]}, "radius 1 is not what the margins say"),
        ({**stated[1], "samples": 6}, "radius 1 is not what the margins say"),
        ({**stated[1], "complete": "yes"}, "radius 1 is not what the margins say"),
        ({**stated[1], "radius": "far"}, "an entry is not what it should be"),
        ({**stated[1], "radius": -1.0}, "a radius must be a finite number from 0, got -1.0"),
        ({}, "'complete' is missing or unknown"),
        (3, "an entry is not what it should be"),
    ):
        edit(path, radii=[stated[0], changed])
        check_refused(ra.load_accuracies, path, words)
    edit(path, radii=[])
    check_refused(ra.load_accuracies, path, "there are no accuracies")
    edit(path, radii=stated * 2)
    check_refused(ra.load_accuracies, path, r"lacks 3\.clean_margin")
    edit(path, radii=stated)
    put(path, "1.margin", torch.zeros(4, dtype=torch.float64), _robustness.ACCURACIES)
    check_refused(ra.load_accuracies, path, "margins of radius 1 differ in their number")
