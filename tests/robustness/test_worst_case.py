"""`worst_case`: answers lie in their sets, margins are forward passes, and no bound is below them."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.robustness._attack_search import assign_targets
from relu_attack.robustness._compositions import ASCENTS
from tests.problems import random_network

NORMS = ("linf", "l2", "l1")
every_norm = pytest.mark.parametrize("norm", NORMS)


def classifier(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    return random_network(6, 16, 16, 4, seed=3, dtype=dtype)


def samples(count: int = 7, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(count, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(dtype)


def answers(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(1)


def margins(model: nn.Module, x: Tensor, label: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model(x).double()
    own = logits.gather(1, label[:, None])
    return (logits.scatter(1, label[:, None], -torch.inf) - own).amax(1)


def distance(x: Tensor, center: Tensor, norm: str) -> Tensor:
    order = {"linf": torch.inf, "l2": 2.0, "l1": 1.0}[norm]
    return torch.linalg.vector_norm((x.double() - center.double()).flatten(1), ord=order, dim=1)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(NORMS),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
    st.integers(0, 2**20),
)
def test_laws_of_an_answer(norm: str, model_dtype: torch.dtype, dtype: torch.dtype, clipped: bool, seed: int) -> None:
    model = random_network(6, 8, 4, seed=seed % 50, dtype=model_dtype)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(4, 6, generator=generator).to(dtype)
    label = torch.randint(4, (4,), generator=generator)
    radius = torch.rand(4, generator=generator, dtype=torch.float64).to(dtype)
    worst = ra.worst_case(
        model,
        x,
        label,
        radius,
        norm=norm,
        clip=(0, 1) if clipped else None,
        iterations=8,
        restarts=3,
        stop_at_success=False,
    )
    assert (worst.x.shape, worst.x.dtype) == (x.shape, x.dtype)
    assert bool((distance(worst.x, x, norm) <= radius.double()).all())
    if clipped:
        assert bool(((worst.x >= 0) & (worst.x <= 1)).all())
    assert torch.allclose(worst.margin, margins(model, worst.x.to(model_dtype), label), atol=1e-5)
    assert torch.equal(worst.success, worst.margin > 0)
    assert bool((worst.margin >= worst.clean_margin).all())
    logits = model(worst.x.to(model_dtype)).double()
    reached = logits.gather(1, worst.target[:, None]) - logits.gather(1, label[:, None])
    assert torch.allclose(reached[:, 0], worst.margin, atol=1e-5)


@every_norm
def test_no_point_of_the_set_exceeds_the_certified_margin(norm: str) -> None:
    model, x = classifier(), samples()
    label, radius = answers(model, x), 0.3
    worst = ra.worst_case(model, x, label, radius, norm=norm, certify=True, stop_at_success=False)
    assert worst.certified_margin is not None
    assert bool((worst.certified_margin >= worst.margin).all())
    ball = {"linf": ra.LInfBall, "l2": ra.L2Ball, "l1": ra.L1Ball}[norm](x, radius, clip=(0.0, 1.0))
    for points in ball.sample(50, generator=torch.Generator().manual_seed(0)).unbind(1):
        found = margins(model, points, label)
        assert bool((found <= worst.certified_margin).all())
        assert bool((found <= worst.margin + 1e-9).all()), "random points are worse than the worst one"


@every_norm
def test_the_worst_case_of_a_linear_classifier_is_the_dual_norm(norm: str) -> None:
    model, x = random_network(6, 3, seed=1), samples()
    label = torch.zeros(7, dtype=torch.long)
    rows = (model[0].weight[1:] - model[0].weight[0]).detach()
    dual = torch.linalg.vector_norm(rows, ord={"linf": 1.0, "l2": 2.0, "l1": torch.inf}[norm], dim=1)
    bias = (model[0].bias[1:] - model[0].bias[0]).detach()
    exact = (x @ rows.T + bias + 0.25 * dual).amax(1)
    worst = ra.worst_case(model, x, label, 0.25, norm=norm, clip=None, stop_at_success=False, certify=True)
    assert torch.allclose(worst.margin, exact, atol=1e-3)
    assert worst.certified_margin is not None
    assert bool((worst.certified_margin >= exact - 1e-9).all())


def test_the_last_point_of_a_walk_counts() -> None:
    """From anywhere in a box the first step reaches the corner that is best for two classes of a linear classifier."""
    model = nn.Linear(6, 2, dtype=torch.float64)
    x, label = samples(), torch.zeros(7, dtype=torch.int64)
    worst = ra.worst_case(model, x, label, 0.1, clip=None, iterations=2, restarts=1, stop_at_success=False)
    weight = (model.weight[1] - model.weight[0]).detach()
    torch.testing.assert_close(worst.margin, margins(model, x, label) + 0.1 * weight.abs().sum())
    assert worst.evaluations == 2 * len(x)


@pytest.mark.slow
def test_on_small_networks_it_finds_what_a_mixed_integer_program_proves_to_be_the_worst() -> None:
    model, x = random_network(3, 4, 3, seed=2), torch.rand(1, 3, generator=torch.Generator().manual_seed(0)).double()
    label = answers(model, x)
    worst = ra.worst_case(model, x, label, 0.2, stop_at_success=False)
    own, ball = int(label), ra.LInfBall(x[0], 0.2, clip=(0.0, 1.0))
    others = [target for target in range(3) if target != own]
    proven = [float(ra.maximize(model, ball, ra.Margin(target, own), method="milp").value) for target in others]
    assert float(worst.margin) == pytest.approx(max(proven), abs=1e-6)


@every_norm
@pytest.mark.parametrize("stop_at_success", [True, False])
def test_a_sample_of_a_batch_has_the_answer_that_it_has_alone(norm: str, stop_at_success: bool) -> None:
    model, x = classifier(), samples()
    label = answers(model, x)
    radius = torch.linspace(0.02, 0.3, 7, dtype=torch.float64)
    together = ra.worst_case(model, x, label, radius, norm=norm, stop_at_success=stop_at_success)
    assert 0 < int(together.success.sum()) < 7
    for index in range(7):
        one = slice(index, index + 1)
        alone = ra.worst_case(model, x[one], label[one], radius[one], norm=norm, stop_at_success=stop_at_success)
        assert torch.allclose(alone.margin, together.margin[one], atol=1e-9)
        assert torch.allclose(alone.x, together.x[one], atol=1e-7)


def test_a_radius_of_zero_returns_the_sample() -> None:
    model, x = classifier(torch.float32), samples(dtype=torch.float32)
    worst = ra.worst_case(model, x, answers(model, x), 0.0, stop_at_success=False)
    assert torch.equal(worst.x, x)
    assert torch.equal(worst.margin, worst.clean_margin)
    assert worst.evaluations == 0
    some = ra.worst_case(model, x, answers(model, x), torch.tensor([0.0, 0.1] * 3 + [0.0]), stop_at_success=False)
    assert torch.equal(some.x[::2], x[::2])
    assert not torch.equal(some.x[1::2], x[1::2])


@every_norm
def test_a_search_from_an_earlier_answer_is_never_behind_it(norm: str) -> None:
    model, x = classifier(), samples()
    label = answers(model, x)
    found = ra.worst_case(model, x, label, 0.3, norm=norm, stop_at_success=False)
    again = ra.worst_case(model, x, label, 0.3, norm=norm, stop_at_success=False, restarts=1, iterations=1, x0=found.x)
    assert bool((again.margin >= found.margin - 1e-12).all())
    assert torch.equal(again.clean_margin, found.clean_margin), "the clean margin is that of the sample"


def test_points_to_begin_from_are_brought_into_their_sets() -> None:
    model, x = classifier(), samples()
    with pytest.warns(UserWarning, match="7 of 7 points of x0 lie outside their set"):
        worst = ra.worst_case(
            model, x, answers(model, x), 0.1, x0=x + 0.5, iterations=1, restarts=1, stop_at_success=False
        )
    assert bool((distance(worst.x, x, "linf") <= 0.1).all())


def test_samples_that_are_broken_already_are_left_as_they_are_unless_the_worst_is_wanted() -> None:
    model, x = classifier(), samples()
    wrong = (answers(model, x) + 1) % 4
    assert torch.equal(ra.worst_case(model, x, wrong, 0.1).x, x)
    worst = ra.worst_case(model, x, wrong, 0.1, stop_at_success=False)
    assert bool((worst.margin > worst.clean_margin).all())
    assert bool((worst.clean_margin > 0).all())


def test_samples_that_are_proven_safe_are_not_walked_for() -> None:
    model, x = classifier(), samples()
    label = answers(model, x)
    safe = ra.worst_case(model, x, label, 1e-6, certify=True)
    assert safe.evaluations == 0
    assert safe.certified_margin is not None
    assert bool((safe.certified_margin < 0).all())
    assert safe.status is ra.Status.FEASIBLE
    assert ra.worst_case(model, x, label, 1e-6).evaluations == 7 * (10 + 20 + 8 * 40)


def test_labels_and_targets_of_every_form() -> None:
    model, x = classifier(), samples()
    label = torch.zeros(7, dtype=torch.long)
    reference = ra.worst_case(model, x, label, 0.2, stop_at_success=False)
    for form in (0, [0] * 7, label.to(torch.int32), label.numpy(), torch.zeros(14, dtype=torch.uint8)[::2]):
        assert torch.equal(ra.worst_case(model, x, form, 0.2, stop_at_success=False).margin, reference.margin)
    every = torch.tensor([[1, 2, 3]]).expand(7, 3)
    given_all = ra.worst_case(model, x, label, 0.2, targets=every, stop_at_success=False)
    assert torch.equal(given_all.margin, reference.margin)
    one = [ra.worst_case(model, x, label, 0.2, targets=form, stop_at_success=False) for form in (2, [2] * 7, [[2]] * 7)]
    assert all(torch.equal(answer.margin, one[0].margin) for answer in one)
    assert bool((one[0].margin <= reference.margin + 0.05).all())
    runner_up = ra.worst_case(model, x, label, 0.2, targets="runner_up", stop_at_success=False)
    second = model(x)[:, 1:].argmax(1) + 1
    same = ra.worst_case(model, x, label, 0.2, targets=second, stop_at_success=False)
    assert torch.equal(runner_up.margin, same.margin)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_grey_and_colour_normalized_or_not(channels: int) -> None:
    """A normalized model gives what the same model gives behind a layer that normalizes."""
    torch.manual_seed(channels)
    model = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5)).double()
    mean, std = torch.tensor([0.4, 0.5, 0.6])[:channels].double(), torch.tensor([0.2, 0.25, 0.3])[:channels].double()
    layer = nn.BatchNorm2d(channels, eps=0.0, affine=False).double()
    layer.running_mean, layer.running_var = mean, std**2
    whole = nn.Sequential(layer, *model).eval()
    x = torch.rand(3, channels, 6, 6, dtype=torch.float64)
    label = answers(whole, x)
    normalized = ra.worst_case(model, x, label, 0.05, normalize=(mean, std), stop_at_success=False, certify=True)
    behind = ra.worst_case(whole, x, label, 0.05, stop_at_success=False, certify=True)
    assert normalized.x.shape == x.shape
    assert bool(((normalized.x - x).abs() <= 0.05).all())
    assert bool(((normalized.x >= 0) & (normalized.x <= 1)).all())
    assert torch.allclose(normalized.margin, behind.margin, atol=1e-9)
    assert normalized.certified_margin is not None
    assert behind.certified_margin is not None
    assert torch.allclose(normalized.certified_margin, behind.certified_margin, atol=1e-9)
    pixels = (normalized.x - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    assert torch.allclose(normalized.margin, margins(model, pixels, label), atol=1e-9)


def test_a_batch_that_is_not_contiguous() -> None:
    model, x = classifier(), samples(14)
    label = answers(model, x)
    strided, transposed = x[::2], x.t().contiguous().t()
    assert torch.equal(
        ra.worst_case(model, strided, label[::2], 0.1).x, ra.worst_case(model, strided.clone(), label[::2], 0.1).x
    )
    assert torch.equal(ra.worst_case(model, transposed, label, 0.1).x, ra.worst_case(model, x, label, 0.1).x)


def test_the_model_is_run_in_evaluation_mode_and_keeps_its_own() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4)).double()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = samples()
    worst = ra.worst_case(model, x, 0, 0.1, stop_at_success=False)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.allclose(worst.margin, margins(model.eval(), worst.x, torch.zeros(7, dtype=torch.long)))


def test_a_model_on_another_device_than_the_data(device: torch.device) -> None:
    model, x = classifier(torch.float32).to(device), samples(dtype=torch.float32)
    worst = ra.worst_case(model, x, [0] * 7, 0.1, stop_at_success=False)
    assert worst.x.device == worst.margin.device == x.device
    moved = ra.worst_case(model, x.to(device), torch.zeros(7, dtype=torch.long), 0.1, stop_at_success=False)
    assert moved.x.device.type == device.type
    assert torch.allclose(moved.margin.cpu(), worst.margin, atol=1e-5)


@pytest.mark.parametrize("method", ASCENTS)
def test_every_method_finds_inputs_that_are_worse_and_repeats_itself(method: str) -> None:
    model, x = classifier(), samples()
    label = answers(model, x)
    first, second = (
        ra.worst_case(model, x, label, 0.1, method=method, stop_at_success=False, seed=4, restarts=4, iterations=20)
        for _ in range(2)
    )
    assert torch.equal(first.x, second.x)
    assert bool((first.margin > first.clean_margin).all())


def test_the_time_ends_the_search_and_a_first_look_is_taken_even_without_any() -> None:
    model, x = classifier(), samples()
    label = answers(model, x)
    worst = ra.worst_case(model, x, label, 0.001, time_limit=0.5)
    assert worst.status is ra.Status.TIME_LIMIT
    assert worst.evaluations > 7 * 350
    none = ra.worst_case(model, x, label, 0.001, time_limit=1e-9)
    assert (none.status, none.evaluations) == (ra.Status.TIME_LIMIT, 7 * 10)
    assert bool((none.margin > none.clean_margin).all())


def test_classes_that_came_closer_get_more_walkers() -> None:
    promise = torch.tensor([[-torch.inf, -3.0, -1.0, -2.0]])
    chosen = torch.tensor([[False, True, True, True]])
    dealt = assign_targets(range(32), promise, chosen)[0]
    alone = dealt[dealt.sum(1) == 1].sum(0).tolist()
    assert int((dealt.sum(1) == 3).sum()) == 8
    assert alone[0] == 0
    assert alone[2] > alone[3] > alone[1] > 0
    assert torch.equal(dealt[5:9], assign_targets(range(5, 9), promise, chosen)[0]), (
        "a walker's classes depend on its number"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"radius": -0.1}, ra.DomainError, "radius.* is -0.1; it must be a number of at least 0"),
        ({"radius": float("nan")}, ra.DomainError, "radius.* is nan"),
        ({"radius": torch.tensor([0.1] * 6 + [-1.0])}, ra.DomainError, "radius of set 6 is -1"),
        ({"radius": torch.tensor([0.1, 0.2])}, ra.DomainError, "radius has shape .2,., but the center is a batch of 7"),
        ({"labels": [0, 1]}, ra.ObjectiveError, "labels has shape .2,. for 7 samples"),
        ({"labels": 4}, ra.ObjectiveError, "labels: 4 is out of range; the model has 4 classes, 0 to 3"),
        ({"labels": 0.5}, ra.ObjectiveError, "labels must be classes as whole numbers"),
        ({"labels": []}, ra.ObjectiveError, "labels is empty; give classes from 0 to 3"),
        ({"targets": 0}, ra.ObjectiveError, "the target of sample 0 is its label"),
        ({"targets": "nearest"}, ra.ObjectiveError, "targets is 'nearest'; it must be 'all', 'runner_up' or classes"),
        ({"targets": [1, 2]}, ra.ObjectiveError, "targets has shape .2,. for 7 samples"),
        ({"norm": "l3"}, ra.OptionError, "norm is 'l3'; it must be one of linf, l2, l1"),
        ({"method": "magic"}, ra.OptionError, "method is 'magic'; it must be one of auto, steepest_ascent"),
        ({"iterations": 0}, ra.OptionError, "iterations must be a whole number of at least 1, got 0"),
        ({"restarts": 1.5}, ra.OptionError, "restarts must be a whole number"),
        ({"time_limit": -1.0}, ra.OptionError, "time_limit must be a positive number"),
        ({"clip": 1.0}, ra.DomainError, "clip must be a pair"),
        ({"clip": (2.0, 3.0)}, ra.DomainError, "empty"),
        ({"normalize": (0.0, 0.0)}, ra.OptionError, "normalize std must be positive numbers"),
        ({"normalize": ([0.0] * 2, 1.0)}, ra.OptionError, "normalize mean has 2 numbers"),
        ({"x": torch.zeros(7, 6, dtype=torch.uint8)}, ra.DomainError, "x has dtype torch.uint8"),
        ({"x": torch.full((7, 6), float("nan"))}, ra.DomainError, "x is not finite at index"),
        ({"x": torch.zeros(6)}, ra.DomainError, "give a batch of samples"),
        ({"x": torch.zeros(7, 5)}, ra.ReLUAttackError, "5"),
        ({"x0": torch.zeros(7, 5)}, ra.DomainError, "x0 has shape"),
        ({"x0": torch.full((7, 6), float("nan"))}, ra.DomainError, "x0 is not finite at index"),
        ({"model": nn.Sequential(nn.Linear(6, 1))}, ra.ModelError, "two classes or more"),
        ({"model": nn.Sequential(nn.Linear(6, 2), nn.GELU())}, ra.UnsupportedModuleError, "GELU"),
        ({"model": "net"}, ra.ModelError, "model must be an nn.Module"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    asked = {"model": classifier(), "x": samples(), "labels": 0, "radius": 0.1, **arguments}
    with pytest.raises(error, match=message) as caught:
        ra.worst_case(**asked)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_proofs_are_of_the_ball_of_the_radius_as_it_was_given_and_answers_inside_of_it() -> None:
    x, radius = torch.tensor([[3e-9]], dtype=torch.float32), 0.1
    bad = torch.tensor([0.1], dtype=torch.float32)  # above 0.1, within the radius of x, and the last such number
    assert Fraction(float(bad)) - Fraction(float(x)) <= Fraction(radius)
    model = nn.Sequential(nn.Linear(1, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0], [2.0**30]]))
        model[0].bias.copy_(torch.tensor([0.0, -107374180.0], dtype=torch.float64))
    worst = ra.worst_case(model, x, torch.tensor([0]), radius, clip=None, certify=True, stop_at_success=False)
    assert worst.x[0] == bad
    assert float(worst.margin) == 4
    assert ra.robust_accuracy(model, [(x, torch.tensor([0]))], radius, clip=None, progress=False).certified == 0
