"""Small mixed-integer surrogates with output constraints: what auto proves in 10 s, beside its exact methods alone.

Problem s is drawn with seed s: integers, one or two choices among categories and continuous inputs in a polytope, and a
network of two or three hidden layers of 10 to 40 units, trained on a random response with two outputs. The first one is
maximized where the second is at most a quantile of what it is on the samples.
Time is processor time of one thread, that of the limits, too; only HiGHS looks at the time of day.

    python benchmarks/mixed_integer.py                     # 20 problems and the network 3-16-2: some minutes
    python benchmarks/mixed_integer.py --seeds 100 101     # others
    python benchmarks/mixed_integer.py --small             # the network 3-16-2 alone, with one time limit after another
    python benchmarks/mixed_integer.py --summary           # the tables of what is there
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from pathlib import Path

# Before the package is imported, whose limits are to hold in processor time.
time.perf_counter = time.process_time

import torch  # noqa: E402
from _common import RESULTS, append_row, commit, machine, read_rows  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import relu_attack as ra  # noqa: E402

METHODS = ("auto", "branch_and_bound", "milp")
LIMIT = 10.0
LIMITS = (1.0, 10.0, 100.0, 400.0, None)
SAMPLES, EPOCHS, BATCH = 2000, 30, 100


@dataclass(frozen=True)
class Inputs:
    """The kinds of inputs of a problem, in order: integers from 1 on, continuous ones in [0, 10], choices."""

    largest: tuple[int, ...]
    continuous: int
    categories: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Number of inputs that are no choices."""
        return len(self.largest) + self.continuous

    @property
    def count(self) -> int:
        """Number of inputs."""
        return self.numbers + sum(self.categories)

    @property
    def groups(self) -> list[list[int]]:
        """The inputs of each choice."""
        first, groups = self.numbers, []
        for size in self.categories:
            groups.append(list(range(first, first + size)))
            first += size
        return groups

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw samples, shape (SAMPLES, count)."""
        whole = [torch.randint(1, top + 1, (SAMPLES, 1), generator=generator).float() for top in self.largest]
        choices = [torch.randint(size, (SAMPLES,), generator=generator) for size in self.categories]
        coded = [
            nn.functional.one_hot(choice, size).float() for choice, size in zip(choices, self.categories, strict=True)
        ]
        return torch.cat([*whole, 10 * torch.rand(SAMPLES, self.continuous, generator=generator), *coded], 1)


class Surrogate(nn.Module):
    """A network between standardized inputs and outputs."""

    def __init__(self, net: nn.Sequential, x: Tensor, y: Tensor) -> None:
        super().__init__()
        self.net = net
        for name, value in (("x_mean", x.mean(0)), ("x_std", x.std(0)), ("y_mean", y.mean(0)), ("y_std", y.std(0))):
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - self.x_mean) / self.x_std) * self.y_std + self.y_mean


def response(x: Tensor, inputs: Inputs, generator: torch.Generator) -> Tensor:
    """Return a random response (samples, 2): a curved gain that depends on the choices, and a cost."""
    numbers = inputs.numbers
    scaled = x[:, :numbers] / x[:, :numbers].amax(0)
    choices = x[:, numbers:]

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    peak = torch.rand(numbers, generator=generator)
    rates = 1 + choices @ normal(choices.shape[1], numbers) / 2
    waves = torch.sin(4 * scaled @ normal(numbers, 4)) @ normal(4)
    gain = 3 * (rates * scaled).sum(1) - 8 * ((scaled - peak) ** 2).sum(1) + waves + choices @ normal(choices.shape[1])
    cost = scaled @ (1 + torch.rand(numbers, generator=generator)) + choices @ normal(choices.shape[1]).abs()
    return torch.stack([gain, cost], 1)


def train(x: Tensor, y: Tensor, widths: list[int], generator: torch.Generator) -> Surrogate:
    """Train a network on standardized samples."""
    sizes, layers = [x.shape[1], *widths], []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    surrogate = Surrogate(nn.Sequential(*layers, nn.Linear(sizes[-1], 2)), x, y)
    target = (y - surrogate.y_mean) / surrogate.y_std
    optimizer = torch.optim.Adam(surrogate.net.parameters(), 5e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            found = surrogate.net((x[rows] - surrogate.x_mean) / surrogate.x_std)
            nn.functional.mse_loss(found, target[rows]).backward()
            optimizer.step()
    return surrogate.eval()


def make(seed: int) -> tuple[Surrogate, ra.Polytope, ra.OutputConstraints, str]:
    """Return a problem, and its sizes in words."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    inputs = Inputs(
        largest=tuple(draw(3, 9) for _ in range(draw(1, 2))),
        continuous=draw(1, 2),
        categories=tuple(draw(3, 5) for _ in range(draw(1, 2))),
    )
    widths = [draw(10, 40)] * draw(2, 3)
    x = inputs.draw(generator)
    y = response(x, inputs, generator)
    # Two rows over the numbers: a resource that suffices for two thirds of all, and a mix of two of them.
    need = torch.rand(inputs.numbers, generator=generator) + 0.5
    top = torch.tensor([*inputs.largest, *[10] * inputs.continuous], dtype=torch.float)
    rows = torch.zeros(2, inputs.count)
    rows[0, : inputs.numbers], rows[1, 0], rows[1, len(inputs.largest)] = need, 1.0, -1.0
    limits = [float(2 / 3 * need @ top), float(top[0]) / 2]
    low = [*[1.0] * len(inputs.largest), *[0.0] * (inputs.count - len(inputs.largest))]
    high = [*top.tolist(), *[1.0] * sum(inputs.categories)]
    domain = ra.Polytope(rows, limits, lower=low, upper=high, integer=range(len(inputs.largest)), one_hot=inputs.groups)
    constraints = ra.OutputConstraints([0.0, 1.0], float(y[:, 1].quantile(0.4)))
    words = f"{len(inputs.largest)} whole, {inputs.continuous} continuous, choices of {inputs.categories}, {widths}"
    return train(x, y, widths, generator), domain, constraints, words


def measure(
    name: str, model: nn.Module, domain: ra.Domain, words: str, *, limit: float | None, **asked: object
) -> dict[str, object]:
    """Run a method and return a row; `limit` is the time limit, None for that of the method."""
    if limit is not None:
        asked["time_limit"] = limit
    began = time.process_time()
    result = ra.maximize(model, domain, seed=0, **asked)
    return {
        "problem": name, "method": asked["method"], "time_limit": "" if limit is None else limit,
        "seconds": round(time.process_time() - began, 2), "value": f"{float(result.value):.8g}",
        "bound": f"{float(result.bound):.8g}", "status": result.status.name, "certified": bool(result.certified),
        "found_by": result.found_by[0], "sizes": words, "commit": commit(), "machine": machine(),
    }  # fmt: skip


def run(path: Path, seeds: list[int], methods: list[str], *, small: bool) -> None:
    """Measure what is missing."""
    done = {(row["problem"], row["method"], row["time_limit"]) for row in read_rows(path)}
    torch.manual_seed(0)
    net, cube = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2)), ra.Box(-1.0, 1.0, shape=(3,))
    for limit in LIMITS:
        if ("3-16-2", "auto", "" if limit is None else str(limit)) not in done:
            report(path, measure("3-16-2", net, cube, "[16]", method="auto", limit=limit))
    for seed in [] if small else seeds:
        missing = [method for method in methods if (f"seed {seed}", method, str(LIMIT)) not in done]
        if missing:
            model, domain, constraints, words = make(seed)
        for method in missing:
            report(
                path,
                measure(
                    f"seed {seed}", model, domain, words, method=method, output_constraints=constraints, limit=LIMIT
                ),
            )


def report(path: Path, row: dict[str, object]) -> None:
    """Append a row and print it."""
    append_row(path, row)
    print(", ".join(str(entry) for entry in list(row.values())[:10]), flush=True)


def tables(rows: list[dict[str, str]]) -> list[Table]:
    """Return the tables: seconds of each method and value of each problem, and those of the small network."""
    small = Table("time limit", "seconds", "status", title="auto on 3-16-2")
    for row in rows:
        if row["problem"] == "3-16-2":
            small.add_row(row["time_limit"] or "none", row["seconds"], row["status"])
    large = Table("problem", "inputs and layers", "value", *METHODS, title=f"Seconds until the proof, of {LIMIT:g}")
    for name in dict.fromkeys(row["problem"] for row in rows if row["problem"] != "3-16-2"):
        own = {row["method"]: row for row in rows if row["problem"] == name}
        cells = []
        for method in METHODS:
            row = own.get(method)
            proved = row is not None and row["status"] == "OPTIMAL"
            cells.append("" if row is None else row["seconds"] if proved else f"{row['value']} to {row['bound']}")
        large.add_row(name, own["auto"]["sizes"], own["auto"]["value"], *cells)
    return [small, large]


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS / "mixed_integer.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.summary:
        run(arguments.output, arguments.seeds, arguments.methods, small=arguments.small)
    for table in tables(read_rows(arguments.output)):
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
