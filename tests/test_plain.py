"""JSON and YAML are read within limits: a small file takes neither all memory nor minutes, and errors have names."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack._limits import DIGITS, ENTRIES, NESTING
from relu_attack._plain import read_json, read_yaml
from relu_attack.errors import FileFormatError

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {p: 1, q: 2}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, f"f has more than {ENTRIES} entries once its aliases are written out"),
        (MERGES, f"f has more than {ENTRIES} entries once its aliases are written out"),
        ("a: &a [*a]", "f is not read: *a stands within what it names"),
        ("a: *b", "f is not YAML: line 1: found undefined alias"),
        ("[" * 100_000, f"f is nested too deeply: at most {NESTING} lists and mappings"),
        ("- " * 10_000, "f is nested too deeply"),
        ("a: " + "1" * 400, "f is not YAML: line 1: the number 11111111111111111111... has too many digits"),
        ("a: " + "1" * 5000, f"f is not YAML: line 1: the number {'1' * 20}... has too many digits"),
        ("a: 1.0e+400", "f is not YAML: line 1: the number 1.0e+400 has too many digits or is too large"),
        ("a: " + ":".join(["1"] * DIGITS), "f is not YAML: line 1: the number 1:1:1:"),
        ("a: 2020-99-99", "f is not YAML: month must be in 1..12"),
        ("!!bool foo", "f is not YAML: 'foo'"),
        ("!!python/object/apply:os.system [ls]", "f is not YAML: line 1: could not determine a constructor"),
        ("a: 1\na: 2", "f is not YAML: line 2: the key 'a' is given twice"),
        ("\0", "f is not YAML: "),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        read_yaml(text, "f")
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a [1, 2]\nb: *a", {"a": [1, 2], "b": [1, 2]}),
        ("a: &a {p: 1}\nb: {<<: *a, q: 2}", {"a": {"p": 1}, "b": {"p": 1, "q": 2}}),
        (f"[{'[' * (NESTING - 1)}{']' * (NESTING - 1)}]", None),
        (
            "[0x10, 1_000, -3, 1.5, .inf, 11111111111111111111]",
            [16, 1000, -3, 1.5, float("inf"), 11111111111111111111.0],
        ),
        ("", None),
    ],
)
def test_yaml_that_is_read(text: str, value: Any) -> None:
    found = read_yaml(text, "f")
    assert value is None or found == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, f"f is nested too deeply: at most {NESTING}"),
        ('{"a":' * 100_000, "f is nested too deeply"),
        ("1" * 400, "f is not JSON: the number 11111111111111111111... has more than 20 digits"),
        ("-" + "1" * 5000, "f is not JSON: the number"),
        ('"' + r"\"" * 100_000, "f is not JSON: Unterminated string"),
        ("", "f is not JSON: Expecting value"),
        ("{]", "f is not JSON: "),
    ],
)
def test_json_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        read_json(text, "f")
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_brackets_in_strings_are_no_nesting() -> None:
    text = "[" * 1000 + '\\"' + "[" * 1000
    assert read_json(f'["{text}"]', "f") == [text.replace('\\"', '"')]


@given(text=st.text("[]{}&*<:,-? \n'\"!|>abc10.", max_size=40))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    for read in (read_yaml, read_json):
        refusal = "none"
        try:
            read(text, "f")
        except FileFormatError as reason:
            refusal = str(reason)
        assert len(refusal.splitlines()) == 1
