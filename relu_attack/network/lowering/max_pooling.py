"""Max pooling: a tournament of ``max(a, b) = b + relu(a - b)``, in which b passes through a unit of slope 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relu_attack.errors import UnsupportedModuleError
from relu_attack.network.lowering.builder import Builder, Rule
from relu_attack.network.lowering.windows import pooling_table
from relu_attack.network.operators import Sparse


def lower_max_pool(module: nn.MaxPool1d | nn.MaxPool2d, builder: Builder) -> None:
    """Lower ``nn.MaxPool1d`` and ``nn.MaxPool2d``; padding never wins, so its places are left out."""
    name = type(module).__name__
    if module.return_indices:
        raise UnsupportedModuleError(f"{builder.path} is {name} with return_indices=True; supported: False")
    table, shape = pooling_table(
        module, builder, dimensions=2 if isinstance(module, nn.MaxPool2d) else 1, dilation=module.dilation
    )
    table = table.clamp_min(-1).sort(1, descending=True).values  # real places first, so that only the ends are ragged
    rounds = passed = 0
    while table.shape[1] > 1:
        table, passing = _play(table, builder)
        rounds, passed = rounds + 1, passed + passing
    winners, ones = table.flatten(), torch.ones(table.shape[0], dtype=torch.float64)
    rows = torch.arange(winners.shape[0])
    builder.affine(
        Sparse.from_triplets(rows, winners, ones, outputs=winners.shape[0], inputs=builder.size), None, shape
    )
    builder.note(f"{name}: {rounds} rounds of pairwise maxima, {passed} pass-through units")


def _play(table: Tensor, builder: Builder) -> tuple[Tensor, int]:
    """Play one round and return the table of its winners and the number of units that pass a value through.

    A pair that several windows share is played once.
    """
    if table.shape[1] % 2:
        table = torch.cat([table, torch.full_like(table[:, :1], -1)], 1)
    entries, first, second = builder.size, table[:, 0::2], table[:, 1::2]
    played, alone = second >= 0, (first >= 0) & (second < 0)
    pairs, pair_of_place = torch.unique(first[played] * entries + second[played], return_inverse=True)
    single, single_of_place = torch.unique(first[alone], return_inverse=True)
    left, right = pairs // entries, pairs % entries
    passing, place_of_passing = torch.unique(torch.cat([right, single]), return_inverse=True)

    count, units = pairs.shape[0], pairs.shape[0] + passing.shape[0]
    games, ones = torch.arange(count), torch.ones(count, dtype=torch.float64)
    differences = Sparse.from_triplets(
        torch.cat([games, games, torch.arange(count, units)]),
        torch.cat([left, right, passing]),
        torch.cat([ones, -ones, torch.ones(units - count, dtype=torch.float64)]),
        outputs=units,
        inputs=entries,
    )
    builder.affine(differences, None, (units,))
    builder.activate(torch.cat([torch.zeros_like(ones), torch.ones(units - count, dtype=torch.float64)]))
    winners = place_of_passing.shape[0]
    sums = Sparse.from_triplets(
        torch.cat([games, torch.arange(winners)]),
        torch.cat([games, count + place_of_passing]),
        torch.ones(count + winners, dtype=torch.float64),
        outputs=winners,
        inputs=units,
    )
    builder.affine(sums, None, (winners,))

    following = torch.full_like(first, -1)
    following[played], following[alone] = pair_of_place, count + single_of_place
    return following, passing.shape[0]


RULES: dict[type[nn.Module], Rule] = {nn.MaxPool1d: lower_max_pool, nn.MaxPool2d: lower_max_pool}
