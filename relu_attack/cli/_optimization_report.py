"""Report of an optimization: checks before the search, files, JSON, and tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from relu_attack.api import ReLUOptimizer
from relu_attack.cli._recipe import Recipe, RecipeRow, Reference, find_reference, make_recipe, output_lines
from relu_attack.cli._tables import batch_table, recipe_table, shown_violations, summary_table
from relu_attack.config import BallSection, ConfigError, Configuration, ImagesReport
from relu_attack.errors import ReLUAttackError
from relu_attack.io import save_result, summarize
from relu_attack.result import Result


@dataclass(frozen=True)
class OptimizationReport:
    """A configuration, its optimizer, and after the search the result with its recipe."""

    sense: str
    configuration: Configuration
    optimizer: ReLUOptimizer
    reference: Reference | None
    _result: Result | None = None

    @staticmethod
    def prepare(sense: str, configuration: Configuration, optimizer: ReLUOptimizer) -> OptimizationReport:
        """Check before the search what may fail after it."""
        report, outputs = configuration.report, optimizer.problem.network.outputs
        if isinstance(report, ImagesReport) and report.classes is not None and len(report.classes) != outputs:
            problem = f"report.classes: there are {len(report.classes)} names, but the model has {outputs} outputs"
            raise ConfigError("the configuration", [problem])
        for path in (configuration.output.figure, configuration.output.result, getattr(report, "file", None)):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        reference = find_reference(configuration, optimizer.problem, largest=sense == "maximize")
        return OptimizationReport(sense, configuration, optimizer, reference)

    def found(self, result: Result) -> OptimizationReport:
        """Return the answer with its result."""
        return replace(self, _result=result)

    @property
    def result(self) -> Result:
        """The result, after the search."""
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

    def write(self) -> tuple[list[Path], list[str]]:
        """Write the files of the configuration; return their names, and a line for each that failed."""
        output, report = self.configuration.output, self.configuration.report
        files: list[Path] = []
        failures: list[str] = []

        def attempt(write: Callable[[], None], *paths: Path) -> None:
            try:
                write()
                files.extend(path.resolve() for path in paths)
            except ReLUAttackError as reason:  # the answer is there: it is shown in any case
                failures.append(str(reason))

        if output.result is not None:
            paths = [output.result.with_name(f"{output.result.name}{suffix}") for suffix in (".json", ".safetensors")]
            attempt(self._save, *paths)
        if output.figure is not None:
            attempt(self._draw_trace, output.figure)
        if isinstance(report, ImagesReport):
            attempt(self._draw_images, report.file)
        return files, failures

    def _draw_trace(self) -> None:
        from relu_attack.plots import plot_trace, save_figure

        path, objective = self.configuration.output.figure, self.configuration.objective
        assert path is not None
        save_figure(plot_trace(self.result, name=objective.name, unit=objective.unit), path)

    def _save(self) -> None:
        path, objective = self.configuration.output.result, self.configuration.objective
        assert path is not None
        given = self.configuration.model_dump(
            include={"seed", "restarts", "iterations", "time_limit", "options", "threads"}
        )
        words = {"name": objective.name, "unit": objective.unit}
        save_result(self.result, path, settings={"sense": self.sense, "objective": words, **given})

    def _draw_images(self) -> None:
        from relu_attack.plots import plot_images, read_names, save_figure

        report, domain = self.configuration.report, self.configuration.domain
        objective, worst = self.configuration.objective, self.result.x.cpu()
        if not isinstance(report, ImagesReport) or not isinstance(domain, BallSection):
            raise ConfigError("the configuration", ["report: kind images needs a ball as the domain"])
        clean = torch.as_tensor(domain.center).broadcast_to(worst.shape)
        scores = self.optimizer.problem.network.forward(torch.stack([clean, worst]).flatten(1).double()).outputs
        names = read_names(report.classes, scores.shape[1])
        before, after = (names[int(row.argmax())] for row in scores)
        figure = plot_images(
            clean,
            worst,
            scores=(scores[0], scores[1]),
            label=None if objective.margin is None else objective.margin.label,
            names=names,
            clean_label=f"clean: taken for {before}",
            worst_label=f"worst case: taken for {after}",
            title=f"{objective.name}: {float(self.result.value):.4g}",
        )
        save_figure(figure, report.file)

    def _lines(self) -> tuple[RecipeRow, ...] | None:
        """Return the output constraints as rows of text; None where a recipe shows them."""
        if self.recipe is not None:
            return None
        point = self.result.x.detach().to("cpu", torch.float64).flatten().numpy()
        return output_lines(self.configuration, self.optimizer.problem, point)

    def show(self, files: Iterable[Path]) -> None:
        """Print the answer as tables."""
        console, sense, objective = Console(), self.sense, self.configuration.objective
        kinds = shown_violations(self.optimizer.problem)
        if self.recipe is not None:
            console.print(recipe_table(self.recipe, self.result, sense, objective))
        if self.result.value.dim():
            console.print(batch_table(self.result, sense, objective, kinds))
        else:
            console.print(summary_table(self.result, sense, objective, kinds, self._lines()))
        for path in files:
            console.print(f"wrote {path}", highlight=False, soft_wrap=True)
