"""Properties in VNN-LIB 1.0, and witnesses against them."""

from __future__ import annotations

import os
from pathlib import Path

from relu_attack._checks import check_is
from relu_attack._deadline import NEVER, Deadline
from relu_attack._files import as_path
from relu_attack._limits import PROPERTY_BYTES
from relu_attack._loading import without_collection
from relu_attack.errors import FileFormatError
from relu_attack.io._compressed import read_bytes
from relu_attack.io.vnnlib._cases import cases
from relu_attack.io.vnnlib._formulas import Variable
from relu_attack.io.vnnlib._parser import Parser
from relu_attack.io.vnnlib._property import Property

LIMIT = 100_000


def read_vnnlib(path: str | os.PathLike[str], *, limit: int = LIMIT, deadline: Deadline = NEVER) -> Property:
    """Read a property in VNN-LIB 1.0.

    The assertions of a file describe a *violation* of the property. Conjunctions and disjunctions, nested to any depth,
    are converted to cases: sets of inputs with clauses on the outputs. Terms may be sums, differences and products with
    numbers. Cases without inputs are left out; a property with only such cases is an error.

    Parameters
    ----------
    path
        A name in ``.vnnlib`` or ``.vnnlib.gz``.
    limit
        Largest number of disjuncts of the normal form.
    deadline
        Time limit, beyond which an `OutOfTimeError` is raised.

    Returns
    -------
    Property
        The cases, with every number of the file rounded in both directions.

    Raises
    ------
    FileFormatError
        For a file that cannot be read or is not VNN-LIB 1.0, such as an unbalanced parenthesis, a strict or mixed
        comparison, an undeclared variable, an input without a bound, too many disjuncts; names the line.
    """
    # Comments may have any encoding; a replaced character elsewhere is rejected with its line.
    text = read_bytes(path, suffix=".vnnlib", most=PROPERTY_BYTES).decode("utf-8-sig", errors="replace")
    return _property(Parser(as_path(path), text), limit, deadline)


def parse_vnnlib(text: str, *, limit: int = LIMIT) -> Property:
    """Read a property from text, as `read_vnnlib` does from a file.

    Examples
    --------
    >>> unsafe = parse_vnnlib('''
    ...     (declare-const X_0 Real)  (declare-const Y_0 Real)  (declare-const Y_1 Real)
    ...     (assert (or (and (>= X_0 0.0) (<= X_0 0.5)) (and (>= X_0 1.0) (<= X_0 2.0))))
    ...     (assert (>= Y_0 Y_1))
    ... ''')
    >>> [(case.lower.item(), case.upper.item(), len(case.clauses)) for case in unsafe.cases]
    [(0.0, 0.5, 1), (1.0, 2.0, 1)]
    >>> unsafe.cases[0].clauses[0].matrix
    tensor([[-1.,  1.]], dtype=torch.float64)
    """
    check_is(text, str, name="text", wanted="a property in VNN-LIB as text", error=FileFormatError)
    return _property(Parser(Path("text"), text), limit, NEVER)


@without_collection()  # a million small objects are created, and none is garbage
def _property(parser: Parser, limit: int, deadline: Deadline) -> Property:
    parser.parse(deadline)
    counts = {}
    for side, word in (("X", "input"), ("Y", "output")):
        count = counts[side] = sum(variable.side == side for variable in parser.declared)
        if not count:
            raise FileFormatError(f"{parser.path} declares no {word}; it must hold (declare-const {side}_0 Real)")
        missing = next((index for index in range(count) if Variable(side, index) not in parser.declared), None)
        if missing is not None:
            last = max(variable for variable in parser.declared if variable.side == side)
            raise parser.wrong(parser.declared[last], f"{last} is declared, but {side}_{missing} is not")
    found = cases(parser, inputs=counts["X"], outputs=counts["Y"], limit=limit, deadline=deadline)
    return Property(counts["X"], counts["Y"], found)
