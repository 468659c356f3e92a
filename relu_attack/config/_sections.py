"""Sections of a configuration for the model, the objective and the report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, ValidationInfo, model_validator
from torch import nn
from typing_extensions import Self

from relu_attack._names import suggest
from relu_attack.config._base import InputFile, OutputFile, Section, context_of, of_kind, read_index, shown
from relu_attack.config._numbers import Numbers
from relu_attack.config._own_classes import ClassName, make
from relu_attack.errors import FileFormatError
from relu_attack.io import load_factory, load_model, read_rows
from relu_attack.objectives import Linear, Margin, Objective, Output


def _output(value: Any, info: ValidationInfo) -> int:
    return read_index(value, context_of(info).outputs, "output")


OutputIndex: TypeAlias = Annotated[int, BeforeValidator(_output)]

PICTURES = (".png", ".svg", ".pdf")


def _picture(path: Path) -> Path:
    if path.suffix not in PICTURES:
        raise ValueError(f"{path.name} must end in {', '.join(PICTURES)}")
    return path


Picture: TypeAlias = Annotated[OutputFile, AfterValidator(_picture)]


def _architecture(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        path = context_of(info).folder / value
        if not path.is_file():
            raise ValueError(f"{path} does not exist or is no file; paths are relative to the configuration file")
        return path
    if not isinstance(value, list | dict):
        raise ValueError(f"must be a list of layers or the name of a file with one; got {shown(value)}")
    return value


class ModelSection(Section):
    """The model: a ``file`` of weights, with an ``architecture`` unless the file holds it, or a ``factory``."""

    file: InputFile | None = None
    architecture: Annotated[Any, BeforeValidator(_architecture)] = None
    factory: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        self._check_source()
        return self

    def _check_source(self) -> None:
        if (self.file is None) == (self.factory is None):
            raise ValueError("needs either file: a file of weights, or factory: module:function")

    def build(self) -> nn.Module:
        """Return the model; raise `FileFormatError` when it cannot be loaded."""
        if self.file is None:
            return load_factory(str(self.factory))
        return load_model(self.file, architecture=self.architecture)


class OwnModelSection(ModelSection):
    """A model of a class of the user, an ``nn.Module``; the other keys are the arguments of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: ClassName

    def _check_source(self) -> None:
        if self.file is not None or self.factory is not None:
            raise ValueError("has a kind beside file or factory; give one of them")

    def build(self) -> nn.Module:
        """Return the model; its code is run here."""
        return make(self.kind, self.model_extra or {}, nn.Module)


class MarginSection(Section):
    """Margin of the class ``target`` over the class ``label``."""

    target: OutputIndex
    label: OutputIndex


class ObjectiveSection(Section):
    """One of ``output``, ``linear`` (a weight for each output) and ``margin``; ``name`` and ``unit`` in words."""

    output: OutputIndex | None = None
    linear: Numbers | None = None
    margin: MarginSection | None = None
    name: str = "value"
    unit: str = ""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(entry is not None for entry in (self.output, self.linear, self.margin)) > 1:
            raise ValueError("has more than one of output, linear and margin; give one")
        return self

    def build(self) -> Objective | None:
        """Return the objective, or None for the default one."""
        if self.margin is not None:
            return Margin(self.margin.target, self.margin.label)
        if self.linear is not None:
            return Linear(self.linear)
        return None if self.output is None else Output(self.output)


class OwnObjectiveSection(ObjectiveSection):
    """An objective of a class of the user; the keys beside name and unit are the arguments of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: ClassName

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if any(entry is not None for entry in (self.output, self.linear, self.margin)):
            raise ValueError("has a kind beside output, linear or margin; give one of them")
        return self

    def build(self) -> Objective:
        """Return the objective; its code is run here."""
        return make(self.kind, self.model_extra or {}, Objective)  # type: ignore[type-abstract]


def _or_own(section: type[Section]) -> BeforeValidator:
    """Return a validator that reads a mapping with a kind as a section of a user's class."""

    def choose(value: Any, info: ValidationInfo) -> Any:
        own = isinstance(value, dict) and "kind" in value
        return section.model_validate(value, context=info.context) if own else value

    return BeforeValidator(choose)


AnyModelSection: TypeAlias = Annotated[ModelSection, _or_own(OwnModelSection)]
AnyObjectiveSection: TypeAlias = Annotated[ObjectiveSection, _or_own(OwnObjectiveSection)]


class OutputSection(Section):
    """Files to write: ``result`` (JSON and arrays) and ``figure`` (value against time)."""

    result: OutputFile | None = None
    figure: Picture | None = None


class RecipeReport(Section):
    """The answer beside the best row of a table.

    `reference` is a ``.csv`` file with a column for each named input; `measured` is its column with what the objective
    predicts.
    """

    kind: Literal["recipe"]
    reference: InputFile
    measured: str

    def rows(self, names: tuple[str, ...]) -> tuple[list[list[float]], list[float]]:
        """Return the inputs of each row of the table, and what was measured; raise `FileFormatError`."""
        inputs, measured = [], []
        (_, head), *rows = read_rows(self.reference) or [(1, [])]
        for column in (*names, self.measured):
            if column not in head:
                raise FileFormatError(f"{self.reference} has no column {column!r}; {suggest(column, head)}")
        places = [head.index(name) for name in (*names, self.measured)]
        for number, row in rows:
            try:
                *values, found = (float(row[place]) for place in places)
            except (IndexError, ValueError):
                raise FileFormatError(f"{self.reference}: line {number} is not all numbers") from None
            if not all(map(math.isfinite, (*values, found))):
                raise FileFormatError(f"{self.reference}: line {number} has a number that is not finite")
            inputs.append(values)
            measured.append(found)
        return inputs, measured


class ImagesReport(Section):
    """A picture, in ``file``, of the center of a ball beside the answer; ``classes`` are names of the outputs."""

    kind: Literal["images"]
    file: Picture
    classes: tuple[str, ...] | None = None


Report: TypeAlias = Annotated[RecipeReport | ImagesReport, of_kind({"recipe": RecipeReport, "images": ImagesReport})]
