"""Progress bars that leave no thread behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def progress_bar(iterable: Iterable[Any] | None = None, *, shown: bool = True, **options: Any) -> Any:
    """Return a bar of tqdm, over an iterable or to be updated; one that is not `shown` passes the iterable on.

    The first bar of tqdm's own class, be it hidden, starts a thread that looks after slow bars until the process ends.
    """
    from tqdm import tqdm  # only calls that show a bar, or may, pay for the import

    class Bar(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0

    return Bar(iterable, disable=not shown, **options)
