"""Programs that several files ask for, and what holds of every solution."""

import math

import numpy as np

from relu_attack.programs import Program, Solution

INFINITY = math.inf


def diet() -> Program:
    """max 3x + 5y - 7 with x <= 4, 2y <= 12, 3x + 2y <= 18, x, y >= 0 (Hillier, Lieberman): 29 at (2, 6)."""
    return Program(
        objective=[3, 5],
        matrix=[[1, 0], [0, 2], [3, 2]],
        row_lower=-INFINITY,
        row_upper=[4, 12, 18],
        lower=0,
        upper=INFINITY,
        constant=-7,
    )


def knapsack() -> Program:
    """max 10a + 13b + 7c + 4d - 2 with 3a + 4b + 2c + 2d <= 6, binary: b and c, 18; the relaxation has 18.25."""
    return Program(
        objective=[10, 13, 7, 4],
        matrix=[[3, 4, 2, 2]],
        row_lower=-INFINITY,
        row_upper=6,
        lower=0,
        upper=1,
        integral=True,
        constant=-2,
    )


def hard(*, feasible_at_once: bool) -> Program:
    """Market split: 60 binaries in 6 equations with slack; with slack 0 no feasible point is in easy reach."""
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 100, size=(6, 60)).astype(float)
    half = np.floor(weights.sum(1) / 2)
    low = np.full(6, -INFINITY) if feasible_at_once else half
    return Program(
        objective=weights.sum(0) + rng.uniform(size=60),
        matrix=weights,
        row_lower=low,
        row_upper=half,
        lower=0,
        upper=1,
        integral=True,
        constant=1000.0,
    )


def random_program(seed: int) -> Program:
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    matrix = rng.normal(size=(rows, columns)) * (rng.random((rows, columns)) < 0.7)
    inside = rng.uniform(-1, 1, size=columns)
    activity = matrix @ inside
    low = activity - rng.choice([0.0, 0.5, INFINITY], size=rows)
    high = activity + rng.choice([0.0, 0.5, INFINITY], size=rows)
    return Program(
        objective=rng.normal(size=columns),
        matrix=matrix,
        row_lower=low,
        row_upper=high,
        lower=-2 * np.ones(columns),
        upper=np.full(columns, 3.0),
        constant=float(rng.normal()),
    )


def dense_program(rows: int = 30) -> Program:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(rows, rows + 10))
    objective = rng.normal(size=rows + 10)
    return Program(objective=objective, matrix=matrix, row_lower=-INFINITY, row_upper=1, lower=0, upper=1)


def assert_checked(program: Program, solution: Solution) -> None:
    """What holds of every solution, whatever the solver did."""
    if solution.x is not None:
        assert program.violation(solution.x) <= 1e-6
        assert program.integrality(solution.x) == 0
        assert ((program.lower <= solution.x) & (solution.x <= program.upper)).all()
        assert solution.value == program.value(solution.x)
    else:
        assert solution.value == -INFINITY
