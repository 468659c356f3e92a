"""Batches of polytopes: one matrix, with right sides and bounds for each set."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from relu_attack._checks import ArrayLike
from relu_attack._deadline import Deadline
from relu_attack.domains import _integrality
from relu_attack.domains._box import Box
from relu_attack.domains._domain import Domain
from relu_attack.domains._walked import WalkedSet
from relu_attack.domains.polytope import _input as reading
from relu_attack.domains.polytope._form import Array
from relu_attack.domains.polytope._polytope import Polytope
from relu_attack.domains.polytope._walked import FAR_SHARE
from relu_attack.domains.polytope._walked_batch import WalkedForms, WalkedPolytopes, forms_alike
from relu_attack.errors import DomainError, SolverError


class PolytopeBatch(Polytope):
    """Polytopes with one matrix; ``Polytope(A, b)`` with sides or bounds for several sets makes it.

    What is returned or proved of a set is what that set by itself returns or proves. Walks move all sets at once.
    """

    _identity = ("_sets", "shape", "integer", "one_hot")
    _exact: PolytopeBatch
    _source: PolytopeBatch | None = None

    def _read(
        self,
        given: reading.Given,
        shape: tuple[int, ...] | None,
        integer: _integrality.Indices,
        one_hot: _integrality.Groups,
    ) -> None:
        count = reading.count_sets(given, shape)
        if count is None:
            raise DomainError("PolytopeBatch needs a right side or a bound for each set; make a Polytope")
        made = (
            Polytope(
                one.A, one.b, one.A_eq, one.b_eq, one.lower, one.upper, shape=shape, integer=integer, one_hot=one_hot
            )
            for one in reading.each_set(given, count, shape)
        )
        sets = list(named(made))
        self.shape, self.integer, self.one_hot = sets[0].shape, sets[0].integer, sets[0].one_hot
        self._normal = False
        self._hold(sets)

    def _hold(self, sets: Iterable[Polytope]) -> None:
        """Make this a batch of its own, of float64 sets that share their matrices."""
        self._sets = tuple(sets)
        self.batch, self._exact, self._source = len(self._sets), self, None
        self._box: Box | None = None
        self._forms: WalkedForms | None = None

    def _of(self, sets: Iterable[Polytope]) -> PolytopeBatch:
        """Return a batch of other sets, in float64, with what else there is to know of this one."""
        batch = copy.copy(self)
        batch._hold(sets)
        return batch

    def _each(self, work: Callable[..., Tensor], *points: Tensor) -> list[Tensor]:
        """Return the results of some work for each set and its part of points (..., P or 1, points, inputs)."""
        every = [self._check_points(part) for part in points]
        every = [part.expand(*(1,) * (3 - part.dim()), *part.shape) for part in every]
        sets = len(self._sets)
        if sets == 1:  # its points may be several batches
            return [work(self._sets[0], *every)]
        parts = [part.expand(*part.shape[:-3], sets, *part.shape[-2:]).unbind(-3) for part in every]
        return [work(*arguments) for arguments in zip(self._sets, *parts, strict=True)]

    def _points(self, work: Callable[..., Tensor], points: Tensor) -> Tensor:
        """Return points (..., P, points, inputs) that some work makes of `points` for each set."""
        parts = self._each(work, points)
        return parts[0] if len(parts) == 1 else torch.stack(parts, -3)

    def _numbers(self, work: Callable[..., Tensor], *points: Tensor) -> Tensor:
        """Return numbers (..., P, points) that some work makes of points for each set."""
        parts = self._each(work, *points)
        return parts[0] if len(parts) == 1 else torch.stack(parts, -2)

    def _in_turn(self) -> Iterator[Polytope]:
        """Yield the sets, each for its share of the time that is left."""
        for index, one in enumerate(self._sets):
            timed = not math.isinf(self._deadline.at)
            yield one.within(self._deadline.share(1 / (len(self._sets) - index))) if timed else one

    @property
    def dtype(self) -> torch.dtype:
        return self._sets[0].dtype

    @property
    def device(self) -> torch.device:
        return self._sets[0].device

    def _facts(self) -> Iterator[str]:
        yield f"batch={self.batch}"
        yield from self._sets[0]._facts()

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> PolytopeBatch:
        batch = copy.copy(self)
        batch._sets = tuple(one.to(device=device, dtype=dtype) for one in self._sets)
        return batch

    def within(self, deadline: Deadline) -> PolytopeBatch:
        exact = self._exact
        timed = exact._of(one.within(deadline) for one in exact._sets)
        timed._box, timed._forms, timed._source, timed._deadline = exact._box, exact._forms, exact, deadline
        timed.integer, timed.one_hot = self.integer, self.one_hot
        return timed.to(device=self.device, dtype=self.dtype)

    def single(self, index: int) -> Polytope:
        return self._sets[self._check_index(index)]

    def take(self, rows: slice | Tensor) -> PolytopeBatch:
        places = torch.arange(len(self._sets))[rows.cpu() if isinstance(rows, Tensor) else rows].tolist()
        taken = self._exact._of(self._exact._sets[place] for place in places)
        taken.integer, taken.one_hot = self.integer, self.one_hot
        return taken.to(device=self.device, dtype=self.dtype)

    def with_fixed(self, index: _integrality.Indices, values: ArrayLike) -> PolytopeBatch:
        like = torch.zeros(len(self._sets), 1, self.inputs, dtype=torch.float64)
        indices, numbers = _integrality.read_fixed("Polytope", index, values, like, self.shape)
        fixed = (one.with_fixed(indices, own[0]) for one, own in zip(self._exact._sets, numbers, strict=True))
        batch = self._exact._of(named(fixed))
        batch.integer, batch.one_hot = self.integer, self.one_hot
        return batch.to(device=self.device, dtype=self.dtype)

    def _round(self, points: Tensor) -> Tensor:
        return self._points(Polytope._round, points)

    def project(self, points: Tensor) -> Tensor:
        return self._points(Polytope.project, points)

    def violation(self, points: Tensor) -> Tensor:
        return self._numbers(Polytope.violation, points)

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        return self._numbers(Polytope.max_step, points, direction)

    def maximizer(self, direction: Tensor) -> Tensor:
        turns = self._in_turn()
        return self._points(lambda _, part: next(turns).maximizer(part), direction)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return random points of each set, shape (P, count, inputs)."""
        return torch.stack([one.sample(count, generator=generator) for one in self._in_turn()])

    def center(self) -> Tensor:
        return torch.stack([one.center() for one in self._sets])[:, None]

    @property
    def is_polyhedral(self) -> bool:
        return False

    def linear_rows(self) -> None:  # type: ignore[override]
        # Each set has rows of its own, as `Domain.linear_rows` says.
        return None

    def upper_bound(self, coefficients: Tensor) -> Tensor:
        rows, shape = self._rows_of_sets(coefficients)
        parts = [one.upper_bound(own) for one, own in zip(self._sets, rows, strict=True)]
        return torch.stack(parts).reshape(shape)

    def outer_box(self) -> Box:
        if self._exact._box is not None:
            return self.bounding_box()
        boxes = self._joined(one.outer_box() for one in self._exact._in_turn())
        return boxes.to(device=self.device, dtype=self.dtype).bounding_box()

    def bounding_box(self) -> Box:
        """Return boxes that hold all exact points of each set, as those of each set by itself."""
        exact = self._exact
        if exact._box is None:
            for one, timed in zip(exact._sets, exact._in_turn(), strict=True):
                one._box = timed.bounding_box()
            exact._box = self._joined(one.bounding_box() for one in exact._sets)
        return exact._box.to(device=self.device, dtype=self.dtype).bounding_box()

    def _joined(self, boxes: Iterable[Box]) -> Box:
        lower, upper = (torch.stack(ends) for ends in zip(*((box.lower, box.upper) for box in boxes), strict=True))
        return Box(*(end.reshape(-1, *self.shape) for end in (lower, upper)), shape=self.shape)

    @property
    def _together(self) -> WalkedForms:
        """The sets in coordinates of walks, each around its interior point, with one matrix and scale for all."""
        exact = self._exact
        if exact._forms is None:
            deadline, sets = exact._deadline.share(FAR_SHARE), exact._sets
            parts = forms_alike([one._form for one in sets], [one._rows for one in sets])
            interiors = [one._interior.numpy() for one in sets]
            exact._forms = WalkedForms.of(parts, interiors, exact._divisor, deadline)
            source = None if deadline.passed else exact._source
            while source is not None:
                source._forms, source = exact._forms, source._source
        return exact._forms

    @property
    def _divisor(self) -> Array:
        open_scales = [np.where(one._form.low == one._form.high, 0.0, one._scale) for one in self._exact._sets]
        scale: Array = np.stack(open_scales).max(0)
        return np.where(scale > 0, scale, 1.0)

    def widths(self) -> Tensor:
        exact = self._exact
        return (exact._together.widths * torch.as_tensor(exact._divisor)).to(self.device, self.dtype)

    def walked(self, walkers: int, *, products: int) -> WalkedSet:
        if not self._normal:
            return Domain.walked(self, walkers, products=products)
        origins = torch.stack([one._interior for one in self._sets])
        return WalkedPolytopes(self._exact._together.to(self.device, self.dtype), origins, walkers, products)

    def normalized(self) -> tuple[PolytopeBatch, Tensor, Tensor]:
        exact = self._exact
        shift, scale = np.mean([one._interior.numpy() for one in exact._sets], 0), exact._divisor
        scaled = exact._of(one._in_coordinates(shift, scale) for one in exact._sets)
        scaled._forms, scaled._normal = exact._together, True
        scaled.integer, scaled.one_hot = (), ()
        factor, offset = (torch.as_tensor(part).to(self.device, self.dtype) for part in (scale, shift))
        return scaled.to(device=self.device, dtype=self.dtype), factor, offset


def named(sets: Iterable[Polytope]) -> Iterator[Polytope]:
    """Yield sets; raise what making one of them raises with its number."""
    made, index = iter(sets), 0
    while True:
        try:
            one = next(made)
        except StopIteration:
            return
        except (DomainError, SolverError) as reason:
            raise type(reason)(f"set {index} of the batch: {reason}") from None
        yield one
        index += 1
