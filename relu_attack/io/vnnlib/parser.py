"""The text of a property: declarations and asserted formulas, in one pass and without recursion."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from relu_attack.errors import FileFormatError
from relu_attack.io.vnnlib.expression import Expression, Term, Value
from relu_attack.io.vnnlib.formulas import Formula, Variable
from relu_attack.io.vnnlib.operators import COMMANDS, HINTS, NAME, OPERATORS

TOKEN = re.compile(r"[()]|;[^\n]*|[^\s();]+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE]([+-]?[0-9]{1,4}))?")
LONGEST = 1000
"""Digits and powers of ten of a number: more than any float64 needs, and still quick to compute with."""


@dataclass(eq=False)
class Parser:
    """Reads the text of one file.

    Attributes
    ----------
    path, text
        The file and its content.
    declared
        Where in the text each variable is declared.
    asserted
        The asserted formulas, all of which hold.
    terms
        What each name and each number means.
    """

    path: Path
    text: str
    declared: dict[Variable, int] = field(default_factory=dict)
    asserted: list[Formula] = field(default_factory=list)
    terms: dict[str, Term] = field(default_factory=dict)

    def wrong(self, position: int, reason: str) -> FileFormatError:
        """Return the error at a place of the text, for a caller to raise."""
        line = self.text.count("\n", 0, position) + 1
        return FileFormatError(f"{self.path}, line {line}: {reason}")

    def parse(self) -> None:
        """Read the whole text.

        Raises
        ------
        FileFormatError
            With the line of what is not VNN-LIB 1.0.
        """
        opened: list[Expression] = []
        for match in TOKEN.finditer(self.text):
            token = match.group()
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

    def _operator(self, token: str, position: int) -> str:
        """Return the operator that a word names."""
        if token not in OPERATORS:
            known = ", ".join(OPERATORS)
            raise self.wrong(position, f"unknown operator {_shown(token)}{HINTS.get(token, '')}; known: {known}")
        return token

    def _term(self, token: str, position: int) -> Term:
        """Return what a name or a number means."""
        term = self.terms.get(token)
        if term is not None:
            return term
        number = NUMBER.fullmatch(token)
        if number is None:
            what = "is not declared before it is used" if NAME.fullmatch(token) else "is no number and no variable"
            raise self.wrong(position, f"{_shown(token)} {what}")
        if len(token) > LONGEST or abs(int(number[3] or 0)) > LONGEST or math.isinf(float(token)):
            raise self.wrong(position, f"the number {_shown(token)} has too many digits or is too large")
        self.terms[token] = Term({}, Fraction(token))
        return self.terms[token]

    def _close(self, expression: Expression, *, outermost: bool) -> Value:
        """Return what an expression means."""
        operator, position = expression.operator, expression.position
        if operator is None:
            raise self.wrong(position, "an operator must follow this parenthesis")
        if outermost != (operator in COMMANDS):
            place = "on its own; put it into (assert ...)" if outermost else "inside of another expression"
            raise self.wrong(position, f"({operator} ...) may not stand {place}")
        return OPERATORS[operator](self, expression)


def _shown(token: str) -> str:
    return repr(token if len(token) <= 40 else f"{token[:40]}...")
