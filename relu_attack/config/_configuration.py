"""Configuration file: one optimization problem over one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from torch import nn

from relu_attack._checks import read_device
from relu_attack._limits import COUNT, RESTARTS, SEED, THREADS
from relu_attack._names import suggest
from relu_attack.bounds import BOUNDS
from relu_attack.config._base import Real, Section, Whole, read_each, read_names
from relu_attack.config._domains import BallSection, DomainSection, PolytopeSection
from relu_attack.config._numbers import Numbers
from relu_attack.config._outputs import OutputConstraint, join
from relu_attack.config._sections import (
    AnyModelSection,
    AnyObjectiveSection,
    ImagesReport,
    ObjectiveSection,
    OutputSection,
    RecipeReport,
    Report,
)
from relu_attack.domains import Domain
from relu_attack.errors import OptionError, ReLUAttackError
from relu_attack.network import lower
from relu_attack.objectives import Objective
from relu_attack.output_constraints import OutputConstraints
from relu_attack.solvers import METHODS, STARTS, SearchArguments, find_method, make_options

Part = TypeVar("Part")
Names: TypeAlias = Annotated[dict[str, str], BeforeValidator(read_names)]

# What goes to `maximize` as it stands; a key that the file leaves out is left to the defaults there.
_ARGUMENTS = ("method", "restarts", "iterations", "time_limit", "seed", "x0", "starts", "bound")


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


def _as_number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value  # YAML reads 1e-3 as text
    except ValueError:
        return value


@dataclass(frozen=True)
class LoadedProblem:
    """Problem of a configuration, with loaded model, set and objective, for `ReLUOptimizer`."""

    model: nn.Module
    domain: Domain
    objective: Objective | None
    output_constraints: OutputConstraints | None = None


class Configuration(Section):
    """Validated configuration; ``configs/README.md`` describes each key.

    Attributes
    ----------
    model, domain, objective
        Sections of the model, the set and the objective, which is output 0 by default.
    output_constraints
        Constraints on the outputs, with their names and units.
    inputs, outputs
        Names of the inputs and outputs with their units, in the order of the model.
    sense
        ``"maximize"`` or ``"minimize"``; the command must agree with it.
    method, options, restarts, iterations, time_limit, seed, x0, starts, bound, device
        As in `ReLUOptimizer.maximize`.
    threads
        Number of threads of torch in the command.
    output, report
        Files to write, and the report to print.
    """

    model: AnyModelSection
    inputs: Names | None = None
    outputs: Names | None = None
    domain: DomainSection
    objective: AnyObjectiveSection = Field(default_factory=ObjectiveSection)
    output_constraints: tuple[OutputConstraint, ...] = ()
    sense: Literal["maximize", "minimize"] | None = None
    method: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    restarts: Annotated[Whole, Field(ge=1, le=RESTARTS)] | None = None
    iterations: Annotated[Whole, Field(ge=1, le=COUNT)] | None = None
    time_limit: Annotated[Real, Field(gt=0)] | None = None
    seed: Annotated[Whole, Field(ge=0, le=SEED)] | None = None
    x0: Numbers | None = None
    starts: str | None = None
    bound: str | None = None
    device: str | None = None
    threads: Annotated[Whole, Field(ge=1, le=THREADS)] | None = None
    output: OutputSection = Field(default_factory=OutputSection)
    report: Report | None = None

    @field_validator("method", "starts", "bound")
    @classmethod
    def _is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        known = {"method": METHODS, "starts": STARTS, "bound": BOUNDS}[str(info.field_name)]
        if value is not None and value not in known:
            raise ValueError(f"is {value!r}; {suggest(value, known)}")
        return value

    @field_validator("options")
    @classmethod
    def _fit_method(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "method" not in info.data:  # it is wrong itself
            return options
        name = info.data["method"] or str(SearchArguments.method)
        known = {entry.name: entry.default for entry in fields(find_method(name).options)}

        def check(key: str, _: Any) -> None:
            if key not in known:
                raise ValueError(f"is no option of {name}; {suggest(key, known)}")

        read_each(options.items(), check)
        options = {key: value if isinstance(known[key], str) else _as_number(value) for key, value in options.items()}
        try:
            make_options(name, options)
        except OptionError as reason:
            raise ValueError(str(reason)) from None
        return options

    @field_validator("device")
    @classmethod
    def _is_there(cls, device: str | None) -> str | None:
        try:
            return None if device is None else str(read_device(device))
        except OptionError as reason:
            raise ValueError(str(reason).removeprefix("device ")) from None

    @field_validator("report")
    @classmethod
    def _can_report(cls, report: Any, info: ValidationInfo) -> Any:
        if isinstance(report, RecipeReport) and info.data.get("inputs", "") is None:
            raise ValueError("kind recipe needs the names of the inputs; list them under the key inputs")
        if isinstance(report, ImagesReport) and not isinstance(info.data.get("domain", None), BallSection | None):
            raise ValueError("kind images needs a ball as the domain: its center is the clean image")
        return report

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the inputs, if the file gives them."""
        return None if self.inputs is None else tuple(self.inputs)

    @property
    def constraints(self) -> tuple[Any, ...]:
        """The constraints in words."""
        return self.domain.constraints if isinstance(self.domain, PolytopeSection) else ()

    def arguments(self) -> dict[str, Any]:
        """Return what the file says of the arguments of `ReLUOptimizer.maximize`."""
        given = {name: getattr(self, name) for name in _ARGUMENTS}
        return {name: value for name, value in given.items() if value is not None} | self.options

    def build(self) -> tuple[LoadedProblem | None, list[str]]:
        """Load the model and make the set and the objective; return also one line for each that fails."""
        problems: list[str] = []

        def attempt(key: str, make: Callable[[], Part]) -> Part | None:
            try:
                return make()
            except ReLUAttackError as reason:
                problems.append(f"{key}: {reason}")
                return None

        model = attempt("model", self.model.build)
        domain = attempt("domain", lambda: self.domain.build(self.names))
        objective = attempt("objective", self.objective.build)
        if isinstance(self.report, RecipeReport) and self.names is not None:
            report, names = self.report, self.names
            attempt("report", lambda: report.rows(names))
        if self.names is not None and domain is not None and domain.inputs != len(self.names):
            problems.append(f"inputs: there are {len(self.names)} names, but the domain has {domain.inputs} inputs")
        if self.report is not None and domain is not None and domain.batch is not None:
            problems.append(f"report: is on a single set, but the domain is a batch of {domain.batch}")
        elif isinstance(self.report, ImagesReport) and domain is not None and not _is_image(domain.shape):
            problems.append(f"report: one input has shape {domain.shape}; an image has shape (1 or 3, height, width)")
        outputs = None
        if model is not None and domain is not None and (self.outputs is not None or self.output_constraints):
            outputs = attempt("model", lambda: lower(model, domain.shape).network.outputs)
        if outputs is not None:
            problems += self._wrong_outputs(outputs)
        if model is None or domain is None or problems:
            return None, problems
        constraints = None if outputs is None else join(self.output_constraints, outputs)
        return LoadedProblem(model, domain, objective, constraints), []

    def _wrong_outputs(self, outputs: int) -> list[str]:
        """Return an error for each name or index that a model with this number of outputs does not have."""
        if self.outputs is not None and len(self.outputs) != outputs:
            return [f"outputs: there are {len(self.outputs)} names, but the model has {outputs} outputs"]
        return [
            f"output_constraints.{number}.expression: {line}"
            for number, constraint in enumerate(self.output_constraints)
            for line in constraint.outside(outputs)
        ]
