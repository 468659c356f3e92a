"""Docstrings, comments, messages and documents use the terms of the field, which docs/glossary.md defines."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

AVOIDED = {
    r"anew": "again, from scratch",
    r"judg(e|es|ed|ing)": "check, evaluate",
    r"believ(e|es|ed|ing)": "check, verify",
    r"tells?|told": "report, say",
    r"wish(es|ed)?": "option, request",
    r"mend(s|ed|ing)?": "fix, repair",
    r"dear(er|est)?|dearly": "costly, expensive",
    r"cheapest to the dearest": "ordered by cost",
    r"walls?(?! ?-?clock| time)": "facets, boundaries",
    r"tax(es|ed|ing)?": "penalty, penalize",
    r"promise[sd]?": "guarantee",
    r"words? of (the|a|its) (mixed-integer )?solver|solver's word": "reported by the solver",
    r"so many": "a number with its unit",
    r"vouch(es|ed)?": "verify",
    r"look(s|ed)? at (the|no|a) clock": "read the clock, ignore the time limit",
    r"in the eyes of": "according to",
    r"in silence": "silently",
}
"""Words that are avoided, as regular expressions, and what is said instead."""

PATTERN = re.compile("|".join(rf"\b(?:{word})\b" for word in AVOIDED), re.IGNORECASE)


def prose_of_python(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments and the string literals of a file, docstrings among them, with their lines."""
    source = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, line


def prose_of_markdown(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a document; code in fences is Python or shell that other tests run."""
    fenced = False
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        fenced ^= line.lstrip().startswith("```")
        if not fenced:
            yield number, line


def files() -> list[Path]:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    return [*sorted((ROOT / "relu_attack").rglob("*.py")), *sorted(documents)]


def avoided_words(path: Path) -> list[str]:
    if not PATTERN.search(path.read_text()):  # most files have none, in their code either
        return []
    lines = prose_of_python(path) if path.suffix == ".py" else prose_of_markdown(path)
    return [
        f"{path.relative_to(ROOT)}:{number}: {match.group()!r} in {line.strip()!r}"
        for number, line in sorted(set(lines))
        for match in PATTERN.finditer(line)
    ]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_word_of_a_private_dialect(path: Path) -> None:
    found = avoided_words(path)
    assert not found, "\n".join(found)


def test_words_are_found_in_comments_docstrings_and_messages(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text('"""Begin anew."""\nx = 1  # the dearest\nraise ValueError(f"{x} is told")\n')
    lines = [(number, word) for number, line in prose_of_python(program) for word in PATTERN.findall(line)]
    assert [number for number, _ in sorted(lines)] == [1, 2, 3]
