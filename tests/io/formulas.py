"""Random properties for tests: formulas as trees, their text in some layout, what they say in rational arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any, TypeAlias

from hypothesis import strategies as st

Tree: TypeAlias = Any
"""A number as text, a variable's name, or an operator with its arguments."""

INPUTS, OUTPUTS = ("X_0", "X_1"), ("Y_0", "Y_1", "Y_2")
DYADIC = ("-2", "-1.5", "-0.25", "0", "0.0", "0.125", ".5", "1.", "1e0", "12.5E-1", "+2", "3")
SHORT = 5
"""So many of the numbers have few digits, and may be coefficients."""
DECIMAL = ("-0.1", "0.3", "1e-1", "0.7000", "-1.1e+0", "0.333333333333333333333", "1e-30")
BOUND = "8"
"""Every input lies between this and its negative."""


def evaluate(tree: Tree, values: dict[str, Fraction]) -> Any:
    """Return what a tree says where the variables have these values."""
    if isinstance(tree, str):
        return values[tree] if tree in values else Fraction(tree)
    operator, *arguments = tree
    found = [evaluate(argument, values) for argument in arguments]
    if operator == "-":
        return -found[0] if len(found) == 1 else found[0] - sum(found[1:])
    if operator == "*":
        return found[0] * found[1]
    return {
        "and": all,
        "or": any,
        "+": sum,
        "<=": lambda pair: pair[0] <= pair[1],
        ">=": lambda pair: pair[0] >= pair[1],
    }[operator](found)


@dataclass(frozen=True)
class Drawn:
    """A property: what is asserted, its text, and points near its limits."""

    asserted: Sequence[Tree]
    text: str
    points: Sequence[tuple[list[float], list[float]]]

    def violated_by(self, x: list[float], y: list[float]) -> bool:
        """Evaluate the trees by rational arithmetic."""
        names = {**dict(zip(INPUTS, x, strict=True)), **dict(zip(OUTPUTS, y, strict=True))}
        values = {name: Fraction(value) for name, value in names.items()}
        return all(evaluate(tree, values) for tree in self.asserted)


def _terms(names: Sequence[str], numbers: Sequence[str]) -> st.SearchStrategy[Tree]:
    number = st.one_of(st.sampled_from(numbers), st.tuples(st.just("-"), st.sampled_from(numbers)))
    name = st.sampled_from(names)
    factor = st.sampled_from(numbers[:SHORT])
    leaf = st.one_of(number, name, name, st.tuples(st.just("*"), factor, name), st.tuples(st.just("*"), name, factor))
    more = st.one_of(
        st.tuples(st.just("+"), leaf, leaf), st.tuples(st.just("-"), leaf, leaf), st.tuples(st.just("-"), leaf)
    )
    return st.one_of(leaf, leaf, more)


@cache  # hypothesis takes longer to build a strategy than to draw from it
def _formulas(numbers: tuple[str, ...]) -> st.SearchStrategy[Tree]:
    def comparison(names: Sequence[str]) -> st.SearchStrategy[Tree]:
        terms = _terms(names, numbers)
        return st.tuples(st.sampled_from(["<=", ">="]), terms, terms)

    leaf = st.one_of(comparison(INPUTS), comparison(OUTPUTS))
    return st.recursive(
        leaf,
        lambda inner: st.builds(
            lambda operator, parts: (operator, *parts), st.sampled_from(["and", "or"]), st.lists(inner, max_size=3)
        ),
        max_leaves=8,
    )


def _layout(random: Random, tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    space = random.choice([" ", "\n", "\t  ", " ; a (comment\n", "\r\n"])
    ahead = random.choice(["", "", " ", "\n"])
    return f"({ahead}{tree[0]}" + "".join(space + _layout(random, part) for part in tree[1:]) + f"{ahead})"


@st.composite
def properties(draw: st.DrawFn, *, numbers: tuple[str, ...]) -> Drawn:
    """Draw a property whose inputs all have bounds, and points at which to look at it."""
    random = Random(draw(st.integers(0, 2**32 - 1)))
    bounds = [(operator, name, sign + BOUND) for name in INPUTS for operator, sign in (("<=", ""), (">=", "-"))]
    asserted = [*bounds, *draw(st.lists(_formulas(numbers), max_size=4))]
    names = [*INPUTS, *OUTPUTS]
    random.shuffle(asserted)
    random.shuffle(names)
    lines = [_layout(random, ("declare-const", name, "Real")) for name in names]
    lines += [_layout(random, ("assert", tree)) for tree in asserted]
    text = random.choice(["", "; a property\n"]) + random.choice(["\n", "", "\n\n"]).join(lines)
    values = [*map(float, numbers), *map(float, range(-9, 10))]
    points = [(random.choices(values, k=len(INPUTS)), random.choices(values, k=len(OUTPUTS))) for _ in range(20)]
    return Drawn(asserted, text, points)
