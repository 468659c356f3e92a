"""A text that is not VNN-LIB 1.0 is refused in one line, with the line of the text."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack.errors import FileFormatError
from relu_attack.io import parse_vnnlib, read_vnnlib
from tests.io.formulas import DECIMAL, Drawn, properties

HEAD = """; a property
(declare-const X_0 Real)
(declare-const Y_0 Real)
(assert (<= X_0 1.0))
(assert (>= X_0 0.0))
"""  # five lines
OPERATORS = "declare-const, assert, and, or, <=, >=, +, -, *"


def raised(text: str, **options: int) -> str:
    with pytest.raises(FileFormatError) as caught:
        parse_vnnlib(text, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(assert (<= Y_0 1.0)", "6: this parenthesis is never closed"),
        ("\n(assert (<= Y_0 1.0))\n)", "8: ')' stands outside of parentheses"),
        ("Y_0", "6: 'Y_0' stands outside of parentheses"),
        ("(assert\n  (<= Y_0\n   Y_1))", "8: 'Y_1' is not declared before it is used"),
        ("(assert (<= Z 1.0))", "6: 'Z' is no number and no variable"),
        ("(assert (<= Y_0 1,0))", "6: '1,0' is no number and no variable"),
        ("(assert (<= Y_0 1e999))", "6: the number '1e999' has too many digits or is too large"),
        ("(assert (<= Y_0 1e-9999))", "6: the number '1e-9999' has too many digits or is too large"),
        ("(assert (<= Y_0 nan))", "6: 'nan' is no number and no variable"),
        (f"(assert (<= Y_0 {'9' * 1001}))", f"6: the number '{'9' * 40}...' has too many digits or is too large"),
        (
            "(assert\n(< Y_0 1.0))",
            f"7: unknown operator '<'; VNN-LIB 1.0 compares with <= only; known: {OPERATORS}",
        ),
        ("(assert (= Y_0 1.0))", f"6: unknown operator '='; write both <= and >=; known: {OPERATORS}"),
        ("(check-sat)", f"6: unknown operator 'check-sat'; known: {OPERATORS}"),
        (
            "(vnnlib-version <2.0>)",
            "6: unknown operator 'vnnlib-version'; VNN-LIB 1.0 has no version line, and later versions are not read; "
            f"known: {OPERATORS}",
        ),
        ("(assert (Y_0))", f"6: unknown operator 'Y_0'; known: {OPERATORS}"),
        ("(assert ())", "6: an operator must follow this parenthesis"),
        ("((<= Y_0 1.0))", "6: an operator must follow this parenthesis"),
        ("(<= Y_0 1.0)", "6: (<= ...) may not stand on its own; put it into (assert ...)"),
        ("(assert (assert (<= Y_0 1.0)))", "6: (assert ...) may not stand inside of another expression"),
        ("(assert Y_0)", "6: (assert ...) takes one comparison, and, or or, and nothing else"),
        ("(assert)", "6: (assert ...) takes one comparison, and, or or, and nothing else"),
        ("(assert (and Y_0))", "6: (and ...) takes comparisons, and, or, and nothing else"),
        ("(assert (or (<= Y_0 1.0)\n  (+ Y_0 1.0)))", "6: (or ...) takes comparisons, and, or, and nothing else"),
        ("(assert (<= Y_0 1.0 2.0))", "6: (<= ...) takes 2 numbers, variables or sums"),
        ("(assert (<= Y_0 (<= Y_0 1.0)))", "6: (<= ...) takes 2 numbers, variables or sums"),
        ("(assert (<= Y_0 (+)))", "6: (+ ...) takes numbers, variables or sums"),
        ("(assert (<= Y_0 (* Y_0 Y_0)))", "6: a product of variables is not linear"),
        ("(assert (<= Y_0 X_0))", "6: a comparison of inputs with outputs; compare either among themselves"),
        ("(declare-const X_0 Real)", "6: X_0 is declared a second time"),
        ("(declare-const Y_1 Int)", "6: a declaration must read (declare-const X_0 Real), or Y_0 for an output"),
        ("(declare-const Y_01 Real)", "6: a declaration must read (declare-const X_0 Real), or Y_0 for an output"),
        ("(declare-const Y_1)", "6: a declaration must read (declare-const X_0 Real), or Y_0 for an output"),
        ("(declare-const Y_2 Real)", "6: Y_2 is declared, but Y_1 is not"),
        (
            "(declare-const X_1 Real)(assert (>= X_1 0))",
            "6: X_1 has no upper bound in every case; assert (<= X_1 number) for each",
        ),
        (
            "(declare-const X_1 Real)\n(assert (or (>= X_1 0) (<= X_1 0)))(assert (<= X_1 5))",
            "6: X_1 has no lower bound in every case; assert (>= X_1 number) for each",
        ),
        ("\n(assert (>= X_0 1.5))", "7: no input is left: X_0 must be at least 1.5 and at most 1.0"),
        (
            "(assert (or (>= X_0 1.5)\n(>= X_0 2.5)))",
            "6: no input is left: X_0 must be at least 1.5 and at most 1.0",
        ),
        (
            "(assert (<= Y_0 (* 1e300 1e300)))",
            "6: the limit is too large for float64",
        ),
        (
            "(declare-const X_1 Real)(assert (>= X_1 0))\n(assert (<= X_1 (* 1e300 1e300)))",
            "7: a bound of X_1 is too large for float64",
        ),
        (
            f"(declare-const Y_1 Real)\n(assert (<= (* 0.{'1' * 30} Y_0) (* 0.{'3' * 29} Y_1)))",
            "7: the coefficients have too many digits to be exact in float64",
        ),
        (f"(assert (<= Y_0 (* {' '.join(['1e-900'] * 20)})))", "6: a product has too many digits"),
    ],
)
def test_error_names_the_line(text: str, message: str) -> None:
    assert raised(HEAD + text) == f"text, line {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text declares no input; it must hold (declare-const X_0 Real)"),
        ("(declare-const X_0 Real)", "text declares no output; it must hold (declare-const Y_0 Real)"),
        (
            "(declare-const X_0 Real)(declare-const Y_0 Real)",
            "text, line 1: X_0 has no lower bound in every case; assert (>= X_0 number) for each",
        ),
    ],
)
def test_property_that_lacks_a_part(text: str, message: str) -> None:
    assert raised(text) == message


def test_normal_form_has_a_limit() -> None:
    pairs = "(assert (or (<= Y_0 1) (<= Y_0 2)))" * 12
    assert raised(HEAD + pairs, limit=4095) == (
        "text, line 1: the normal form would have 4096 disjuncts, 49152 comparisons in the largest part of it; at most "
        "limit=4095 disjuncts and 409500 comparisons fit"
    )
    (case,) = parse_vnnlib(HEAD + pairs, limit=4097).cases
    assert len(case.clauses) == 4096
    assert "more than 1000000000000000000 disjuncts" in raised(HEAD + pairs * 100)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.vnnlib", None, "cannot be read: No such file or directory"),
        ("p.txt", b"", "must end in .vnnlib or .vnnlib.gz"),
        (
            "p.vnnlib.gz",
            gzip.compress(HEAD.encode(), mtime=0)[:-9],
            "is not a whole gzip file: Compressed file ended before the end-of-stream marker was reached",
        ),
        ("p.vnnlib.gz", HEAD.encode(), "is not a whole gzip file: Not a gzipped file (b'; ')"),
    ],
)
def test_file_that_cannot_be_read(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read_vnnlib(path)
    assert str(caught.value) == f"{path} {message}"


def test_error_of_a_file_names_it(tmp_path: Path) -> None:
    path = tmp_path / "p.vnnlib"
    path.write_text(HEAD + "(assert")
    with pytest.raises(FileFormatError) as caught:
        read_vnnlib(path)
    assert str(caught.value) == f"{path}, line 6: this parenthesis is never closed"


@pytest.mark.slow
@given(drawn=properties(numbers=DECIMAL), data=st.data())
@settings(max_examples=250, deadline=None, derandomize=True)
def test_damaged_text_is_read_or_refused_by_name(drawn: Drawn, data: st.DataObject) -> None:
    """Any exception but the named one fails it."""
    text = drawn.text
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = start + data.draw(st.integers(0, 3))
        text = text[:start] + data.draw(st.text("()<=>XY_0123456789.eE+-* ;\nandorsteclRé\0", max_size=3)) + text[stop:]
    try:
        asked = parse_vnnlib(text)
    except FileFormatError as reason:
        refusal = str(reason)
    else:
        refusal = "none"
        assert asked.inputs >= 0
        assert asked.outputs >= 0
    assert len(refusal.splitlines()) == 1
