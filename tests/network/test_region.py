"""Linear regions: walls along a ray, and one region as a polytope."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from relu_attack.network import Network, boundary_times, breakpoint_times, dense_chain, lower, ray, region
from tests.network.support import lively, points

MODELS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "dense": (nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 2)), (4,)),
    "leaky": (
        nn.Sequential(nn.Linear(4, 9), nn.LeakyReLU(0.2), nn.Linear(9, 8), nn.LeakyReLU(3), nn.Linear(8, 2)),
        (4,),
    ),
    "passing units": (
        nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(12, 2)),
        (1, 6),
    ),
    "clamped": (nn.Sequential(nn.Linear(4, 6), nn.Hardtanh(), nn.Linear(6, 2)), (4,)),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(4)
    model, shape = copy.deepcopy(request.param)  # weights drawn in another dtype would be others
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d):
            module.reset_parameters()
    return lower(lively(model), shape).network


def switching_pattern(network: Network, x: Tensor) -> Tensor:
    """Return which units are active, leaving out the ones that pass their value through."""
    masks = network.forward(x).pattern
    return torch.cat([mask[:, layer.slope < 1] for mask, layer in zip(masks, network.layers, strict=True)], 1)


def bisected_breakpoints(network: Network, x: Tensor, direction: Tensor, end: float) -> list[float]:
    """Return where the pattern changes between 0 and `end`, by a fine grid and bisection."""

    def at(t: float) -> Tensor:
        return switching_pattern(network, (x + t * direction)[None])

    grid = torch.linspace(0, end, 40001, dtype=torch.float64)
    patterns = switching_pattern(network, x + grid[:, None] * direction)
    changes = []
    for index in torch.nonzero((patterns[1:] != patterns[:-1]).any(1)).flatten().tolist():
        low, high, before = float(grid[index]), float(grid[index + 1]), patterns[index : index + 1]
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if torch.equal(at(middle), before) else (low, middle)
        changes.append(high)
    return changes


def test_the_breakpoints_of_a_ray_agree_with_bisection(network: Network, device: torch.device) -> None:
    shape, count = network.input_shape, 6
    x, direction = points(shape).flatten(1), points(shape, seed=1).flatten(1)
    distances = ray(network.to(device=device), x.to(device), direction.to(device), count=count).cpu()
    assert distances.shape == (4, count)
    followed = 0
    for row, start, way in zip(distances, x, direction, strict=True):
        finite = row[torch.isfinite(row)]
        if finite.numel() == 0:
            continue
        # Walls at one place, as where the winner of a pool of zeros becomes active, are one change of the pattern. So
        # would be others closer than the grid; there are none at these seeds.
        places = finite[finite.diff(prepend=finite.new_tensor([-1.0])) > 1e-12]
        end = float(finite[-1]) * (1 + 1e-6)
        torch.testing.assert_close(places, torch.tensor(bisected_breakpoints(network, start, way, end)).double())
        followed += finite.numel()
    assert followed >= 12


def test_the_pattern_is_constant_between_breakpoints_and_changes_there(network: Network) -> None:
    shape = network.input_shape
    x, direction = points(shape, batch=3, seed=2).flatten(1), points(shape, batch=3, seed=3).flatten(1)
    for start, way in zip(x, direction, strict=True):
        walls = ray(network, start[None], way[None], count=5)[0]
        walls = torch.cat([walls.new_zeros(1), walls[torch.isfinite(walls)]])
        apart = walls[torch.diff(walls, append=walls.new_tensor([torch.inf])) > 1e-9]  # units may switch together
        for low, high in itertools.pairwise(apart):
            share = torch.linspace(0.001, 0.999, 9, dtype=torch.float64)[:, None]
            inside = switching_pattern(network, start + (low + share * (high - low)) * way)
            assert bool((inside == inside[:1]).all())
            beyond = switching_pattern(network, (start + (high + 1e-9) * way)[None])
            assert not torch.equal(beyond, inside[:1])


def test_a_ray_is_measured_in_multiples_of_its_direction(network: Network) -> None:
    x, direction = points(network.input_shape).flatten(1), points(network.input_shape, seed=1).flatten(1)
    torch.testing.assert_close(ray(network, x, 4 * direction, count=3) * 4, ray(network, x, direction, count=3))


def test_a_ray_without_walls_is_infinite() -> None:
    network = dense_chain([torch.eye(2), torch.ones(1, 2)], [torch.tensor([-1.0, -3.0]), torch.zeros(1)])
    start = torch.zeros(3, 2)
    direction = torch.tensor([[-1.0, -1.0], [2.0, 0.0], [0.0, 0.0]])
    assert ray(network, start, direction, count=2).tolist() == [[torch.inf] * 2, [0.5, torch.inf], [torch.inf] * 2]


def test_a_ray_of_an_affine_network_has_no_wall() -> None:
    network = lower(nn.Linear(2, 1), (2,)).network
    assert ray(network, torch.zeros(3, 2).double(), torch.ones(3, 2).double(), count=2).isinf().all()


def test_two_walls_at_the_same_place_are_crossed_together() -> None:
    weight = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    network = dense_chain([weight, torch.ones(1, 3)], [torch.tensor([-1.0, -2.0, -3.0]), torch.zeros(1)])
    assert ray(network, torch.zeros(1, 2), torch.ones(1, 2), count=3).tolist() == [[1.0, 3.0, torch.inf]]


def test_a_ray_that_starts_on_a_wall_counts_it_when_it_crosses_it() -> None:
    network = dense_chain([torch.eye(1), torch.ones(1, 1)], [torch.zeros(1), torch.zeros(1)])
    start = torch.zeros(2, 1)
    assert ray(network, start, torch.tensor([[1.0], [-1.0]])).tolist() == [[0.0], [torch.inf]]


def test_the_time_to_the_wall_is_the_first_of_the_times_of_all_units(network: Network) -> None:
    x, direction = points(network.input_shape).flatten(1), points(network.input_shape, seed=1).flatten(1)
    evaluation = network.forward(x)
    rates = network.tangent(evaluation.pattern, direction)
    times = breakpoint_times(network, evaluation.preactivations, evaluation.pattern, rates)
    assert torch.equal(boundary_times(network, evaluation.preactivations, direction), times.amin(1, keepdim=True))


def test_the_units_that_pass_their_value_never_switch() -> None:
    network = lower(nn.LeakyReLU(1.0), (3,)).network
    x, direction = points((3,)), points((3,), seed=1)
    evaluation = network.forward(x)
    rates = network.tangent(evaluation.pattern, direction)
    assert breakpoint_times(network, evaluation.preactivations, evaluation.pattern, rates).isinf().all()


def test_a_region_holds_its_point_and_its_piece_is_the_network(network: Network) -> None:
    for x in points(network.input_shape).flatten(1):
        found = region(network, x)
        switching = sum(int((layer.slope < 1).sum()) for layer in network.layers)
        assert found.matrix.shape == (switching, network.inputs)
        assert bool((found.matrix @ x <= found.upper + 1e-12).all())
        torch.testing.assert_close(found.weight @ x + found.bias, network.forward(x[None]).outputs[0])


def test_a_region_ends_where_the_pattern_changes(network: Network) -> None:
    generator = torch.Generator().manual_seed(6)
    for x in points(network.input_shape).flatten(1):
        found = region(network, x)
        own = switching_pattern(network, x[None])
        near = x + 0.3 * torch.randn(400, network.inputs, dtype=torch.float64, generator=generator)
        slack = (found.upper - near @ found.matrix.T).amin(1)
        clear = slack.abs() > 1e-9
        same = (switching_pattern(network, near) == own).all(1)
        assert torch.equal((slack > 0)[clear], same[clear])
        inside = near[same]
        torch.testing.assert_close(inside @ found.weight.T + found.bias, network.forward(inside).outputs)


def test_the_wall_of_a_region_is_the_first_breakpoint_of_a_ray(network: Network) -> None:
    x, direction = points(network.input_shape).flatten(1), points(network.input_shape, seed=1).flatten(1)
    first = ray(network, x, direction)[:, 0]
    for start, way, distance in zip(x, direction, first, strict=True):
        found = region(network, start)
        approach = found.matrix @ way
        times = torch.where(approach > 0, (found.upper - found.matrix @ start) / approach, torch.inf)
        torch.testing.assert_close(times.amin(), distance)


def test_the_region_of_an_affine_network_is_everything() -> None:
    model = nn.Linear(2, 1).double()
    found = region(lower(model, (2,)).network, torch.ones(2, dtype=torch.float64))
    assert found.matrix.shape == (0, 2)
    torch.testing.assert_close(found.weight, model.weight.detach())
    torch.testing.assert_close(found.bias, model.bias.detach())
