"""How much memory a call may take, and allocations that fail as one named line."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from relu_attack.errors import MemoryLimitError, OptionError, ReLUAttackError

# Share of the memory that is free when a call begins which the call may take, where it gives no limit.
_SHARE = 0.8
_GIGABYTE = 1e9
_LIMITS = (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),)


def free_memory() -> float:
    """Return the bytes that the machine, and the container that the process runs in, have free; infinite if unknown."""
    return min(_free_of_machine(), _free_of_container())


def memory_limit_of(given: float | None) -> float:
    """Return the bytes that a call may take: what it gives, or most of what is free."""
    if given is None:
        return _SHARE * free_memory()
    if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
        raise OptionError(f"memory_limit must be a positive number of bytes, such as 8e9, got {given!r}")
    return float(given)


def require_memory(needed: float, what: str) -> None:
    """Raise `MemoryLimitError` when `what` needs more bytes than a call may take."""
    limit = memory_limit_of(None)
    if needed > limit:
        raise MemoryLimitError(
            f"{what} needs about {needed / _GIGABYTE:.1f} GB of memory, and {limit / _GIGABYTE:.1f} GB may be taken"
        )


@contextmanager
def named_memory_errors() -> Iterator[None]:
    """Turn an allocation that fails while a call runs into `MemoryLimitError`, in one line."""
    try:
        yield
    except ReLUAttackError:
        raise
    except (MemoryError, RuntimeError) as reason:
        if not _is_allocation(reason):
            raise
        size = re.search(r"allocate ([\d.]+ ?\w+)", str(reason))
        tried = "" if size is None else f", at an allocation of {size.group(1)}"
        raise MemoryLimitError(
            f"there is not enough memory{tried}; take fewer restarts, fewer sets at a time, or a cheaper bound"
        ) from None


def _is_allocation(reason: BaseException) -> bool:
    words = ("can't allocate memory", "out of memory", "Unable to allocate", "std::bad_alloc")
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(reason, kinds) or any(word in str(reason) for word in words)


def _free_of_machine() -> float:
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        found = None
    if found is not None:
        return 1024.0 * int(found.group(1))
    try:  # machines without that file report their total memory, not what is free
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def _free_of_container() -> float:
    for most, taken in _LIMITS:
        try:
            return float(int(Path(most).read_text(encoding="ascii")) - int(Path(taken).read_text(encoding="ascii")))
        except (OSError, ValueError):  # "max" is no limit
            continue
    return math.inf
