"""Conversion of asserted formulas to cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import torch

from relu_attack._deadline import NEVER, Deadline
from relu_attack._limits import BOUNDS, VALUE_ENTRIES
from relu_attack.errors import FileFormatError
from relu_attack.io.vnnlib._formulas import (
    MANY,
    Comparison,
    Conjunction,
    Formula,
    join,
    normal_form,
    parts_of,
    sides_of,
    size_of,
)
from relu_attack.io.vnnlib._parser import Parser
from relu_attack.io.vnnlib._property import Case, Polyhedron
from relu_attack.rounding import fraction_down, fraction_near, fraction_up

COMPARISONS_PER_CLOCK_CHECK = 1024
"""Comparisons between two checks of the deadline: some milliseconds."""
COMPARISONS_PER_DISJUNCT = 100
"""Largest number of comparisons in the normal form, for each disjunct of its limit."""


@dataclass(eq=False)
class InputBox:
    """Tightest bounds of the inputs in one conjunction, with their positions in the text.

    `rows` are comparisons of inputs with each other.
    """

    lower: dict[int, tuple[Fraction, int]] = field(default_factory=dict)
    upper: dict[int, tuple[Fraction, int]] = field(default_factory=dict)
    rows: tuple[Comparison, ...] = ()

    def within(self, comparisons: Iterable[Comparison]) -> InputBox:
        """Return the box intersected with more comparisons."""
        lower, upper, rows = dict(self.lower), dict(self.upper), list(self.rows)
        for comparison in comparisons:
            if len(comparison.coefficients) > 1:
                rows.append(comparison)
                continue
            ((index, coefficient),) = comparison.coefficients
            limit = comparison.limit / coefficient if coefficient != 1 else comparison.limit
            bounds, tighter = (upper, limit.__lt__) if coefficient > 0 else (lower, limit.__gt__)
            if index not in bounds or tighter(bounds[index][0]):
                bounds[index] = (limit, comparison.position)
        return InputBox(lower, upper, tuple(rows))

    @property
    def conflict(self) -> int | None:
        """An input whose lower bound is above its upper bound, or None."""
        return next((index for index in self.lower if self.lower[index][0] > self.upper[index][0]), None)

    @property
    def key(self) -> tuple[object, ...]:
        """Key that is equal for equal boxes."""
        bounds = (
            bounds[index][0].as_integer_ratio() for bounds in (self.lower, self.upper) for index in sorted(bounds)
        )
        return (*bounds, *((row.coefficients, row.limit) for row in self.rows))


def cases(parser: Parser, *, inputs: int, outputs: int, limit: int, deadline: Deadline = NEVER) -> tuple[Case, ...]:
    """Return the cases of the assertions in a text.

    FileFormatError is raised for more than `limit` disjuncts, an input without a bound, or only cases without inputs;
    OutOfTimeError if the deadline passes.
    """
    sets, mixed, clauses = _split(parser, limit, deadline)
    if len(sets) * len(mixed) * inputs > BOUNDS:
        words = f"{len(sets) * len(mixed)} cases of {inputs} inputs"
        raise parser.wrong(0, f"there would be {words}; at most {BOUNDS} inputs in all cases together are read")
    shared = [tuple(clause) for clause in clauses]
    found: dict[tuple[object, ...], tuple[InputBox, list[Conjunction]]] = {}
    empty: FileFormatError | None = None
    for conjunction in sets:
        around = InputBox().within(conjunction)
        for other in mixed:
            deadline.require()
            box = around.within(comparison for comparison in other if comparison.side == "X")
            _check_bounds(parser, box, inputs)
            if (index := box.conflict) is not None:
                empty = empty or _empty(parser, box, index)
                continue
            mine = tuple(comparison for comparison in other if comparison.side == "Y")
            found.setdefault(box.key, (box, []))[1].append(mine)
    if empty is not None and not found:
        raise empty
    if not shared:
        return ()
    made: dict[tuple[Conjunction, ...], tuple[Polyhedron, ...]] = {}
    result = []
    for box, own in found.values():
        deadline.require()
        alternatives = tuple(own)
        if alternatives not in made:
            joined = [(*mine, *clause) for mine in alternatives for clause in shared]
            made[alternatives] = _inequalities(parser, joined, outputs, deadline)
        result.append(_case(parser, box, made[alternatives], inputs, deadline))
    return tuple(result)


def _split(
    parser: Parser, limit: int, deadline: Deadline
) -> tuple[list[Conjunction], list[Conjunction], list[Conjunction]]:
    """Return the normal forms of the conditions on inputs, on both and on outputs, which hold together."""
    groups: dict[frozenset[str], list[Formula]] = {frozenset("X"): [], frozenset("XY"): [], frozenset("Y"): []}
    for part in parts_of(join(parser.asserted, conjunction=True), conjunction=True):
        groups[sides_of(part) or frozenset("X")].append(part)
    joined = [join(parts, conjunction=True) for parts in groups.values()]
    sizes = [size_of(formula) for formula in joined]
    disjuncts = min(math.prod(count for count, _ in sizes), MANY)
    # Clauses on outputs alone are shared by the cases instead of distributed over them.
    made = sizes[0][0] * sizes[1][0] * (sizes[2][0] if groups[frozenset("XY")] else 1) + sizes[2][0]
    largest = max(size for _, size in sizes)
    if made > limit or largest > COMPARISONS_PER_DISJUNCT * limit:
        raise parser.wrong(
            0,
            f"the normal form would have {_count(disjuncts)} disjuncts, {_count(largest)} comparisons in the largest "
            f"part of it; at most limit={limit} disjuncts and {COMPARISONS_PER_DISJUNCT * limit} comparisons fit",
        )
    sets, mixed, clauses = (normal_form(formula, deadline) for formula in joined)
    return sets, mixed, clauses


def _count(number: int) -> str:
    return str(number) if number < MANY else f"more than {MANY}"


def _check_bounds(parser: Parser, box: InputBox, inputs: int) -> None:
    for word, sign, bounds in (("lower", ">=", box.lower), ("upper", "<=", box.upper)):
        if len(bounds) < inputs:
            index = next(index for index in range(inputs) if index not in bounds)
            where = next(place for variable, place in parser.declared.items() if str(variable) == f"X_{index}")
            raise parser.wrong(
                where, f"X_{index} has no {word} bound in every case; assert ({sign} X_{index} number) for each"
            )


def _empty(parser: Parser, box: InputBox, index: int) -> FileFormatError:
    (lower, low_place), (upper, up_place) = box.lower[index], box.upper[index]
    return parser.wrong(
        max(low_place, up_place),
        f"no input is left: X_{index} must be at least {fraction_near(lower)!r} and at most {fraction_near(upper)!r}",
    )


def _case(parser: Parser, box: InputBox, clauses: tuple[Polyhedron, ...], inputs: int, deadline: Deadline) -> Case:
    inner, outer, snapped = [], [], []
    for index in range(inputs):
        if index % COMPARISONS_PER_CLOCK_CHECK == 0:
            deadline.require()
        low, high = box.lower[index][0], box.upper[index][0]
        inner.append((fraction_up(low), fraction_down(high)))
        outer.append((fraction_down(low), fraction_up(high)))
        for bound, bounds in zip(outer[-1], (box.lower, box.upper), strict=True):
            if math.isinf(bound):
                raise parser.wrong(bounds[index][1], f"a bound of X_{index} is too large for float64")
        if inner[-1][0] > inner[-1][1]:
            inner[-1] = (fraction_near(low), fraction_near(low))
            snapped.append(index)
    (lower, upper), (outer_lower, outer_upper) = (
        torch.tensor(pairs, dtype=torch.float64).unbind(1) for pairs in (inner, outer)
    )
    rows = _inequalities(parser, [box.rows], inputs, deadline)[0] if box.rows else None
    return Case(lower, upper, outer_lower, outer_upper, tuple(snapped), rows, clauses)


def _inequalities(
    parser: Parser, clauses: list[Conjunction], variables: int, deadline: Deadline
) -> tuple[Polyhedron, ...]:
    """Return the comparisons of each clause as rows with exact coefficients."""
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    limits: list[tuple[float, float]] = []
    for place, comparison in enumerate(itertools.chain.from_iterable(clauses)):
        if place % COMPARISONS_PER_CLOCK_CHECK == 0:
            deadline.require()
        scale = _scale(comparison.coefficients)
        limit = comparison.limit if scale == 1 else comparison.limit * scale
        rows.extend([len(limits)] * len(comparison.coefficients))
        limits.append((fraction_up(limit), fraction_down(limit)))
        if any(map(math.isinf, limits[-1])):
            raise parser.wrong(comparison.position, "the limit is too large for float64")
        for index, coefficient in comparison.coefficients:
            scaled = coefficient if scale == 1 else coefficient * scale
            number = fraction_near(scaled)
            if not _is_exact(number, scaled):
                raise parser.wrong(comparison.position, "the coefficients have too many digits to be exact in float64")
            columns.append(index)
            values.append(number)
    if len(limits) * variables > VALUE_ENTRIES:
        raise parser.wrong(0, f"{len(limits)} comparisons of {variables} variables have too many coefficients")
    matrix = torch.zeros(len(limits), variables, dtype=torch.float64)
    matrix[rows, columns] = torch.tensor(values, dtype=torch.float64)
    upper, inner = torch.tensor(limits, dtype=torch.float64).reshape(-1, 2).T.contiguous()
    lengths = [len(clause) for clause in clauses]
    return tuple(map(Polyhedron, matrix.split(lengths), upper.split(lengths), inner.split(lengths)))


def _scale(coefficients: tuple[tuple[int, Fraction], ...]) -> Fraction:
    """Return a factor that makes the coefficients of a row exact in float64, if one exists."""
    numbers = [number for _, number in coefficients]
    if len(numbers) == 1 and abs(numbers[0]) != 1:
        return abs(1 / numbers[0])
    if all(_is_exact(fraction_near(number), number) for number in numbers):
        return Fraction(1)
    multiple = math.lcm(*(number.denominator for number in numbers))
    return Fraction(multiple, math.gcd(*(int(number * multiple) for number in numbers)))


def _is_exact(rounded: float, number: Fraction) -> bool:
    return math.isfinite(rounded) and rounded.as_integer_ratio() == (number.numerator, number.denominator)
