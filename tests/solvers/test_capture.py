"""Windows of steps as one launch: the same walk, whether steps are launched one by one or replayed from a recording."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import relu_attack as ra
from relu_attack.domains import Domain
from relu_attack.solvers.ascent import ANNEALED_ASCENT, PPGA, PPGALR, ScaledProblem, Walk
from relu_attack.solvers.ascent._driver import run_ascent
from relu_attack.solvers.core import Budget
from tests.problems import random_network

WALKS = {
    "ppga": Walk.of(PPGA()),
    "ppga_lr": Walk.of(PPGALR()),
    "annealing": ANNEALED_ASCENT,
}
# A kernel whose result the processor waits for cannot be recorded.
WAITING = {torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero}


class Tape(TorchDispatchMode):
    """A graph without a GPU: operators are noted with the addresses that they read and write, and run again on these.

    What is noted leaves no trace, as kernels do not run while a graph of CUDA is recorded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        with self:
            yield
        for tensor, content in self._before.values():
            tensor.untyped_storage().copy_(content.untyped_storage())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in WAITING, f"{func} waits for the device"
        kwargs = kwargs or {}
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                address = leaf.untyped_storage().data_ptr()
                if address not in self._before:
                    whole = torch.empty(0, dtype=leaf.dtype).set_(leaf.untyped_storage())  # type: ignore[call-overload]
                    self._before[address] = leaf, whole.clone()
        out = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, out))
        return out

    def replay(self) -> None:
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for new, old in zip(tree_leaves(again), tree_leaves(out), strict=True):
                if isinstance(new, Tensor) and new.data_ptr() != old.data_ptr():
                    old.copy_(new)


def sets() -> dict[str, Domain]:
    row = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {
        "box": ra.Box(-1.0, 1.0, shape=(6,)),
        "L2 ball": ra.L2Ball(torch.zeros(6), 1.0),
        "L1 ball": ra.L1Ball(torch.zeros(6), 1.0, clip=(-0.5, 0.5)),
        "polytope": ra.Polytope(row, torch.ones(4), row[:1].roll(1, 1), [0.1], lower=-1.0, upper=1.0),
        "polytopes": ra.Polytope(row, torch.tensor([[1.0] * 4, [0.5] * 4]), lower=-1.0, upper=1.0),
    }


def walk(kind: str, domain: Domain, *, restarts: int, tape: Tape | None, iterations: int = 45) -> Tensor:
    """Return the best points of all walkers after four windows and a half."""
    problem = ra.ReLUOptimizer(random_network(6, 12, 12, seed=1), domain=domain).problem
    with torch.inference_mode():
        scaled = ScaledProblem.create(
            problem, restarts=restarts, device=torch.device("cpu"), dtype=torch.float32, normalized=True
        )
        generator = torch.Generator().manual_seed(0)
        ascent = WALKS[kind].begin(scaled, scaled.walked().sample(generator), generator)
        captured = None if tape is None else ascent.capture(tape)
        run_ascent(ascent, Budget(iterations=iterations), captured=captured)
        return torch.cat([ascent.best_of_walkers()[0].flatten(), ascent.incumbent_value])


@pytest.mark.parametrize("name", sets())
@pytest.mark.parametrize("kind", WALKS)
def test_replayed_windows_are_those_of_single_steps(kind: str, name: str) -> None:
    domain, tape = sets()[name], Tape()
    assert torch.equal(walk(kind, domain, restarts=4, tape=tape), walk(kind, domain, restarts=4, tape=None))
    assert len(tape.calls) > 0


def test_windows_that_differ_are_refused() -> None:
    problem = ra.ReLUOptimizer(nn.Linear(2, 1), ra.Box(0.0, 1.0, shape=(2,))).problem
    scaled = ScaledProblem.create(problem, restarts=2, device=torch.device("cpu"), dtype=torch.float32, normalized=True)
    starts = torch.zeros(2, 2)
    ascent = Walk.of(PPGA(window=13)).begin(scaled, starts, torch.Generator())
    with pytest.raises(ra.OptionError, match="window must be a multiple of 10 here"):
        ascent.capture(Tape())


def test_capture_needs_a_device_with_cuda() -> None:
    box = ra.Box(0.0, 1.0, shape=(2,))
    with pytest.raises(ra.OptionError, match="give device='cuda'"):
        ra.maximize(nn.Linear(2, 1), box, method="ppga", capture=True, device="cpu")
    with pytest.raises(ra.OptionError, match="capture must be True or False"):
        ra.maximize(nn.Linear(2, 1), box, method="ppga", capture=1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", sets())
@pytest.mark.parametrize("method", ["gradient_walk", "ppga", "ppga_lr"])
def test_on_a_device_the_captured_walk_is_the_one_without(method: str, name: str) -> None:
    model, domain = random_network(6, 12, 12, seed=1).cuda(), sets()[name]
    one, other = (
        ra.maximize(model, domain, method=method, capture=capture, restarts=64, iterations=205, seed=0, device="cuda")
        for capture in (False, True)
    )
    assert torch.equal(torch.as_tensor(one.x), torch.as_tensor(other.x))
