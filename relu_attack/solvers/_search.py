"""One search, from its arguments to its result; arguments are checked before the model is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from relu_attack._checks import LOGGER, ArrayLike
from relu_attack._deadline import Deadline, Interruption
from relu_attack._names import one_of
from relu_attack.bounds import BOUNDS
from relu_attack.errors import ArgumentError, DomainError, OptionError, TimeLimitError
from relu_attack.problem import Problem
from relu_attack.result import Result
from relu_attack.solvers._registry import METHODS, check_names, find_method, make_options, name_of_method
from relu_attack.solvers.ascent import STARTS
from relu_attack.solvers.core import Budget, Method, MethodOptions, Option, Settings, check_result

# Seconds that a call may take beyond its limit.
_ALLOWED_SECONDS = 0.3
# Share of the time limit that the check of the answers to several problems has at most, beyond that of one.
_RESERVED_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class SearchArguments:
    """Arguments of a search, which `ReLUOptimizer.maximize` describes; this is where their defaults are."""

    minimize: bool = False
    method: str | MethodOptions = "auto"
    restarts: int | None = None
    iterations: int | None = None
    time_limit: float | None = None
    memory_limit: float | None = None
    seed: int = 0
    x0: ArrayLike | None = Settings.x0
    starts: str = Settings.starts
    bound: str = Settings.bound
    progress: bool = Settings.progress
    record_path: bool = Settings.record_path
    options: Mapping[str, Option] = field(default_factory=dict)

    @staticmethod
    def among(parameters: Mapping[str, Any], *, minimize: bool = False) -> SearchArguments:
        """Return the arguments of a search among the parameters of a call, which has them by the same names."""
        names = (entry.name for entry in fields(SearchArguments) if entry.name != "minimize")
        return SearchArguments(minimize=minimize, **{name: parameters[name] for name in names})

    def begin(self, interruption: Interruption, *, began: float, beside: Iterable[str] = ()) -> SearchCall:
        """Check the arguments, and return the search that they ask for.

        `began` is the reading of ``time.perf_counter()`` from which its time counts. OptionError is raised for an
        unknown method or name, of which `beside` lists further right ones, and for an impossible value.
        """
        name = name_of_method(self.method)
        method = find_method(name)
        own = [entry.name for entry in fields(self) if entry.name not in ("minimize", "options")]
        check_names("minimize" if self.minimize else "maximize", name, self.options, [*own, *beside])
        if isinstance(self.method, str):
            options = make_options(name, self.options)
        elif self.options:
            first, given = next(iter(self.options)), type(self.method).__name__
            raise ArgumentError(f"{first} is given beside the options of the method; give it within {given}(...)")
        else:
            options = self.method
        one_of(self.bound, BOUNDS, name="bound method")
        one_of(self.starts, STARTS, name="starts")
        budget = method.budget(
            iterations=self.iterations,
            time_limit=self.time_limit,
            began=began,
            interruption=interruption,
            memory_limit=self.memory_limit,
        )
        return SearchCall(name=name, method=method, options=options, budget=budget, arguments=self)


@dataclass(frozen=True, kw_only=True)
class SearchCall:
    """A search that has begun."""

    name: str
    method: Method
    options: MethodOptions
    budget: Budget
    arguments: SearchArguments

    @property
    def deadline(self) -> Deadline:
        """When the search ends."""
        return self.budget.deadline

    def run(self, problem: Problem, *, device: torch.device, dtype: torch.dtype) -> Result:
        """Search for the best input of a problem, and check the answer.

        Raises
        ------
        TimeLimitError
            If the evaluation and the check of an answer take longer than what is left of the time.
        """
        given = self.arguments
        settings = Settings(
            budget=self.budget.reserving(self._reserve(problem)),
            restarts=self.method.restarts if given.restarts is None else given.restarts,
            seed=given.seed,
            x0=given.x0,
            starts=given.starts,
            bound=given.bound,
            progress=given.progress,
            record_path=given.record_path,
            device=device,
            dtype=dtype,
            sign=-1.0 if given.minimize else 1.0,
        )
        self._check_capabilities(problem)
        LOGGER.debug(
            "%s: %d problems of %d inputs and %d units, %s",
            self.name,
            problem.problems,
            problem.network.inputs,
            problem.network.units,
            self.budget.limits,
        )
        asked = problem.negated() if given.minimize else problem
        asked = replace(asked, domain=asked.domain.within(self.deadline))
        result = check_result(asked, self.name, settings, self.method.solve(asked, self.options, settings))
        LOGGER.info("%s", result)
        return result

    def _reserve(self, problem: Problem) -> float:
        """Return the seconds of the limit that are left for the check of the answer."""
        limit, single = self.budget.time_limit, problem.seconds
        if limit is None:
            return 0.0
        left = max(limit - self.budget.elapsed(), 0.0)
        if single > left + _ALLOWED_SECONDS:
            raise TimeLimitError(
                f"{left:.2g} s of the time limit of {limit:g} s are left after the model was read, and the "
                f"evaluation and check of an answer take about {single:.2g} s; give a larger time_limit"
            )
        # A batch of problems takes less than as many single ones.
        return max(single, min(problem.problems * single, _RESERVED_SHARE * limit))

    def _check_capabilities(self, problem: Problem) -> None:
        """Raise `OptionError` or `DomainError` where the method cannot do what is asked for; name those that can."""
        if problem.problems > 1 and not self.method.batches:
            able = ", ".join(name for name, other in METHODS.items() if other.batches)
            raise OptionError(f"{self.name} takes one problem at a time, got {problem.problems}; take {able}")
        if self.method.needs_linear_rows and not problem.domain.single(0).is_polyhedral:
            kind = type(problem.domain).__name__
            able = ", ".join(name for name, other in METHODS.items() if not other.needs_linear_rows)
            raise DomainError(f"{self.name} needs a set with linear rows, which {kind} has not; take {able}")
        kinds = ("all", "single") if problem.problems == 1 else ("all",)
        if self.arguments.record_path and self.method.paths not in kinds:
            able = ", ".join(known for known, other in METHODS.items() if other.paths in kinds)
            raise OptionError(f"{self.name} records no path here; record_path works with {able}")
