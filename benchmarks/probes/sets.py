"""Sets: numbers that are read as they are given, boxes that hold every exact point, points that lie inside."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from torch import nn

import relu_attack as ra
from probes.base import Observed, at_least, double, linear, probe, upper_bounds


@probe(
    "sets",
    "accepted, as the same float64 arrays are",
    "tests/domains/test_thin_polytope.py::test_decimals_in_lists_that_agree_are_feasible",
)
def lists_are_float64() -> Observed:
    try:
        polytope = ra.Polytope(A_eq=[[1.0, 1.0, 1.0], [0.1, 0.1, 0.1]], b_eq=[0.3, 0.03], lower=0.0, upper=1.0)
    except ra.ReLUAttackError as error:
        return Observed(str(error), False)
    box = ra.Box([0.1], [0.1])
    return Observed(f"accepted; Box([0.1]) is {box.dtype}", polytope.dtype == box.dtype == torch.float64)


@probe(
    "sets",
    "the same answers under every default dtype of torch",
    "tests/test_default_dtype.py::test_answers_do_not_depend_on_the_default_dtype",
)
def default_dtype() -> Observed:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).requires_grad_(False)
    values = {}
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            ball = ra.L1Ball(torch.ones(4, dtype=torch.float32), radius=0.5, clip=(0, 1))
            for domain in (
                ball,
                ra.Box(0.0, 1.0, shape=(4,)),
                ra.Polytope(np.ones((1, 4)), [1.0], lower=0.0, upper=1.0),
            ):
                for method in ("ppga_lr", "milp", "lp_walk"):
                    result = ra.maximize(
                        model, domain, method=method, iterations=None if method == "milp" else 20, time_limit=2
                    )
                    values.setdefault((type(domain).__name__, method), []).append(float(result.value))
        except Exception as error:  # a crash is what the probe looks for
            return Observed(f"{dtype}: {type(error).__name__}: {error}"[:120], False)
        finally:
            torch.set_default_dtype(torch.float32)
    apart = max(abs(a - b) for a, b in values.values())
    return Observed(f"values differ by {apart:.3g} at most", apart < 1e-6)


@probe(
    "sets",
    "no answer outside, in fractions",
    "tests/laws/test_boxes_around.py::test_answers_of_a_ball_are_within_the_radius_exactly",
)
def answers_in_l1_balls() -> Observed:
    outside = tried = 0
    worst = Fraction(0)
    for seed in range(150):
        generator = torch.Generator().manual_seed(seed)
        center = torch.randn(4, generator=generator, dtype=torch.float64)
        ball = ra.L1Ball(center, radius=0.3)
        far = torch.randn(16, 4, generator=generator, dtype=torch.float64)
        for point in torch.cat([ball.project(center + far), ball.maximizer(far)]).tolist():
            tried += 1
            norm = sum(abs(Fraction(a) - Fraction(c)) for a, c in zip(point, center.tolist(), strict=True))
            beyond = norm - Fraction(float(ball.radius))
            outside, worst = outside + (beyond > 0), max(worst, beyond)
    return Observed(f"{outside} of {tried} points outside, by {float(worst):.3g} at most", not outside)


def _wide_and_narrow() -> tuple[nn.Sequential, ra.Polytope]:
    """Return a network of a pressure in Pa and a fraction in [0, 1e-4], and its polytope: the maximum is 1.21."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False)).double().requires_grad_(False)
    model[0].weight.copy_(torch.tensor([[1e-7, 1e4]]))
    polytope = ra.Polytope(double(1.0, 1.0)[None], double(3e6), lower=double(1.9e6, 0.0), upper=double(2.1e6, 1e-4))
    return model, polytope


@probe(
    "sets",
    "bounds reach 1.21",
    "tests/domains/test_thin_polytope.py::test_the_maximum_over_a_thin_set_is_reached_and_bounded",
)
def a_narrow_side_beside_a_wide_one_bounds() -> Observed:
    model, polytope = _wide_and_narrow()
    exact = Fraction(1e-7) * Fraction(2.1e6) + Fraction(1e4) * Fraction(1e-4)
    return at_least(upper_bounds(model, polytope, ("interval", "crown", "lp", "lp_tightened")), exact)


@probe(
    "sets",
    "1.21, by every method",
    "tests/domains/test_thin_polytope.py::test_the_maximum_over_a_thin_set_is_reached_and_bounded",
)
def a_narrow_side_beside_a_wide_one_answers() -> Observed:
    model, polytope = _wide_and_narrow()
    found = {}
    for method in ("auto", "milp", "branch_and_bound", "ppga_lr"):
        found[method] = float(ra.maximize(model, polytope, method=method, time_limit=2, seed=0).value)
    text = ", ".join(f"{method} {value:.4f}" for method, value in found.items())
    return Observed(text, all(abs(value - 1.21) < 1e-3 for value in found.values()))


@probe(
    "sets",
    "no width down to 1e-10 is flattened",
    "tests/domains/test_thin_polytope.py::test_widths_down_to_what_numbers_resolve_are_kept",
)
def widths_that_are_flattened() -> Observed:
    flat = []
    for size in (1.0, 1e3, 1e5, 1e6):
        for width in (10.0**-digits for digits in range(2, 11)):
            polytope = ra.Polytope(
                double(1.0, 1.0)[None], double(3 * size), lower=double(0.9 * size, 0.0), upper=double(1.1 * size, width)
            )
            if float(polytope.bounding_box().upper[1]) < width:
                flat.append(f"{width:.0e} beside {size:.0e}")
                break
    return Observed(f"flattened: {', '.join(flat) or 'none'}", not flat)


@probe(
    "sets",
    "vertices lie within the box, in fractions",
    "tests/laws/test_boxes_around.py::test_no_vertex_of_a_polytope_is_outside_its_box",
)
def the_box_of_a_polytope() -> Observed:
    outside, worst = 0, 0.0
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        size = 10.0 ** (5 * (seed % 2))
        row = (torch.rand(2, generator=generator, dtype=torch.float64) - 0.5).round(decimals=2) + 0.005
        x = torch.rand(2, generator=generator, dtype=torch.float64).round(decimals=3) * double(size, 1.0)
        value = (row @ x) + 0.05
        low, high = x - double(size, 1.0), x + double(size, 1.0)
        box = ra.Polytope(row[None], value[None], lower=low, upper=high).bounding_box()
        # With input 0 at the end that leaves most room, input 1 goes as far as the row or its bound lets it.
        a, b = map(Fraction, row.tolist())
        ends = [Fraction(v) for v in (low[0].item(), high[0].item())]
        room = (Fraction(value.item()) - min(a * end for end in ends)) / b
        exact = min(room, Fraction(high[1].item())) if b > 0 else max(room, Fraction(low[1].item()))
        beyond = exact - Fraction(box.upper[1].item()) if b > 0 else Fraction(box.lower[1].item()) - exact
        outside, worst = outside + (beyond > 0), max(worst, float(beyond))
    return Observed(f"{outside} of 200 ends leave points out, by {worst:.3g} at most", not outside)


@probe(
    "sets",
    "a point of the ball lies within its box, and the false claim is not verified",
    "tests/laws/test_boxes_around.py::test_no_exact_point_of_a_ball_is_outside_its_box",
)
def the_box_of_an_l2_ball() -> Observed:
    worst = 0.0
    for seed in range(300):
        radius = float(torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)) + 0.1
        distance = radius
        for _ in range(1 + seed % 40):
            distance = math.nextafter(distance, 0.0)
        ball = ra.L2Ball(double(-distance, 0.0), double(radius)[0], clip=(double(0.0, -1.0), double(1.0, 1.0)))
        room = math.sqrt(float(Fraction(radius) ** 2 - Fraction(distance) ** 2)) * (1 - 1e-9)
        worst = max(worst, (room - float(ball.bounding_box().upper[1])) / room)
    return Observed(f"half widths too small by {100 * max(worst, 0.0):.1f} % at most", worst <= 0)


@probe(
    "sets",
    "a point of the ball lies within its box",
    "tests/laws/test_boxes_around.py::test_no_exact_point_of_a_ball_is_outside_its_box",
)
def the_box_of_an_l1_ball() -> Observed:
    radius, y = 0.1 + 0.2, 2.7e-17
    assert Fraction(0.1) + Fraction(0.2) + Fraction(y) <= Fraction(radius)
    ball = ra.L1Ball(double(-0.1, -0.2, 0.0), double(radius)[0], clip=(double(0.0, 0.0, -1.0), double(1.0, 1.0, 1.0)))
    model = nn.Sequential(linear([[0.0, 0.0, 1e17]], [0.0]))
    return at_least(upper_bounds(model, ball, ("interval", "crown", "lp")), Fraction(1e17) * Fraction(y))


@probe(
    "sets",
    "no proof for a ball with a bad input within the radius",
    "tests/robustness/test_worst_case.py::test_proofs_are_of_the_ball_of_the_radius_as_it_was_given",
)
def a_radius_rounded_down() -> Observed:
    x, radius, bad = torch.tensor([[3e-9]]), 0.1, 0.1
    assert Fraction(float(torch.tensor(bad))) - Fraction(x.item()) <= Fraction(radius)
    model = nn.Sequential(linear([[0.0], [2.0**30]], [0.0, -107374180.0]))
    found = ra.worst_case(model, x, torch.tensor([0]), radius, clip=None, certify=True)
    assert found.certified_margin is not None
    safe = bool(found.certified_margin < 0)
    return Observed(f"certified margin {float(found.certified_margin):.3g}", not safe)


@probe(
    "sets",
    "no NaN among the nearest points, float32, 500 rows",
    "tests/domains/test_thin_polytope.py::test_no_point_of_a_projection_is_nan",
)
def five_hundred_rows() -> Observed:
    generator = np.random.default_rng(520)
    matrix = generator.normal(size=(500, 20))
    polytope = ra.Polytope(matrix, matrix @ generator.uniform(0.2, 0.8, size=20) + 0.1, lower=0.0, upper=1.0)
    copy = polytope.to(dtype=torch.float32)
    far = torch.nn.functional.normalize(torch.randn(32, 20, generator=torch.Generator().manual_seed(0)), dim=1)
    found = copy.project(copy.center() + 10 * far)
    missing = int(torch.isnan(found).any(1).sum())
    return Observed(f"{missing} of 32 points are NaN", missing == 0)


@probe(
    "sets",
    "float32 finds in a thin polytope what float64 finds",
    "tests/domains/test_thin_polytope.py::test_a_float32_copy_of_a_thin_set_projects_as_the_set_does",
)
def a_thin_polytope_in_float32() -> Observed:
    generator = np.random.default_rng(0)
    row = generator.normal(size=30)
    row /= np.linalg.norm(row)
    middle = generator.uniform(0.3, 0.7, 30)
    far = torch.rand(64, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 0.5
    worst = 0.0
    for width in (1e-3, 1e-5, 1e-7):
        polytope = ra.Polytope(
            np.stack([row, -row]), [row @ middle + width, -row @ middle + width], lower=0.0, upper=1.0
        )
        single = polytope.to(dtype=torch.float32)
        apart = (polytope.project(far) - single.project(far.float()).double()).norm(dim=1).mean()
        away = (polytope.project(far) - polytope.center()).norm(dim=1).mean()
        worst = max(worst, float(apart / away))
    return Observed(f"apart by {100 * worst:.2f} % of the way from the middle at most", worst < 0.01)
