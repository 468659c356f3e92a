"""Programs: what is certified of them holds in real arithmetic for the weights of the model."""

from __future__ import annotations

import multiprocessing
from fractions import Fraction

import numpy as np
import torch
from torch import nn

import relu_attack as ra
from probes.base import Observed, dense, double, linear, probe
from relu_attack.encodings import encode
from relu_attack.encodings._root import tighten_root
from relu_attack.network import lower
from relu_attack.problem import Problem
from relu_attack.programs import Program, SolutionStatus, solve


def _ranges(*units: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    ends = [torch.ones(count, dtype=torch.float64) for count in units]
    return [(-end, end) for end in ends]


@probe(
    "programs",
    "no root bound below the exact maximum",
    "tests/laws/test_programs.py::test_roots_and_linear_programs_are_above_the_exact_maximum",
)
def rows_of_milp_that_are_folded() -> Observed:
    below = 0
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(40, 2, generator=generator, dtype=torch.float64) * 10.0 ** (seed % 4)
        weight = torch.cat([weight, -weight + 1e-3 * torch.randn(40, 2, generator=generator, dtype=torch.float64)])
        model = nn.Sequential(linear([[1.0], [1.0]], [0.0, 0.0]), nn.ReLU(), linear(weight.tolist(), [0.0] * 80))
        objective = ra.Linear(torch.ones(80, dtype=torch.float64))
        problem = Problem.create(lower(model, (1,)).network, ra.Box(double(-1.0), double(1.0)), objective)
        root = tighten_root(encode(problem, _ranges(2)))
        below += Fraction(root.after) < max(Fraction(0), sum(map(Fraction, weight.reshape(-1).tolist()), Fraction(0)))
    return Observed(f"{below} of 100 root bounds below the exact maximum", not below)


@probe(
    "programs",
    "inputs satisfy the constraint: never infeasible, certified",
    "tests/laws/test_programs.py::test_constraints_that_an_input_satisfies_are_not_refuted",
)
def output_constraints_that_are_folded() -> Observed:
    model = nn.Sequential(
        linear([[1.0], [1.0]], [0.0, 0.0]),
        nn.ReLU(),
        linear([[2.0**53, 0.0], [1.0, 0.0], [-(2.0**53), 0.0]], [0.0] * 3),
    )
    constraint = ra.OutputConstraints(double(-1.0, -1.0, -1.0)[None], double(-0.75))
    box = ra.Box(double(-1.0), double(1.0))
    problem = Problem.create(lower(model, (1,)).network, box, ra.Output(1), constraint)
    found = solve(encode(problem, _ranges(2)).program)
    wrong = found.status is SolutionStatus.INFEASIBLE and found.certified
    return Observed(f"{found.status.name}, certified: {found.certified}", not wrong)


@probe(
    "programs",
    "a feasible program is not proved infeasible",
    "tests/programs/test_program.py::test_products_that_underflow_prove_nothing",
)
def multipliers_that_underflow() -> Observed:
    row = {"objective": [0.0], "matrix": [[1e-200]], "row_lower": -np.inf, "row_upper": -1e-105}
    program = Program(**row, lower=-1e300, upper=1e300)
    assert program.violation([-1e96]) == 0
    proved = program.proves_infeasible([1e-200])
    return Observed(f"proved infeasible: {proved}", not proved)


def _bound_of_milp(queue: multiprocessing.Queue[float]) -> None:
    model, box = dense(8, 20, 20, 3), ra.Box(-1.0, 1.0, shape=(8,))
    queue.put(float(ra.maximize(model, box, method="milp", time_limit=2).value))


@probe("programs", "a forked child answers within its limit of 2 s", "tests/programs/test_fork.py")
def programs_in_a_forked_child() -> Observed:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[float] = context.Queue()
    _bound_of_milp(queue)
    queue.get()
    child = context.Process(target=_bound_of_milp, args=(queue,))
    child.start()
    child.join(20)
    hangs = child.is_alive()
    if hangs:
        child.kill()
    return Observed("hangs for 20 s and more" if hangs else "answers", not hangs)


@probe(
    "programs",
    "no crash where no unit of a max pooling is free",
    "tests/network/test_operators.py::test_a_batch_of_no_points_has_no_images",
)
def milp_walk_over_max_pooling() -> Observed:
    crashes = []
    for kernel, stride, size in ((3, 1, 4), (3, 2, 5), (2, 2, 4)):
        torch.manual_seed(size)
        layers = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel, stride), nn.Flatten()]
        places = 2 * ((size - kernel) // stride + 1) ** 2
        model = nn.Sequential(*layers, nn.Linear(places, 2)).eval()
        x = torch.rand(1, size, size)
        for radius in (0.001, 0.1):
            ball = ra.LInfBall(x, radius=radius, clip=(0, 1), shape=(1, size, size))
            try:
                ra.maximize(model, ball, method="milp_walk", time_limit=0.3)
            except RuntimeError as error:
                crashes.append(str(error)[:60])
    return Observed(f"{len(crashes)} of 6 crash {crashes[:1]}", not crashes)
