"""Big-M model of a network over a set, and its triangle relaxation."""

from __future__ import annotations

import numpy as np
import torch

from relu_attack._deadline import NEVER, Deadline
from relu_attack.encodings._assembly import Array, Assembly, dense_block, relocate, stack
from relu_attack.encodings._coefficients import combination_error, row_error, sparse_matrix
from relu_attack.encodings._encoding import Encoding, Ranges
from relu_attack.encodings._units import UnitStability, add_activations, add_columns, add_equations
from relu_attack.errors import OptionError, SolverError
from relu_attack.network import Layer, Network
from relu_attack.problem import Problem
from relu_attack.programs import Program
from relu_attack.rounding import up

# Upper estimate of the time for one coefficient of a program on one core; measured: half of this to this.
_SECONDS_PER_ENTRY = 4e-7
# Memory of one coefficient as triplet, in compressed rows and in the solver.
_BYTES_PER_ENTRY = 160


def count_entries(network: Network, ranges: Ranges) -> int:
    """Estimate the number of coefficients in the program of a network, given the ranges of its units."""
    before, total = network.inputs, 0
    for layer, (_, upper) in zip(network.layers, ranges, strict=True):
        units = int(((upper > 0) | (layer.slope > 0)).sum())
        total += units * min(layer.affine.operator.row_nnz, before)
        before = units
    return total + network.outputs * min(network.output.operator.row_nnz, before)


def encode(problem: Problem, ranges: Ranges, *, relaxed: bool = False, deadline: Deadline = NEVER) -> Encoding:
    """Encode a problem as a program.

    Parameters
    ----------
    problem
        A single problem over a polyhedral set.
    ranges
        For each hidden layer lower and upper bounds of its preactivations over the set, float64, each of shape
        (units,). They may be tighter than the bounds that the program implies, but must be valid.
    relaxed
        Whether to encode the triangle relaxation, a linear program, instead of the exact model.
    deadline
        Time limit.

    Returns
    -------
    Encoding
        The program and the columns of x, activations and binaries. It is valid in real arithmetic for the weights of
        the model: rows with rounded coefficients and the constant of the objective are relaxed by their rounding error.
        Output constraints have the feasibility tolerance of results.

    Raises
    ------
    DomainError
        For a set without linear rows, such as an `L2Ball`.
    OptionError
        For a batch of problems, or ranges that do not fit the layers.
    DoesNotFitError
        If the deadline passes, or the remaining time or memory is too small for the program.
    SolverError
        For a range that is not finite or is empty; names the layer and the unit.

    Notes
    -----
    A unit with range [L, U], slope a and L < 0 < U has columns for its preactivation z and its activation h, so that
    the long row ``z = A h' + b`` appears once in the program. Further rows beside ``h >= z`` and ``h >= a z`` are

    - in the exact model, the one of Tjeng, Xiao, Tedrake (1711.07356), a binary s and a big-M for each side,
      ``h <= z - (1 - a) L (1 - s)`` and ``h <= a z + (1 - a) U s``;
    - in the relaxation the upper side of the triangle of Ehlers (1705.01320),
      ``(U - L) h <= (U - a L) z - (1 - a) U L``.

    A stable unit has one equation and no binary; a unit that is constantly 0 has no column.

    Examples
    --------
    >>> from relu_attack import Box, Linear
    >>> from relu_attack.network import dense_chain
    >>> from relu_attack.programs import solve
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> chain = dense_chain([one, -one], [torch.zeros(1, dtype=torch.float64)] * 2)
    >>> problem = Problem.create(chain, Box(-one[0], 2 * one[0]), Linear(one[0]))
    >>> encoding = encode(problem, [(-one[0], 2 * one[0])])
    >>> solution = solve(encoding.program)
    >>> round(solution.value, 9) + 0.0, bool(encoding.input(solution.x) <= 0)
    (0.0, True)
    """
    if problem.problems != 1 or problem.domain.batch is not None:
        raise OptionError(f"the problem is a batch of {problem.problems}; encode one at a time, problem.single(i)")
    layers = problem.network.layers
    sides = _read_ranges(layers, ranges)
    assembly = Assembly()
    columns, rows = assembly.columns, assembly.rows
    box = add_set(problem, assembly, relaxed=relaxed)
    before, size = np.arange(problem.network.inputs), np.maximum(np.abs(box[0]), np.abs(box[1]))
    units, matrices = [], []
    entries = count_entries(problem.network, ranges)
    deadline.require(_SECONDS_PER_ENTRY * entries, memory=_BYTES_PER_ENTRY * entries)
    for layer, (lower, upper) in zip(layers, sides, strict=True):
        deadline.require()
        matrix = sparse_matrix(layer.affine.operator)
        matrices.append(matrix)
        kinds = UnitStability(layer.slope.numpy(), lower, upper)
        error = row_error(layer.affine, torch.as_tensor(size), kinds.scaled)
        places = add_columns(assembly, kinds, relaxed=relaxed)
        add_equations(assembly, kinds, places, relocate(matrix, before), layer.affine.bias.numpy(), error)
        add_activations(assembly, kinds, places, relaxed=relaxed)
        units.append(places)
        before, size = units[-1].activation, np.maximum(np.abs(lower), np.abs(upper))
    output = problem.network.output
    outputs = stack([relocate(sparse_matrix(output.operator), before)], (output.operator.outputs, columns.count))
    constant, largest = output.bias.numpy(), torch.as_tensor(size)
    if problem.constraints is not None:
        matrix, limit = problem.constraints.matrix, problem.constraints.accepted
        rounding = combination_error(output, matrix, largest)
        upper = up(up(limit - matrix @ output.bias) + rounding).numpy()
        rows.add(np.full(len(upper), -np.inf), upper, dense_block(matrix.numpy() @ outputs.toarray()))
    weight = problem.objective
    value = up(weight @ output.bias + combination_error(output, weight, largest))
    (low, high), (row_lower, row_upper) = columns.bounds, rows.sides
    program = Program(
        objective=outputs.T @ weight[0].numpy(),
        matrix=rows.matrix(columns.count),
        row_lower=row_lower,
        row_upper=row_upper,
        lower=low,
        upper=high,
        integral=columns.integral,
        constant=float(value[0]),
    )
    return Encoding(
        program=program,
        problem=problem,
        inputs=problem.network.inputs,
        ranges=tuple(ranges),
        input_box=box,
        matrices=tuple(matrices),
        activation_columns=tuple(places.activation for places in units),
        preactivation_columns=tuple(places.preactivation for places in units),
        binary_columns=tuple(places.binary for places in units),
        output_matrix=outputs,
        output_constant=constant,
    )


def _read_ranges(layers: tuple[Layer, ...], ranges: Ranges) -> list[tuple[Array, Array]]:
    if len(ranges) != len(layers):
        raise OptionError(f"there are ranges for {len(ranges)} layers; the network has {len(layers)} hidden ones")
    sides = []
    for index, (layer, (lower, upper)) in enumerate(zip(layers, ranges, strict=True)):
        for side in (lower, upper):
            if side.shape != (layer.units,):
                raise OptionError(
                    f"a range of layer {index} has shape {tuple(side.shape)}; it must be ({layer.units},)"
                )
        low, high = (side.detach().to("cpu", torch.float64).numpy() for side in (lower, upper))
        wrong = ~(np.isfinite(low) & np.isfinite(high) & (low <= high))
        if wrong.any():
            unit = int(np.flatnonzero(wrong)[0])
            raise SolverError(
                f"the range of layer {index}, unit {unit} is [{low[unit]:g}, {high[unit]:g}]; "
                "a program needs finite ends, the lower one first"
            )
        sides.append((low, high))
    return sides


def add_set(problem: Problem, assembly: Assembly, *, relaxed: bool) -> tuple[Array, Array]:
    """Add the inputs and the rows of the set to a program; return a box that contains the inputs."""
    domain = problem.domain.to(device="cpu", dtype=torch.float64)
    given, hull = domain.require_linear_rows(), domain.bounding_box()
    low, high = given.lower.numpy().copy(), given.upper.numpy().copy()
    inputs = domain.inputs
    low[:inputs] = np.maximum(low[:inputs], hull.lower.numpy())
    high[:inputs] = np.minimum(high[:inputs], hull.upper.numpy())
    integral = np.zeros(len(low), dtype=bool)
    if not relaxed:
        integral[list(domain.integer)] = True
    assembly.columns.add(low, high, integral=integral)
    assembly.rows.add(given.lb.numpy(), given.ub.numpy(), dense_block(given.A.numpy()))
    return low[:inputs], high[:inputs]
