"""Parser of properties: declarations and asserted formulas in one pass, without recursion."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from relu_attack._deadline import NEVER, Deadline
from relu_attack._limits import DIGITS
from relu_attack.errors import FileFormatError
from relu_attack.io.vnnlib._expression import Expression, Term, Value
from relu_attack.io.vnnlib._formulas import Comparison, Formula, Variable
from relu_attack.io.vnnlib._operators import COMMANDS, HINTS, NAME, OPERATORS, declare

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE]([+-]?[0-9]{1,4}))?")
# Bounds on one variable and declarations have a fast path: files of a million lines consist of them.
TOKEN = re.compile(
    r"\(\s*(?:(assert)\s*\(\s*)?([<>]=)\s+([XY]_[0-9]+)\s+([+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?)\s*\)"
    r"(?(1)\s*\))"
    r"|\(\s*declare-const\s+([XY]_[0-9]+)\s+Real\s*\)"
    r"|[()]|;[^\n]*|[^\s();]+"
)
TOKENS_PER_CLOCK_CHECK = 1024
"""Tokens between two checks of the deadline: some hundredths of a second."""
_SIGNS = {"<=": Fraction(1), ">=": Fraction(-1)}


@dataclass(eq=False)
class Parser:
    """Parser of the text of one file.

    The property is the conjunction of the formulas `asserted`. `declared` has the position of each variable's
    declaration in the text, `terms` the term of each name and number, and `tokens` how many were read.
    """

    path: Path
    text: str
    declared: dict[Variable, int] = field(default_factory=dict)
    asserted: list[Formula] = field(default_factory=list)
    terms: dict[str, Term] = field(default_factory=dict)
    tokens: int = 0

    def wrong(self, position: int, reason: str) -> FileFormatError:
        """Return the error at a position of the text, for a caller to raise."""
        line = self.text.count("\n", 0, position) + 1
        return FileFormatError(f"{self.path}, line {line}: {reason}")

    def parse(self, deadline: Deadline = NEVER) -> None:
        """Parse the text; a FileFormatError names the line that is not VNN-LIB 1.0."""
        opened: list[Expression] = []
        position = 0
        while (match := TOKEN.search(self.text, position)) is not None:
            position = match.end()
            self._check_deadline(deadline)
            token = match[0]
            if match.lastindex:
                if match[5] and not opened:
                    declare(self, Expression(match.start(), "declare-const", [match[5], "Real"]))
                    continue
                bound = None if match[5] else self._bound(match, outermost=not opened)
                if bound is not None:
                    (opened[-1].arguments if opened else self.asserted).append(bound)
                    continue
                # The slow path reports errors.
                token, position = "(", match.start() + 1
            if token == "(":
                opened.append(Expression(match.start()))
            elif token[0] == ";":
                continue
            elif not opened:
                raise self.wrong(match.start(), f"{_shown(token)} stands outside of parentheses")
            elif token == ")":
                value = self._close(opened.pop(), outermost=not opened)
                if opened:
                    opened[-1].arguments.append(value)
            elif opened[-1].operator is None and not opened[-1].arguments:
                opened[-1].operator = self._operator(token, opened[-1].position)
            else:
                raw = opened[-1].operator == "declare-const"
                opened[-1].arguments.append(token if raw else self._term(token, match.start()))
        if opened:
            raise self.wrong(opened[0].position, "this parenthesis is never closed")

    def _check_deadline(self, deadline: Deadline) -> None:
        """Raise `OutOfTimeError` if the deadline has passed, checked from time to time."""
        self.tokens += 1
        if self.tokens % TOKENS_PER_CLOCK_CHECK == 0:
            deadline.require()

    def _bound(self, match: re.Match[str], *, outermost: bool) -> Comparison | None:
        """Return a bound on one variable, or None for any other expression."""
        asserted, operator, name, number, _ = match.groups()
        variable = self.terms.get(name)
        if outermost != bool(asserted) or variable is None or len(number) > DIGITS or math.isinf(float(number)):
            return None
        limit, sign = Fraction(*Decimal(number).as_integer_ratio()), _SIGNS[operator]
        ((named, _),) = variable.coefficients.items()
        return Comparison(named.side, ((named.number, sign),), limit if operator == "<=" else -limit, match.start())

    def _operator(self, token: str, position: int) -> str:
        """Return the operator of a word."""
        if token not in OPERATORS:
            known = ", ".join(OPERATORS)
            raise self.wrong(position, f"unknown operator {_shown(token)}{HINTS.get(token, '')}; known: {known}")
        return token

    def _term(self, token: str, position: int) -> Term:
        """Return the term of a name or number."""
        term = self.terms.get(token)
        if term is not None:
            return term
        number = NUMBER.fullmatch(token)
        if number is None:
            what = "is not declared before it is used" if NAME.fullmatch(token) else "is no number and no variable"
            raise self.wrong(position, f"{_shown(token)} {what}")
        if len(token) > DIGITS or abs(int(number[3] or 0)) > DIGITS or math.isinf(float(token)):
            raise self.wrong(position, f"the number {_shown(token)} has too many digits or is too large")
        self.terms[token] = Term({}, Fraction(token))
        return self.terms[token]

    def _close(self, expression: Expression, *, outermost: bool) -> Value:
        """Return the value of an expression."""
        operator, position = expression.operator, expression.position
        if operator is None:
            raise self.wrong(position, "an operator must follow this parenthesis")
        if outermost != (operator in COMMANDS):
            place = "on its own; put it into (assert ...)" if outermost else "inside of another expression"
            raise self.wrong(position, f"({operator} ...) may not stand {place}")
        return OPERATORS[operator](self, expression)


def _shown(token: str) -> str:
    return repr(token if len(token) <= 40 else f"{token[:40]}...")
