"""What every test runs under: one thread, so that sums are taken in one order and two cores are enough for all."""

import pytest
import torch

torch.set_num_threads(1)


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
