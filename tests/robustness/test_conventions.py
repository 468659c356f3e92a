"""`relu_attack.compat`: called as torchattacks, Foolbox and AttackBench are, it answers what `worst_case` does."""

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.compat import Attack, FoolboxAttack, minimum_norm_attack


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5)).requires_grad_(False)


def images() -> Tensor:
    return torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_attack_is_called_as_those_of_torchattacks() -> None:
    net, x = model(), images()
    labels = net(x).argmax(1)
    attack = Attack(net, eps=0.05, restarts=3)
    assert torch.equal(attack(x, labels), ra.worst_case(net, x, labels, 0.05, restarts=3).x)
    in_l2 = Attack(net, eps=0.5, norm="L2")(x, labels)
    assert torch.equal(in_l2, ra.worst_case(net, x, labels, 0.5, norm="l2").x)


def test_attack_takes_and_returns_normalized_images_where_it_is_told_so() -> None:
    net, x = model(), images()
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    shift, scale = torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)
    normalized = (x - shift) / scale
    labels = net(normalized).argmax(1)
    attack = Attack(net, eps=0.05, stop_at_success=False)
    attack.set_normalization_used(mean=mean, std=std)
    moved = attack(normalized, labels)
    pixels = moved * scale + shift
    assert bool(((pixels - x).abs() <= 0.05 + 1e-6).all())
    assert bool(((pixels >= -1e-6) & (pixels <= 1 + 1e-6)).all())
    worst = ra.worst_case(net, x, labels, 0.05, normalize=(mean, std), stop_at_success=False)
    assert torch.allclose(pixels, worst.x, atol=1e-2)
    own = net(moved).gather(1, labels[:, None])
    margin = (net(moved).scatter(1, labels[:, None], -torch.inf) - own).amax(1)
    assert torch.allclose(margin.double(), worst.margin, atol=1e-3)


def test_foolbox_attack_returns_raw_clipped_and_is_adv() -> None:
    net, x = model(), images()
    labels = net(x).argmax(1)
    raw, clipped, is_adv = FoolboxAttack(restarts=2)(net, x, labels, epsilons=0.05)
    worst = ra.worst_case(net, x, labels, 0.05, restarts=2)
    assert torch.equal(raw, worst.x)
    assert torch.equal(clipped, worst.x)
    assert torch.equal(is_adv, net(clipped).argmax(1) != labels)
    raws, clips, both = FoolboxAttack(norm="l2")(net, x, labels, epsilons=[0.1, 2.0])
    assert (len(raws), len(clips), both.shape) == (2, 2, (2, 4))
    assert bool((both[1] >= both[0]).all())


@pytest.mark.parametrize(("norm", "order"), [("linf", torch.inf), ("l2", 2.0), ("l1", 1.0)])
def test_a_minimum_norm_attack_is_called_as_those_of_attackbench(norm: str, order: float) -> None:
    net, x = model(), images()
    labels = net(x).argmax(1)
    attack, found = minimum_norm_attack(norm), ra.critical_radius(net, x, labels, norm=norm, progress=False)
    moved = attack(net, x, labels)
    assert (moved.shape, moved.dtype) == (x.shape, x.dtype)
    assert bool((net(moved).argmax(1) != labels).all())
    assert torch.equal(moved, found.x)
    targets = (labels + 1) % 5
    reached = attack(model=net, inputs=x, labels=labels, targets=targets, targeted=True)
    distance = torch.linalg.vector_norm((reached - x).flatten(1).double(), ord=order, dim=1)
    hit = net(reached).argmax(1) == targets
    assert bool(hit.any())
    assert bool((reached[~hit] == x[~hit]).all())
    assert bool((distance[hit] >= 0.99 * found.upper[hit]).all())


def test_a_targeted_attack_needs_targets() -> None:
    net, x = model(), images()
    with pytest.raises(ra.ObjectiveError, match="there are no targets"):
        minimum_norm_attack()(net, x, net(x).argmax(1), targeted=True)
