"""Laws of the bound on the smallest of several rows: nothing is above it, and a mixture proves what no row does."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack import Box
from relu_attack.bounds.backward import Map
from relu_attack.bounds.crown import bound_layers
from relu_attack.bounds.interval import activation_range, affine_range
from relu_attack.bounds.mixture import Mixture, bound_mixture, descend_mixture
from relu_attack.bounds.slopes import Descent
from relu_attack.bounds.support import box_support
from relu_attack.network import Affine, lower
from relu_attack.network.operators import Dense
from relu_attack.solvers.budget import Budget
from relu_attack.solvers.decision import decide
from tests import exact
from tests.laws.test_bounds import canceling_network, random_box
from tests.laws.test_crown import points_of_box
from tests.problems import network


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31 - 1), scale=st.integers(-6, 6), box_scale=st.integers(-6, 6))
def test_the_smallest_row_is_nowhere_above_it_in_exact_arithmetic(seed: int, scale: int, box_scale: int) -> None:
    model = canceling_network(seed, scale=scale, slope=0.01)
    low, high = random_box(seed + 1, scale=box_scale)
    chain, support = lower(model, (3,)).network, box_support(low[None], high[None])
    matrix = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ranges, steps = bound_layers(chain, low[None], high[None], support)
    ends = activation_range(chain.layers[-1], *ranges[-1])
    rows = Affine(Dense(matrix), torch.zeros(3, dtype=torch.float64))
    after = (Map.create(chain.output, *ends), Map.create(rows, *affine_range(chain.output, *ends)))
    mixture = descend_mixture(steps, support, after, Mixture.first(steps, 3, low[None]), Descent(iterations=5))
    torch.testing.assert_close(mixture.weights.sum(1), torch.ones(1, dtype=torch.float64))
    assert bool((mixture.weights >= 0).all())
    bound = exact.fractions(bound_mixture(steps, support, after, mixture)[0])[0]
    chains = [exact.layers_of(model, row[None]) for row in matrix]
    for x in points_of_box(low, high, seed):
        assert min(exact.forward(layers, x)[0] for layers in chains) <= bound


def test_two_rows_that_exclude_each_other_are_refuted_without_a_split() -> None:
    # f(x) = x, and no x has both x >= 0.1 and -x >= 0.1, though each alone is easy.
    chain = lower(network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, -1.0]], [0.0])), (1,)).network
    matrix, offset = torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([-0.1, -0.1]).double()
    decision = decide(chain, Box(-1.0, 1.0, shape=(1,)), matrix, offset, budget=Budget(iterations=100))
    assert decision.upper < 0
    assert decision.regions == 1
