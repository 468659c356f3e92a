"""What doctests and tests have in common: nothing that an example registers is left behind."""

from collections.abc import Iterator

import pytest

from relu_attack.bounds import BOUNDS
from relu_attack.network.lowering import _registry as layers
from relu_attack.solvers import METHODS


@pytest.fixture(autouse=True)
def _registries_as_before() -> Iterator[None]:
    """Remove what a test or an example registers."""
    methods, bounds, specs = dict(METHODS._entries), dict(BOUNDS._entries), dict(layers._specs)
    yield
    METHODS._entries, BOUNDS._entries = methods, bounds
    layers._specs.clear()
    layers._specs.update(specs)
