"""The exact regions of two-input networks, and the figures that show them."""

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack.errors import OptionError
from relu_attack.network import Network, dense_chain, lower
from relu_attack.plots import Arrangement, arrange

SCRIPTS = Path(__file__).parents[2] / "scripts" / "reproduce"
BOX = ra.Box(torch.tensor([-1.0, 0.5], dtype=torch.float64), torch.tensor([2.0, 1.5], dtype=torch.float64))
ACTIVATIONS = {"relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.1), "relu6": nn.ReLU6}


def random_network(seed: int, activation: str, *, outputs: int = 1) -> Network:
    """Return a network whose boundaries cross the box, with two hidden layers."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(2, 6), ACTIVATIONS[activation](), nn.Linear(6, 5), ACTIVATIONS[activation](), nn.Linear(5, outputs)
    ).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return lower(model, (2,)).network


@pytest.fixture(params=[(seed, name) for seed in range(5) for name in ACTIVATIONS], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[Network, Arrangement]:
    network = random_network(*request.param)
    return network, arrange(network, BOX)


def outputs(network: Network, points: object) -> np.ndarray:
    return network.forward(torch.as_tensor(np.asarray(points), dtype=torch.float64)).outputs.numpy()


def test_cells_tile_the_box(case: tuple[Network, Arrangement]) -> None:
    _, arrangement = case
    assert math.isclose(sum(cell.area for cell in arrangement.cells), 3.0, rel_tol=1e-9)
    corners = np.concatenate([cell.polygon for cell in arrangement.cells])
    assert (corners >= BOX.lower.numpy() - 1e-9).all()
    assert (corners <= BOX.upper.numpy() + 1e-9).all()


def test_each_cell_has_the_networks_affine_piece_on_all_of_it(case: tuple[Network, Arrangement]) -> None:
    network, arrangement = case
    generator = np.random.default_rng(0)
    for cell in arrangement.cells:
        shares = generator.dirichlet(np.ones(len(cell.polygon)), size=5)
        points = np.concatenate([cell.polygon.mean(0, keepdims=True), cell.polygon, shares @ cell.polygon])
        expected = outputs(network, points)
        np.testing.assert_allclose(points @ cell.weight.T + cell.bias, expected, atol=1e-9 * abs(expected).max())


def test_each_neuron_is_zero_on_its_boundary_and_active_where_the_arrow_points(
    case: tuple[Network, Arrangement],
) -> None:
    network, arrangement = case
    for boundary in arrangement.boundaries:
        for segment, gradient in zip(boundary.segments, boundary.gradients, strict=True):
            middle = segment.mean(0)
            moved = middle + 1e-7 * gradient / np.linalg.norm(gradient)
            z = network.forward(torch.tensor(np.array([*segment, middle, moved]))).preactivations[boundary.layer]
            z = z[:, boundary.unit].numpy()
            size = np.linalg.norm(gradient)
            np.testing.assert_allclose(z[:3], 0, atol=1e-9 * max(1.0, size))
            assert z[3] > 0
            np.testing.assert_allclose(z[3], 1e-7 * size, rtol=1e-2)


def test_maximum_is_attained_and_beats_every_sample(case: tuple[Network, Arrangement]) -> None:
    network, arrangement = case
    point, value = arrangement.maximum()
    np.testing.assert_allclose(outputs(network, point[None])[0, 0], value, rtol=1e-9, atol=1e-9)
    samples = BOX.sample(2000, generator=torch.Generator().manual_seed(0))
    assert outputs(network, samples).max() <= value + 1e-9


def test_local_maxima_beat_their_neighbourhood_and_the_best_comes_first(case: tuple[Network, Arrangement]) -> None:
    network, arrangement = case
    found = arrangement.local_maxima()
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    angles = np.linspace(0, 2 * np.pi, 64)
    for point, value in found:
        ring = BOX.project(torch.tensor(point + 1e-5 * np.stack([np.cos(angles), np.sin(angles)], 1)))
        around = outputs(network, ring)
        moved = np.linalg.norm(ring.numpy() - point, axis=1) > 1e-9
        assert (around[moved] < value).all()


def test_lines_in_general_position_make_the_known_number_of_cells() -> None:
    # Three lines, of which each two cross inside the box: 1 + 3 + 3 cells.
    normals = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    network = dense_chain(
        [normals, torch.ones(1, 3).double()], [-torch.tensor([0.5, 0.5, 1.2]).double(), torch.zeros(1).double()]
    )
    arrangement = arrange(network, ra.Box(0.0, 1.0, shape=(2,)))
    assert len(arrangement.cells) == 7
    assert [(boundary.layer, boundary.unit) for boundary in arrangement.boundaries] == [(0, 0), (0, 1), (0, 2)]
    np.testing.assert_array_equal(arrangement.boundaries[2].gradients, [[1.0, 1.0]])


def test_a_boundary_of_the_second_layer_bends_at_the_first() -> None:
    # z = relu(x1 - 1/2) + x2 - 1/2, where relu(x2) = x2 on the box.
    first, second = torch.eye(2).double(), torch.tensor([[1.0, 1.0]]).double()
    network = dense_chain(
        [first, second, torch.ones(1, 1).double()],
        [torch.tensor([-0.5, 0.0]).double(), torch.tensor([-0.5]).double(), torch.zeros(1).double()],
    )
    (bent,) = [b for b in arrange(network, ra.Box(0.0, 1.0, shape=(2,))).boundaries if b.layer == 1]
    assert sorted(map(tuple, bent.gradients)) == [(0.0, 1.0), (1.0, 1.0)]
    ends = {tuple(end) for segment in bent.segments for end in segment}
    assert ends == {(0.0, 0.5), (0.5, 0.5), (1.0, 0.0)}


@pytest.mark.parametrize(
    ("inputs", "box", "words"),
    [
        (3, ra.Box(0.0, 1.0, shape=(3,)), "the network has 3 inputs"),
        (2, ra.Box(0.0, 1.0, shape=(3,)), "the box 3"),
        (2, ra.Box(torch.zeros(4, 2), torch.ones(4, 2)), "in a batch of 4"),
        (2, ra.Box(torch.zeros(2), torch.tensor([1.0, 0.0])), "flat"),
    ],
)
def test_what_cannot_be_drawn_is_named(inputs: int, box: ra.Box, words: str) -> None:
    network = dense_chain([torch.eye(inputs), torch.ones(1, inputs)], [torch.zeros(inputs), torch.zeros(1)])
    with pytest.raises(OptionError, match=words):
        arrange(network, box)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Import a script of the figures; leave matplotlib's settings and torch's threads as they were."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    with mpl.rc_context():
        yield load
    torch.set_num_threads(threads)


def check_files(folder: Path, name: str) -> None:
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    text = (folder / f"{name}.svg").read_text()
    assert "<svg" in text
    assert len(text) < 300_000


@pytest.mark.slow
def test_linear_regions_writes_the_same_figure_each_time(script, tmp_path: Path) -> None:
    main = script("linear_regions").main
    main(["--output", str(tmp_path / "one")])
    main(["--output", str(tmp_path / "two")])
    check_files(tmp_path / "one", "linear_regions")
    for suffix in ("png", "svg"):
        one, two = (tmp_path / run / f"linear_regions.{suffix}" for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_walk_paths_shows_what_its_titles_say(script, tmp_path: Path) -> None:
    module = script("walk_paths")
    module.main(["--output", str(tmp_path)])
    check_files(tmp_path, "walk_paths")

    network = lower(module.two_input_model(), (2,)).network
    arrangement = arrange(network, module.BOX)
    (top, best), (second, _), *_ = arrangement.local_maxima()
    paths = {panel.method: module.walk(panel)[0] for panel in module.PANELS}
    for path in paths.values():
        np.testing.assert_allclose(path[0], module.START, atol=1e-6)
    stopped = np.linalg.norm(paths["gradient_walk"][-10:] - second, axis=1)
    assert (stopped < 0.1).all()
    assert np.linalg.norm(second - top) > 0.5
    for method in ("ppga", "ppga_lr"):
        assert outputs(network, paths[method]).max() > best - 0.005
    moves = np.linalg.norm(np.diff(paths["ppga_lr"], axis=0), axis=1)
    assert moves[:15].mean() > 5 * moves[-15:].mean()


@pytest.mark.slow
def test_learning_rates_measures_and_draws(script, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    measured = ["--measure", "--table", str(table), "--seconds", "0.3", "--restarts", "2", "--rates", "0.1", "10"]
    script("learning_rates").main(["--output", str(tmp_path), *measured])
    check_files(tmp_path, "learning_rates")
    header, *rows = table.read_text().splitlines()
    assert {"method", "learning_rate", "seconds", "value", "threads", "machine", "command"} <= set(header.split(","))
    assert {tuple(row.split(",")[:2]) for row in rows} == {(m, r) for m in ("ppga", "ppga_lr") for r in ("0.1", "10.0")}


def test_learning_rates_draws_the_committed_table(script, tmp_path: Path) -> None:
    script("learning_rates").main(["--output", str(tmp_path)])
    check_files(tmp_path, "learning_rates")
