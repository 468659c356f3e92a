"""The last iterates of a batch of walkers, of which the best is taken over at intervals."""

from __future__ import annotations

import torch
from torch import Tensor

# Iterates that are buffered before the incumbents are updated: more cost memory and gain no time. At least the current
# one and the next one are; large ones are fewer, as one step takes long in any case.
_MAX_SLOTS, _MIN_SLOTS = 10, 2
# Numbers in the buffer, by the type of the device: what stays in a processor's cache, or is little on a graphics card.
_MAX_NUMBERS = {"cpu": 2**21, "cuda": 2**25}


class Iterates:
    """A ring of buffers for the iterates (batch, inputs) and their values.

    Taking the best of several over moves less memory than a masked copy of the best point at each step, and nothing
    waits for the device in between.

    Parameters
    ----------
    starts
        The first iterate, shape (batch, inputs).
    wanted
        How many iterates are buffered at most.
    """

    def __init__(self, starts: Tensor, wanted: int) -> None:
        fitting = _MAX_NUMBERS.get(starts.device.type, _MAX_NUMBERS["cuda"]) // starts.numel()
        self._slots = slots = max(min(wanted, fitting, _MAX_SLOTS), _MIN_SLOTS)
        self._points = starts.new_empty(slots, *starts.shape)
        self._points[0] = starts
        self._values = torch.full((slots, len(starts)), -torch.inf, dtype=starts.dtype, device=starts.device)
        # Views made once: on small networks each indexing would cost as much as a product.
        self._rows, self._value_columns = self._points.unbind(0), self._values.unsqueeze(2).unbind(0)
        self._slot = self._first_unread = self._unread = 0

    @property
    def period(self) -> int:
        """Steps after which the same buffers come again."""
        return self._slots

    @property
    def current(self) -> Tensor:
        """The current iterate, shape (batch, inputs)."""
        return self._rows[self._slot]

    @property
    def following(self) -> Tensor:
        """Where the next iterate is written, shape (batch, inputs)."""
        return self._rows[(self._slot + 1) % self._slots]

    @property
    def full(self) -> bool:
        """Whether the next iterate would overwrite one that was not taken over."""
        return self._unread == self._slots

    @property
    def empty(self) -> bool:
        """Whether all values were taken over."""
        return self._unread == 0

    def record(self, values: Tensor) -> None:
        """Record the values (batch, 1) of the current iterate."""
        self._value_columns[self._slot].copy_(values)
        self._unread += 1

    def advance(self) -> None:
        """Make the next iterate the current one."""
        self._slot = (self._slot + 1) % self._slots

    def take_best(self, x: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best of points (batch, inputs) and the recorded iterates, which are forgotten.

        Returns
        -------
        x, value
            The best points and their values.
        improved
            Whether the last iterate is better than all before, boolean, shape (batch,).
        """
        slots = (torch.arange(self._unread, device=x.device) + self._first_unread) % self._slots
        values = self._values[slots]
        before = torch.cat([value[None], values[:-1]]).amax(0)
        improved = values[-1] > before
        best, index = values.max(0)
        better = (best > value)[:, None]
        places = (slots[index], torch.arange(len(index), device=index.device))
        self._first_unread = (self._first_unread + self._unread) % self._slots
        self._unread = 0
        return torch.where(better, self._points[places], x), torch.maximum(best, value), improved
