"""Plain data from JSON and YAML, with limits on what a small file may ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

from relu_attack._limits import DIGITS, ENTRIES, NESTING
from relu_attack.errors import FileFormatError

# The parser in C, where PyYAML was built with it, is ten times faster; both construct the same values.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

WHOLE_DIGITS = 20
"""Digits of a whole number in JSON: 64 bits have no more."""

# A string, also one that never ends; or a bracket.
_STRUCTURE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def read_json(text: str, where: object) -> Any:
    """Return the value of a JSON text.

    `where` is its path, for messages. FileFormatError is raised for text that is no JSON, that is nested more than
    `NESTING` deep, or has whole numbers of more than 64 bits.

    >>> read_json('{"radii": [0, 0.5]}', "radii.json")
    {'radii': [0, 0.5]}
    """
    depth = 0
    for found in _STRUCTURE.finditer(text):
        mark = found[0]
        depth += (mark in "[{") - (mark in "]}")
        if depth > NESTING:
            raise _too_deep(where)
    try:
        return json.loads(text, parse_int=_whole_number)
    except ValueError as reason:
        raise FileFormatError(f"{where} is not JSON: {reason}") from None


def read_yaml(text: str, where: object, *, language: str = "YAML") -> Any:
    """Return the value of a YAML text, which JSON is as well; a key that is given twice is an error.

    FileFormatError is raised for text that is not YAML, or what `language` names; that is nested more than `NESTING`
    deep; that has more than `ENTRIES` entries once its aliases are written out; or for a number of more than `DIGITS`
    digits or beyond float64.

    >>> read_yaml("layers: [{Linear: [8, 64]}, ReLU]", "net.yaml")
    {'layers': [{'Linear': [8, 64]}, 'ReLU']}
    """
    try:
        _check_size(text, where)
        return yaml.load(text, Loader=_Loader)
    except FileFormatError:
        raise
    except yaml.MarkedYAMLError as reason:
        # At the end of a text the mark may stand on a line after the last.
        line = min(reason.problem_mark.line, text.count("\n")) + 1 if reason.problem_mark else None
        place = "" if line is None else f"line {line}: "
        raise FileFormatError(f"{where} is not {language}: {place}{reason.problem or reason.context}") from None
    except Exception as reason:  # the constructors of dates, numbers and other tags raise what they stumble over
        raise FileFormatError(f"{where} is not {language}: {' '.join(str(reason).split())}") from None


class _Loader(_Base):  # type: ignore[misc]
    """YAML in which a key that is given twice is an error, and a number has an end."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Return a whole number of 64 bits as such, and every other as float64."""
        text, whole = node.value, node.tag.endswith(":int")
        if len(text) <= DIGITS:
            number = self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)
            if whole and abs(number) < 2**63:
                return int(number)
            if abs(number) < 2**1023 or "inf" in text.lower() or "nan" in text.lower():
                return float(number)
        shown = text if len(text) <= 20 else f"{text[:20]}..."
        raise yaml.constructor.ConstructorError(
            None, None, f"the number {shown} has too many digits or is too large", node.start_mark
        )


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def _check_size(text: str, where: object) -> None:
    """Refuse what is nested too deeply or grows too large; the parser goes through a text without recursion."""
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    entries = 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                if any(anchor == event.anchor for anchor, _ in opened):
                    raise FileFormatError(f"{where} is not read: *{event.anchor} stands within what it names")
                continue  # the loader says that there is no such anchor
            entries += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = entries - before
        elif isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, entries))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
            entries += 1
        if len(opened) > NESTING:
            raise _too_deep(where)
        if entries > ENTRIES:
            raise FileFormatError(
                f"{where} has more than {ENTRIES} entries once its aliases are written out; put arrays into files"
            )


def _too_deep(where: object) -> FileFormatError:
    return FileFormatError(
        f"{where} is nested too deeply: at most {NESTING} lists and mappings in one another are read"
    )


def _whole_number(text: str) -> int:
    if len(text.lstrip("-")) > WHOLE_DIGITS:
        raise ValueError(f"the number {text[:20]}... has more than {WHOLE_DIGITS} digits")
    return int(text)
