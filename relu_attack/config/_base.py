"""Base of all sections of a configuration file: unknown keys are errors, and each error names its key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from typing_extensions import Self

from relu_attack._checks import is_whole
from relu_attack._names import suggest
from relu_attack.errors import FileFormatError

_SHOWN_CHARACTERS = 80
"""Of a value in a message."""
_SHOWN_PROBLEMS = 100


def shown(value: object) -> str:
    """Return a value as code, shortened for a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


class ConfigError(FileFormatError):
    """A configuration is not what it should be; one line for each error, with its key.

    Parameters
    ----------
    source
        Name of the file.
    problems
        One line for each error, such as ``"domain.upper: is missing"``.
    """

    def __init__(self, source: object, problems: Sequence[str]) -> None:
        self.problems = tuple(" ".join(line.split()) for line in problems)
        if len(self.problems) == 1:
            super().__init__(f"{source}: {self.problems[0]}")
        else:
            more = len(self.problems) - _SHOWN_PROBLEMS
            lines = [*self.problems[:_SHOWN_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
            super().__init__("\n  ".join([f"{source} has {len(self.problems)} errors:", *lines]))


@dataclass(frozen=True)
class Context:
    """Context of a section: the folder of the file, and the names of inputs and outputs, if any."""

    folder: Path
    names: tuple[str, ...] | None
    outputs: tuple[str, ...] | None = None


class Section(BaseModel):
    """A mapping of the file, with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _explain_errors(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            found = [
                InitErrorDetails(type=problem(_explain(cls, details)), loc=details["loc"], input=details["input"])
                for details in error.errors()
            ]
            raise ValidationError.from_exception_data(cls.__name__, found) from None


def problem(message: str) -> PydanticCustomError:
    """Return an error to raise in a validator, with a message for the user."""
    return PydanticCustomError("explained", "{message}", {"message": message})


def problems_of(error: ValidationError) -> list[str]:
    """Return one line an error, with its key in front."""
    return [f"{'.'.join(map(str, found['loc'])) or 'the file'}: {found['msg']}" for found in error.errors()]


def read_each(entries: Iterable[tuple[Any, Any]], read: Callable[[Any, Any], object]) -> None:
    """Call `read` with the key and the value of each entry, and raise all its errors at once, each at its key."""
    errors = []
    for key, value in entries:
        try:
            read(key, value)
        except ValueError as reason:
            errors.append(InitErrorDetails(type=problem(str(reason)), loc=(str(key),), input=value))
    if errors:
        raise ValidationError.from_exception_data("entries", errors)


def of_kind(sections: Mapping[str, type[Section]], own: type[Section] | None = None) -> BeforeValidator:
    """Return a validator that reads a mapping as the section of its kind alone, a dotted one as that of a user's class.

    Every error is then one of that kind.
    """

    def choose(value: Any, info: ValidationInfo) -> Section:
        if not isinstance(value, dict) or "kind" not in value:
            raise ValueError(f"must be a mapping with a key kind: {', '.join(sections)}")
        kind = value["kind"]
        section = own if own is not None and isinstance(kind, str) and "." in kind else None
        if section is None and not (isinstance(kind, str) and kind in sections):
            raise ValueError(f"has the kind {shown(kind)}; {suggest(kind, sections)}")
        return (section or sections[kind]).model_validate(value, context=info.context)

    return BeforeValidator(choose)


def context_of(info: ValidationInfo) -> Context:
    """Return the context of a validation."""
    if not isinstance(info.context, Context):
        raise TypeError("sections are validated with a Context; use load_configuration")
    return info.context


def read_names(value: Any) -> dict[str, str]:
    """Return names and their units, from a mapping or a list without units."""
    if isinstance(value, list):
        twice = [name for place, name in enumerate(value) if isinstance(name, str) and name in value[:place]]
        if twice:
            raise ValueError(f"{shown(twice[0])} is listed twice")
        if not all(isinstance(name, str) for name in value):
            raise ValueError("must be a list of names, or a mapping of names to units, in the order of the model")
        value = dict.fromkeys(value, "")
    if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a list of names, or a mapping of names to units, in the order of the model")
    return {name: "" if unit is None else str(unit) for name, unit in value.items()}


def read_index(entry: Any, names: tuple[str, ...] | None, kind: Literal["input", "output"]) -> int:
    """Return the index of an input or output that is given by name or by index."""
    if isinstance(entry, str):
        if names is None:
            raise ValueError(
                f"{shown(entry)} is a name, but the {kind}s have no names; list them under the key {kind}s"
            )
        if entry not in names:
            raise ValueError(f"{shown(entry)} is no {kind}; {suggest(entry, names)}")
        return names.index(entry)
    if not is_whole(entry) or entry < 0:
        raise ValueError(f"must be the name or the index of an {kind}, got {shown(entry)}")
    if names is not None and entry >= len(names):
        raise ValueError(f"{entry} is no index; there are {len(names)} {kind}s, from 0")
    return entry


def _explain(section: type[Section], details: ErrorDetails) -> str:
    kind, value, place = details["type"], details["input"], details["loc"]
    if kind == "explained":
        return details["msg"]
    if kind == "extra_forbidden":
        return f"is no key here; {suggest(place[-1], section.model_fields)}"
    if kind == "missing":
        return "is missing"
    if kind == "model_type":
        return f"must be a mapping with keys such as {', '.join(section.model_fields)}; got {shown(value)}"
    if kind == "value_error":
        return str(details["ctx"]["error"])
    message = details["msg"].removeprefix("Input ").split(", ")[0]
    return f"{message[0].lower()}{message[1:]}, got {shown(value)}"


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {shown(value)}")
    return value


def _existing(path: Path, info: ValidationInfo) -> Path:
    path = context_of(info).folder / path
    if not path.is_file():
        raise ValueError(f"{path} does not exist or is no file; paths are relative to the configuration file")
    return path


def _writable(path: Path, info: ValidationInfo) -> Path:
    if "\0" in str(path):
        raise ValueError(f"{shown(str(path))} is no name of a file")
    path = context_of(info).folder / path
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file")
    return path


Real = Annotated[float, BeforeValidator(_refuse_bool)]
Whole = Annotated[int, BeforeValidator(_refuse_bool)]
InputFile = Annotated[Path, AfterValidator(_existing)]
OutputFile = Annotated[Path, AfterValidator(_writable)]
