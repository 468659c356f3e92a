"""`critical_radius`: an input that breaks the model at the upper end, a proof at the lower one, and a record."""

import json
import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.domains import find_ball
from relu_attack.robustness import CachedModel
from tests.problems import random_network

NORMS = ("linf", "l2", "l1")


def model(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    return random_network(3, 10, 10, 3, seed=3, dtype=dtype)


def samples(count: int = 6, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    return x, model(dtype)(x).argmax(1)


def search(
    norm: str = "linf", *, count: int = 6, dtype: torch.dtype = torch.float64, **options: object
) -> ra.CriticalRadius:
    x, labels = samples(count, dtype)
    return ra.critical_radius(model(dtype), x, labels, norm=norm, progress=False, **options)  # type: ignore[arg-type]


def exact_distance(point: Tensor, center: Tensor, norm: str) -> Fraction:
    """Return the distance, squared for the Euclidean norm, in rational numbers."""
    offset = [abs(Fraction(a) - Fraction(b)) for a, b in zip(point.tolist(), center.tolist(), strict=True)]
    return max(offset) if norm == "linf" else sum(offset) if norm == "l1" else sum(part * part for part in offset)


def nearest_on_a_grid(net: nn.Module, x: Tensor, label: int, norm: str) -> float:
    """Return the distance of the nearest misclassified point of a fine grid on the unit square."""
    ends = torch.linspace(0, 1, 301, dtype=torch.float64)
    grid = torch.cartesian_prod(ends, ends)
    wrong = grid[net(grid).argmax(1) != label]
    order = {"linf": torch.inf, "l2": 2, "l1": 1}[norm]
    return float(torch.linalg.vector_norm(wrong - x, ord=order, dim=1).min()) if len(wrong) else math.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("norm", NORMS)
def test_the_model_breaks_at_the_upper_end_and_the_ball_of_that_radius_holds_the_input(
    norm: str, dtype: torch.dtype
) -> None:
    walked = torch.float32 if dtype == torch.float16 else dtype
    x, labels = samples(dtype=walked)
    x = x.to(dtype)
    found = ra.critical_radius(model(walked), x, labels, norm=norm, progress=False)
    assert found.x.dtype == dtype
    assert found.x.shape == x.shape
    assert bool(torch.isfinite(found.upper).any())
    for place in torch.nonzero(torch.isfinite(found.upper))[:, 0].tolist():
        logits = model(walked)(found.x[place].to(walked))
        assert int(logits.argmax()) != int(labels[place])
        assert bool(((found.x[place] >= 0) & (found.x[place] <= 1)).all())
        distance, radius = exact_distance(found.x[place], x[place], norm), Fraction(float(found.upper[place]))
        assert distance <= (radius**2 if norm == "l2" else radius)
        assert float(distance) == pytest.approx(float(radius**2 if norm == "l2" else radius), rel=1e-9)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(2))
def test_the_true_radius_lies_between_the_ends_and_the_attack_comes_near(seed: int, norm: str) -> None:
    net = random_network(2, 8, 8, 3, seed=seed)
    x = torch.rand(4, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels = net(x).argmax(1)
    found = ra.critical_radius(net, x, labels, norm=norm, progress=False)
    for place in range(len(x)):
        nearest = nearest_on_a_grid(net, x[place], int(labels[place]), norm)
        assert float(found.lower[place]) <= nearest
        assert float(found.upper[place]) <= 1.02 * nearest
        ball = find_ball(norm)(x[place], 0.99 * float(found.lower[place]), clip=(0, 1))
        keeps = ra.Specification.label(int(labels[place]), outputs=3)
        assert ra.verify(net, ball, keeps, progress=False).verdict is ra.Verdict.VERIFIED


@pytest.mark.parametrize("norm", NORMS)
def test_with_time_branch_and_bound_closes_the_ends(norm: str) -> None:
    alone, found = search(norm, count=2), search(norm, count=2, time_limit=20.0)
    assert bool((found.lower >= alone.lower).all())
    assert bool((found.upper <= alone.upper).all())
    broken = torch.isfinite(found.upper)
    assert bool(found.closed(0.05)[broken].all())
    assert (found.status is ra.Status.OPTIMAL) == bool(broken.all())


def test_a_counterexample_of_branch_and_bound_lowers_the_upper_end() -> None:
    # One walker of one step finds next to nothing; the proofs have to.
    found, good = search(restarts=1, iterations=1, time_limit=3.0), search()
    known = torch.isfinite(found.upper)
    assert bool((found.upper[known] <= 1.06 * good.upper[known]).all())


def test_a_misclassified_sample_has_radius_zero_and_its_own_input() -> None:
    x, labels = samples()
    found = ra.critical_radius(model(), x, (labels + 1) % 3, progress=False)
    assert found.upper.tolist() == found.lower.tolist() == [0.0] * len(x)
    assert torch.equal(found.x, x)
    assert found.status is ra.Status.OPTIMAL
    assert found.fraction_within(0.0) == 1.0


def test_a_model_that_never_answers_another_class_has_no_upper_end() -> None:
    steady = nn.Sequential(nn.Linear(3, 2)).requires_grad_(False)
    steady[0].weight.zero_()
    steady[0].bias.copy_(torch.tensor([1.0, 0.0]))
    x = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    found = ra.critical_radius(steady, x, 0, progress=False)
    assert found.upper.tolist() == [math.inf, math.inf]
    assert torch.equal(found.x, x)
    # The whole clip box is proven.
    assert bool((found.lower >= torch.maximum(x, 1 - x).amax(1) * (1 - 0.05)).all())
    assert found.status is ra.Status.FEASIBLE


def test_without_a_clip_box_the_radius_of_an_affine_model_is_that_of_the_formula() -> None:
    affine = nn.Sequential(nn.Linear(4, 2, dtype=torch.float64)).requires_grad_(False)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = affine(x).argmax(1)
    row = affine[0].weight[1] - affine[0].weight[0]
    margin = (affine(x)[:, 1] - affine(x)[:, 0]).abs()
    for norm, dual in (("linf", 1), ("l2", 2), ("l1", torch.inf)):
        found = ra.critical_radius(affine, x, labels, norm=norm, clip=None, progress=False)
        true = margin / torch.linalg.vector_norm(row, ord=dual)
        assert bool((found.lower <= true).all())
        assert torch.allclose(found.upper, true, rtol=2e-2)
        assert found.fraction_within(0.05) == 1.0


@pytest.mark.parametrize("norm", NORMS)
def test_a_sample_that_is_broken_within_the_rounding_of_float32_has_an_upper_end(norm: str) -> None:
    net = nn.Sequential(nn.Linear(4, 2)).requires_grad_(False)
    net[0].weight.copy_(torch.tensor([[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 1.0, -1.0]]))
    net[0].bias.copy_(torch.tensor([100.0, 101.5]))
    x = torch.full((1, 4), 0.5) + torch.tensor([[1e-5, 0.0, 0.0, 0.0]])
    assert 0 < float(net(x)[0, 0] - net(x)[0, 1]) < 3e-5
    found = ra.critical_radius(net, x, 0, norm=norm, progress=False)
    assert float(found.upper) < 1e-2
    assert int(net(found.x).argmax()) == 1


@pytest.mark.parametrize("norm", NORMS)
def test_a_batch_has_the_radii_of_its_samples_alone(norm: str) -> None:
    (x, labels), together = samples(3), search(norm, count=3)
    alone = [ra.critical_radius(model(), x[i : i + 1], labels[i], norm=norm, progress=False) for i in range(len(x))]
    assert torch.allclose(together.upper, torch.cat([one.upper for one in alone]), rtol=1e-6)
    # Bounds end where the next one could gain 2 %.
    assert torch.allclose(together.lower, torch.cat([one.lower for one in alone]), rtol=2e-2)


def test_normalized_inputs_are_those_of_the_model_after_its_normalization() -> None:
    x, labels = samples()
    inside = nn.Sequential(nn.Linear(3, 3, dtype=torch.float64), *model()).requires_grad_(False)
    inside[0].weight.copy_(torch.eye(3) / 0.5)
    inside[0].bias.fill_(-0.25 / 0.5)
    labels = inside(x).argmax(1)
    found = ra.critical_radius(model(), x, labels, normalize=(0.25, 0.5), progress=False)
    same = ra.critical_radius(inside, x, labels, progress=False)
    assert torch.allclose(found.upper, same.upper, rtol=1e-4)


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from relu_attack.robustness import _radius_search

    monkeypatch.setattr(_radius_search, "_PART", 2)
    record, bound = tmp_path / "record.json", _radius_search.RadiusSearch._bound
    parts = []

    def interrupted(own: _radius_search.RadiusSearch, part: Tensor, *rest: object) -> None:
        parts.append(part)
        if len(parts) == 3:
            raise KeyboardInterrupt
        bound(own, part, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(_radius_search.RadiusSearch, "_bound", interrupted)
        first = search(resume=record)
    assert first.status is ra.Status.INTERRUPTED
    assert first.lower[4:].tolist() == [0.0, 0.0]
    assert bool((first.lower[:4] > 0).any())
    whole, fresh = search(resume=record), search()
    for name in ("upper", "lower", "x"):
        assert torch.equal(getattr(whole, name), getattr(fresh, name))
    # What is known is not searched again.
    content = json.loads(record.read_text())
    content["batches"][0]["lower"] = [0.0, 0.0]
    record.write_text(json.dumps(content))
    assert search(resume=record).lower[:2].tolist() == [0.0, 0.0]


def test_a_record_goes_on_with_another_time_limit_only(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    first = search(resume=record)
    more = search(resume=record, time_limit=1.0)
    assert bool((more.lower >= first.lower).all())
    with pytest.raises(ra.OptionError, match=r"norm differs"):
        search("l2", resume=record)
    x, labels = samples()
    with pytest.raises(ra.OptionError, match=r"model differs"):
        ra.critical_radius(random_network(3, 4, 3, seed=0), x, labels, resume=record, progress=False)
    with pytest.raises(ra.OptionError, match="other samples"):
        ra.critical_radius(model(), x.flip(0), labels, resume=record, progress=False)
    record.write_text("{}")
    with pytest.raises(ra.FileFormatError, match="no record of critical_radius"):
        search(resume=record)


def test_a_point_of_a_record_counts_only_where_the_model_confirms_it(tmp_path: Path) -> None:
    record, (x, _) = tmp_path / "record.json", samples()
    found = search(resume=record)
    content = json.loads(record.read_text())
    import base64

    content["batches"][0]["x"] = base64.b64encode(x.numpy().tobytes()).decode()  # no break
    content["batches"][0]["upper"] = [1e-6] * len(x)
    record.write_text(json.dumps(content))
    again = search(resume=record)
    assert bool(torch.isinf(again.upper).all())
    assert torch.equal(again.lower, found.lower)


def test_a_time_limit_that_is_over_at_once_says_so() -> None:
    found = search(time_limit=1e-6)
    assert found.status is ra.Status.TIME_LIMIT
    assert bool((found.lower <= found.upper).all())


def test_options_that_cannot_be_used_are_refused() -> None:
    x, labels = samples()
    with pytest.raises(ra.OptionError, match="tolerance must be a number from 0"):
        search(tolerance=1.0)
    with pytest.raises(ra.OptionError, match="norm"):
        search("l3")
    with pytest.raises(ra.OptionError, match="restarts"):
        search(restarts=0)
    with pytest.raises(ra.DomainError, match=r"samples range from .* to .*, but clip is"):
        ra.critical_radius(model(), 255 * x, labels, progress=False)
    with pytest.raises(ra.ArgumentError, match="did you mean 'norm'"):
        ra.critical_radius(model(), x, labels, nrom="l2")  # type: ignore[call-arg]


def test_without_certificates_nothing_is_proven_and_a_cached_model_gives_the_same() -> None:
    x, labels = samples()
    found = ra.critical_radius(CachedModel(model()), x, labels, certify=False, progress=False)
    assert found.lower.tolist() == [0.0] * len(x)
    assert torch.equal(found.upper, search().upper)


def test_a_message_is_about_the_ends_not_about_a_gap() -> None:
    assert search(tolerance=0.9).message == "the ends of all samples are as close as was asked for"
    apart = search(certify=False)
    assert (apart.status, apart.message.split(";")[0]) == (
        ra.Status.FEASIBLE,
        "the ends of some samples are farther apart than was asked for",
    )
    assert "time limit" in search(time_limit=1e-6).message


def test_it_has_one_line_of_what_it_knows() -> None:
    found = search()
    assert repr(found).startswith("CriticalRadius(samples=6, norm='linf', upper=")
    assert "both ends within 5 % for" in str(found)
    assert str(found).endswith(found.message)
    assert len(found.seconds) == 6
    assert found.digests is not None
    with pytest.raises(ra.OptionError, match="tolerance"):
        found.fraction_within(-0.1)
