"""Claims of a property, with numbers rounded outward for proofs and inward for witnesses."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains import Box, Domain, Polytope
from relu_attack.errors import DomainError
from relu_attack.io.vnnlib._property import Case, Polyhedron, Property
from relu_attack.specification import Clause
from relu_attack.verification import Claim


def claims_of(unsafe: Property, *, deadline: Deadline = NEVER) -> tuple[Claim, ...]:
    """Return the claims that imply the property: one for each case and clause.

    A property without claims holds. After the deadline `OutOfTimeError` is raised.
    """
    found: list[Claim] = []
    clauses: dict[int, tuple[Clause, Clause]] = {}
    for case in unsafe.cases:
        deadline.require()
        domain, inner = _set_for_proofs(case), Box(case.lower, case.upper)
        inner_rows = None if case.input_rows is None else _clause(case.input_rows, case.input_rows.inner_upper)
        for rows in case.clauses:
            if id(rows) not in clauses:  # cases share their clauses
                clauses[id(rows)] = _clause(rows, rows.upper), _clause(rows, rows.inner_upper)
            outer, exact = clauses[id(rows)]
            found.append(Claim(domain, outer, inner, inner_rows, exact))
    return tuple(found)


def _set_for_proofs(case: Case) -> Domain:
    lower, upper = case.outer_lower, case.outer_upper
    if case.input_rows is None:
        return Box(lower, upper)
    try:
        return Polytope(case.input_rows.matrix, case.input_rows.upper, lower=lower, upper=upper)
    except DomainError:
        # For example rows without a solution, of which there is no proof: the claim is proved over the box instead.
        return Box(lower, upper)


def _clause(rows: Polyhedron, limits: Tensor) -> Clause:
    matrix = rows.matrix
    if not rows.rows:  # an empty conjunction is true, as is 0 <= 0
        matrix, limits = matrix.new_zeros(1, matrix.shape[1]), limits.new_zeros(1)
    return Clause(matrix, limits, torch.zeros(len(limits), dtype=torch.bool))
