"""Semantics of the operators of VNN-LIB, in one table."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

from relu_attack._limits import RATIONAL_BITS
from relu_attack.errors import FileFormatError
from relu_attack.io.vnnlib._expression import Expression, Term, Value
from relu_attack.io.vnnlib._formulas import Comparison, Formula, Junction, Variable, join

NAME = re.compile(r"([XY])_(0|[1-9][0-9]{0,8})")


class Statements(Protocol):
    """What operators see of the parser of a file: what was declared and asserted so far."""

    declared: dict[Variable, int]
    asserted: list[Formula]
    terms: dict[str, Term]

    def wrong(self, position: int, reason: str) -> FileFormatError:
        """Return the error at a place of the text."""


def declare(parser: Statements, expression: Expression) -> None:
    """Read ``(declare-const X_0 Real)``."""
    name = NAME.fullmatch(str(expression.arguments[0])) if len(expression.arguments) == 2 else None
    if name is None or expression.arguments[1] != "Real":
        raise parser.wrong(
            expression.position, "a declaration must read (declare-const X_0 Real), or Y_0 for an output"
        )
    variable = Variable(name[1], int(name[2]))
    if variable in parser.declared:
        raise parser.wrong(expression.position, f"{variable} is declared a second time")
    parser.declared[variable] = expression.position
    parser.terms[str(variable)] = Term({variable: Fraction(1)}, Fraction(0))


def assert_(parser: Statements, expression: Expression) -> None:
    """Read ``(assert formula)``."""
    parser.asserted.extend(_formulas(parser, expression, count=1))


def conjoin(parser: Statements, expression: Expression) -> Formula:
    """Read ``(and formula ...)``."""
    return join(_formulas(parser, expression), conjunction=True)


def disjoin(parser: Statements, expression: Expression) -> Formula:
    """Read ``(or formula ...)``."""
    return join(_formulas(parser, expression), conjunction=False)


def at_most(parser: Statements, expression: Expression) -> Formula:
    """Read ``(<= term term)``."""
    left, right = _terms(parser, expression, count=2)
    return _compare(parser, expression, left, right)


def at_least(parser: Statements, expression: Expression) -> Formula:
    """Read ``(>= term term)``."""
    left, right = _terms(parser, expression, count=2)
    return _compare(parser, expression, right, left)


def add(parser: Statements, expression: Expression) -> Term:
    """Read ``(+ term ...)``."""
    return _sum(_terms(parser, expression))


def subtract(parser: Statements, expression: Expression) -> Term:
    """Read ``(- term)`` or ``(- term term ...)``."""
    first, *others = _terms(parser, expression)
    return _sum([first, *(_scale(term, Fraction(-1)) for term in others)]) if others else _scale(first, Fraction(-1))


def multiply(parser: Statements, expression: Expression) -> Term:
    """Read ``(* number term)``: all factors but one are numbers."""
    result = Term({}, Fraction(1))
    for term in _terms(parser, expression):
        if result.coefficients and term.coefficients:
            raise parser.wrong(expression.position, "a product of variables is not linear")
        varying, number = (term, result.constant) if term.coefficients else (result, term.constant)
        result = _scale(varying, number)
        numbers = (*result.coefficients.values(), result.constant)
        if any(max(abs(number.numerator), number.denominator) > 1 << RATIONAL_BITS for number in numbers):
            raise parser.wrong(expression.position, "a product has too many digits")
    return result


def _formulas(parser: Statements, expression: Expression, *, count: int | None = None) -> list[Formula]:
    found = [argument for argument in expression.arguments if isinstance(argument, Comparison | Junction)]
    if len(found) != len(expression.arguments) or (count is not None and len(found) != count):
        wanted = "comparisons, and, or" if count is None else "one comparison, and, or or"
        raise parser.wrong(expression.position, f"({expression.operator} ...) takes {wanted}, and nothing else")
    return found


def _terms(parser: Statements, expression: Expression, *, count: int | None = None) -> list[Term]:
    found = [argument for argument in expression.arguments if isinstance(argument, Term)]
    if len(found) != len(expression.arguments) or not found or (count is not None and len(found) != count):
        wanted = "" if count is None else f"{count} "
        raise parser.wrong(expression.position, f"({expression.operator} ...) takes {wanted}numbers, variables or sums")
    return found


def _sum(terms: list[Term]) -> Term:
    # The longest term is extended in place: nested sums would otherwise be copied at each level.
    longest = max(range(len(terms)), key=lambda place: len(terms[place].coefficients))
    coefficients = terms[longest].coefficients
    if len(coefficients) == 1:  # may be the shared term of a variable
        coefficients = dict(coefficients)
    for place, term in enumerate(terms):
        if place != longest:
            for variable, coefficient in term.coefficients.items():
                coefficients[variable] = coefficients.get(variable, 0) + coefficient
    return Term(coefficients, sum((term.constant for term in terms), Fraction(0)))


def _scale(term: Term, number: Fraction) -> Term:
    return Term(
        {variable: number * coefficient for variable, coefficient in term.coefficients.items()}, number * term.constant
    )


def _compare(parser: Statements, expression: Expression, low: Term, high: Term) -> Formula:
    """Return ``low <= high`` with the variables on the left and the number on the right."""
    # Most comparisons have a single variable or number on each side and need no arithmetic.
    coefficients = dict(low.coefficients)
    for variable, coefficient in high.coefficients.items():
        before = coefficients.get(variable)
        coefficients[variable] = -coefficient if before is None else before - coefficient
    pairs = tuple((variable.number, number) for variable, number in coefficients.items() if number)
    sides = {variable.side for variable, number in coefficients.items() if number}
    limit = high.constant - low.constant if low.constant else high.constant
    if not sides:
        return join([], conjunction=limit >= 0)  # true or false
    if len(sides) > 1:
        raise parser.wrong(expression.position, "a comparison of inputs with outputs; compare either among themselves")
    return Comparison(sides.pop(), pairs, limit, expression.position)


COMMANDS = ("declare-const", "assert")
OPERATORS: dict[str, Callable[[Statements, Expression], Value]] = {
    "declare-const": declare,
    "assert": assert_,
    "and": conjoin,
    "or": disjoin,
    "<=": at_most,
    ">=": at_least,
    "+": add,
    "-": subtract,
    "*": multiply,
}
HINTS = {
    "<": "; VNN-LIB 1.0 compares with <= only",
    ">": "; VNN-LIB 1.0 compares with >= only",
    "=": "; write both <= and >=",
    "vnnlib-version": "; VNN-LIB 1.0 has no version line, and later versions are not read",
}
