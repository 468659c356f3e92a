"""The answer to a configuration: files, JSON, and tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from relu_attack.api import ReLUOptimizer
from relu_attack.cli._recipe import Line, Recipe, Reference, find_reference, make_recipe
from relu_attack.config import ConfigError, Configuration
from relu_attack.config.domains import BallSection
from relu_attack.config.question import ImagesReport
from relu_attack.io.results import save_result, summarize
from relu_attack.result import Result, Status

# Problems of a batch that the table shows, and inputs of an answer without names.
_SHOWN = 20


@dataclass(frozen=True)
class Answer:
    """A configuration, its optimizer, and once it is found the result with its recipe."""

    sense: str
    configuration: Configuration
    optimizer: ReLUOptimizer
    reference: Reference | None
    _result: Result | None = None

    @staticmethod
    def prepare(sense: str, configuration: Configuration, optimizer: ReLUOptimizer) -> Answer:
        """Do before the search what may fail, so that no search is in vain."""
        report, outputs = configuration.report, optimizer.problem.network.outputs
        if isinstance(report, ImagesReport) and report.classes is not None and len(report.classes) != outputs:
            problem = f"report.classes: there are {len(report.classes)} names, but the model has {outputs} outputs"
            raise ConfigError("the configuration", [problem])
        for path in (configuration.output.figure, configuration.output.result, getattr(report, "file", None)):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        reference = find_reference(configuration, optimizer.problem, largest=sense == "maximize")
        return Answer(sense, configuration, optimizer, reference)

    def found(self, result: Result) -> Answer:
        """Return the answer with its result."""
        return replace(self, _result=result)

    @property
    def result(self) -> Result:
        """The result, once it is found."""
        if self._result is None:
            raise RuntimeError("the search has not run")
        return self._result

    @property
    def recipe(self) -> Recipe | None:
        """The answer in words, when the inputs have names and the set is a single one."""
        if self.configuration.names is None or self.result.value.dim():
            return None
        return make_recipe(self.configuration, self.optimizer.problem, self.result.x, self.reference)

    def to_json(self) -> dict[str, Any]:
        """Return the answer as plain data."""
        answer = {"sense": self.sense, **summarize(self.result), "x": self.result.x.tolist()}
        return answer if self.recipe is None else {**answer, "recipe": self.recipe.to_json()}

    def write(self) -> list[Path]:
        """Write the files that the configuration asks for, and return their names."""
        output, report = self.configuration.output, self.configuration.report
        pictures, files = [], []
        if output.figure is not None:
            from relu_attack.plots.trace import plot_trace

            objective = self.configuration.objective
            pictures.append((output.figure, plot_trace(self.result, name=objective.name, unit=objective.unit)))
        if isinstance(report, ImagesReport):
            pictures.append((report.file, self._draw_images(report)))
        for path, picture in pictures:
            picture.savefig(path, dpi=150)
            files.append(path)
        if output.result is not None:
            given = self.configuration.model_dump(
                include={"seed", "restarts", "iterations", "time_limit", "options", "threads"}
            )
            save_result(self.result, output.result, settings={"sense": self.sense, **given})
            files += [output.result.with_name(f"{output.result.name}{suffix}") for suffix in (".json", ".safetensors")]
        return [path.resolve() for path in files]

    def _draw_images(self, report: ImagesReport) -> Any:
        from relu_attack.plots.images import plot_images

        domain, worst = self.configuration.domain, self.result.x
        if not isinstance(domain, BallSection):
            raise ConfigError("the configuration", ["report: kind images needs a ball as the domain"])
        clean = torch.as_tensor(domain.center).broadcast_to(worst.shape)
        return plot_images(
            clean,
            worst,
            clean_label=f"clean: {self._prediction(clean, report)}",
            worst_label=f"worst case: {self._prediction(worst, report)}",
            title=f"{self.configuration.objective.name}: {float(self.result.value):.4g}",
        )

    def _prediction(self, x: torch.Tensor, report: ImagesReport) -> str:
        scores = self.optimizer.problem.network.forward(x.reshape(1, -1).double()).outputs[0]
        first, second = (int(index) for index in scores.topk(2).indices)
        names = report.classes or [str(index) for index in range(len(scores))]
        return f"{names[first]} ({float(scores[first]):.2f}), then {names[second]} ({float(scores[second]):.2f})"

    def show(self, files: Iterable[Path]) -> None:
        """Print the answer as tables."""
        console = Console()
        if self.recipe is not None:
            console.print(self._recipe_table(self.recipe))
        if self.result.value.dim():
            console.print(self._batch_table())
        else:
            console.print(self._summary_table())
        for path in files:
            console.print(f"wrote {path}", highlight=False, soft_wrap=True)

    def _recipe_table(self, recipe: Recipe) -> Table:
        table = Table(title=f"{self.sense} {self.configuration.objective.name}", title_justify="left")
        table.add_column("input")
        table.add_column("unit")
        table.add_column("answer", justify="right")
        if recipe.reference is not None:
            table.add_column("best measured", justify="right")
        table.add_column("at its")

        def add(lines: Iterable[Line]) -> None:
            for line in lines:
                reference = () if line.reference is None else (_format(line.reference, line.step),)
                table.add_row(line.name, line.unit, _format(line.value, line.step), *reference, line.limit)
            table.add_section()

        add(recipe.inputs)
        add(recipe.constraints)
        unit, value = self.configuration.objective.unit, _format(float(self.result.value))
        if recipe.reference is None:
            table.add_row("predicted", unit, value, "")
        else:
            table.add_row("predicted", unit, value, _format(recipe.reference.predicted), "")
            table.add_row("measured", unit, "", _format(recipe.reference.measured), "")
        return table

    def _summary_table(self) -> Table:
        result, objective = self.result, self.configuration.objective
        table = Table(show_header=False, title=None if self.recipe else self.sense, title_justify="left")
        side = "above" if self.sense == "maximize" else "below"
        unit = f" {objective.unit}" if objective.unit else ""
        rows = [
            (objective.name, f"{_format(float(result.value))}{unit}"),
            ("bound", f"{_format(float(result.bound))}{unit}: no input of the set is {side} it"),
            ("gap", f"{_format(float(result.gap))}{unit} ({float(result.relative_gap):.2%} of the value)"),
        ]
        if self.recipe is None and result.x.numel() <= _SHOWN:
            rows.append(("x", ", ".join(_format(entry) for entry in result.x.flatten().tolist())))
        rows += [("status", f"{result.status.name}: {result.message}"), ("run", self._run())]
        for row in rows:
            table.add_row(*row)
        return table

    def _batch_table(self) -> Table:
        result = self.result
        problems = len(result.value)
        shown = f", first {_SHOWN}" if problems > _SHOWN else ""
        table = Table(title=f"{self.sense} {self.configuration.objective.name} in {problems} problems{shown}")
        for name in ("problem", "value", "bound", "gap"):
            table.add_column(name, justify="right")
        columns = zip(result.value.tolist(), result.bound.tolist(), result.gap.tolist(), strict=True)
        for number, row in enumerate(list(columns)[:_SHOWN]):
            table.add_row(str(number), *map(_format, row))
        table.caption = f"{result.status.name}: {result.message}; {self._run()}"
        return table

    def _run(self) -> str:
        result = self.result
        hint = "; interrupted" if result.status is Status.INTERRUPTED else ""
        rate = result.iterations / max(result.runtime, 1e-9)
        return f"{result.method}, {result.iterations} steps in {result.runtime:.2f} s ({rate:.0f} a second){hint}"


def _format(value: float, step: float = 0.0) -> str:
    """Write a number to five digits, but no finer than `step`."""
    rounded = round(value / step) * step if step else value
    return f"{rounded + 0.0:.5g}"
