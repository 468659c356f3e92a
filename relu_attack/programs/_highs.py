"""HiGHS without a modelling layer: a program is loaded once, modified, and solved again from the last basis."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from relu_attack.errors import OptionError
from relu_attack.programs._highs_callbacks import ProgressCallback, SolverCallbacks, StopCallback
from relu_attack.programs._program import Program
from relu_attack.programs._solution import Solution, SolutionStatus
from relu_attack.programs._solver_report import SolverReport, value_scale, verify_solution

Array = NDArray[np.float64]

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

# Points are verified relative to the rows; tolerances of HiGHS are absolute and therefore tighter.
_DEFAULTS = {
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
    "mip_feasibility_tolerance": 1e-7,
    "mip_abs_gap": 0.0,
    # HiGHS 1.16 calls no callback inside a sub-MIP, so neither Ctrl-C nor `stop` would end it; walks find good points.
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_root_reduced_cost": False,
    # Presolve rule 14, Sparsify, ignores the time limit: on the dense rows of a network of 1500 units it took 75
    # seconds beyond a limit of 2 and removed no entry.
    "presolve_rule_off": 1 << 14,
}


# Largest exponent of the powers of two that scale rows and objectives: products stay finite.
_LARGEST_EXPONENT = 500


class PreparedProgram:
    """A program inside HiGHS, for a sequence of similar programs.

    Parameters
    ----------
    program
        The first program.
    options
        HiGHS options by name.

    Raises
    ------
    OptionError
        For an option or value that HiGHS does not have.

    Examples
    --------
    >>> program = Program(objective=[1, 1], matrix=[[1, 2]], row_lower=-np.inf, row_upper=4, lower=0, upper=3)
    >>> prepared = PreparedProgram(program)
    >>> prepared.solve().value
    3.5
    >>> prepared.change(row_upper=3)
    >>> prepared.solve().value
    3.0
    """

    _scale: Array
    _unit: float

    def __init__(self, program: Program, *, options: Mapping[str, Any] = NO_OPTIONS) -> None:
        self._highs = quiet_highs()
        self._program, self._added = program, list[Program]()
        self._threads = "threads" in options
        self._absolute_gap = float({**_DEFAULTS, **options}["mip_abs_gap"])
        for name, value in {**_DEFAULTS, **options}.items():
            self._set_option(name, value)
        self._load()

    @property
    def program(self) -> Program:
        """The current program, with all rows that were added."""
        if self._added:
            parts = (self._program, *self._added)
            self._program = replace(
                self._program,
                matrix=scipy.sparse.csr_array(scipy.sparse.vstack([part.matrix for part in parts], format="csr")),
                row_lower=np.concatenate([part.row_lower for part in parts]),
                row_upper=np.concatenate([part.row_upper for part in parts]),
            )
            self._added.clear()
        return self._program

    def change(self, **fields: Any) -> None:
        """Replace fields of the program: `objective`, `constant`, `lower`, `upper`, `row_lower`, `row_upper`, `matrix`.

        A changed matrix may have other rows. The next solve starts from the current basis if the shape is unchanged.

        Raises
        ------
        OptionError
            For a field that a `Program` rejects or does not have, or for a change of integrality.
        """
        unknown = set(fields) - {"objective", "constant", "lower", "upper", "row_lower", "row_upper", "matrix"}
        if unknown:
            raise OptionError(f"a prepared program cannot change {', '.join(sorted(unknown))}")
        before = self.program
        program = self._program = replace(before, **fields)
        if program.matrix is not before.matrix or self._refused:
            basis, same = self._highs.getBasis(), program.matrix.shape == before.matrix.shape
            self._load()
            if same and basis.valid:
                self._highs.setBasis(basis)
            return
        if len(_changed(before, program, "objective")):
            self._unit = _unit(program)
            self._set_costs(-program.objective / self._unit)
        changed = _changed(before, program, "lower", "upper")
        if len(changed):
            bounds = program.lower[changed], program.upper[changed]
            self._check(self._highs.changeColsBounds(len(changed), changed, *bounds))
        changed = _changed(before, program, "row_lower", "row_upper")
        if len(changed):
            low, high = (self._scale * side for side in (program.row_lower, program.row_upper))
            self._check(self._highs.changeRowsBounds(len(changed), changed, low[changed], high[changed]))

    def add_rows(self, matrix: ArrayLike, row_lower: ArrayLike, row_upper: ArrayLike) -> None:
        """Append dense rows (rows, columns) with their sides; the current basis stays dual feasible.

        Raises
        ------
        OptionError
            For rows that a `Program` rejects.
        """
        # Most rows are read by nobody but HiGHS, so that `program` joins them when it is asked for.
        added = Program(
            objective=self._program.objective,
            matrix=np.atleast_2d(np.asarray(matrix, dtype=np.float64)),
            row_lower=np.asarray(row_lower, dtype=np.float64),
            row_upper=np.asarray(row_upper, dtype=np.float64),
            lower=np.asarray(-np.inf),
            upper=np.asarray(np.inf),
        )
        self._added.append(added)
        scale, entries = _row_scale(added), added.matrix
        self._scale = np.concatenate([self._scale, scale])
        data = entries.data * np.repeat(scale, np.diff(entries.indptr))
        start, index = entries.indptr[:-1].astype(np.int32), entries.indices.astype(np.int32)
        low, high = scale * added.row_lower, scale * added.row_upper
        self._check(self._highs.addRows(added.rows, low, high, entries.nnz, start, index, data))

    def solve(
        self,
        *,
        time_limit: float | None = None,
        warm_start: ArrayLike | None = None,
        gap: float = 1e-6,
        on_progress: ProgressCallback | None = None,
        stop: StopCallback | None = None,
    ) -> Solution:
        """Solve the current program from the last basis; arguments and result as in `programs.solve`."""
        start = None if warm_start is None else np.asarray(warm_start, dtype=np.float64)
        begin = time.perf_counter()
        report = self.report(time_limit=time_limit, warm_start=start, gap=gap, on_progress=on_progress, stop=stop)
        seconds = time.perf_counter() - begin
        return verify_solution(self.program, report, warm_start=start, gap=gap, seconds=seconds, solver="HIGHS")

    def report(
        self,
        *,
        time_limit: float | None,
        warm_start: Array | None,
        gap: float,
        on_progress: ProgressCallback | None = None,
        stop: StopCallback | None = None,
    ) -> SolverReport:
        """Return the unverified result of HiGHS."""
        if self._program.columns == 0:
            raise OptionError("the program has no columns; there is nothing to solve")
        if self._refused:
            return SolverReport(status=SolutionStatus.NUMERICAL)
        # The gap is verified on the cleaned point.
        self._set_option("mip_rel_gap", gap / 2)
        self._set_option("mip_abs_gap", self._absolute_gap / self._unit)
        if warm_start is not None and self._program.is_mixed_integer and warm_start.shape == (self._program.columns,):
            self._highs.setSolution(self._program.columns, np.arange(self._program.columns, dtype=np.int32), warm_start)
        # Only incumbents of mixed-integer programs are compared with the rows.
        program = self.program if self._program.is_mixed_integer else self._program
        watch = SolverCallbacks(program, on_progress, stop, unit=self._unit)
        watch.attach(self._highs)
        try:
            report = self._report(time_limit, watch)
            if warm_start is not None and self._is_short_of_its_bound(report, gap):
                # HiGHS 1.16 may return the warm start with the value of a better point that its presolve has found.
                self._highs.clearSolver()
                report = self._report(time_limit, watch)
        finally:
            self._highs.setCallback(None, None)
        return replace(report, interrupted=watch.interrupted)

    def _report(self, time_limit: float | None, watch: SolverCallbacks) -> SolverReport:
        status = self._run(time_limit, watch)
        if status in ("kUnknown", "kSolveError", "kNotset") and not watch.interrupted:
            # The simplex method may fail from the basis of another program and seldom fails from scratch.
            self._highs.clearSolver()
            status = self._run(time_limit, watch)
        if status == "kUnboundedOrInfeasible":
            return self._tell_apart(time_limit, watch)
        return self._read(status)

    def _is_short_of_its_bound(self, report: SolverReport, gap: float) -> bool:
        if report.status is not SolutionStatus.OPTIMAL or not self._program.is_mixed_integer or report.x is None:
            return False
        value = self.program.value(report.x)
        return report.bound - value > gap * value_scale(self.program, value)

    def _run(self, time_limit: float | None, watch: SolverCallbacks) -> str:
        # HiGHS accumulates the run time of a linear program over solves and restarts it for a mixed-integer one.
        spent = 0.0 if self._program.is_mixed_integer else self._highs.getRunTime()
        self._set_option("time_limit", math.inf if time_limit is None else spent + max(time_limit, 0.0))
        if self._threads:
            # HiGHS has one thread pool for all programs and rejects a solve with another number of threads.
            type(self._highs).resetGlobalScheduler(True)
        with watch.running():
            self._highs.run()
        return str(self._highs.getModelStatus().name)

    def _read(self, status: str) -> SolverReport:
        if status == "kInfeasible":
            return SolverReport(status=SolutionStatus.INFEASIBLE, ray=self._ray())
        if status == "kUnbounded":
            return SolverReport(status=SolutionStatus.UNBOUNDED)
        solution, info = self._highs.getSolution(), self._highs.getInfo()
        x = np.array(solution.col_value) if solution.value_valid else None
        duals = -np.array(solution.row_dual) * self._scale * self._unit if solution.dual_valid else None
        stopped = status in ("kTimeLimit", "kIterationLimit", "kSolutionLimit", "kInterrupt", "kHighsInterrupt")
        optimal = status in ("kOptimal", "kModelEmpty")
        outcome = SolutionStatus.OPTIMAL if optimal else SolutionStatus.TIME_LIMIT
        if not self._program.is_mixed_integer:
            bound = math.inf
        else:
            # HiGHS minimizes -objective without the constant, so its bound is the negative.
            bound, duals = -float(info.mip_dual_bound) * self._unit + self._program.constant, None
        return SolverReport(
            status=outcome if optimal or stopped else SolutionStatus.NUMERICAL, x=x, duals=duals, bound=bound
        )

    def _tell_apart(self, time_limit: float | None, watch: SolverCallbacks) -> SolverReport:
        """Solve with a zero objective, which is never unbounded."""
        self._set_costs(np.zeros(self._program.columns))
        status = self._run(time_limit, watch)
        report = self._read(status)
        self._set_costs(-self._program.objective / self._unit)
        return SolverReport(status=SolutionStatus.UNBOUNDED) if status == "kOptimal" else report

    def _set_costs(self, costs: Array) -> None:
        self._check(self._highs.changeColsCost(len(costs), np.arange(len(costs), dtype=np.int32), costs))

    def _ray(self) -> Array | None:
        """Return multipliers that prove infeasibility: those of the relaxation, if that is infeasible already."""
        highs, program = self._highs, self.program
        if program.is_mixed_integer:
            relaxed = PreparedProgram(_relaxed(program))
            if relaxed._refused:
                return None
            # The proof has as much time as the solve took, and at least a second.
            limit = max(1.0, highs.getRunTime())
            return relaxed._ray() if relaxed._run(limit, SolverCallbacks(relaxed.program)) == "kInfeasible" else None
        status, exists, ray = highs.getDualRay()
        known = status.name != "kError" and exists
        return np.array(ray) * self._scale if known else None

    def _load(self) -> None:
        import highspy

        self._refused, program = False, self.program
        self._scale, self._unit = scale, unit = _row_scale(program), _unit(program)
        data = program.matrix.data * np.repeat(scale, np.diff(program.matrix.indptr))
        rows, bounds = (scale * program.row_lower, scale * program.row_upper), (program.lower, program.upper)
        lp = linear_model(
            -program.objective / unit, (program.matrix.indptr, program.matrix.indices, data), rows, bounds
        )
        if program.names is not None:
            lp.col_names_ = list(program.names)
        if program.is_mixed_integer:
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            lp.integrality_ = [kinds[integral] for integral in program.integral.astype(int)]
        self._check(self._highs.passModel(lp))

    def _set_option(self, name: str, value: Any) -> None:
        if self._highs.setOptionValue(name, value).name == "kError":
            raise OptionError(f"HiGHS has no option {name!r} with the value {value!r}")

    def _check(self, status: Any) -> None:
        """Record whether HiGHS rejects a part of the program: it accepts coefficients below 1e15."""
        self._refused = self._refused or status.name == "kError"


def solve_highs(
    program: Program,
    *,
    time_limit: float | None,
    warm_start: Array | None,
    gap: float,
    options: Mapping[str, Any],
    on_progress: ProgressCallback | None = None,
    stop: StopCallback | None = None,
) -> SolverReport:
    """Solve one program with HiGHS."""
    return PreparedProgram(program, options=options).report(
        time_limit=time_limit, warm_start=warm_start, gap=gap, on_progress=on_progress, stop=stop
    )


def _forget_threads() -> None:
    """Discard HiGHS's thread pool in a forked process: threads are not copied, and HiGHS would wait for them."""
    highspy = sys.modules.get("highspy")
    if highspy is not None:
        highspy.Highs.resetGlobalScheduler(False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def quiet_highs() -> Any:
    """Return a HiGHS object without output."""
    import highspy

    # The constructor of highspy.Highs prints a banner regardless of options; that of its base does not.
    highs = highspy.Highs.__new__(highspy.Highs)
    super(highspy.Highs, highs).__init__()
    highs.setOptionValue("output_flag", False)
    return highs


def linear_model(
    costs: Array, matrix: tuple[Any, Any, Array], row_bounds: tuple[Array, Array], bounds: tuple[Array, Array]
) -> Any:
    """Return a linear program for HiGHS; the matrix is given by the starts, columns and values of its rows."""
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(costs), len(row_bounds[0])
    lp.col_cost_, (lp.col_lower_, lp.col_upper_), (lp.row_lower_, lp.row_upper_) = costs, bounds, row_bounds
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = lp.num_col_, lp.num_row_
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix
    return lp


def _relaxed(program: Program) -> Program:
    return replace(program, integral=np.zeros(program.columns, dtype=bool), objective=np.zeros(program.columns))


def _row_scale(program: Program) -> Array:
    """Return powers of two, exact in floating point, that bring rows of a small norm to about 1."""
    norm = program.row_norms
    exponent = np.where(norm > 0, -np.floor(np.log2(np.where(norm > 0, norm, 1.0))), 0.0)
    scale: Array = np.exp2(np.clip(exponent, 0.0, _LARGEST_EXPONENT))
    return scale


def _unit(program: Program) -> float:
    """Return the power of two, exact in floating point, that scales the objective to a size of about 1.

    Tolerances of HiGHS are absolute and would exceed a small objective.
    """
    exponent = math.frexp(float(np.abs(program.objective).max(initial=0.0)))[1]
    return 2.0 ** min(max(exponent, -2 * _LARGEST_EXPONENT), 2 * _LARGEST_EXPONENT)


def _changed(before: Program, after: Program, *names: str) -> NDArray[np.int32]:
    different = [getattr(before, name) != getattr(after, name) for name in names]
    return np.flatnonzero(np.logical_or.reduce(different)).astype(np.int32)
