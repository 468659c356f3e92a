"""What is checked of a drawn problem: bounds, answers and verdicts against exact values and the model itself."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

import relu_attack as ra
from relu_attack.bounds import BOUNDS
from relu_attack.solvers import METHODS
from tests.fuzz.networks import DrawnNetwork, draw_network
from tests.fuzz.oracle import exact_dot, exact_outputs
from tests.fuzz.sets import DrawnSet, Point, drawn_sets

# Seconds that a call may search: the networks are tiny, and most searches are over long before.
SECONDS = 0.5
STEPS = 30
# Points of a set whose outputs are evaluated: an exact evaluation takes about a millisecond.
POINTS = 8
# How far below the optimum a claim is that must not be verified, relative to its size; 0 is the next float below.
EPSILONS = (0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3)


@dataclass(frozen=True)
class Drawn:
    """A problem: maximize a row over the outputs of a network over a set; and where chance goes on."""

    network: DrawnNetwork
    set: DrawnSet
    row: Tensor
    rng: random.Random

    @functools.cached_property
    def exact(self) -> dict[Point, list[Fraction]]:
        """The outputs at some points of the set, exactly."""
        points = self.rng.sample(self.set.points, min(len(self.set.points), POINTS))
        return {point: exact_outputs(self.network.model, point, self.network.shape) for point in points}

    @functools.cached_property
    def best(self) -> tuple[Fraction, Point]:
        """The largest objective over the points of the set, exactly, and where it is attained."""
        return max((exact_dot(self.row, outputs), point) for point, outputs in self.exact.items())

    @functools.cached_property
    def optimizer(self) -> ra.ReLUOptimizer:
        """The problem as the package takes it."""
        return ra.ReLUOptimizer(self.network.model, self.set.domain, self.objective)

    @property
    def objective(self) -> ra.Objective:
        """The row as the package takes it."""
        return ra.Linear(self.row)

    @property
    def label(self) -> str:
        """What was drawn, for a report."""
        return f"{self.network.label} over {self.set.label}"


def draw(seed: int) -> Drawn:
    """Draw a problem; the same one for the same seed."""
    rng = random.Random(seed)
    network = draw_network(rng)
    found = next(drawn_sets(rng, network.shape, network.dtype))
    outputs = network.model(torch.zeros(1, *network.shape, dtype=network.dtype)).shape[1]
    row = [rng.choice([1.0, -1.0, 0.0, rng.gauss(0, 1), 1e8, 0.1]) for _ in range(outputs)]
    row[rng.randrange(outputs)] = rng.choice([1.0, -1.0, 1 / 3])
    return Drawn(network, found, torch.tensor(row, dtype=torch.float64), rng)


Fault = str


def bounding_box(drawn: Drawn, dtype: torch.dtype) -> Iterator[Fault]:
    """No exact point of the set lies outside its bounding box, nor outside that of a copy in another dtype."""
    box = drawn.set.domain.to(dtype=dtype).bounding_box()
    ends = [[Fraction(v) for v in end.double().reshape(-1).tolist()] for end in (box.lower, box.upper)]
    for point in drawn.set.points:
        for place, (low, value, high) in enumerate(zip(ends[0], point, ends[1], strict=True)):
            if not low <= value <= high:
                beyond = float(max(low - value, value - high))
                yield f"input {place} of a point is {beyond:.3g} outside the bounding box in {dtype}"
                return


WAYS: dict[str, Callable[[ra.Domain, Tensor, torch.Generator], Tensor]] = {
    "sample": lambda domain, far, generator: domain.sample(4, generator=generator),
    "project": lambda domain, far, generator: domain.project(domain.center().reshape(-1, domain.inputs) + far),
    "support": lambda domain, far, generator: domain.maximizer(far),
    "corners": lambda domain, far, generator: domain.corners(4, generator=generator),
}
"""How a set hands out points."""


def points_inside(drawn: Drawn, way: str) -> Iterator[Fault]:
    """Points that the set hands out lie in it exactly."""
    domain = drawn.set.domain
    generator = torch.Generator().manual_seed(drawn.rng.randrange(2**31))
    far = torch.randn(4, domain.inputs, generator=generator, dtype=torch.float64) * 10 ** drawn.rng.uniform(-3, 3)
    for x in domain.round(WAYS[way](domain, far, generator)).double().tolist():
        if not drawn.set.contains(tuple(map(Fraction, x))):
            yield f"{way} returns {x}, which lies outside the set"
            return


def bounds(drawn: Drawn, method: str) -> Iterator[Fault]:
    """No exact value of the objective lies outside the bounds of a method."""
    low, high = map(float, drawn.optimizer.bounds(method=method))
    for outputs in drawn.exact.values():
        value = exact_dot(drawn.row, outputs)
        if value > high or value < low:
            yield f"{method}: the objective is {float(value)!r} at a point, its bounds are {low!r} and {high!r}"
            return


def answer(drawn: Drawn) -> Iterator[Fault]:
    """An answer lies in the set, its value is the model's own, and no exact value exceeds a certified bound."""
    method = drawn.rng.choice(list(METHODS))
    if method in ("lp_walk", "milp_walk", "milp") and drawn.set.label == "l2 ball":
        return
    bound = drawn.rng.choice(["interval", "crown"])
    limits = {"time_limit": SECONDS} if method in ("auto", "milp", "branch_and_bound") else {"iterations": STEPS}
    minimizing = drawn.rng.random() < 0.3
    search = ra.minimize if minimizing else ra.maximize
    row = -drawn.row if minimizing else drawn.row
    result = search(
        drawn.network.model,
        drawn.set.domain,
        ra.Linear(row),
        method=method,
        restarts=4,
        bound=bound,
        seed=drawn.rng.randrange(1000),
        **limits,
    )
    x = tuple(Fraction(v) for v in result.x.double().reshape(-1).tolist())
    sign = -1 if minimizing else 1
    value, limit = sign * float(result.value), sign * float(result.bound)
    best = drawn.best[0]
    if not drawn.set.contains(x):
        yield f"{method} answers {[float(v) for v in x]}, which lies outside the set"
    elif all(v == float(v) for v in x):
        best = max(best, exact_dot(drawn.row, exact_outputs(drawn.network.model, x, drawn.network.shape)))
    yield from _value(drawn, method, result.x, value)
    if bool(result.certified) and best > limit:
        yield f"{method} certifies {limit!r} ({result.status.name}), but {float(best)!r} is attained"
    if value > limit:
        yield f"{method} has a value of {value!r} above its bound {limit!r}"


def _value(drawn: Drawn, method: str, x: Tensor, value: float) -> Iterator[Fault]:
    """The value is that of the model's own forward pass, to what another order of its sums may change."""
    model, dtype = drawn.network.model, drawn.network.dtype
    own = model(x.reshape(1, *drawn.network.shape).to(dtype))[0].double()
    alone = float(drawn.row @ own)
    if alone == value:
        return
    size = float(drawn.row.abs() @ _magnitude(drawn, x))
    if not math.isclose(alone, value, rel_tol=0, abs_tol=200 * torch.finfo(dtype).eps * size + 1e-300):
        yield f"{method} has a value of {value!r}, but the model's own forward pass gives {alone!r}"


def _magnitude(drawn: Drawn, x: Tensor) -> Tensor:
    """Return how large the sums of the model are on the way to each output: weights and inputs without signs."""
    from relu_attack.network import lower

    network = lower(drawn.network.model, drawn.network.shape).network
    size = x.double().reshape(1, -1).abs()
    for layer in network.layers:
        size = layer.affine.operator.absolute().apply(size, bias=layer.affine.bias.abs())
    return network.output.operator.absolute().apply(size, bias=network.output.bias.abs())[0]


def verdict(drawn: Drawn) -> Iterator[Fault]:
    """A claim that an exact point breaks is never verified; a witness breaks its claim in the model's own words."""
    best, _ = drawn.best
    if not math.isfinite(float(best)):
        return
    epsilon = drawn.rng.choice(EPSILONS)
    limit = math.nextafter(float(best), -math.inf)
    limit = min(limit, float(best) - epsilon * max(abs(float(best)), 1e-300))
    found = ra.verify(
        drawn.network.model,
        drawn.set.domain,
        ra.Specification.require(drawn.row, limit),
        time_limit=SECONDS,
        seed=drawn.rng.randrange(1000),
    )
    if found.verdict is ra.Verdict.VERIFIED and best > Fraction(limit):
        yield f"verified that the row is at most {limit!r}, but {float(best)!r} is attained ({found.decided_by})"
    yield from _witness(drawn, found, limit)


def true_claim(drawn: Drawn) -> Iterator[Fault]:
    """A claim above a certified bound is falsified only by a witness that the model itself confirms."""
    bound = drawn.optimizer.maximize(method="ppga", iterations=1, restarts=1, bound="crown").bound
    limit = math.nextafter(float(bound) + drawn.rng.choice(EPSILONS) * abs(float(bound)), math.inf)
    if not math.isfinite(limit):
        return
    found = ra.verify(
        drawn.network.model, drawn.set.domain, ra.Specification.require(drawn.row, limit), time_limit=SECONDS
    )
    yield from _witness(drawn, found, limit)


def _witness(drawn: Drawn, found: ra.Verification, limit: float) -> Iterator[Fault]:
    if (found.verdict is ra.Verdict.FALSIFIED) != (found.witness is not None):
        yield f"the verdict is {found.verdict.name}, the witness {found.witness}"
    if found.witness is None:
        return
    x = tuple(Fraction(v) for v in found.witness.double().reshape(-1).tolist())
    if not drawn.set.contains(x):
        yield f"the witness {[float(v) for v in x]} lies outside the set"
    own = drawn.network.model(found.witness.reshape(1, *drawn.network.shape).to(drawn.network.dtype))[0]
    value = exact_dot(drawn.row, [Fraction(v) for v in own.double().tolist()])
    if value <= Fraction(limit):
        yield f"the witness against {limit!r} gives {float(value)!r} in the model itself"


def output_constraints(drawn: Drawn) -> Iterator[Fault]:
    """A problem that an exact point satisfies is never called infeasible, nor bounded below what it attains."""
    best, at = drawn.best
    outputs = drawn.exact[at]
    row = [drawn.rng.gauss(0, 1) for _ in outputs]
    limit = exact_dot(torch.tensor(row, dtype=torch.float64), outputs)
    upper = float(limit) if Fraction(float(limit)) >= limit else math.nextafter(float(limit), math.inf)
    if not math.isfinite(upper):
        return
    method = drawn.rng.choice(["auto", "milp", "branch_and_bound", "ppga_lr"])
    if method == "milp" and drawn.set.label == "l2 ball":
        return
    result = ra.maximize(
        drawn.network.model,
        drawn.set.domain,
        drawn.objective,
        output_constraints=ra.OutputConstraints(row, upper),
        method=method,
        restarts=4,
        seed=0,
        **({"iterations": STEPS} if method == "ppga_lr" else {"time_limit": SECONDS}),
    )
    if result.status is ra.Status.INFEASIBLE and bool(result.certified):
        yield f"{method} certifies that no input satisfies the constraint, but {[float(v) for v in at]} does"
    elif bool(result.certified) and best > float(result.bound):
        yield f"{method} certifies {float(result.bound)!r} under a constraint, but {float(best)!r} is attained"


Check = Callable[[Drawn], Iterator[Fault]]
ALWAYS: dict[str, Check] = {
    "bounding_box": functools.partial(bounding_box, dtype=torch.float64),
    "bounding_box of a copy": functools.partial(bounding_box, dtype=torch.float32),
    **{way: functools.partial(points_inside, way=way) for way in WAYS},
    **{method: functools.partial(bounds, method=method) for method in ("interval", "crown", "alpha_crown")},
}
"""The checks of every problem, which take milliseconds."""

SOMETIMES: dict[str, Check] = {
    **{method: functools.partial(bounds, method=method) for method in BOUNDS if method not in ALWAYS},
    "answer": answer,
    "verdict": verdict,
    "true_claim": true_claim,
    "output_constraints": output_constraints,
}
"""The checks that take longer: every second problem has one of them."""


def checks_of(drawn: Drawn) -> dict[str, Check]:
    """Return the checks of a problem, by their names."""
    if drawn.rng.random() < 0.5:
        return ALWAYS
    chosen = drawn.rng.choices(list(SOMETIMES), weights=[1, 1, 3, 4, 1, 2])[0]
    return {**ALWAYS, chosen: SOMETIMES[chosen]}
