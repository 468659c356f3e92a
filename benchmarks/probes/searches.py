"""Searches: limits that hold, optima that are proved as soon as they can be, memory that is counted."""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import relu_attack as ra
from probes.base import Observed, dense, probe

# What a limit may be run over by, in seconds.
ROOM = 0.3


def _processor_seconds(call: object) -> float:
    began = time.process_time()
    call()  # type: ignore[operator]
    return time.process_time() - began


@probe("searches", "an optimum of 0 is proved optimal", "tests/solvers/test_zero_optimum.py")
def an_optimum_of_zero() -> Observed:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1)).requires_grad_(False)
    model[2].weight.copy_(-model[2].weight.abs())
    model[2].bias.zero_()
    model[0].bias.zero_()
    box, seen = ra.Box(-torch.ones(3), torch.ones(3)), []
    for method in ("auto", "branch_and_bound", "milp"):
        result = ra.maximize(model, box, method=method, time_limit=3, seed=0)
        seen.append((f"{method} {result.status.name}", result.status is ra.Status.OPTIMAL))
    return Observed(", ".join(text for text, _ in seen), all(holds for _, holds in seen))


@probe(
    "searches",
    "OPTIMAL where every box is closed",
    "tests/solvers/test_branch_and_bound.py::test_it_agrees_with_the_enumeration_of_all_patterns",
)
def a_search_that_closed_every_box() -> Observed:
    torch.manual_seed(50)
    model = nn.Sequential(nn.Linear(10, 50), nn.ReLU(), nn.Linear(50, 1))
    result = ra.maximize(model, ra.Box(0.0, 1.0, shape=(10,)), method="branch_and_bound", time_limit=20, seed=0)
    return Observed(f"{result.status.name}, gap {float(result.gap):.3g}", result.status is ra.Status.OPTIMAL)


@probe(
    "searches",
    "0.3 s whatever the limit",
    "tests/solvers/test_auto.py::test_a_small_problem_is_closed_at_once_whatever_the_time_limit",
)
def a_small_network_and_a_long_limit() -> Observed:
    model, box = dense(3, 16, 2), ra.Box(-torch.ones(3), torch.ones(3))
    taken = {}
    for limit in (1, 10, 60):
        rounds = [
            _processor_seconds(lambda limit=limit: ra.maximize(model, box, time_limit=limit, seed=0)) for _ in range(3)
        ]
        taken[limit] = statistics.median(rounds)
    text = ", ".join(f"limit {limit}: {seconds:.2f} s" for limit, seconds in taken.items())
    return Observed(text, max(taken.values()) < ROOM)


def _late(call: object, limit: float) -> Observed:
    seconds = _processor_seconds(call)
    return Observed(f"{seconds:.1f} s of {limit:g}", seconds <= limit + max(0.05 * limit, ROOM))


def _large() -> tuple[nn.Sequential, ra.Box]:
    return dense(3072, 2000, 2000, 2000, 2000, 10), ra.Box(-1.0, 1.0, shape=(3072,))


@probe("searches", "1 s", "tests/bounds/test_deadlines.py")
def verify_of_a_large_network() -> Observed:
    model, box = _large()
    claim = ra.Specification.require([1.0] + [0.0] * 9, 3.0)
    return _late(lambda: ra.verify(model, box, claim, time_limit=1), 1)


@probe("searches", "1 s", "tests/bounds/test_deadlines.py")
def alpha_crown_of_a_large_network() -> Observed:
    model, box = _large()
    return _late(lambda: ra.maximize(model, box, method="ppga_lr", bound="alpha_crown", time_limit=1), 1)


@probe("searches", "1 s", "tests/test_deadline.py")
def certificates_of_a_large_network() -> Observed:
    model, _ = _large()
    x = torch.rand(50, 3072, generator=torch.Generator().manual_seed(0))
    labels = model(x).argmax(1)
    return _late(lambda: ra.worst_case(model, x, labels, radius=0.02, clip=(0, 1), certify=True, time_limit=1), 1)


@probe("searches", "1 s", "tests/test_deadline.py")
def milp_of_a_large_network() -> Observed:
    model, box = _large()
    return _late(lambda: ra.maximize(model, box, method="milp", time_limit=1), 1)


@probe("searches", "1 s", "tests/domains/test_polytope_deadline.py")
def a_polytope_of_many_rows() -> Observed:
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(60, 200))
    polytope = ra.Polytope(matrix, matrix @ generator.uniform(0.2, 0.8, size=200) + 0.1, lower=0.0, upper=1.0)
    return _late(lambda: ra.maximize(dense(200, 100, 1), polytope, time_limit=1, seed=0), 1)


@probe("searches", "as cheap as certifying nothing, where every sample is broken", "tests/robustness/test_survivors.py")
def certificates_of_broken_samples() -> Observed:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(32 * 49, 10)).eval().requires_grad_(False)
    x = torch.rand(10, 1, 28, 28)
    labels = model(x).argmax(1)
    ra.worst_case(model, x, labels, radius=0.1)
    taken = [
        _processor_seconds(lambda c=c: ra.worst_case(model, x, labels, radius=0.1, certify=c)) for c in (False, True)
    ]
    return Observed(f"{taken[1] / taken[0]:.1f} times the time", taken[1] < 5 * taken[0])


@probe(
    "searches",
    "below 1 GB and within the limit, as with the constant on the right",
    "tests/io/test_onnx.py::test_a_constant_matrix_is_kept_as_it_is_on_either_side",
)
def a_constant_on_the_left() -> Observed:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    width, generator = 2500, np.random.default_rng(0)
    sizes, nodes, constants, value = (4, width, width, 2), [], [], "x"
    for index in range(3):
        weight = generator.normal(size=(sizes[index + 1], sizes[index])) / sizes[index] ** 0.5
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"w{index}"))
        nodes.append(helper.make_node("MatMul", [f"w{index}", value], [f"h{index}"]))
        value = f"h{index}"
        if index < 2:
            nodes.append(helper.make_node("Relu", [value], [f"r{index}"]))
            value = f"r{index}"
    ends = [
        helper.make_tensor_value_info(*end)
        for end in (("x", TensorProto.FLOAT, [4, 1]), (value, TensorProto.FLOAT, [2, 1]))
    ]
    graph = helper.make_graph(nodes, "left", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        network, claim = Path(folder) / "left.onnx", Path(folder) / "left.vnnlib"
        onnx.save(model, str(network))
        inputs = "".join(f"(declare-const X_{i} Real)(assert (>= X_{i} -1))(assert (<= X_{i} 1))" for i in range(4))
        claim.write_text(inputs + "(declare-const Y_0 Real)(declare-const Y_1 Real)(assert (>= Y_0 1000))")
        began = time.process_time()
        found = ra.verify_files(str(network), str(claim), time_limit=5)
        seconds = time.process_time() - began
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return Observed(f"{found.verdict.name} in {seconds:.1f} s, {size:.1f} GB", size < 1 and seconds < 5.3)
