"""What every test runs under: one thread, so that sums are in one order and two cores do; and a Ctrl-C that works."""

import signal

import pytest
import torch

torch.set_num_threads(1)
# A shell makes what it starts in the background deaf to Ctrl-C, and tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device that a test is run on."""
    return torch.device(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests without the tracer of coverage, which may double their time: coverage is that of the fast ones."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.no_cover)
