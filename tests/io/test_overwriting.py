"""A process that is killed while it overwrites a saved answer or model leaves the earlier one or the new one, whole."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack.errors import FileFormatError
from tests.killing import killed_at_rename

OLD = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
NEW = nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.5), nn.Linear(3, 1)).eval()
"""The weights of each fit the architecture of the other."""


@dataclass(frozen=True)
class Saved:
    """How something is saved and loaded again, and two of it that differ."""

    save: Callable[[Any, Path], None]
    load: Callable[[Path], Any]
    old: Any
    new: Any
    renames: int

    def is_old(self, found: Any) -> bool:
        """Return whether what was loaded is the old one, after a check that it is one of the two."""
        key = str if isinstance(self.old, nn.Module) else (lambda result: float(result.value))
        assert key(found) in (key(self.old), key(self.new))
        if isinstance(self.old, nn.Module):
            wanted = self.old if key(found) == key(self.old) else self.new
            assert all(map(torch.equal, found.state_dict().values(), wanted.state_dict().values()))
        return bool(key(found) == key(self.old))


def result(model: nn.Module) -> ra.Result:
    return ra.maximize(model, ra.Box(0.0, 1.0, shape=(2,)), method="gradient_walk", iterations=2, seed=0)


KINDS = {
    "answer": Saved(ra.save_result, ra.load_result, result(OLD), result(NEW), 2),
    "model.pt": Saved(ra.save_model, ra.load_model, OLD, NEW, 2),
    "model.safetensors": Saved(ra.save_model, ra.load_model, OLD, NEW, 1),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_costs_no_earlier_answer(tmp_path: Path, name: str, at: int) -> None:
    kind, path = KINDS[name], tmp_path / name
    if at > kind.renames:
        return
    kind.save(kind.old, path)
    killed_at_rename(at, lambda: kind.save(kind.new, path))
    # Before the first rename the old one is there; after it, all that belongs to the new one.
    assert kind.is_old(kind.load(path)) == (at == 1)
    kind.save(kind.old, path)
    assert kind.is_old(kind.load(path))
    assert not [found for found in tmp_path.iterdir() if found.name.startswith(".")]


@pytest.mark.parametrize("name", KINDS)
def test_a_full_disk_costs_no_earlier_answer(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, path = KINDS[name], tmp_path / name
    kind.save(kind.old, path)
    before = {found.name: found.read_bytes() for found in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileFormatError, match="cannot be written: No space left on device"):
        kind.save(kind.new, path)
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == before


def test_a_description_that_was_edited_by_hand_still_counts(tmp_path: Path) -> None:
    ra.save_model(OLD, tmp_path / "model.pt")
    description = tmp_path / "model.yaml"
    description.write_text(description.read_text().replace("ReLU", "LeakyReLU: {negative_slope: 0.25}", 1))
    assert "negative_slope=0.25" in str(ra.load_model(tmp_path / "model.pt"))
