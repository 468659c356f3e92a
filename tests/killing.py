"""A process that is killed while it writes."""

import os
import signal
from collections.abc import Callable

import pytest


def killed_at_rename(number: int, write: Callable[[], object]) -> None:
    """Run `write` in a process that is killed in place of its `number`-th rename, counted from 1."""
    if not hasattr(os, "fork"):
        pytest.skip("needs a system that can fork a process")
    child = os.fork()
    if not child:
        calls = 0
        rename = os.replace

        def kill(*paths: str) -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*paths)

        os.replace = kill  # type: ignore[assignment]
        try:
            write()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the process ended by itself"
