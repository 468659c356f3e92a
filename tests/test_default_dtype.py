"""The default dtype of torch matters nowhere: numbers and sequences are float64, answers the same to the last bit."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import relu_attack as ra
from relu_attack.domains import Box, Domain, L1Ball, L2Ball, LInfBall, Polytope


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Never(TorchDispatchMode):
    """Fail where an operation returns numbers of a dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, tuple | list) else (out,):
            assert not (isinstance(part, torch.Tensor) and part.dtype == self.dtype), f"{func} returns {self.dtype}"
        return out


def model(dtype: torch.dtype) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Linear(3, 6, dtype=dtype), nn.ReLU(), nn.Linear(6, 4, dtype=dtype), nn.LeakyReLU(0.1)]
    net = nn.Sequential(*layers, nn.Linear(4, 2, dtype=dtype))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net.eval()


def sets() -> dict[str, Domain]:
    return {
        "box": Box([0.1, 0.0, 0.0], [1.0, 0.7, 3.0], integer=[2]),
        "polytope": Polytope([[1.0, 1.0, 0.3]], [1.1], [[0.7, 0.1, 0.1]], [0.3], lower=0.0, upper=1.0),
        "linf": LInfBall([0.1, 0.2, 0.3], 0.1, clip=(0.05, 0.9)),
        "l1": L1Ball([0.1, 0.2, 0.3], 0.1, clip=(0.05, 0.9)),
        "l2": L2Ball([0.1, 0.2, 0.3], 0.1, clip=(0.05, 0.9)),
    }


def answers(dtype: torch.dtype) -> list[torch.Tensor]:
    """Return the numbers of a representative set of calls for a model of a dtype."""
    net, found = model(dtype), []
    for name, domain in sets().items():
        assert domain.dtype == torch.float64
        for method in ("ppga_lr", "lp_walk", "milp", "branch_and_bound") if name == "polytope" else ("ppga_lr",):
            # Branch and bound begins with 200 steps of a walk, each of which projects every walker onto the polytope.
            walkers = 1 if method == "branch_and_bound" else 4
            result = ra.maximize(
                net, domain, ra.Linear([0.1, -0.3]), method=method, seed=0, restarts=walkers, iterations=3
            )
            found += [result.x, result.value]
        optimizer = ra.ReLUOptimizer(net, domain, ra.Margin(1, 0))
        found += [bound for method in ("interval", "crown") for bound in optimizer.bounds(method)]
    verdict = ra.verify(net, sets()["box"], ra.Specification.require([0.1, 0.3], 0.7), seed=0)
    x, label = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float32), torch.tensor([0])
    for norm in ("linf", "l2", "l1"):
        worst = ra.worst_case(net, x, label, 0.1, norm=norm, iterations=3, restarts=2, certify=True)
        found += [worst.x, worst.margin]
    return [*found, torch.tensor(verdict.verdict.value == "verified")]


@pytest.mark.slow
def test_answers_do_not_depend_on_the_default_dtype() -> None:
    with default(torch.float32):
        expected = answers(torch.float32)
    with default(torch.float64):
        found = answers(torch.float32)
    for one, two in zip(expected, found, strict=True):
        assert one.dtype == two.dtype
        assert torch.equal(one, two)


@pytest.mark.slow
def test_no_tensor_takes_the_default_dtype() -> None:
    with default(torch.bfloat16), Never(torch.bfloat16):
        answers(torch.float64)


def test_numbers_and_lists_are_float64_and_arrays_keep_their_precision() -> None:
    for domain in (*sets().values(), Box(0, 1, shape=(2,)), L1Ball(0, 1, shape=(2,)), Box(torch.zeros(2).int(), 1)):
        assert domain.dtype == torch.float64
    for domain in (Box(torch.zeros(2), 0.1), Box(0, torch.ones(2)), LInfBall(torch.zeros(2), 0.1, clip=([-0.3, 0], 1))):
        assert domain.dtype == torch.float32
    rows = ra.OutputConstraints([[0.1, 0.3]], [0.7])
    assert (rows.matrix.tolist(), rows.upper.tolist()) == ([[0.1, 0.3]], [0.7])
    assert ra.Linear([0.1, 0.3]).rows(2)[0].tolist() == [[0.1, 0.3]]
