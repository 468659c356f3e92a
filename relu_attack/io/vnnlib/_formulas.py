"""Formulas over comparisons, and their disjunctive normal form."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from relu_attack._deadline import NEVER, Deadline


class Variable(NamedTuple):
    """An input (``X``) or an output (``Y``)."""

    side: str
    number: int

    def __str__(self) -> str:
        return f"{self.side}_{self.number}"


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """``sum of coefficient * variable <= limit`` over variables of one side, with rational numbers.

    `side` is ``X`` for inputs and ``Y`` for outputs; coefficients stand with the numbers of their variables and are not
    zero.
    """

    side: str
    coefficients: tuple[tuple[int, Fraction], ...]
    limit: Fraction
    position: int


@dataclass(frozen=True, eq=False, slots=True)
class Junction:
    """A conjunction or a disjunction; an empty conjunction is true, an empty disjunction is false.

    `sides` are those of its variables, of ``X`` and ``Y``; `disjuncts` and `comparisons` count the conjunctions of its
    normal form, and the comparisons in all of them.
    """

    conjunction: bool
    parts: tuple[Formula, ...]
    sides: frozenset[str]
    disjuncts: int
    comparisons: int


Formula: TypeAlias = Comparison | Junction
Conjunction: TypeAlias = tuple[Comparison, ...]

FORMULAS_PER_CLOCK_CHECK = 4096
"""Formulas between two checks of the deadline: some milliseconds."""
MANY = 10**18
"""Cap of counts."""


def join(parts: Sequence[Formula], *, conjunction: bool) -> Formula:
    """Return the conjunction or disjunction of formulas."""
    if len(parts) == 1:
        return parts[0]
    sides = frozenset[str]().union(*(sides_of(part) for part in parts))
    counts = [size_of(part) for part in parts]
    if not conjunction:
        return Junction(False, tuple(parts), sides, sum(count for count, _ in counts), sum(size for _, size in counts))
    disjuncts, comparisons = 1, 0
    for count, size in counts:
        comparisons = min(comparisons * count + size * disjuncts, MANY)
        disjuncts = min(disjuncts * count, MANY)
    return Junction(True, tuple(parts), sides, disjuncts, comparisons)


def sides_of(formula: Formula) -> frozenset[str]:
    """Return the sides of the variables in a formula."""
    return formula.sides if isinstance(formula, Junction) else frozenset(formula.side)


def parts_of(formula: Formula, *, conjunction: bool) -> list[Formula]:
    """Return the operands of a junction, nested junctions of the same kind flattened."""
    found: list[Formula] = []
    waiting = [formula]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Junction) and part.conjunction == conjunction:
            waiting.extend(reversed(part.parts))
        else:
            found.append(part)
    return found


def normal_form(formula: Formula, deadline: Deadline = NEVER) -> list[Conjunction]:
    """Return the disjunctive normal form: a list of conjunctions in the order of the text.

    The implementation is iterative, so formulas may be nested to any depth.
    """
    waiting: list[tuple[Formula, int | None]] = [(formula, None)]
    done: list[list[Conjunction]] = []
    steps = 0
    while waiting:
        if steps % FORMULAS_PER_CLOCK_CHECK == 0:
            deadline.require()
        steps += 1
        part, count = waiting.pop()
        if isinstance(part, Comparison):
            done.append([(part,)])
        elif count is None:
            parts = parts_of(part, conjunction=part.conjunction)
            waiting.append((part, len(parts)))
            waiting.extend((inner, None) for inner in reversed(parts))
        else:
            first = len(done) - count
            done[first:] = [_conjoin(done[first:]) if part.conjunction else [*itertools.chain(*done[first:])]]
    return done[0]


def _conjoin(parts: list[list[Conjunction]]) -> list[Conjunction]:
    """Return the conjunctions of all choices of one disjunct from each part."""
    sure = [comparison for part in parts if len(part) == 1 for comparison in part[0]]
    choices = itertools.product(*(part for part in parts if len(part) != 1))
    return [(*sure, *itertools.chain.from_iterable(choice)) for choice in choices]


def size_of(formula: Formula) -> tuple[int, int]:
    """Return the number of conjunctions of the normal form, and of comparisons in all of them."""
    return (formula.disjuncts, formula.comparisons) if isinstance(formula, Junction) else (1, 1)
