"""What makes the package load faster, and Ctrl-C end the command while it loads."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

COMMAND = "relu-attack"
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it."""


@contextmanager
def without_collection() -> Iterator[None]:
    """Let Python collect no garbage for a while.

    While modules are loaded there is none, and to look for it among all that torch has made takes a fifth of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if not gc.get_freeze_count():  # as old objects, those made meanwhile are not looked through at once
                gc.freeze()
                gc.unfreeze()
            gc.enable()


@contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the command ``relu-attack`` in one line while its modules load, which takes seconds.

    An exception would be a traceback from somewhere inside torch, or be caught there. In any other program, Ctrl-C does
    what it does.
    """
    is_command = bool(sys.argv) and Path(sys.argv[0]).stem == COMMAND
    in_main = threading.current_thread() is threading.main_thread()
    if not (is_command and in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{COMMAND}: interrupted before there was an answer\n".encode())
    os._exit(INTERRUPTED)
